"""Checkpoints that do not fit the model that they are tested with."""
from __future__ import annotations

import json
import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules
from support.tiny_run import CLASSES, error_line, make_config, make_dataset, make_report, tool

from mmimb.engine.config import read_config
from mmimb.engine.fit import fit_hook, misfits


@pytest.fixture(scope='module')
def work(tmp_path_factory):
    """A config of three classes, checkpoints of three and of five, and one whose head is missing."""
    folder = tmp_path_factory.mktemp('fit')
    config = make_config(folder / 'tiny.py', make_dataset(folder / 'data'), make_report(folder / 'stats.json'), '''
norm['type'] = 'BN'
model['auxiliary_head'] = dict(model['decode_head'], loss_decode=dict(type='CrossEntropyLoss'))
''')
    for name, classes in (('three', 3), ('five', 5)):
        model = build(config, classes)
        meta = {'dataset_meta': {'classes': (*CLASSES, 'a', 'b')[:classes]}, 'seed': 5}
        torch.save({'state_dict': model.state_dict(), 'meta': meta}, folder / f'{name}.pth')
    state = model.state_dict()
    torch.save({'state_dict': {k: v for k, v in state.items() if 'head' not in k}}, folder / 'backbone.pth')
    return folder


def build(config, classes: int):
    register_all_modules(init_default_scope=False)
    init_default_scope('mmseg')
    cfg = read_config(str(config))
    for head in (cfg.model.decode_head, cfg.model.auxiliary_head):
        head.num_classes, head.loss_decode = classes, dict(type='CrossEntropyLoss')
    return MODELS.build(cfg.model)


def test_what_does_not_fit_is_found(work) -> None:
    model, load = build(work / 'tiny.py', 3), torch.load
    assert misfits(model, load(work / 'three.pth')) == []
    assert misfits(torch.nn.ModuleDict({'module': model}), load(work / 'three.pth')) == []
    wrong = misfits(model, load(work / 'five.pth'))
    assert 'decode_head.conv_seg.weight (5, 4, 1, 1) for (3, 4, 1, 1)' in wrong
    assert 'decode_head.conv_seg.bias (5,) for (3,)' in wrong
    assert all('conv_seg' in text for text in wrong)
    assert 'decode_head.conv_seg.weight missing' in misfits(model, load(work / 'backbone.pth'))
    state = load(work / 'three.pth')['state_dict']
    assert misfits(model, {f'module.{name}': value for name, value in state.items()}) == []


def test_a_parameter_of_a_loss_predicts_nothing(work) -> None:
    model = build(work / 'tiny.py', 3)
    model.decode_head.loss_decode.sigma = torch.nn.Parameter(torch.ones(1))
    runner = SimpleNamespace(model=model, logger=logging.getLogger('fit'))
    checkpoint = torch.load(work / 'three.pth')
    fit_hook('three.pth').after_load_checkpoint(runner, checkpoint)
    del checkpoint['state_dict']['decode_head.conv_seg.bias']
    with pytest.raises(ValueError, match=r'must fit the decode head.*conv_seg.bias missing'):
        fit_hook('three.pth').after_load_checkpoint(runner, checkpoint)


@pytest.mark.parametrize('name', ['five', 'backbone'])
def test_a_head_that_does_not_fit_is_refused(work, name, tmp_path) -> None:
    result = tool('test.py', work / 'tiny.py', work / f'{name}.pth', '--out', tmp_path / 'out.json', '--work-dir',
                  tmp_path / 'w')
    line = error_line(result)
    assert '`checkpoint` must fit the decode head' in line
    assert 'decode_head.' in line
    assert '--allow-mismatch' in line
    assert not (tmp_path / 'out.json').exists()


def test_it_can_be_allowed_and_is_written_down(work, tmp_path) -> None:
    result = tool('test.py', work / 'tiny.py', work / 'five.pth', '--allow-mismatch', '--out', tmp_path / 'out.json',
                  '--work-dir',
                  tmp_path / 'w')
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / 'out.json').read_text())
    assert report['allow_mismatch'] is True
    assert report['model_classes'] == [*CLASSES, 'a', 'b']
    assert 'was trained on the classes' in result.stdout
    assert 'conv_seg.weight (5, 4, 1, 1) for (3, 4, 1, 1)' in result.stdout


def test_without_the_auxiliary_head_it_fits(work, tmp_path) -> None:
    state = torch.load(work / 'three.pth')
    state['state_dict'] = {k: v for k, v in state['state_dict'].items() if 'auxiliary' not in k}
    torch.save(state, tmp_path / 'main.pth')
    result = tool('test.py', work / 'tiny.py', tmp_path / 'main.pth', '--out', tmp_path / 'out.json', '--work-dir',
                  tmp_path / 'w')
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / 'out.json').read_text())
    assert report['model_classes'] == report['classes'] == [*CLASSES]
    assert report['seed'] == 5
