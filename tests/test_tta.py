"""TTAModel averages what the loss was trained on; the oracles are plain numpy."""
from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from cases import STATS, log_softmax, sigmoid
from mmcv.transforms import Compose
from mmengine.config import ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.structures import PixelData
from mmseg.models import SegTTAModel
from mmseg.registry import MODELS, TRANSFORMS
from mmseg.structures import SegDataSample
from support.head_cases import NORM, build, one_thread  # noqa: F401

from mmimb.heads import TTAModel

CE = dict(type='mmimb.CrossEntropyLoss')
MSE = dict(type='mmimb.OutlyingMSELoss', stats=STATS)
LDAM = dict(type='mmimb.LDAMLoss', stats=STATS)
PREPROCESSOR = dict(type='SegDataPreProcessor', mean=[127.5] * 3, std=[60.0] * 3, bgr_to_rgb=True, pad_val=0, seg_pad_val=255,
                    test_cfg=dict(size_divisor=8))


def model_cfg(*losses: dict[str, Any], classes: int = 4, cascade: bool = False, **head: Any) -> dict[str, Any]:
    """Return the config of a small segmentor; in a cascade, the first head has a cross-entropy."""
    last = dict(type='FCNHead', in_channels=4, channels=4, num_convs=1, num_classes=classes, norm_cfg=NORM, **head,
                loss_decode=list(losses) if len(losses) > 1 else losses[0])
    first = {**last, 'loss_decode': CE}
    second = dict(type='OCRHead', ocr_channels=4, **{k: v for k, v in last.items() if k not in ('type', 'num_convs')})
    return dict(type='CascadeEncoderDecoder' if cascade else 'EncoderDecoder', data_preprocessor=PREPROCESSOR,
                backbone=dict(type='UNet', base_channels=4, num_stages=2, strides=(1, 1), enc_num_convs=(1, 1),
                              dec_num_convs=(1, ), downsamples=(True, ), enc_dilations=(1, 1), dec_dilations=(1, ),
                              norm_cfg=NORM),
                decode_head=[first, second] if cascade else last, train_cfg=dict(), test_cfg=dict(mode='whole'),
                **(dict(num_stages=2) if cascade else {}))


def tta(*losses: dict[str, Any], kind: str = 'mmimb.TTAModel', **settings: Any) -> Any:
    return build(ConfigDict(type=kind, module=model_cfg(*losses, **settings))).eval()


def views(*logits: np.ndarray) -> list[SegDataSample]:
    return [SegDataSample(seg_logits=PixelData(data=torch.from_numpy(z.copy())), metainfo=dict(img_path='a.png'))
            for z in logits]


def random_views(channels: int = 4, n: int = 3, size: float = 1.0) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [size * rng.normal(size=(channels, 3, 5)).astype(np.float32) for _ in range(n)]


def softmax(z: np.ndarray) -> np.ndarray:
    return np.exp(np.apply_along_axis(log_softmax, 0, z.astype(float)))


def merged(model: Any, logits: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    (sample, ) = model.merge_preds([views(*logits)])
    return sample.seg_logits.data.numpy(), sample.pred_sem_seg.data.numpy()


@pytest.mark.parametrize(('losses', 'average'), [
    ([MSE], lambda z: z),
    ([CE], softmax),
    ([LDAM], lambda z: softmax(30 * z)),
    ([dict(type='mmimb.ELMLoss', stats=STATS, scale=2.0)], lambda z: softmax(2 * z)),
    ([dict(type='mmimb.LogitAdjustmentLoss', stats=STATS)], softmax),
    ([dict(type='mmimb.DiceLoss')], softmax),
    ([dict(type='mmimb.BinaryCrossEntropyLoss')], sigmoid),
    ([dict(type='mmimb.FocalLoss')], softmax),
    ([dict(type='mmimb.FocalLoss', use_sigmoid=True)], sigmoid),
    ([dict(type='mmimb.DistributionBalancedLoss', stats=STATS)], sigmoid),
    ([dict(type='CrossEntropyLoss')], softmax),
    ([dict(type='CrossEntropyLoss', use_sigmoid=True)], sigmoid),
    ([dict(type='TverskyLoss')], softmax),
    ([dict(type='DiceLoss', use_sigmoid=True)], sigmoid),
    ([CE, dict(type='DiceLoss', use_sigmoid=True)], softmax),  # the first decides
    ([MSE, CE], lambda z: z),
], ids=lambda value: value.__name__ if callable(value) else '+'.join(cfg['type'] for cfg in value))
@pytest.mark.parametrize('cascade', [False, True])
def test_averages_what_the_loss_was_trained_on(losses: list, average: Any, cascade: bool) -> None:
    logits = random_views(size=0.2)  # cosines: 30 times more would saturate
    values, label = merged(tta(*losses, cascade=cascade), logits)
    expected = np.mean([average(z) for z in logits], axis=0)
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)
    assert label.shape == (1, 3, 5)
    np.testing.assert_array_equal(label[0], expected.argmax(0))


def test_raw_outputs_differ_from_mmsegs_average() -> None:
    """One view knows the pixel, ten are unsure the other way; mmseg's softmax throws away how far the targets lie."""
    logits = [np.array([0, 60.0]).reshape(2, 1, 1)] + [np.array([3.0, 0]).reshape(2, 1, 1)] * 2
    stats = dict(pixels=[9, 1])
    mse = dict(type='mmimb.OutlyingMSELoss', stats=stats)
    _, ours = merged(tta(mse, classes=2), logits)
    stock = tta(mse, classes=2, kind='SegTTAModel').merge_preds([views(*logits)])[0].pred_sem_seg.data.numpy()
    assert (ours.item(), stock.item()) == (1, 0)


def test_equals_mmseg_for_softmax_losses() -> None:
    batch = [random_views(n=2), random_views(n=2, size=3.0)]
    ours = tta(CE).merge_preds([views(*z) for z in batch])
    stock = tta(CE, kind='SegTTAModel').merge_preds([views(*z) for z in batch])
    for own, other in zip(ours, stock, strict=True):
        assert torch.equal(own.pred_sem_seg.data, other.pred_sem_seg.data)
        assert own.img_path == other.img_path == 'a.png'


@pytest.mark.parametrize('cascade', [False, True])
def test_one_channel_is_compared_with_the_threshold(cascade: bool) -> None:
    """Heads with one channel hand over probabilities: see postprocess_result of mmseg."""
    binary = dict(type='mmimb.BinaryCrossEntropyLoss')
    model = tta(binary, classes=2, out_channels=1, threshold=0.4, cascade=cascade)
    chances = [np.array([[[0.1, 0.3, 0.9]]], np.float32), np.array([[[0.2, 0.7, 0.8]]], np.float32)]
    values, label = merged(model, chances)
    np.testing.assert_allclose(values, [[[0.15, 0.5, 0.85]]], rtol=1e-6)
    np.testing.assert_array_equal(label, [[[0, 1, 1]]])


@torch.no_grad()
def test_one_channel_end_to_end() -> None:
    model = tta(dict(type='mmimb.BinaryCrossEntropyLoss'), classes=2, out_channels=1, threshold=0.4)
    model.module.decode_head.conv_seg.bias.data.fill_(-9.0)
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 3)).astype(np.uint8)
    (sample, ) = model.test_step(pipeline(image, scales=(1.0, )))
    assert float(sample.seg_logits.data.max()) < 0.1
    assert int(sample.pred_sem_seg.data.sum()) == 0  # with a second sigmoid all would be foreground


def pipeline(image: np.ndarray, scales: tuple[float, ...] = (1.0, 1.5)) -> dict[str, Any]:
    """Return the collated views of an image, as a test pipeline of mmseg makes them; the order is flips within scales."""
    steps = dict(type='TestTimeAug', transforms=[
        [dict(type='Resize', scale_factor=r, keep_ratio=True) for r in scales],
        [dict(type='RandomFlip', prob=0.0, direction='horizontal'), dict(type='RandomFlip', prob=1.0, direction='horizontal')],
        [dict(type='PackSegInputs')]])
    views = Compose([TRANSFORMS.build(steps)])(dict(img=image, img_path='a.png', img_shape=image.shape[:2],
                                                    ori_shape=image.shape[:2], seg_fields=[]))
    return pseudo_collate([views])


@torch.no_grad()
@pytest.mark.parametrize('loss', [MSE, CE], ids=lambda cfg: cfg['type'])
def test_flips_and_scales_come_back_to_the_image(loss: dict) -> None:
    torch.manual_seed(3)
    model = tta(loss)
    image = np.random.default_rng(0).integers(0, 256, (24, 40, 3)).astype(np.uint8)
    (sample, ) = model.test_step(pipeline(image))
    by_hand = []
    for size in ((24, 40), (36, 60)):
        for flip in (False, True):
            view = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
            view = np.ascontiguousarray(view[:, ::-1] if flip else view)
            x = (torch.from_numpy(view[:, :, ::-1].copy()).permute(2, 0, 1).float() - 127.5) / 60
            x = torch.nn.functional.pad(x, (0, -size[1] % 8, 0, -size[0] % 8))  # the preprocessor's size_divisor
            z = model.module.encode_decode(x[None], [dict(img_shape=x.shape[1:], pad_shape=x.shape[1:])])
            z = z[:, :, :size[0], :size[1]]
            z = z.flip(3) if flip else z
            by_hand.append(torch.nn.functional.interpolate(z, (24, 40), mode='bilinear')[0].numpy())
    expected = np.mean([z if loss is MSE else softmax(z) for z in by_hand], axis=0)
    np.testing.assert_allclose(sample.seg_logits.data.numpy(), expected, rtol=1e-4, atol=1e-5)
    assert sample.pred_sem_seg.data.shape == (1, 24, 40)


def test_half_precision_views_are_averaged_in_float32() -> None:
    logits = [z.astype(np.float16) for z in random_views()]
    values, _ = merged(tta(CE), logits)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, np.mean([softmax(z) for z in logits], axis=0), rtol=1e-5)


def test_a_model_without_losses_counts_as_softmax() -> None:
    model = tta(CE)
    del model.module.decode_head.loss_decode
    logits = random_views()
    np.testing.assert_allclose(merged(model, logits)[0], np.mean([softmax(z) for z in logits], axis=0), rtol=1e-5)


def test_resolves_without_custom_imports() -> None:
    assert MODELS.get('mmimb.TTAModel') is TTAModel
    assert not issubclass(TTAModel, SegTTAModel)
