#!/usr/bin/env python
"""What measuring difficulty on training batches adds to an iteration: Fast-SCNN, 19 classes, 2 x 512 x 1024.

    python benchmarks/difficulty.py [--device cuda] [--threads 1] [--iterations 30] [--out FILE.csv]

Whole training steps (forward, backward, AdamW) alternate between without and with the counting of ``ClassWeightHook``; the
medians are compared. On the CPU it is processor time, which other processes disturb less. ``stride 4`` is the default,
``stride 1`` looks at every pixel. The closing of a measurement (new weights) is timed alone and spread over the default
interval. On a GPU the counting runs under ``torch.cuda.set_sync_debug_mode('error')``: it raises if anything waits for the
device. On the CPU, two processes (gloo) then add up their counts, as they do after every iteration: the last row has the
processor time of one such call, in the process that takes longer, beside a step without counting. The table in
docs/difficulty.md is rewritten from the result on the CPU.
"""
from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from record import HERE, machine, replace_table, write_csv

CLASSES, SIZE, BATCH = 19, (512, 1024), 2
STRIDES = (None, 4, 1)
RANKS, CALLS = 2, 1000


def build(device: str) -> Any:
    """Return Fast-SCNN with difficulty-balanced cross-entropy, as the CamVid configs have it, for 19 classes."""
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmseg.registry import MODELS
    from mmseg.utils import register_all_modules

    import mmimb.registry  # noqa: F401  (registers the scope)
    register_all_modules(init_default_scope=False)
    init_default_scope('mmseg')
    model = Config.fromfile(HERE.parent / 'configs/_base_/models/fast_scnn.py').model
    model.data_preprocessor.size = SIZE
    for head in ('decode_head', 'auxiliary_head'):
        model[head].num_classes = CLASSES
        model[head].loss_decode.class_weight = {'type': 'mmimb.DifficultyBalanced', 'num_classes': CLASSES}
    return MODELS.build(model).to(device).train()


def batch(device: str) -> dict[str, Any]:
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample
    generator = torch.Generator().manual_seed(0)
    samples = []
    for _ in range(BATCH):
        coarse = torch.randint(0, CLASSES, (1, 16, 32), generator=generator)
        label = coarse.repeat_interleave(32, 1).repeat_interleave(32, 2)
        label[:, :20] = 255
        samples.append(SegDataSample(gt_sem_seg=PixelData(data=label.to(device)), metainfo={'img_shape': SIZE}))
    images = [torch.randint(0, 256, (3, *SIZE), generator=generator, dtype=torch.uint8).to(device) for _ in range(BATCH)]
    return {'inputs': images, 'data_samples': samples}


def measure(device: str, iterations: int) -> dict[Any, float]:
    """Return median milliseconds of a step by stride (None: without counting), and of the closing as ``'close'``."""
    from mmengine.optim import OptimWrapper

    from mmimb.hooks.difficulty.meter import DifficultyMeter
    from mmimb.hooks.difficulty.training import watch_training
    model, data, meter = build(device), batch(device), DifficultyMeter(CLASSES, 0.9).to(device)
    optimizer = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=1e-3))
    head, cuda = model.decode_head, device.startswith('cuda')
    clock = time.perf_counter if cuda else time.process_time
    times: dict[Any, list[float]] = {stride: [] for stride in (*STRIDES, 'close')}

    def watch(stride: int) -> list[Any]:
        """Start counting; on a GPU, waiting for it raises from just before the counting to just after it."""
        def mode(name: str) -> Any:
            return head.loss_decode.register_forward_pre_hook(lambda *_: torch.cuda.set_sync_debug_mode(name))
        before = [mode('error')] if cuda else []
        counting = watch_training(head.loss_decode, head, meter, stride=stride)
        return [*before, counting, *([mode('default')] if cuda else [])]

    def timed(key: Any, run: Any) -> None:
        if cuda:
            torch.cuda.synchronize()
        start = clock()
        run()
        if cuda:
            torch.cuda.synchronize()
        times[key].append(1e3 * (clock() - start))

    for turn in range(iterations + 1):
        for stride in STRIDES if turn % 2 else STRIDES[::-1]:
            handles = [] if stride is None else watch(stride)
            timed(stride, lambda: model.train_step(data, optimizer))
            for handle in handles:
                handle.remove()
        timed('close', lambda: head.loss_decode.class_weight.update(meter.close()[0][0]))
    return {key: statistics.median(values[1:]) for key, values in times.items()}


def gathering() -> tuple[float, float]:
    """Return milliseconds of processor time and of the clock that adding up the counts of two processes takes."""
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_gather, args=(folder,), nprocs=RANKS)
        results = [torch.load(Path(folder, str(rank)), weights_only=True) for rank in range(RANKS)]
    return max(cpu for cpu, _ in results), max(clock for _, clock in results)


def _gather(rank: int, folder: str) -> None:
    from mmimb.hooks.difficulty.meter import DifficultyMeter
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=RANKS)
    meter = DifficultyMeter(CLASSES, 0.9)
    for calls in (10, CALLS):  # the first ones warm up
        cpu, clock = time.process_time(), time.perf_counter()
        for _ in range(calls):
            meter.gather()
        result = 1e3 * (time.process_time() - cpu) / calls, 1e3 * (time.perf_counter() - clock) / calls
    torch.save(result, Path(folder, str(rank)))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--iterations', type=int, default=30)
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    result = measure(args.device, args.iterations)
    from mmimb.hooks.difficulty.training import TrainingSource
    closing = result.pop('close') / TrainingSource.INTERVAL
    steps = {'none' if stride is None else f'stride {stride}': ms + (0 if stride is None else closing)
             for stride, ms in result.items()}
    if args.device == 'cpu':
        cpu, clock = gathering()
        steps[f'adding up {RANKS} ranks'] = result[None] + cpu
        print(f'adding up {RANKS} ranks: {cpu:.3f} ms of processor time, {clock:.3f} ms by the clock')
    rows = []
    for counting, ms in steps.items():
        rows.append({'counting': counting, 'ms': f'{ms:.2f}', 'added_percent': f'{100 * (ms / result[None] - 1):.2f}',
                     'threads': args.threads, **machine(args.device)})
        print(f'{counting:18s} {ms:9.2f} ms per iteration   {rows[-1]["added_percent"]:>6s} % added')
    if args.out is None and not args.device.startswith('cuda'):
        replace_table('difficulty.md', ['counting', 'ms per iteration', 'added'],
                      [[row['counting'], row['ms'], f'{row["added_percent"]} %'] for row in rows])
    print(f'of which closing a measurement: {closing:.4f} ms per iteration')
    out = args.out or HERE / f'results/difficulty_{args.device.split(":")[0]}.csv'
    write_csv(out, rows)


if __name__ == '__main__':
    main()
