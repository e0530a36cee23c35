#!/usr/bin/env python
"""What is kept while evaluating costs: 150 classes, images of 512 x 683 as in ADE20K, Fast-SCNN, one CPU thread.

    python benchmarks/evaluation.py [--images 30] [--out FILE.csv]

Prediction and the counting of one image alternate, so that other processes disturb all of them alike; the medians of the
processor time are compared. ``predict`` is the network with the argmax of full-resolution logits, ``count`` is
LongTailIoUMetric alone, ``count and keep`` the same with the counts of every image (what ``tools/test.py --out`` does),
``boundary`` BoundaryIoUMetric and ``scores`` PrecisionRecallMetric beside it. Shares are of the whole evaluation, ``predict``
and ``count`` together.
"""
from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from record import HERE, machine, write_csv

CLASSES, SIZE = 150, (512, 683)


def segmentor() -> Any:
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmseg.registry import MODELS
    from mmseg.utils import register_all_modules

    import mmimb.registry  # noqa: F401  (registers the scope)
    register_all_modules(init_default_scope=False)
    init_default_scope('mmseg')
    model = Config.fromfile(HERE.parent / 'configs/_base_/models/fast_scnn.py').model
    model.data_preprocessor.size = None
    for head in ('decode_head', 'auxiliary_head'):
        model[head].num_classes = CLASSES
        model[head].loss_decode = dict(type='mmimb.CrossEntropyLoss')
    return MODELS.build(model).eval()


def labels(generator: torch.Generator) -> torch.Tensor:
    """Return a label map of about ten classes in blocks, a few pixels ignored."""
    classes = torch.randint(0, CLASSES, (10, ), generator=generator)
    coarse = classes[torch.randint(0, 10, (16, 22), generator=generator)]
    label = coarse.repeat_interleave(32, 0).repeat_interleave(32, 1)[:SIZE[0], :SIZE[1]]
    label[:8] = 255
    return label


def measure(images: int) -> dict[str, list[float]]:
    """Return the processor time of every part for every image, in milliseconds."""
    from mmseg.structures import SegDataSample

    from mmimb.metrics import BoundaryIoUMetric, LongTailIoUMetric, PrecisionRecallMetric
    model, generator = segmentor(), torch.Generator().manual_seed(0)
    metrics = {'count': LongTailIoUMetric(), 'count and keep': LongTailIoUMetric(keep_counts=True),
               'boundary': BoundaryIoUMetric(), 'scores': PrecisionRecallMetric()}
    for metric in metrics.values():
        metric.dataset_meta = {'classes': tuple(map(str, range(CLASSES)))}
    times: dict[str, list[float]] = {}

    def timed(name: str, call: Callable[[], Any]) -> Any:
        begin = time.process_time()
        result = call()
        times.setdefault(name, []).append(1000 * (time.process_time() - begin))
        return result

    for i in range(images):
        image = torch.randint(0, 256, (1, 3, *SIZE), generator=generator).float()
        label = labels(generator)
        data = SegDataSample(metainfo={'img_shape': SIZE, 'ori_shape': SIZE, 'img_path': f'{i}.jpg'})
        with torch.no_grad():
            (result, ) = timed('predict', lambda image=image, data=data: model.predict(image, [data]))
        pred = torch.where(torch.rand(SIZE, generator=generator) < .7, label % CLASSES, label.roll(40, 0) % CLASSES)
        sample = {'pred_sem_seg': {'data': pred[None]}, 'gt_sem_seg': {'data': label[None]}, 'img_path': f'{i}.jpg',
                  'seg_logits': {'data': result.seg_logits.data}}
        for name in (names := list(metrics))[i % len(names):] + names[:i % len(names)]:
            timed(name, lambda name=name, sample=sample: metrics[name].process(None, [sample]))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, default=30)
    parser.add_argument('--out', type=Path, default=HERE / 'results/evaluation_cpu.csv')
    options = parser.parse_args()
    torch.set_num_threads(1)
    times = {name: statistics.median(values[3:]) for name, values in measure(options.images + 3).items()}
    whole = times['predict'] + times['count']
    extra = {**times, 'count and keep': times['count and keep'] - times['count']}
    size = 'x'.join(map(str, SIZE))
    rows = [{'part': name, 'milliseconds': f'{value:.2f}', 'share of evaluation': f'{extra[name] / whole:.4f}',
             'classes': CLASSES, 'size': size, 'images': options.images, **machine()} for name, value in times.items()]
    write_csv(options.out, rows)
    for row in rows:
        print(f'{row["part"]:16s} {row["milliseconds"]:>9s} ms   {100 * float(row["share of evaluation"]):.2f} % of it all')


if __name__ == '__main__':
    main()
