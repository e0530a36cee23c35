"""Have the heads of a model as many classes as the dataset that they are trained on?"""
from __future__ import annotations

from typing import Any

import numpy as np

from ..loss_places import heads
from .evaluators import split_classes

EDGE_HEADS = ('STDCHead', 'VPDDepthHead')  # which make labels of their own, or have none
LOOKED_AT = 16  # label files that are read where a head has fewer classes than the dataset


def check_classes(cfg: Any) -> list[str]:
    """Compare ``num_classes`` of the heads with the classes of the training dataset.

    Returns:
        Warnings: a head has another number of classes. Heads of one class, which have one channel for two, and those that
        look for edges are not compared.

    Raises:
        ValueError: A label among a few that are read is no class of the head that predicts, and is not ignored.
    """
    classes = split_classes(cfg, 'train') or _built_classes(cfg)
    if classes is None:
        return []
    warnings = []
    found = [*heads(cfg.get('model'))]
    last = next((at for at in reversed(found) if at.keys[0] == 'decode_head'), None)  # whose prediction the model gives
    for at in found:
        path, head = at.place, at.head
        number = head.get('num_classes')
        if at.is_a(*EDGE_HEADS):
            continue
        if isinstance(number, bool) or not isinstance(number, int) or number in (1, len(classes)):
            continue
        warnings.append(f'`{path}.num_classes` is {number}, but train_dataloader.dataset has {len(classes)} classes')
        if at is last and number < len(classes):
            _refuse_labels(cfg, path, number, head.get('ignore_index', 255))
    return warnings


def _built_classes(cfg: Any) -> tuple[str, ...] | None:
    """Return the class names of a training dataset that is no ``BaseSegDataset``; None if it names none."""
    from ..scan import build_split
    from ..scan.sources import dataset_classes
    try:
        return dataset_classes(build_split(cfg, 'train'))
    except Exception:  # of a foreign class: its real building will say why
        return None


def _refuse_labels(cfg: Any, path: str, number: int, ignored: int) -> None:
    from ..scan import build_split
    from ..scan.labels import label_chain
    from ..scan.sources import leaves
    for leaf in leaves(build_split(cfg, 'train')):
        chain = label_chain(leaf)
        for at in sorted({*np.linspace(0, len(leaf) - 1, LOOKED_AT).astype(int).tolist()}):
            info = leaf.get_data_info(at)
            try:
                labels = chain.labels(dict(info))
            except Exception:  # whatever a decoder raises: training will, too, and the scanner names all such files
                continue
            values = [] if labels is None else np.unique(labels).tolist()
            wrong = [value for value in values if value >= number and value != ignored]
            if wrong:
                raise ValueError(f'`{path}.num_classes` must be above every label that is not ignored ({ignored}), got '
                                 f'{number} and label {wrong[-1]} in {info.get("seg_map_path")}')
