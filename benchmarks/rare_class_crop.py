#!/usr/bin/env python
"""Time of ``RareClassCrop`` on labels of 1024 x 2048, beside that of ``RandomCrop``.

    python benchmarks/rare_class_crop.py [--repeats 100] [--out FILE.csv]

Crops of 512 x 1024 from a map of 19 classes in rectangles, a tenth of it ignored. All take turns; one thread, median of the
processor time.
"""
from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import cv2
import numpy as np
from record import HERE, machine, write_csv

SIZE, CROP, CLASSES = (1024, 2048), (512, 1024), 19


def label_map() -> np.ndarray:
    rng = np.random.default_rng(0)
    label = np.zeros(SIZE, np.uint8)
    for c in np.repeat(np.arange(1, CLASSES), 6):
        height, width = max(900 // (c + 1), 8), max(1800 // (c + 1), 8)
        top, left = rng.integers(SIZE[0] - height), rng.integers(SIZE[1] - width)
        label[top:top + height, left:left + width] = c
    label[:SIZE[0] // 10] = 255
    return label


def measure(repeats: int) -> dict[str, float]:
    """Return median milliseconds by transform."""
    from mmseg.datasets.transforms import RandomCrop

    from mmimb.sampling import RareClassCrop
    label, image = label_map(), np.zeros((*SIZE, 3), np.uint8)
    stats = dict(pixels=np.bincount(label.ravel(), minlength=256)[:CLASSES].tolist())
    transforms = {
        'RandomCrop': RandomCrop(CROP), 'RandomCrop(cat_max_ratio=0.75)': RandomCrop(CROP, cat_max_ratio=0.75),
        'RareClassCrop': RareClassCrop(CROP, stats), 'RareClassCrop(temperature=1.0)': RareClassCrop(CROP, stats, 1.0)}
    times: dict[str, list[float]] = {name: [] for name in transforms}
    for _ in range(repeats):
        for name, transform in transforms.items():
            results = dict(img=image, gt_seg_map=label, seg_fields=['gt_seg_map'])
            start = time.process_time()
            transform.transform(results)
            times[name].append(1e3 * (time.process_time() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--repeats', type=int, default=100)
    parser.add_argument('--out', type=Path, default=HERE / 'results/rare_class_crop_cpu.csv')
    args = parser.parse_args()
    cv2.setNumThreads(0)
    rows = []
    for name, ms in measure(args.repeats).items():
        rows.append({'transform': name, 'ms': f'{ms:.2f}', 'numpy': np.__version__, 'opencv': cv2.__version__, **machine()})
        print(f'{name}: {ms:.2f} ms')
    write_csv(args.out, rows)


if __name__ == '__main__':
    main()
