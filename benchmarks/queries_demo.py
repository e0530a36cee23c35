"""A small Mask2Former on the demo set: losses on queries, and the adjustments of a trained model, on val and test.

Train first, for each arm and seed (about 6 minutes on a core), in a folder that has data/demo and its stats.json:

    python tools/train.py benchmarks/queries_model.py --work-dir WORK/uniform-0 --seed 0
    python tools/train.py benchmarks/queries_model.py --work-dir WORK/weights-0 --seed 0 --cfg-options \
        model.decode_head.loss_cls.max_ratio=5.0
    python tools/train.py benchmarks/queries_model.py --work-dir WORK/tau-0 --seed 0 --cfg-options \
        model.decode_head.loss_cls.tau=1.0

Then ``python benchmarks/queries_demo.py WORK`` writes benchmarks/results/demo_queries.csv: every variant is computed from the
scores and masks of one pass.
"""
from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, load_checkpoint
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules

from mmimb.functional import confusion_matrix, log_prior, scores
from mmimb.stats import ClassStats
from mmimb.weights import image_counts

RESULT = Path(__file__).resolve().parent / 'results/demo_queries.csv'
TAUS = (-0.5, -0.25, 0.25, 0.5, 1.0)
FIELDS = ('arm', 'seed', 'split', 'adjustment', 'tau', 'mIoU', 'mIoU_tail', 'mAcc')


def variants(cls: torch.Tensor, masks: torch.Tensor, log: torch.Tensor) -> dict[tuple[str, float], torch.Tensor]:
    """Return the ``(C, H, W)`` map of each adjustment, given the scores and up-sampled masks of an image."""
    def total(shift: torch.Tensor) -> torch.Tensor:
        return torch.einsum('qc,qhw->chw', (cls + shift).softmax(-1)[:, :-1], masks)

    none = torch.zeros(len(log) + 1)
    plain = total(none)
    found = {('none', 0.0): plain}
    for tau in TAUS:
        found['queries', tau] = total(torch.cat([-tau * log, torch.zeros(1)]))
        found['map', tau] = plain * (-tau * log).exp().view(-1, 1, 1)
    return found


def measure(work: Path, split: str, stats: ClassStats) -> list[dict[str, Any]]:
    """Return a row for each variant of a trained model on a split."""
    cfg = Config.fromfile(next(work.glob('*.py')))
    init_default_scope('mmseg')
    register_all_modules(init_default_scope=False)
    model = MODELS.build(cfg.model).eval()
    load_checkpoint(model, str(work / 'iter_500.pth'), map_location='cpu')
    loader = Runner.build_dataloader({**cfg[f'{split}_dataloader'], 'num_workers': 0, 'persistent_workers': False})
    log = log_prior(image_counts(stats)).float()
    counts: dict[tuple[str, float], torch.Tensor] = {}
    for batch in loader:
        data = model.data_preprocessor(batch, False)
        with torch.no_grad():
            cls, masks = model.decode_head(model.extract_feat(data['inputs']), data['data_samples'])
            label = data['data_samples'][0].gt_sem_seg.data[0]
            shown = torch.nn.functional.interpolate(masks[-1], label.shape, mode='bilinear')[0].sigmoid()
            for key, value in variants(cls[-1][0], shown, log).items():
                matrix = confusion_matrix(value.argmax(0), label, stats.num_classes, 255)
                counts[key] = counts.get(key, 0) + matrix
    arm, seed = work.name.rsplit('-', 1)
    tail = stats.groups()['tail']
    rows = []
    for (way, tau), matrix in counts.items():
        found = scores(matrix)
        tail_iou = float(found.iou[tail].mean())
        rows.append({'arm': arm, 'seed': int(seed), 'split': split, 'adjustment': way, 'tau': tau,
                     'mIoU': round(100 * float(found.iou.mean()), 2), 'mIoU_tail': round(100 * tail_iou, 2),
                     'mAcc': round(100 * float(found.accuracy.mean()), 2)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('work', type=Path, help='folder of the work folders')
    parser.add_argument('--stats', default='data/demo/stats.json')
    args = parser.parse_args()
    torch.set_num_threads(1)
    stats = ClassStats.load(args.stats)
    rows = [row for work in sorted(args.work.iterdir()) if (work / 'iter_500.pth').is_file() for split in ('val', 'test')
            for row in measure(work, split, stats)]
    with RESULT.open('w', newline='') as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator='\n')
        writer.writeheader()
        writer.writerows(rows)


if __name__ == '__main__':
    main()
