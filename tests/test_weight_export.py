"""Class weights as a file: by the real tool, read by mmseg's own loss."""
from __future__ import annotations

import json

import pytest
import torch
from mmseg.models.losses import CrossEntropyLoss as StockCrossEntropyLoss
from test_scan_tool import errors, scan, work  # noqa: F401

from mmimb.stats import ClassStats
from mmimb.weights import InverseFrequency


def test_weights_beside_the_report_are_read_by_mmseg(work) -> None:  # noqa: F811
    result = scan(work, '--out', 'stats.json', '--class-weight', 'InverseFrequency', 'power=0.5', 'max_ratio=20')
    assert result.returncode == 0, result.stderr
    assert 'stats.InverseFrequency.json' in result.stdout
    weights = json.loads((work / 'stats.InverseFrequency.json').read_text())
    assert weights == InverseFrequency(ClassStats.load(work / 'stats.json'), 0.5, max_ratio=20).weight.tolist()
    stock = StockCrossEntropyLoss(class_weight=str(work / 'stats.InverseFrequency.json'))
    assert stock(torch.randn(1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long)).isfinite()


def test_the_no_object_class_of_mask2former(work) -> None:  # noqa: F811
    assert scan(work, '--class-weight', 'MedianFrequency', '--no-object', '0.1').returncode == 0
    weights = json.loads((work / 'config.stats.MedianFrequency.json').read_text())
    assert weights == pytest.approx([1, 1, 1, 0.1])


@pytest.mark.parametrize(('arguments', 'rule'), [
    (['--class-weight', 'Inverse'], '`class-weight` must be one of InverseFrequency, MedianFrequency'),
    (['--class-weight', 'LogFrequency', 'power=1'], "arguments among c, max_ratio, got 'power'"),
    (['--class-weight', 'LogFrequency', 'c'], "`class-weight` must be a scheme and key=value arguments, got 'c'"),
    (['--class-weight', 'LogFrequency', 'c=big'], '`c` must be a finite number above 1'),
    (['--no-object', '0.1'], '`no-object` must come with --class-weight'),
    (['--class-weight', 'LogFrequency', '--no-object', '-1'], '`no-object` must be a finite number at least 0'),
])
def test_mistakes_are_told_before_the_scan(work, arguments, rule) -> None:  # noqa: F811
    (line,) = errors(scan(work, *arguments), 2, work)
    assert rule in line
