#!/usr/bin/env python
"""How much the hashes of CamVid's images differ: frames that follow each other, and frames of different sequences.

    python benchmarks/near_duplicates.py [--data data/camvid] [--out FILE.csv]

Shares of the 256 bits of ``mmimb.scan.near_duplicates``, as percentiles over all pairs of the kind: ``consecutive`` are at
most 30 frames (a second) apart, ``different sequences`` any two images of different ones.
"""
from __future__ import annotations

import argparse
import re
from pathlib import Path

import cv2
import numpy as np
from record import HERE, write_csv

from mmimb.scan.near_duplicates import BITS, perceptual_hash

PERCENTILES = (0, 1, 5, 25, 50, 75, 95)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, default=Path('data/camvid'))
    parser.add_argument('--out', type=Path, default=HERE / 'results/near_duplicates_camvid.csv')
    options = parser.parse_args()
    files = sorted((options.data / 'images').rglob('*.jpg'), key=lambda path: path.stem)
    hashes = np.stack([perceptual_hash(cv2.imread(str(path))) for path in files])
    distance = (BITS - hashes @ hashes.T) / 2 / BITS
    sequence = np.array([path.stem[:6] for path in files])
    number = np.array([int(re.sub(r'\D', '', path.stem[6:])) for path in files])
    upper = np.triu(np.ones_like(distance, bool), 1)
    same = sequence[:, None] == sequence
    kinds = {'consecutive': upper & same & (np.abs(number[:, None] - number) <= 30), 'different sequences': upper & ~same}
    rows = []
    for kind, mask in kinds.items():
        found = np.percentile(distance[mask], PERCENTILES)
        rows.append({'pairs': kind, 'number': int(mask.sum()),
                     **{f'p{p}': f'{value:.3f}' for p, value in zip(PERCENTILES, found, strict=True)}})
    write_csv(options.out, rows)
    for row in rows:
        print(row)


if __name__ == '__main__':
    main()
