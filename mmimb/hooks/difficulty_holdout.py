"""The held-out split: its dataloader, and what must hold for it, found out at the start and not after hours."""
from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from mmengine.dist import broadcast_object_list, is_main_process
from torch import nn

from ..scan.audit import finding_lines
from ..scan.findings import ERROR
from ..scan.scan import scan_dataset
from ..scan.sources import class_names, label_files
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
    own = {os.path.realpath(path) for path in _paths(training)}
    both = [path for path in _paths(holdout) if os.path.realpath(path) in own]
    if both:
        raise ValueError(f'`dataloader.dataset` must be held out from training, got {len(both)} images and labels that are in '
                         f'`train_dataloader` too, such as {both[0]}')
    found: list[str] = ['']
    if is_main_process():
        found = [_missing(holdout, ignore_index, allow_missing)]
    broadcast_object_list(found)
    if found[0]:
        raise ValueError(found[0])
    sample = holdout[0]['data_samples']
    image, label = tuple(sample.get('ori_shape', ())), tuple(sample.gt_sem_seg.shape)
    if image and label != image:
        raise ValueError(f'`dataloader.dataset` must give labels of the size of the image file {image}, got {label}; load them '
                         'after what resizes or crops')


def _paths(dataset: Any) -> Iterator[str]:
    files = label_files(dataset)
    for at in range(len(files)):
        info = files.info(at)
        yield from (info[key] for key in ('img_path', 'seg_map_path') if info.get(key))


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
        scan = scan_dataset(holdout, ignore_index=ignore_index)
    except (ValueError, OSError) as error:  # told on all ranks
        return f'`dataloader.dataset` must have readable labels, got {error}'
    if wrong := finding_lines({name: entry for name, entry in scan.audit.items() if entry['severity'] == ERROR}):
        return f'`dataloader.dataset` must have readable labels, got {wrong[0]}'
    stats = scan.stats
    names = [name for name, pixels in zip(class_names(holdout), stats.pixels, strict=True) if not pixels]
    if allow_missing or not names:
        return ''
    return (f'`dataloader.dataset` must hold pixels of every class, got none of {", ".join(names)} in {stats.num_images} '
            'images; move images that show them from training to the holdout, or set allow_missing=True')
