"""The paths that benchmarks/upsampling.py compares, and how one is measured; imported in its fresh processes."""
from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from upsampling_whole import HEADS, PREDICTIONS, head_run, prediction_run

SHAPES = {  # (N, C, h, w), (H, W)
    'cityscapes': ((2, 19, 128, 256), (512, 1024)),
    'ade20k-2': ((2, 150, 128, 128), (512, 512)),
    'ade20k': ((4, 150, 128, 128), (512, 512)),
    'coco-stuff': ((8, 171, 128, 128), (512, 512)),
}
BN = {'type': 'BN', 'requires_grad': True}
COMMON = {'num_classes': 150, 'dropout_ratio': 0.1, 'norm_cfg': BN, 'align_corners': False}
STEPS: dict[str, dict[str, Any]] = {  # as in mmseg's configs for ADE20K; LossHead over each head
    'segformer-b0': {
        'backbone': {'type': 'MixVisionTransformer', 'in_channels': 3, 'embed_dims': 32, 'num_stages': 4,
                     'num_layers': [2, 2, 2, 2], 'num_heads': [1, 2, 5, 8], 'patch_sizes': [7, 3, 3, 3],
                     'sr_ratios': [8, 4, 2, 1], 'out_indices': (0, 1, 2, 3), 'mlp_ratio': 4, 'qkv_bias': True,
                     'drop_path_rate': 0.1},
        'decode_head': {'base': 'SegformerHead', 'in_channels': [32, 64, 160, 256], 'in_index': [0, 1, 2, 3], 'channels': 256},
    },
    'upernet-r50': {
        'backbone': {'type': 'ResNetV1c', 'depth': 50, 'num_stages': 4, 'out_indices': (0, 1, 2, 3), 'norm_cfg': BN,
                     'dilations': (1, 1, 1, 1), 'strides': (1, 2, 2, 2), 'style': 'pytorch', 'contract_dilation': True},
        'decode_head': {'base': 'UPerHead', 'in_channels': [256, 512, 1024, 2048], 'in_index': [0, 1, 2, 3],
                        'pool_scales': (1, 2, 3, 6), 'channels': 512},
        'auxiliary_head': {'base': 'FCNHead', 'in_channels': 1024, 'in_index': 2, 'channels': 256, 'num_convs': 1,
                           'concat_input': False, 'loss_weight': 0.4},
    },
}

Run = tuple[Callable[[], Any], Callable[[Any], None], Callable[[], None]]  # forward, backward of it, a small one of both


def build(shape: str, loss: str, path: str, device: str) -> Run:
    """Return how to run a path."""
    if shape in HEADS:
        return head_run(shape, path, device)
    if shape in PREDICTIONS:
        return prediction_run(shape, path, device)
    return _step(shape, loss, path, device) if shape in STEPS else _loss(shape, loss, path, device)


def _loss(shape: str, loss: str, path: str, device: str) -> Run:
    import torch
    import torch.nn.functional as F

    from mmimb.dispatch import Upsample
    from mmimb.testing import Subject
    size, full = SHAPES[shape]
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(size, generator=generator).to(device).requires_grad_()
    target = torch.randint(0, size[1], (size[0], *full), generator=generator)
    target[torch.rand(target.shape, generator=generator) < 0.05] = 255
    target = target.to(device)
    name, _, form = loss.partition('-')
    module = Subject.of_type(f'mmimb.{name}', size[1]).build(**({'use_sigmoid': True} if form else {})).to(device)

    def stock(z: Any, y: Any) -> Any:
        z = F.interpolate(z, y.shape[1:], mode='bilinear', align_corners=False)
        return F.cross_entropy(z, y, ignore_index=255) if loss == 'CrossEntropyLoss' else module(z, y)

    def low(z: Any, y: Any) -> Any:
        return module(z, y, upsample=Upsample(path))

    call = {'stock': stock, 'compiled': torch.compile(stock)}.get(path, low)

    def few() -> None:
        some = logits.detach()[..., :4, :4].clone().requires_grad_()
        call(some, target[:, :16, :16]).backward()

    def backward(value: Any) -> None:
        logits.grad = None
        value.backward()

    return lambda: call(logits, target), backward, few


def _step(network: str, loss: str, path: str, device: str) -> Run:
    import torch
    from mmengine.registry import init_default_scope
    from mmengine.structures import PixelData
    from mmseg.registry import MODELS
    from mmseg.structures import SegDataSample
    init_default_scope('mmseg')
    torch.manual_seed(0)
    heads = {}
    for name, head in STEPS[network].items():
        if name != 'backbone':
            head = dict(head)
            stock = path in ('stock', 'compiled')  # mmseg's own head and loss
            decode = {'type': loss if stock else f'mmimb.{loss}', 'loss_weight': head.pop('loss_weight', 1.0)}
            wrapper = {'type': head.pop('base')} if stock else {'type': 'mmimb.LossHead', 'upsample': path}
            heads[name] = {**wrapper, **COMMON, **head, 'loss_decode': decode}
    model = MODELS.build({'type': 'EncoderDecoder', 'backbone': STEPS[network]['backbone'], **heads, 'train_cfg': {},
                          'test_cfg': {'mode': 'whole'}}).to(device).train()
    if path == 'compiled':
        model.loss = torch.compile(model.loss)
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-5)
    count = 4 if device == 'cuda' else 2
    image = torch.randn(count, 3, 512, 512, device=device)
    label = torch.randint(0, 150, (count, 1, 512, 512)).to(device)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=y)) for y in label]

    def backward(value: Any) -> None:
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    return lambda: sum(v for k, v in model.loss(image, samples).items() if 'loss' in k), backward, lambda: None


def measure_times(shape: str, loss: str, device: str, threads: int, repeats: int, clock: str,
                  paths: list[str]) -> dict[str, Any]:
    """Return p20, p50 and p80 in milliseconds of every path and phase; the paths take turns."""
    import torch
    torch.set_num_threads(threads)
    runs = {path: build(shape, loss, path, device) for path in paths}
    times: dict[str, dict[str, list[float]]] = {path: {'forward': [], 'backward': [], 'both': []} for path in paths}
    for turn in range(repeats + 1 if device == 'cpu' else repeats + 10):
        for path, (forward, backward, _) in runs.items():
            start = _now(device, clock)
            value = forward()
            middle = _now(device, clock)
            backward(value)
            end = _now(device, clock)
            if turn >= (1 if device == 'cpu' else 10):
                for phase, seconds in (('forward', middle - start), ('backward', end - middle), ('both', end - start)):
                    times[path][phase].append(1e3 * seconds)
    return {path: {phase: _quantiles(values) for phase, values in phases.items()} for path, phases in times.items()}


def _quantiles(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=10, method='inclusive') if len(values) > 1 else values * 9
    return {'p20_ms': round(cuts[1], 3), 'p50_ms': round(statistics.median(values), 3), 'p80_ms': round(cuts[7], 3)}


def _now(device: str, clock: str) -> float:
    if device == 'cuda':
        import torch
        torch.cuda.synchronize()
    return time.process_time() if clock == 'cpu' else time.perf_counter()


def measure_memory(shape: str, loss: str, device: str, threads: int, repeats: int, clock: str, path: str) -> float:
    """Return the megabytes by which the peak grows in one forward and backward; the process should be a fresh one."""
    import torch
    torch.set_num_threads(threads)
    forward, backward, few = build(shape, loss, path, device)
    if device == 'cuda':
        for _ in range(3):  # what a first call loads, compiles and tries out is not the loss's memory
            backward(forward())
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        backward(forward())
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    few()  # not a whole one: freed memory stays in the resident set
    Path('/proc/self/clear_refs').write_text('5')  # the peak of the resident set starts anew
    before = _peak()
    backward(forward())
    return (_peak() - before) / 2**10


def _peak() -> int:
    """Return the peak of the resident set in kilobytes (Linux)."""
    found = re.search(r'VmHWM:\s*(\d+)', Path('/proc/self/status').read_text())
    return int(found.group(1)) if found else 0
