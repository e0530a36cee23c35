"""What mmseg and our users may rely on, asked of every registered loss: add a row to cases.py, not a file."""
from __future__ import annotations

import inspect
import json

import numpy as np
import pytest
import torch
from cases import CASES, COMMON_ARGUMENTS, QUERY_CASES, STATS, Case
from mmengine.registry import MODELS as ROOT
from torch import nn

from mmimb.registry import MODELS
from mmimb.testing import Subject, ask, check_loss
from mmimb.testing.questions import QUESTIONS
from mmimb.testing.ranks import two_ranks
from mmimb.testing.tested_loss import IGNORE, call


def build(case: Case) -> nn.Module:
    return ROOT.build(dict(case.cfg))


each_case = pytest.mark.parametrize('case', CASES, ids=str)


@each_case
@pytest.mark.parametrize('name', [name for name in QUESTIONS if name != 'sync_avg'])
def test_contract(case: Case, name: str) -> None:
    if name in case.exempt:
        pytest.skip(build(case).exempt[name])
    answer = ask(Subject(case.cfg), name)
    assert answer.verdict == 'holds', answer.detail


def test_two_ranks_with_sync_avg_equal_one() -> None:
    cases = [case for case in CASES if 'sync_avg' not in case.exempt]
    answers = two_ranks([Subject(case.cfg) for case in cases])
    assert dict(zip(map(str, cases), answers, strict=True)) == dict.fromkeys(map(str, cases), '')


def test_every_registered_loss_has_a_case() -> None:
    MODELS.import_from_location()
    losses = {name for name, kind in MODELS.module_dict.items() if name.endswith('Loss')}
    assert {str(case.cfg['type']).removeprefix('mmimb.') for case in CASES + QUERY_CASES} == losses


@each_case
def test_declared_exemptions(case: Case) -> None:
    declared = build(case).exempt
    assert set(declared) == set(case.exempt) <= set(QUESTIONS)
    assert all(len(reason) > 10 for reason in declared.values())


@each_case
def test_matches_the_oracle(case: Case) -> None:
    logits, target = Subject(case.cfg).batch()
    got = call(build(case), logits, target, reduction_override='none' if case.has_map else None)
    np.testing.assert_allclose(got.numpy(), case.oracle(logits.numpy(), target.numpy()), rtol=1e-10, atol=1e-12)


@each_case
def test_every_argument_matters(case: Case) -> None:
    logits, target = Subject(case.cfg).batch()
    plain = call(build(case), logits, target)
    for name, value in case.sensitive_to.items():
        changed = call(ROOT.build({**case.cfg, name: value}), logits, target)
        assert not torch.allclose(changed, plain, rtol=1e-6), name
    init = type(build(case)).__dict__.get('__init__')
    own = set(inspect.signature(init).parameters) - {'self', 'common'} if init else set()
    assert own == set(case.sensitive_to), 'each argument of its own needs a value that changes the result'


@each_case
def test_every_common_argument_matters(case: Case) -> None:
    logits, target = Subject(case.cfg).batch()
    plain = build(case)
    value = plain(logits, target)
    for name, other in COMMON_ARGUMENTS.items():
        labels = target.where(target != IGNORE, 0) if name == 'ignore_index' else target
        changed = ROOT.build({**case.cfg, name: other})(logits, labels)
        assert not torch.allclose(changed, value), name
    weighted = {**case.cfg, 'class_weight': COMMON_ARGUMENTS['class_weight']}
    assert not torch.allclose(ROOT.build({**weighted, 'normalize': 'weights'})(logits, target),
                              ROOT.build(weighted)(logits, target))
    assert ROOT.build({**case.cfg, 'loss_name': 'loss_other'}).loss_name == 'loss_other'


@pytest.mark.parametrize('case', [case for case in CASES if 'class_weight' not in case.exempt], ids=str)
def test_normalize_by_weights(case: Case) -> None:
    """The weighted mean of torch.nn.CrossEntropyLoss(weight=...): the sum over the weights of the valid pixels."""
    weights = torch.tensor(COMMON_ARGUMENTS['class_weight'], dtype=torch.float64)
    logits, target = Subject(case.cfg).batch()
    none = call(build(case), logits, target, reduction_override='none')
    used = weights[target.where(target != IGNORE, 0)] * (target != IGNORE)
    loss = ROOT.build({**case.cfg, 'class_weight': weights.tolist(), 'normalize': 'weights'})
    torch.testing.assert_close(call(loss, logits, target), (none * used).sum() / used.sum(), rtol=1e-12, atol=0)
    pixel = torch.rand(target.shape, dtype=torch.float64)
    torch.testing.assert_close(call(loss, logits, target, weight=pixel), (none * used * pixel).sum() / (used * pixel).sum())


@each_case
@pytest.mark.parametrize(('override', 'error', 'words'), [
    (dict(reduction='avg'), ValueError, r'`reduction` must be .* got .avg.'),
    (dict(normalize='classes'), ValueError, r'`normalize` must be .* got .classes.'),
    (dict(use_sigmoid='conflict'), ValueError, r'`use_sigmoid` must be .* _delete_=True'),
    (dict(avg_non_ignore=True), TypeError, r'`avg_non_ignore` is no argument .* _delete_=True'),
    (dict(class_weight=[1.0, float('nan'), 1.0, 1.0]), ValueError, r'`class_weight` must be finite and non-negative'),
    (dict(class_weight=[1.0, -1.0, 1.0, 1.0]), ValueError, r'`class_weight` must be finite and non-negative'),
    (dict(class_weight=[0.0] * 4), ValueError, r'`class_weight` must have a weight above 0'),
    (dict(class_weight=[[1.0] * 4]), ValueError, r'`class_weight` must be a flat list'),
    (dict(class_weight='weights.pkl'), ValueError, r'`class_weight` must be a list or a .json.* file, got .weights.pkl'),
    (dict(class_weight=dict(type='mmimb.CrossEntropyLoss')), TypeError, r'`class_weight` must be a list, a file or dict'),
    (dict(ignore_index='255'), TypeError, r'`ignore_index` must be an integer'),
    (dict(loss_name='cost'), ValueError, r"`loss_name` must contain 'loss'"),
])
def test_bad_arguments_are_named(case: Case, override: dict, error: type[Exception], words: str) -> None:
    if override.get('use_sigmoid') == 'conflict':
        if type(build(case)).sigmoid is None:
            pytest.skip('it exists for sigmoid and softmax')
        override = dict(use_sigmoid=not build(case).sigmoid)
    with pytest.raises(error, match=words):
        ROOT.build({**case.cfg, **override})


@each_case
def test_agreeing_use_sigmoid_is_accepted(case: Case) -> None:
    ROOT.build({**case.cfg, 'use_sigmoid': build(case).sigmoid})


@each_case
def test_wrong_lengths_are_named(case: Case) -> None:
    logits, target = Subject(case.cfg, num_classes=5).batch()
    with pytest.raises(ValueError, match=r'`class_weight` must have one entry per class \(5\), got 4'):
        ROOT.build(dict(type='mmimb.CrossEntropyLoss', class_weight=[1.0] * 4))(logits, target)
    if 'stats' in case.cfg:
        with pytest.raises(ValueError, match='`stats` must have the 5 classes of the logits, got 4'):
            build(case)(logits, target)
    with pytest.raises(ValueError, match=r'`target` must have the shape'):
        build(case)(logits, target[:, :3])


def test_a_config_is_asked_without_its_factor_and_with_its_files(tmp_path) -> None:
    (tmp_path / 'stats.json').write_text(json.dumps(STATS))
    (tmp_path / 'weights.json').write_text('[1, 2, 3, 4]')
    cfg = dict(type='mmimb.LDAMLoss', stats=str(tmp_path / 'stats.json'), loss_weight=0.4, reduction='sum', normalize='weights',
               class_weight=str(tmp_path / 'weights.json'))
    verdicts = {a.question: a.verdict for a in check_loss(cfg, exempt={'sync_avg': 'asked of all losses above'})}
    broken = [name for name, verdict in verdicts.items() if verdict == 'broken']
    assert broken == []
    assert verdicts['class_weight'] == 'holds'
    with pytest.raises(KeyError, match='Nope'):
        check_loss(dict(type='mmimb.Nope'))


def test_many_classes() -> None:
    for name in ('LDAMLoss', 'OutlyingMSELoss', 'DistributionBalancedLoss'):
        for asked in ('mean', 'ignored_pixels', 'class_permutation'):
            answer = ask(Subject.of_type(f'mmimb.{name}', 150), asked)
            assert answer.verdict == 'holds', answer.detail


def test_a_loss_that_ignores_255_only_is_found() -> None:
    """It gets the label from the head, and does not look at it."""
    @ROOT.register_module(force=True)
    class DeafLoss(nn.Module):
        def forward(self, logits, target, weight=None, ignore_index=255, **kwargs):
            return nn.functional.cross_entropy(logits, target, ignore_index=255)

    try:
        answers = {name: ask(Subject(dict(type='DeafLoss')), name).verdict for name in ('all_ignored', 'ignore_index')}
        assert ask(Subject(dict(type='DeafLoss')), 'positional').verdict == 'holds'
        assert answers['ignore_index'] == 'broken'
    finally:
        ROOT.module_dict.pop('DeafLoss')


def test_check_loss_reports_stock_defects() -> None:
    """The contract can fail: it finds what the design lists of mmseg's own cross-entropy and Dice loss."""
    stock = {a.question: a.verdict for a in check_loss('mmseg.CrossEntropyLoss', exempt={'sync_avg': 'not an argument of it'})}
    assert {k for k, v in stock.items() if v == 'broken'} >= {'mean', 'label_range', 'positional', 'class_weight'}
    assert stock['loss_weight'] == 'holds'
    assert stock['sync_avg'] == 'exempt'
    dice = {a.question: a.verdict for a in check_loss('mmseg.DiceLoss', exempt={'sync_avg': 'not an argument of it'})}
    assert dice['ignored_pixels'] == 'broken'
    assert dice['positional'] == 'broken', 'other logits at 255 change its value'
    ohem = {name: ask(Subject.of_type('OhemCrossEntropy'), name).verdict for name in ('positional', 'copies', 'state')}
    assert ohem == dict.fromkeys(ohem, 'holds')
    with pytest.raises(ValueError, match='`exempt` must name questions'):
        check_loss('mmseg.DiceLoss', exempt={'speed': 'no such question'})
