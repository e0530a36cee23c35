"""Difficulty from a split that is held out from training, as in the paper (arXiv 2010.01824)."""
from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmengine.dist import broadcast_object_list, is_main_process
from torch import nn

from ...scan.audit import finding_lines
from ...scan.findings import ERROR
from ...scan.scan import scan_dataset
from ...scan.sources import class_names, label_files
from ...workers import steady
from .meter import DifficultyMeter
from .source import MOMENTUM, Source


class HoldoutSource(Source):
    """Measures on a held-out split in evaluation mode; every rank takes its share of the images.

    Args:
        dataloader: Config of the split, ``dict(dataset=...)``; what it leaves out is as in ``val_dataloader``.
        interval: See :class:`Source`.
        by_epoch: See there.
        momentum: See there.
        allow_missing: Accept a split without a pixel of some class.
    """

    name = 'holdout'
    INTERVAL = 1000

    def __init__(self, dataloader: Mapping[str, Any] | None = None, interval: int | None = None, by_epoch: bool = False,
                 momentum: float = MOMENTUM, allow_missing: bool = False) -> None:
        if dataloader is None:
            raise ValueError("`dataloader` must be given for source='holdout', as dict(dataset=...), got None")
        super().__init__(momentum, interval, by_epoch)
        self.dataloader = dict(dataloader)
        self.allow_missing = bool(allow_missing)

    def start(self, runner: Any, model: nn.Module, meter: DifficultyMeter) -> None:
        super().start(runner, model, meter)
        self._model, self._batches = runner.model, self.build(runner)
        check_holdout(runner.train_dataloader.dataset, self._batches.dataset, allow_missing=self.allow_missing,
                      ignore_index=self.ignore_index)

    def build(self, runner: Any) -> Any:
        """Build the dataloader, which deals every image once."""
        base = {key: value for key, value in (runner.cfg.get('val_dataloader') or {}).items() if key != 'dataset'}
        settings = {'batch_size': 1, 'num_workers': 0, **base, **self.dataloader,
                    'sampler': {'type': 'DefaultSampler', 'shuffle': False, 'round_up': False}}
        return runner.build_dataloader(steady(settings, runner), seed=runner.seed)

    def measure(self) -> None:
        """Predict this rank's part of the split; the random state and the mode of the model stay as they were."""
        model, training = self._model, self._model.training
        devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        with torch.random.fork_rng(devices), torch.no_grad():
            model.eval()
            for batch in self._batches:
                self.see(model.val_step(batch))
            model.train(training)

    def stop(self) -> None:
        self._model = self._batches = None


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
    found = [_label_problem(holdout, ignore_index, allow_missing) if is_main_process() else '']
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
    for info in map(files.info, range(len(files))):
        yield from (info[key] for key in ('img_path', 'seg_map_path') if info.get(key))


def _label_problem(holdout: Any, ignore_index: int, allow_missing: bool) -> str:
    """Return what is wrong with the labels, for all ranks to raise; nothing if they are fine."""
    try:
        scan = scan_dataset(holdout, ignore_index=ignore_index)
        wrong = finding_lines({name: entry for name, entry in scan.audit.items() if entry['severity'] == ERROR})
    except (ValueError, OSError) as error:
        wrong = [str(error)]
    if wrong:
        return f'`dataloader.dataset` must have readable labels, got {wrong[0]}'
    names = [name for name, pixels in zip(class_names(holdout), scan.stats.pixels, strict=True) if not pixels]
    if allow_missing or not names:
        return ''
    return (f'`dataloader.dataset` must hold pixels of every class, got none of {", ".join(names)} in '
            f'{scan.stats.num_images} images; move images that show them from training to the holdout, or set '
            'allow_missing=True')
