"""Class weights: the schemes against their formulas, the scale they share, deferral, and the hook in a real run."""
from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from mmimb.losses import CrossEntropyLoss
from mmimb.weights import Deferred, EffectiveNumber, FrequencyWeight, InverseFrequency, LogFrequency, MedianFrequency

CAMVID = dict(  # the training split, as counted by the scanner
    pixels=[10682767, 14750079, 623349, 20076880, 2845085, 6166762, 743859, 714595, 3719877, 405385, 184967],
    images=[366, 365, 366, 367, 349, 319, 351, 173, 360, 317, 201], num_images=367)
STATS = {**CAMVID, 'image_pixels': [int(n / 367 * sum(CAMVID['pixels'])) for n in CAMVID['images']]}
PIXELS = np.array(STATS['pixels'], dtype=float)
SHARE = PIXELS / PIXELS.sum()
FREQUENCY = PIXELS / np.array(STATS['image_pixels'])
TYPICAL = np.exp(np.log(PIXELS).mean())
FORMULAS = [
    (InverseFrequency, {}, 1 / SHARE),
    (InverseFrequency, dict(power=0.5), SHARE**-0.5),
    (MedianFrequency, {}, np.median(FREQUENCY) / FREQUENCY),
    (LogFrequency, {}, 1 / np.log(1.02 + SHARE)),
    (LogFrequency, dict(c=1.2), 1 / np.log(1.2 + SHARE)),
    (EffectiveNumber, dict(beta=1 - 1e-7), 1e-7 / (1 - (1 - 1e-7)**PIXELS)),
    (EffectiveNumber, {}, 1 / TYPICAL / (1 - (1 - 1 / TYPICAL)**PIXELS)),
]


@pytest.mark.parametrize(('scheme', 'cfg', 'raw'), FORMULAS)
def test_formulas(scheme, cfg, raw) -> None:
    weight = scheme(STATS, **cfg).weight.numpy()
    np.testing.assert_allclose(weight, raw / raw.mean(), rtol=1e-7)
    capped = scheme(STATS, max_ratio=3, **cfg).weight.numpy()
    low = np.minimum(raw, 3 * raw.min())
    np.testing.assert_allclose(capped, low / low.mean(), rtol=1e-7)
    assert capped.max() / capped.min() <= 3 + 1e-9


def test_published_numbers() -> None:
    """Deferred re-weighting of CamVid with beta = 1 - 1e-7, from the recorded tables."""
    tables = json.loads(Path(__file__).with_name('vectors.json').read_text())['tables']
    got = EffectiveNumber(STATS, beta=1 - 1e-7).weight.tolist()
    assert got == pytest.approx(tables['camvid_drw_weights_beta_1minus1e_7_pixels'], rel=1e-6)


@pytest.mark.parametrize(('scheme', 'cfg'), [(scheme, cfg) for scheme, cfg, _ in FORMULAS])
@pytest.mark.parametrize('counts', [
    dict(pixels=[5000, 0, 70, 0], images=[5, 0, 2, 0], image_pixels=[5000, 0, 2070, 0]),
    dict(pixels=[9], images=[1], image_pixels=[9]),
    dict(pixels=[7, 7, 7], images=[1, 1, 1], image_pixels=[21, 21, 21]),
])
def test_corners_have_mean_one(scheme, cfg, counts) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        weight = scheme(counts, **cfg).weight
    occurs = torch.tensor(counts['pixels']) > 0
    assert weight.isfinite().all()
    assert weight[occurs].mean().item() == pytest.approx(1)
    assert (weight[~occurs] == weight[occurs].max()).all()


def test_the_suitable_beta_leaves_absent_classes_out() -> None:
    """1 - 1 / the geometric mean of 8000 and 125, which is 1000; an absent class counted as 1 would make it 100."""
    weight = EffectiveNumber(dict(pixels=[8000, 0, 125])).weight.numpy()
    raw = np.array([0.001 / (1 - 0.999 ** 8000), 0.001 / (1 - 0.999 ** 125)])
    np.testing.assert_allclose(weight[[0, 2]], raw / raw.mean(), rtol=1e-12)
    assert weight[1] == weight.max()


def test_a_collapse_is_reported_with_its_numbers() -> None:
    with pytest.warns(UserWarning, match=r'EffectiveNumber has no effect: .* factor of 1\.0000 only \(1, 1, '):
        EffectiveNumber(STATS, beta=0.9999)
    with pytest.warns(UserWarning, match=r'InverseFrequency is extreme: .* factor of 1e\+06 .* max_ratio'):
        InverseFrequency(dict(pixels=[10**7, 10]))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for scheme in (InverseFrequency, LogFrequency, EffectiveNumber):
            assert scheme(dict(pixels=[5, 5])).weight.tolist() == pytest.approx([1, 1])
            scheme(dict(pixels=[100, 0, 103]))  # equal weights are right
            scheme(STATS)


@pytest.mark.parametrize(('scheme', 'cfg', 'words'), [
    (EffectiveNumber, dict(beta=1), r'`beta` must be a finite number at least 0 and below 1, got 1'),
    (EffectiveNumber, dict(beta='big'), '`beta` must be a finite number'),
    (InverseFrequency, dict(power=-1), '`power` must be a finite number at least 0'),
    (LogFrequency, dict(c=1), '`c` must be a finite number above 1'),
    (InverseFrequency, dict(max_ratio=0.5), '`max_ratio` must be a finite number at least 1'),
])
def test_arguments_out_of_range_are_named(scheme, cfg, words) -> None:
    with pytest.raises(ValueError, match=words):
        scheme(STATS, **cfg)
    with pytest.raises(ValueError, match='`stats` must hold `image_pixels`'):
        MedianFrequency(CAMVID)


def test_every_scheme_is_registered_and_usable_in_a_loss() -> None:
    MODELS.build(dict(type='mmimb.CrossEntropyLoss'))
    for scheme in FrequencyWeight.__subclasses__():
        cfg = dict(type=f'mmimb.{scheme.__name__}', stats=STATS)
        loss = MODELS.build(dict(type='mmimb.CrossEntropyLoss', class_weight=cfg))
        listed = CrossEntropyLoss(class_weight=scheme(STATS).weight.tolist())
        logits, target = torch.randn(2, 11, 3, 3), torch.randint(0, 11, (2, 3, 3))
        assert loss(logits, target) == listed(logits, target)
        assert loss.state_dict() == {}


def test_a_report_path_is_read_when_training_starts(tmp_path) -> None:
    cfg = dict(type='mmimb.Deferred', begin=0.5, weight=dict(type='mmimb.InverseFrequency', stats=str(tmp_path / 'stats.json')))
    loss = MODELS.build(dict(type='mmimb.CrossEntropyLoss', class_weight=cfg)).eval()
    (tmp_path / 'stats.json').write_text(json.dumps(CAMVID))
    assert loss.train().class_weight.weight.tolist() == [1.0] * 11


def test_deferral() -> None:
    weight = Deferred([1.0, 3.0], begin=0.8)
    changes = [weight.step(i, 10) for i in range(10)]
    assert changes == [False] * 8 + [True, False]
    assert weight.weight.tolist() == [1.0, 3.0]
    assert weight.step(3, 10)  # another run with the same model
    assert weight.weight.tolist() == [1.0, 1.0]
    counted = Deferred([1.0, 3.0], begin=4)
    assert [counted.step(i, 10) for i in range(6)].index(True) == 4
    assert Deferred([1.0, 3.0], begin=0).step(0, 10)
    capped = Deferred([1.0, 9.0, 2.0], begin=0, max_ratio=3)
    capped.step(0, 10)
    assert capped.weight.tolist() == pytest.approx([2.0, 6.0, 4.0])  # 1, 3, 2 with the mean 4 of 1, 9, 2
    with pytest.raises(ValueError, match='`max_ratio` must be a finite number at least 1'):
        Deferred([1.0], begin=1, max_ratio=0)
    for bad in (None, Deferred([1.0], begin=1)):
        with pytest.raises(TypeError, match='`weight` must be a list, a file or a scheme other than Deferred'):
            Deferred(bad, begin=0.5)
    with pytest.raises(ValueError, match='`begin` must be a finite number at least 0'):
        Deferred([1.0], begin=-1)


class Pixels(torch.utils.data.Dataset):
    metainfo: ClassVar = dict(classes=('road', 'car'))

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict:
        return dict(inputs=torch.full((3,), float(index)), labels=index % 2)


class Classifier(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.loss_decode = MODELS.build(dict(type='mmimb.CrossEntropyLoss', class_weight=dict(
            type='mmimb.Deferred', weight=[0.5, 1.5], begin=0.6)))
        self.used: list[list[float]] = []

    def forward(self, inputs, labels, mode='tensor'):
        self.used.append(self.loss_decode.class_weight.weight.tolist())
        return dict(loss=self.loss_decode(self.layer(inputs), labels))


def run(work_dir, max_iters: int, *, resume: bool = False) -> Classifier:
    loader = DataLoader(Pixels(), batch_size=2, sampler=DefaultSampler(Pixels(), shuffle=False))
    runner = Runner(Classifier(), str(work_dir), train_dataloader=loader, train_cfg=dict(by_epoch=False, max_iters=10),
                    optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)), experiment_name=f'{work_dir.name}-{resume}',
                    custom_hooks=[dict(type='mmimb.ClassWeightHook'), dict(type='mmimb.PlainCheckpointHook')],
                    default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=4, max_keep_ckpts=2)),
                    resume=resume, load_from=str(work_dir / 'iter_8.pth') if resume else None)
    if max_iters < 10:
        runner.train_loop._max_iters = max_iters
    runner.train()
    return runner.model


def test_the_hook_defers_and_logs_in_a_real_run(tmp_path) -> None:
    model = run(tmp_path / 'run', 10)
    assert model.used == [[1.0, 1.0]] * 6 + [[0.5, 1.5]] * 4
    scalars = [json.loads(line) for line in next(tmp_path.rglob('scalars.json')).read_text().splitlines()]
    weights = [s for s in scalars if 'class_weight/loss_decode/car' in s]
    assert [(s['step'], s['class_weight/loss_decode/car']) for s in weights] == [(0, 1.0), (6, 1.5)]
    log = next(tmp_path.rglob('*.log')).read_text()
    assert 'Class weights of loss_decode from iteration 6: road 0.5, car 1.5' in log


def test_a_resumed_run_goes_on_with_the_weights_of_its_iteration(tmp_path) -> None:
    run(tmp_path / 'run', 10)
    assert run(tmp_path / 'run', 10, resume=True).used == [[0.5, 1.5]] * 2
