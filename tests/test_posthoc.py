"""Corrections of a trained classifier: logit adjustment and tau-normalisation, against plain numpy."""
from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import PRIOR, STATS
from support.head_cases import CLASSES, batch, build, head_cfg, inputs, one_thread, wrapped  # noqa: F401
from support.tiny_run import CLASSES as NAMES
from support.tiny_run import error_line, make_config, make_dataset, make_report, tool
from torch import nn

from mmimb.engine.posthoc import Correction

CE = dict(type='mmimb.CrossEntropyLoss')


class Segmentor(nn.Module):
    """What a correction needs of a segmentor."""

    def __init__(self, *heads: nn.Module) -> None:
        super().__init__()
        self.decode_head = heads[0] if len(heads) == 1 else nn.ModuleList(heads)


class Wrapper(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


def scores(head: Any, name: str = 'FCN') -> np.ndarray:
    """Return the ``(N, C, H, W)`` scores of a head, up-sampled as in a prediction."""
    with torch.no_grad():
        feats = [x.to(head.conv_seg.weight.dtype) for x in batch()[0]]
        return head.eval().predict(*inputs(name, feats), [dict(img_shape=(32, 32))], {}).numpy()


@pytest.mark.parametrize('tau', [-0.25, 0.0, 0.5, 1.0])
@pytest.mark.parametrize('loss', [CE, dict(type='CrossEntropyLoss'), dict(type='mmimb.TverskyLoss')], ids=lambda c: c['type'])
@pytest.mark.parametrize('name', ['FCN', 'OCR'])
def test_logit_adjustment(name: str, loss: dict, tau: float) -> None:
    head = build(wrapped(head_cfg(name, loss))).double()
    before = scores(head, name)
    assert Correction(logit_adjustment=tau, stats=STATS).apply(Segmentor(head)) == []
    expected = before - tau * np.log(PRIOR).reshape(1, CLASSES, 1, 1)
    np.testing.assert_allclose(scores(head, name), expected, rtol=1e-12, atol=1e-12)


def test_logit_adjustment_acts_on_what_the_loss_scales() -> None:
    """The probabilities of LDAM are softmax(s z): their log moves by tau log(prior), so z moves by 1 / s of it."""
    head = build(head_cfg('FCN', dict(type='mmimb.LDAMLoss', stats=STATS, scale=4.0))).double()
    before = scores(head)
    Correction(logit_adjustment=1.0, stats=STATS).apply(Segmentor(head))
    np.testing.assert_allclose(4 * scores(head), 4 * before - np.log(PRIOR).reshape(1, CLASSES, 1, 1), rtol=1e-12, atol=1e-12)


def test_a_class_that_never_occurs_counts_as_one_pixel() -> None:
    head = build(head_cfg('FCN', CE)).double()
    before = scores(head)
    Correction(logit_adjustment=1.0, stats=dict(pixels=[90, 9, 1, 0])).apply(Segmentor(head))
    shift = -np.log(np.array([90, 9, 1, 1]) / 101).reshape(1, CLASSES, 1, 1)
    np.testing.assert_allclose(scores(head), before + shift, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('tau', [0.0, 0.5, 1.0])
def test_tau_normalization(tau: float) -> None:
    head = build(head_cfg('FCN', CE)).double()
    weight = head.conv_seg.weight.detach().numpy().copy()
    weight *= np.array([1.0, 2.0, 0.5, 3.0]).reshape(-1, 1, 1, 1)
    head.conv_seg.weight.data = torch.from_numpy(weight.copy())
    before = scores(head)
    Correction(tau_normalization=tau).apply(Segmentor(head))
    norm = np.sqrt((weight**2).sum((1, 2, 3)))
    np.testing.assert_allclose(head.conv_seg.weight.detach().numpy(), weight / norm.reshape(-1, 1, 1, 1)**tau, rtol=1e-12)
    np.testing.assert_allclose(scores(head), before / norm.reshape(1, -1, 1, 1)**tau, rtol=1e-12)


def test_tau_normalization_leaves_a_class_without_weights_and_the_size_of_features_aside() -> None:
    heads = [build(head_cfg('FCN', CE)).double() for _ in range(2)]
    for head, size in zip(heads, (1.0, 5.0), strict=True):  # features 5 times as large, weights a fifth of the size
        head.conv_seg.weight.data /= size
        head.conv_seg.weight.data[2] = 0
        Correction(tau_normalization=0.7).apply(Segmentor(head))
        assert torch.isfinite(head.conv_seg.weight).all()
    feat = torch.randn(2, 8, 3, 3, dtype=torch.float64)
    small, large = heads[0].conv_seg(feat), heads[1].conv_seg(5 * feat)
    others = [0, 1, 3]
    torch.testing.assert_close(large[:, others] / small[:, others], torch.full_like(small[:, others], 5**0.7))


def test_only_the_last_head_of_a_cascade_changes_and_wrappers_are_looked_through() -> None:
    first, last = build(head_cfg('FCN', CE)), build(head_cfg('OCR', CE), seed=1)
    weights = [head.conv_seg.weight.detach().clone() for head in (first, last)]
    Correction(tau_normalization=1.0).apply(Wrapper(Wrapper(Segmentor(first, last))))
    assert torch.equal(first.conv_seg.weight, weights[0])
    torch.testing.assert_close(last.conv_seg.weight.flatten(1).norm(dim=1), torch.ones(CLASSES))


@pytest.mark.parametrize(('loss', 'words'), [
    (dict(type='mmimb.LogitAdjustmentLoss', stats=STATS), 'LogitAdjustmentLoss(tau=1) has corrected for'),
    (dict(type='mmimb.VSLoss', stats=STATS, tau=0.5), 'VSLoss(tau=0.5) has corrected for'),
    (dict(type='mmimb.CrossEntropyLoss', class_weight=[1.0, 2.0, 3.0, 4.0]), 'the class_weight of CrossEntropyLoss has'),
    (dict(type='CrossEntropyLoss', class_weight=[1.0, 2.0, 3.0, 4.0]), 'the class_weight of CrossEntropyLoss has'),
])
def test_a_loss_that_corrects_already_is_noticed(loss: dict, words: str) -> None:
    (notice, ) = Correction(logit_adjustment=1.0, stats=STATS).apply(Segmentor(build(head_cfg('FCN', loss))))
    assert notice.startswith(words)


@pytest.mark.parametrize('correction', [dict(logit_adjustment=1.0, stats=STATS), dict(tau_normalization=1.0)],
                         ids=lambda options: next(iter(options)))
@pytest.mark.parametrize('cfg', [
    head_cfg('FCN', dict(type='mmimb.OutlyingMSELoss', stats=STATS)),
    head_cfg('FCN', dict(type='mmimb.BinaryCrossEntropyLoss')),
    head_cfg('FCN', dict(type='CrossEntropyLoss', use_sigmoid=True)),
    head_cfg('FCN', [CE, dict(type='mmimb.LovaszLoss', use_sigmoid=True)]),
    wrapped(head_cfg('FCN', CE), classifier='cosine'),
    head_cfg('FCN', CE, type='SegmenterMaskTransformerHead', num_layers=1, num_heads=1, embed_dims=8),
], ids=['raw', 'sigmoid', 'stock sigmoid', 'mixed', 'cosine', 'Segmenter'])
def test_what_cannot_be_corrected_is_refused(cfg: dict, correction: dict) -> None:
    if cfg['type'].startswith('Segmenter'):
        cfg = {k: v for k, v in cfg.items() if k not in ('num_convs', 'concat_input', 'norm_cfg')}
    head = build(cfg)
    before = {key: value.clone() for key, value in head.state_dict().items()}
    option = '--' + next(iter(correction)).replace('_', '-')
    with pytest.raises(ValueError, match=f'^`{option}` must .*, got ') as error:
        Correction(**correction).apply(Segmentor(head))
    assert '\n' not in str(error.value)
    assert all(torch.equal(head.state_dict()[key], value) for key, value in before.items())


def test_a_model_without_decode_head_is_refused() -> None:
    with pytest.raises(ValueError, match='got a model without one'):
        Correction(tau_normalization=1.0).apply(nn.Linear(2, 2))


def test_statistics_of_other_classes_are_refused() -> None:
    model = Segmentor(build(head_cfg('FCN', CE)))
    with pytest.raises(ValueError, match='`stats` must have the 4 classes of the model, got 3'):
        Correction(logit_adjustment=1.0, stats=dict(pixels=[3, 2, 1])).apply(model)
    stats = dict(pixels=[4, 3, 2, 1], classes=['a', 'b', 'c', 'd'])
    with pytest.raises(ValueError, match=r"class 1 is 'x' there, got statistics with 'b'"):
        Correction(logit_adjustment=1.0, stats=stats).apply(model, ['a', 'x', 'c', 'd'])
    Correction(logit_adjustment=1.0, stats=stats).apply(model, ['a', 'b', 'c', 'd'])


@pytest.mark.parametrize(('given', 'words'), [
    (dict(logit_adjustment=1.0), '`--stats` must come with --logit-adjustment'),
    (dict(stats=STATS), '`--stats` must come with --logit-adjustment'),
    (dict(tau_normalization=1.0, stats=STATS), '`--stats` must come with --logit-adjustment'),
    (dict(logit_adjustment=1.0, tau_normalization=1.0, stats=STATS), '`--logit-adjustment` must be without'),
    (dict(logit_adjustment=math.nan, stats=STATS), '`--logit-adjustment` must be a finite number, got nan'),
    (dict(tau_normalization=-1.0), '`--tau-normalization` must be a finite number at least 0, got -1.0'),
])
def test_bad_options_are_named(given: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Correction(**given)
    assert not Correction()
    assert Correction().apply(nn.Linear(2, 2)) == []


TTA = '''
tta_pipeline = [dict(type='LoadImageFromFile'), dict(type='TestTimeAug', transforms=[
    [dict(type='Resize', scale_factor=r, keep_ratio=True) for r in (1.0, 1.5)],
    [dict(type='RandomFlip', prob=p, direction='horizontal') for p in (0.0, 1.0)],
    [dict(type='LoadAnnotations')], [dict(type='PackSegInputs')]])]
model['data_preprocessor'] = dict(model['data_preprocessor'], size=None, test_cfg=dict(size_divisor=32))
'''


@pytest.mark.slow
def test_the_tool(tmp_path: Path) -> None:
    """A checkpoint of plain cross-entropy, tested as it is, adjusted, and adjusted by hand in the file."""
    root = make_dataset(tmp_path / 'data')
    report = make_report(tmp_path / 'stats.json')
    plain = "model['decode_head']['loss_decode'] = dict(type='mmimb.CrossEntropyLoss')\n"
    config = make_config(tmp_path / 'config.py', root, report, plain + TTA)
    from mmengine.config import Config
    model = build(Config.fromfile(config).model.to_dict())
    state = model.state_dict()
    state['decode_head.conv_seg.weight'] *= 100  # predictions that differ from pixel to pixel
    torch.save(dict(state_dict=state, meta={}), tmp_path / 'plain.pth')
    prior = np.array(json.loads(report.read_text())['pixels'], dtype=float)
    shifted = state['decode_head.conv_seg.bias'].double() - 2 * torch.from_numpy(np.log(prior / prior.sum()))
    torch.save(dict(state_dict={**state, 'decode_head.conv_seg.bias': shifted.float()}, meta={}), tmp_path / 'shifted.pth')

    def run(checkpoint: str, *options: object) -> dict[str, Any]:
        out = tmp_path / 'out.json'
        result = tool('test.py', config, tmp_path / checkpoint, '--out', out, '--work-dir', tmp_path / 'logs', *options)
        assert result.returncode == 0, result.stderr[-3000:]
        return json.loads(out.read_text())

    adjusted = run('plain.pth', '--logit-adjustment', 2, '--stats', report)
    assert adjusted['metrics'] == run('shifted.pth')['metrics']
    assert adjusted['metrics'] != run('plain.pth')['metrics']
    assert (adjusted['logit_adjustment'], adjusted['stats']) == (2, str(report))
    assert run('plain.pth', '--tau-normalization', 1)['tau_normalization'] == 1
    views = run('plain.pth', '--logit-adjustment', 2, '--stats', report, '--tta')
    assert views['tta'] is True
    assert views['metrics'] == run('shifted.pth', '--tta')['metrics'] != adjusted['metrics']
    wrong = make_report(tmp_path / 'wrong.json', [*NAMES[:2], 'sky'])
    line = error_line(tool('test.py', config, tmp_path / 'plain.pth', '--logit-adjustment', 1, '--stats', wrong,
                           '--work-dir', tmp_path / 'logs'))
    assert "class 2 is 'sign' there, got statistics with 'sky'" in line
    line = error_line(tool('test.py', config, tmp_path / 'plain.pth', '--logit-adjustment', 1))
    assert line.startswith('error: `--stats` must come with --logit-adjustment')
