"""Where the losses of a model are and what they learn, and what is refused at start."""
from __future__ import annotations

from typing import Any

import pytest
from mmengine import ConfigDict
from support.tiny_run import error_line, make_config, make_dataset, make_report, refused

from mmimb import stack
from mmimb.doctor.check import CONFIG
from mmimb.doctor.config import config as doctor
from mmimb.engine.check_heads import check_heads, check_parts
from mmimb.loss_places import OTHER, PIXELS, QUERIES, heads, loss_places, missing_parts

MODEL = dict(
    decode_head=[dict(loss_decode=dict(type='A', class_weight=dict(type='W'))),
                 dict(loss_decode=[dict(type='B'), dict(type='C')])],
    student=dict(auxiliary_head=dict(loss_decode=dict(type='D', inner=dict(loss_decode=dict(type='not a head'))))), neck=None)
CE = dict(type='CrossEntropyLoss')
OURS = dict(type='mmimb.CrossEntropyLoss')
QUERY = dict(type='mmimb.QueryCrossEntropyLoss', stats='stats.json')
MASKS = dict(loss_mask=CE, loss_dice=dict(type='mmdet.DiceLoss'))
PID = dict(type='PIDHead', loss_decode=[CE, dict(type='OhemCrossEntropy'), dict(type='BoundaryLoss'), CE])
KNET = dict(type='IterativeDecodeHead', kernel_update_head=[dict(type='KernelUpdateHead', num_classes=3)],
            kernel_generate_head=dict(type='FCNHead', loss_decode=CE))
SAN = dict(type='SideAdapterCLIPHead', num_classes=3, loss_decode=[
    dict(CE, loss_name='loss_cls_ce'), dict(CE, loss_name='loss_mask_ce'), dict(type='DiceLoss', loss_name='loss_mask_dice')])


def found(model: Any) -> dict[str, str]:
    return {one.place.removeprefix('model.'): one.learns for one in loss_places(model)}


def test_losses_of_nested_heads() -> None:
    assert {one.place: one.loss['type'] for one in loss_places(MODEL)} == {
        'model.decode_head[0].loss_decode': 'A', 'model.decode_head[1].loss_decode[0]': 'B',
        'model.decode_head[1].loss_decode[1]': 'C', 'model.student.auxiliary_head.loss_decode': 'D'}
    for one in loss_places(MODEL):
        tree: Any = MODEL
        for key in one.keys:
            tree = tree[key]
        assert tree is one.loss
        assert one.learns == PIXELS
    assert list(loss_places(None)) == list(loss_places({})) == list(loss_places(dict(decode_head=None))) == []


@pytest.mark.parametrize(('head', 'places'), [
    (dict(type='FCNHead'), {'loss_decode': PIXELS}),
    (dict(type='EncHead', loss_decode=CE, loss_se_decode=CE), {'loss_decode': PIXELS, 'loss_se_decode': OTHER}),
    (dict(type='EncHead', loss_decode=None), {'loss_decode': PIXELS}),
    (KNET, {'kernel_generate_head.loss_decode': PIXELS}),
    (dict(KNET, kernel_generate_head=dict(type='FCNHead')), {'kernel_generate_head.loss_decode': PIXELS}),
    (PID, {'loss_decode[0]': PIXELS, 'loss_decode[1]': PIXELS, 'loss_decode[2]': OTHER, 'loss_decode[3]': OTHER}),
    (dict(type='DDRHead', loss_decode=[CE, CE]), {'loss_decode[0]': PIXELS, 'loss_decode[1]': PIXELS}),
    (dict(type='Mask2FormerHead', loss_cls=CE, **MASKS), {'loss_cls': QUERIES, 'loss_mask': OTHER, 'loss_dice': OTHER}),
    (dict(type='mmseg.MaskFormerHead'), {'loss_cls': QUERIES}),
    (dict(type='Derived', loss_cls=CE, **MASKS), {'loss_cls': QUERIES, 'loss_mask': OTHER, 'loss_dice': OTHER}),
    (SAN, {'loss_decode[0]': QUERIES, 'loss_decode[1]': OTHER, 'loss_decode[2]': OTHER}),
    (dict(type='STDCHead', loss_decode=[CE, CE]), {'loss_decode[0]': OTHER, 'loss_decode[1]': OTHER}),
    (dict(type='VPDDepthHead'), {'loss_decode': OTHER}),
    (dict(type='My', loss_decode=dict(type='SiLogLoss')), {'loss_decode': OTHER}),
    (dict(type='My', loss_own=CE), {'loss_own': OTHER}),
], ids=lambda value: value['type'] if isinstance(value, dict) and 'type' in value else '')
def test_what_losses_learn(head, places) -> None:
    assert found(dict(decode_head=head)) == {f'decode_head.{place}': learns for place, learns in places.items()}
    several = dict(decode_head=[dict(type='FCNHead'), ConfigDict(head)])
    assert found(several) == {'decode_head[0].loss_decode': PIXELS,
                              **{f'decode_head[1].{place}': learns for place, learns in places.items()}}
    assert all(bool(one.reason) == (one.learns == OTHER) for one in loss_places(several))


def test_a_class_instead_of_its_name() -> None:
    base = type('Mask2FormerHead', (), {})
    derived = type('Mine', (base, ), {})
    assert found(dict(decode_head=dict(type=derived))) == {'decode_head.loss_cls': QUERIES}
    assert [at.name for at in heads(dict(decode_head=dict(type=derived)))] == ['Mine']


@pytest.mark.parametrize(('head', 'words'), [
    (dict(type='Mask2FormerHead', loss_decode=OURS), r'loss_decode` must not be given to Mask2FormerHead, .*loss_cls'),
    (dict(KNET, loss_decode=OURS), r'loss_decode` must be given inside kernel_generate_head of IterativeDecodeHead'),
    (dict(PID, loss_decode=OURS), r"must be a list of 4 losses for PIDHead, .*got 'mmimb.CrossEntropyLoss'"),
    (dict(PID, loss_decode=[OURS]), r'must be a list of 4 losses for PIDHead, .*got a list of 1'),
    (dict(type='DDRHead', loss_decode=CE), r"must be a list of 2 losses for DDRHead, .*got 'CrossEntropyLoss'"),
    (dict(type='FCNHead', loss_decode=QUERY), r"loss_decode` must be a loss on pixels for FCNHead, got 'mmimb.Query"),
    (dict(type='Mask2FormerHead', loss_cls=OURS), r"loss_cls` must be mmimb.QueryCrossEntropyLoss, got 'mmimb.Cross"),
    (dict(type='Mask2FormerHead', loss_cls=CE, loss_mask=OURS), r'loss_mask` must be a loss that Mask2Former'),
    (dict(type='VPDDepthHead', loss_decode=OURS), r'VPDDepthHead can .* \(it learns depths, .*keep the loss'),
    (dict(type='EncHead', loss_decode=CE, loss_se_decode=OURS), r'loss_se_decode` must be a loss that EncHead'),
    (dict(type='Mask2FormerHead', num_classes=3, loss_cls=dict(QUERY, class_weight=[1.0] * 3)),
     r'`model.decode_head.loss_cls.class_weight` must have 4 numbers for Mask2FormerHead, .* got 3'),
    (dict(type='Mask2FormerHead', num_classes=3, loss_cls=dict(CE, class_weight=[1.0] * 3)), 'must have 4 numbers'),
    (dict(SAN, loss_decode=[dict(QUERY, loss_name='loss_cls_ce', class_weight=(1, 1, 1))]), '4 numbers for SideAdapter'),
])
def test_what_no_head_can_train_is_refused(head, words, monkeypatch) -> None:
    monkeypatch.setattr(stack, 'COMPILED', {})
    monkeypatch.setattr(stack, 'OF_MMDET', ())
    stack.lacking.cache_clear()
    with pytest.raises(ValueError, match=words) as error:
        check_heads(dict(model=dict(decode_head=head)))
    stack.lacking.cache_clear()
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('head', [dict(type='FCNHead', loss_decode=[OURS, CE]), KNET, dict(KNET, kernel_generate_head=dict(
    type='FCNHead', loss_decode=OURS)), dict(PID, loss_decode=[OURS, OURS, dict(type='BoundaryLoss'), OURS]),
    dict(type='STDCHead', loss_decode=[dict(type='mmimb.DiceLoss', use_sigmoid=True)])])
def test_what_can_train_is_let_through(head) -> None:
    check_heads(dict(model=dict(decode_head=head)))


@pytest.mark.parametrize('name', ['PointHead', 'SideAdapterCLIPHead', 'PSAHead', 'CCHead', 'Mask2FormerHead', 'MaskFormerHead'])
def test_missing_operators_are_named_with_another_head(name, monkeypatch) -> None:
    def missing(module: str) -> Any:
        raise ModuleNotFoundError(f"No module named '{module}'", name=module)

    monkeypatch.setattr(stack, 'import_module', missing)
    stack.lacking.cache_clear()
    model = dict(decode_head=[dict(type='FPNHead'), dict(type=name)])
    try:
        line, = missing_parts(model)
        assert line.startswith(f'`model.decode_head[1]` must be a head that can be built here, got {name}, which needs ')
        assert '\n' not in line
        assert 'or take another head, such as ' in line
        with pytest.raises(ImportError, match=name):
            check_parts(dict(model=model))
        as_class = dict(decode_head=dict(type=type(name, (dict, ), {})))  # as in a config in the style of Python
        assert missing_parts(as_class) == [line.replace('decode_head[1]', 'decode_head')]
    finally:
        stack.lacking.cache_clear()


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp('heads')
    return make_config(folder / 'tiny.py', make_dataset(folder / 'data'), make_report(folder / 'stats.json'))


def test_train_tells_at_start(config, tmp_path) -> None:
    (tmp_path / 'child.py').write_text(f"_base_ = {str(config)!r}\nmodel = dict(decode_head=dict(type='PIDHead'))\n")
    assert 'must be a list of 4 losses for PIDHead' in error_line(refused('train.py', tmp_path / 'child.py'))
    (tmp_path / 'base.py').write_text(
        f"_base_ = {str(config)!r}\nmodel = dict(decode_head=dict(_delete_=True, loss_decode=[]))")
    (tmp_path / 'child.py').write_text("_base_ = './base.py'\nmodel = dict(decode_head=dict(loss_decode=dict(type='x')))\n")
    line = error_line(refused('train.py', tmp_path / 'child.py'))
    assert 'a list of heads or of losses cannot be merged: restate it in full' in line


QUERY_LOSS = "loss_cls=dict(type='mmimb.QueryCrossEntropyLoss', "


@pytest.mark.parametrize(('loss', 'words'), [
    (QUERY_LOSS + 'stats={stats!r}, class_weight=[1.0] * 3)', 'must have 4 numbers for MyHead'),
    (QUERY_LOSS + 'stats=dict(pixels=[5, 4, 3]))', 'must hold `images` for a loss on queries'),
    ("loss_cls=dict(type='mmdet.A'), loss_decode=dict(type='mmimb.CrossEntropyLoss')", 'must not be given to MyHead'),
    ("loss_cls=dict(type='mmimb.LDAMLoss', stats={stats!r})", 'decode_head.loss_cls` must be mmimb.QueryCrossEntropyLoss'),
], ids=['length', 'pixels', 'loss_decode', 'loss on pixels'])
def test_bad_losses_on_queries_are_one_line_from_train_and_doctor(loss, words, config, tmp_path, monkeypatch) -> None:
    child = tmp_path / 'child.py'
    loss = loss.format(stats=str(config.parent / 'stats.json'))
    child.write_text(f"_base_ = {str(config)!r}\nmodel = dict(decode_head=dict(_delete_=True, type='MyHead', num_classes=3, "
                     f"{loss}, loss_mask=dict(type='mmdet.DiceLoss')))\n")
    assert words in error_line(refused('train.py', child))
    monkeypatch.setenv(CONFIG, str(child))
    answer = doctor()
    assert answer.status == 'failure'
    assert words in answer.text
    assert '\n' not in answer.text
