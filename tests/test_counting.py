"""Counting arrays and showing sums: the parts of the scanner that need no dataset."""
from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

from mmimb.report import class_table, summary_lines
from mmimb.scan.counting import class_counts, histogram, value_counts
from mmimb.stats import ClassStats, PerImageCounts


@pytest.mark.parametrize('shape', [(1, 1), (37, 53), (5000, 5000)])
def test_histogram_is_exact_for_any_size(shape) -> None:
    labels = np.full(shape, 7, np.uint8)  # one bin beyond what float32 counts
    labels[0, 0] = 255
    np.testing.assert_array_equal(histogram(labels), np.bincount(labels.ravel(), minlength=256))
    np.testing.assert_array_equal(histogram(labels[:, ::2]), np.bincount(labels[:, ::2].ravel(), minlength=256))


def test_counts_of_wider_types() -> None:
    count = class_counts(*value_counts(np.array([[0, 300, 255], [2, 2, 255]])), 301)
    assert (count.class_index.tolist(), count.pixels.tolist(), count.ignored) == ([0, 2, 300], [1, 2, 1], 2)
    assert class_counts(*value_counts(np.array([[-1, 300, 0]])), 4).outside == '-1 (1 pixels), 300 (1 pixels)'


def test_cooccurrence_of_many_images() -> None:
    held = np.random.default_rng(0).random((9001, 6)) < [.9, .5, .1, .01, 0, 1]
    counts = PerImageCounts(np.concatenate([[0], held.sum(1).cumsum()]), np.nonzero(held)[1].astype(np.int32),
                            np.ones(held.sum(), np.int64), tuple(map(str, range(9001))))
    np.testing.assert_array_equal(counts.cooccurrence(6), held.T.astype(int) @ held)


def test_table_and_summary() -> None:
    from rich.console import Console
    console = Console(width=100, record=True, file=io.StringIO())
    stats = ClassStats(pixels=(10, 1000, 0), images=(1, 2, 0), num_images=2, ignored_pixels=90, classes=('[a]', 'b', 'c'))
    console.print(class_table(stats))
    text = console.export_text()
    assert [line.split('│')[2].strip() for line in text.splitlines() if '│' in line] == ['b', '[a]', 'c']
    assert '99.010' in text
    assert summary_lines(stats) == ['imbalance ratio: 100.0 : 1 (b : [a])', 'never labelled: c (not part of the ratio above)',
                                     'ignored: 8.18 % of all pixels (90)', 'images: 2']


def test_statistics_import_no_stack() -> None:
    code = "import sys, mmimb.stats; sys.exit(bool({'mmengine', 'mmseg', 'mmcv', 'rich', 'cv2'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=False).returncode == 0
