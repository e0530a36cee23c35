"""A decode head's whole training step, and a segmentor's whole prediction, for benchmarks/upsampling.py.

The logits are given, as if a network had made them: `trained` ones of composed.py, or `random` ones, the worst case, where
every class can win anywhere. Stock is mmseg's own head, loss and prediction.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from composed import composed

KINDS = ('trained', 'random')
HEADS = {f'head-{kind}': kind for kind in KINDS}
SIZES = {  # classes, logits, input of the network, image
    '683x512': (150, (128, 171), (512, 683), (512, 683)),
    '683x512-to-1024x768': (150, (128, 171), (512, 683), (768, 1024)),
    '2048x1024': (150, (256, 512), (1024, 2048), (1024, 2048)),
    '4000x3000-19': (19, (750, 1000), (3000, 4000), (3000, 4000)),  # with 150 classes mmseg needs 15 GB
}
PREDICTIONS = {f'{size}-{kind}': (size, kind) for size in SIZES for kind in KINDS}
PREDICTIONS |= {f'evaluate-{size}-trained': (size, 'trained') for size in ('683x512', '2048x1024')}

Run = tuple[Callable[[], Any], Callable[[Any], None], Callable[[], None]]  # forward, backward of it, a small one of both


def head_run(shape: str, path: str, device: str) -> Run:
    """Return ``loss_by_feat`` of a cross-entropy ``FCNHead`` at ADE20K's shape: 2 x 150 x 128² logits, labels of 512²."""
    import torch
    logits = _logits(HEADS[shape], 2, 150, 128, 128)
    samples = _samples(_labels(logits).to(device))
    logits, head = logits.to(device).requires_grad_(), _head(path, 150).to(device)

    def loss(z: Any, samples: Any) -> Any:
        losses = head.loss_by_feat(z, samples)
        return losses['loss_ce' if path == 'stock' else 'loss_cross_entropy'], losses['acc_seg']

    def few() -> None:
        some = logits.detach()[..., :8, :8].clone().requires_grad_()
        loss(some, _samples(torch.zeros(2, 32, 32, dtype=torch.long, device=device)))[0].backward()

    def backward(value: Any) -> None:
        logits.grad = None
        value[0].backward()

    return lambda: loss(logits, samples), backward, few


def prediction_run(shape: str, path: str, device: str) -> Run:
    """Return ``predict`` of a segmentor for one image; with `evaluate-`, and the metric's counting after it."""
    import torch
    from mmseg.evaluation import IoUMetric

    from mmimb.heads import ClassMaps
    from mmimb.metrics import LongTailIoUMetric
    size, kind = PREDICTIONS[shape]
    classes, low, full, image = SIZES[size]
    model = _segmentor(_head('stock', classes)).to(device)
    logits = _logits(kind, 1, classes, *low)
    label, logits = _labels(logits, image)[0].to(device), logits.to(device)
    metric = IoUMetric() if path == 'stock' else LongTailIoUMetric()
    metric.dataset_meta = {'classes': [str(c) for c in range(classes)]}
    maps = ClassMaps(model)

    @torch.no_grad()
    def predict(logits: Any, full: tuple[int, int], image: tuple[int, int], label: Any) -> None:
        model.decode_head.forward = lambda features: logits
        samples = _samples(label.unsqueeze(0), {'img_shape': full, 'pad_shape': full, 'ori_shape': image})
        inputs = logits.new_zeros(1).expand(1, 3, *full)
        if path == 'stock':
            model.predict(inputs, samples)
        else:
            with maps:
                model.predict(inputs, samples)
        if shape.startswith('evaluate-'):
            metric.process({}, [sample.to_dict() for sample in samples])
            metric.results.clear()

    def few() -> None:
        predict(logits[..., :8, :8], (32, 32), (32, 32), label[:32, :32])

    return lambda: predict(logits, full, image, label), lambda value: None, few


def _logits(kind: str, *size: int) -> Any:
    import torch
    return composed(*size) if kind == 'trained' else torch.randn(size, generator=torch.Generator().manual_seed(0))


def _labels(logits: Any, size: tuple[int, int] = (512, 512)) -> Any:
    """Return what the logits say, a few pixels beside it, and 255 on a twentieth."""
    import torch

    from mmimb.functional.argmax import resized_argmax
    from mmimb.functional.resizing import Resizing
    label = resized_argmax(logits, Resizing(size)).roll((3, 5), (1, 2))
    return label.masked_fill_(torch.rand(label.shape, generator=torch.Generator().manual_seed(0)) < 0.05, 255)


def _head(path: str, classes: int) -> Any:
    from mmengine.registry import init_default_scope
    from mmseg.registry import MODELS
    init_default_scope('mmseg')
    loss = {'type': 'CrossEntropyLoss', 'avg_non_ignore': True} if path == 'stock' else {'type': 'mmimb.CrossEntropyLoss'}
    kind = {'type': 'FCNHead'} if path == 'stock' else {'type': 'mmimb.LossHead', 'base': 'FCNHead', 'upsample': path}
    return MODELS.build({**kind, 'in_channels': 8, 'channels': 8, 'num_convs': 1, 'concat_input': False, 'num_classes': classes,
                         'align_corners': False, 'loss_decode': loss})


def _segmentor(head: Any) -> Any:
    from mmengine.config import ConfigDict
    from mmseg.registry import MODELS
    small = {'type': 'FCNHead', 'in_channels': 8, 'channels': 8, 'num_classes': 2}
    model = MODELS.build(ConfigDict(type='EncoderDecoder', backbone={'type': 'ResNet', 'depth': 18, 'base_channels': 1},
                                    decode_head=small, train_cfg={}, test_cfg={'mode': 'whole'}))
    model.decode_head = head
    model.align_corners, model.num_classes, model.out_channels = head.align_corners, head.num_classes, head.out_channels
    model.extract_feat = lambda inputs: inputs
    return model.eval()


def _samples(labels: Any, meta: dict[str, Any] | None = None) -> list[Any]:
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample
    return [SegDataSample(gt_sem_seg=PixelData(data=label[None]), metainfo=meta or {}) for label in labels]
