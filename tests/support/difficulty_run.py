"""A tiny real training with difficulty-balanced weights: the run of ``tiny_run`` with a loss and a hook of its own."""
from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import torch

from support.tiny_run import CLASSES, make_config, make_dataset, make_report, tool

LOSS = '''
model['decode_head']['loss_decode'] = dict(type='mmimb.CrossEntropyLoss', class_weight=dict(
    type='mmimb.DifficultyBalanced', num_classes=3))
model['decode_head']['norm_cfg'] = model['backbone']['norm_cfg'] = dict(type='GN', num_groups=2)
train_cfg.update(max_iters={iterations}, val_interval={val_interval})
param_scheduler[0]['end'] = {iterations}
default_hooks['checkpoint'].update(interval={checkpoint})
'''
HOLDOUT = "custom_hooks = [dict(type='mmimb.ClassWeightHook', source='holdout', interval={interval}, " \
          "dataloader=dict(dataset={dataset}))]\n"
BY_EPOCHS = '''
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs={}, val_interval=10)
train_dataloader['sampler'] = dict(type='DefaultSampler', shuffle=True)
param_scheduler = []
default_hooks['checkpoint'].update(by_epoch=True, interval=1)
'''


class Folder:
    """A folder with training data, a holdout of other images, statistics, and configs that use them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data, self.held_out = make_dataset(path / 'data'), make_dataset(path / 'held-out')
        self.stats = make_report(path / 'stats.json')
        self.configs = 0

    def config(self, hook: str = '', *, iterations: int = 8, val_interval: int = 100, checkpoint: int = 4,
               extra: str = '') -> Path:
        """Write a config; ``hook`` holds arguments of ClassWeightHook, such as ``"source='val'"``."""
        self.configs += 1
        hooks = f"custom_hooks = [dict(type='mmimb.ClassWeightHook', {hook})]\n" if hook else ''
        settings = LOSS.format(iterations=iterations, val_interval=val_interval, checkpoint=checkpoint)
        return make_config(self.path / f'config{self.configs}.py', self.data, self.stats, settings + hooks + extra)

    def dataset(self, root: Path | None = None) -> str:
        """Return the holdout as a piece of config."""
        return f"dict(pipeline=load, test_mode=True, **{{**data, 'data_root': {str(root or self.held_out)!r}}})"

    def scan(self) -> Path:
        """Scan the training data and return the report, with the counts of every image."""
        report = self.path / 'scan.json'
        result = tool('scan_dataset.py', self.config(), '--out', report)
        assert report.is_file(), result.stderr  # with a finding: the tiny run validates on what it trains on
        return report

    def holdout(self, interval: int = 4, root: Path | None = None, more: str = '') -> str:
        """Return the arguments of a hook that measures on the holdout."""
        return f"source='holdout', interval={interval}, dataloader=dict(dataset={self.dataset(root)}), {more}"


def rows(work: Path) -> list[dict[str, str]]:
    """Return the rows of the CSV of the latest run in a work folder."""
    file = max(work.glob('*/class_weights.csv'), key=lambda path: path.parent.name)
    with file.open(newline='', encoding='utf-8') as lines:
        return list(csv.DictReader(lines))


def state(work: Path, name: int | str) -> dict[str, Any]:
    """Return the checkpoint of an iteration, or of a name; it is plain data."""
    return torch.load(work / (f'iter_{name}.pth' if isinstance(name, int) else f'{name}.pth'), weights_only=True)


def assert_equal(got: Any, want: Any, where: str = '') -> None:
    """Compare nested plain data bit by bit."""
    if isinstance(want, torch.Tensor):
        assert got.dtype == want.dtype, where
        assert torch.equal(torch.nan_to_num(got.double(), -7), torch.nan_to_num(want.double(), -7)), where
    elif isinstance(want, dict):
        assert list(got) == list(want), where
        for key, value in want.items():
            assert_equal(got[key], value, f'{where}.{key}')
    elif isinstance(want, (list, tuple)):
        assert len(got) == len(want), where
        for i, value in enumerate(want):
            assert_equal(got[i], value, f'{where}[{i}]')
    else:
        assert got == want, where


__all__ = ['CLASSES', 'Folder', 'assert_equal', 'rows', 'state']
