"""The held-out split: its dataloader, and what must hold for it, found out at the start and not after hours."""
from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from mmengine.dist import broadcast_object_list, is_main_process
from torch import nn

from ..stats.scan import scan_dataset
from ..stats.sources import class_names, leaves
from ..workers import steady
from .difficulty_meter import DifficultyMeter
from .difficulty_sources import count_samples


def build_holdout(runner: Any, dataloader: Mapping[str, Any], *, allow_missing: bool, ignore_index: int) -> Any:
    """Build the dataloader of a holdout over the settings of ``val_dataloader``, and check its dataset.

    Every rank gets its share of the images, without padding.
    """
    base = {key: value for key, value in (runner.cfg.get('val_dataloader') or {}).items() if key != 'dataset'}
    settings = {'batch_size': 1, 'num_workers': 0, **base, **dataloader,
                'sampler': {'type': 'DefaultSampler', 'shuffle': False, 'round_up': False}}
    loader = runner.build_dataloader(steady(settings, runner), seed=runner.seed)
    check_holdout(runner.train_dataloader.dataset, loader.dataset, allow_missing=allow_missing, ignore_index=ignore_index)
    return loader


def check_holdout(training: Any, holdout: Any, *, allow_missing: bool, ignore_index: int) -> None:
    """Compare the files of a holdout with those of training, and look for every class in its labels.

    The main process reads the labels; all ranks raise what it finds.

    Args:
        training: The training dataset.
        holdout: The held-out dataset.
        allow_missing: Accept a class without pixels.
        ignore_index: Label of pixels that do not count.

    Raises:
        ValueError: The classes differ, a file is in both, a class is missing, a label file is bad.
    """
    if class_names(training) != class_names(holdout):
        raise ValueError(f'`dataloader.dataset` must have the classes of the training split, got '
                         f'{", ".join(class_names(holdout)[:4])}, ... for {", ".join(class_names(training)[:4])}, ...')
    own = {os.path.realpath(path) for path in _label_paths(training)}
    both = [path for path in _label_paths(holdout) if os.path.realpath(path) in own]
    if both:
        raise ValueError(f'`dataloader.dataset` must be held out from training, got {len(both)} label files that are in '
                         f'`train_dataloader` too, such as {both[0]}')
    found: list[str] = ['']
    if is_main_process():
        found = [_missing(holdout, ignore_index, allow_missing)]
    broadcast_object_list(found)
    if found[0]:
        raise ValueError(found[0])


def _label_paths(dataset: Any) -> Iterator[str]:
    for leaf in leaves(dataset):
        leaf.full_init()
        yield from (leaf.get_data_info(i)['seg_map_path'] for i in range(len(leaf)))


def measure_holdout(model: nn.Module, batches: Iterable[Any], meter: DifficultyMeter, *, ignore_index: int) -> None:
    """Count the predictions for this rank's part of a held-out split; the random state and the mode of ``model`` stay."""
    training = model.training
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices), torch.no_grad():
        model.eval()
        for batch in batches:
            count_samples(model.val_step(batch), meter, ignore_index)  # type: ignore[operator]
        model.train(training)


def _missing(holdout: Any, ignore_index: int, allow_missing: bool) -> str:
    try:
        stats = scan_dataset(holdout, ignore_index=ignore_index).stats
    except ValueError as error:  # told on all ranks
        return f'`dataloader.dataset` must have readable labels, got {error}'
    names = [name for name, pixels in zip(class_names(holdout), stats.pixels, strict=True) if not pixels]
    if allow_missing or not names:
        return ''
    return (f'`dataloader.dataset` must hold pixels of every class, got none of {", ".join(names)} in {stats.num_images} '
            'images; move images that show them from training to the holdout, or set allow_missing=True')
