"""The scanner on a set of the size of Cityscapes' labels: exact, and with memory that hardly grows."""
from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT
from support.scanning import build, dense

from mmimb.scan import scan_dataset

IMAGES, CLASSES, HEIGHT, WIDTH = 300, 19, 1024, 2048


def areas(rng: np.random.Generator) -> np.ndarray:
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    for _ in range(60):
        place = rng.integers(0, (WIDTH, HEIGHT)).tolist()
        axes = (2 ** rng.uniform(3, 9, 2)).astype(int).tolist()
        cv2.ellipse(label, place, axes, float(rng.uniform(0, 180)), 0, 360, int(rng.choice([*range(CLASSES), 255])), -1)
    return label


@pytest.mark.slow
def test_cityscapes_exactly(tmp_path) -> None:
    """The reference counts the arrays with ``bincount`` before they become files."""
    rng = np.random.default_rng(0)
    bases = [areas(rng) for _ in range(6)]
    black = cv2.imencode('.png', np.zeros((HEIGHT, WIDTH), np.uint8))[1].tobytes()
    expected = []
    for i in range(IMAGES):
        label = np.roll(bases[i % 6], rng.integers(0, (HEIGHT, WIDTH)), (0, 1))
        city, stem = f'city{i // 100}', f'city{i // 100}_{i:06d}_000019'
        files = {tmp_path / f'gtFine/train/{city}/{stem}_gtFine_labelTrainIds.png': cv2.imencode('.png', label)[1].tobytes(),
                 tmp_path / f'leftImg8bit/train/{city}/{stem}_leftImg8bit.png': black + stem.encode()}
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        expected.append(np.bincount(label.ravel(), minlength=256))
    rows = np.array(expected)
    scan = scan_dataset(build(dict(
        type='CityscapesDataset', data_root=str(tmp_path),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')],
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'))), 2)
    counts = rows[:, :CLASSES]
    assert scan.audit == {}
    np.testing.assert_array_equal(dense(scan.per_image, CLASSES), counts)
    np.testing.assert_array_equal(scan.per_image.ignored, rows[:, 255])
    assert scan.stats.pixels == tuple(counts.sum(0))
    assert scan.stats.images == tuple((counts > 0).sum(0))
    assert scan.stats.image_pixels == tuple(counts[counts[:, c] > 0].sum() for c in range(CLASSES))
    assert (scan.stats.num_images, scan.stats.ignored_pixels) == (IMAGES, rows[:, 255].sum())
    np.testing.assert_array_equal(scan.cooccurrence, (counts > 0).T.astype(int) @ (counts > 0))


@pytest.mark.slow
@pytest.mark.skipif(not Path('/proc/self/smaps_rollup').exists(), reason='reads the memory of processes from /proc')
def test_memory_hardly_grows(tmp_path, monkeypatch) -> None:
    """The benchmark measures 300 and 30,000 images; here fewer."""
    monkeypatch.syspath_prepend(str(ROOT / 'benchmarks'))
    benchmark = runpy.run_path(str(ROOT / 'benchmarks/scanner.py'))
    benchmark['make_set'](tmp_path / 'small', 50, (32, 64))
    found = {}
    for images in (300, 5000):
        root = tmp_path / f'links{images}'
        benchmark['link_set'](root, tmp_path / 'small', images)
        command = [sys.executable, str(ROOT / 'benchmarks/scanner.py'), '--memory', '--root', str(root)]
        result = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, 'OMP_NUM_THREADS': '1'})
        found[images] = json.loads(result.stdout.splitlines()[-1])
    assert (found[5000]['parent_mb'] - found[300]['parent_mb']) * 2**20 / 4700 < 2048
    assert 0 < found[5000]['worker_mb'] < found[300]['worker_mb'] + 4
