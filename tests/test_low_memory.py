"""When the tools predict class maps without full-resolution logits, and what they say where that cannot be."""
from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmseg.engine.hooks import SegVisualizationHook
from mmseg.evaluation import IoUMetric
from support.head_cases import build, one_thread  # noqa: F401
from support.tiny_run import make_config, make_dataset, make_report, refused, tool
from test_class_maps import images, samples, segmentor

from mmimb.engine.low_memory import LowMemoryHook, reason_for_scores
from mmimb.heads import TTAModel
from mmimb.metrics import LongTailIoUMetric

OURS = [LongTailIoUMetric(), IoUMetric(), SegVisualizationHook.__new__(SegVisualizationHook)]


class OwnMetric(BaseMetric):
    def process(self, data_batch: Any, data_samples: Any) -> None: ...

    def compute_metrics(self, results: Any) -> dict: ...


class Watching(Hook):
    def after_test_iter(self, *args: Any, **kwargs: Any) -> None: ...


class Counting(Hook):
    def after_train_iter(self, *args: Any, **kwargs: Any) -> None: ...


class Wrapper(torch.nn.Module):
    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module


def test_who_may_look_for_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    model = segmentor()
    assert reason_for_scores(model, OURS) == ''
    assert reason_for_scores(Wrapper(model), [*OURS, Counting()]) == ''
    assert reason_for_scores(model, [*OURS, OwnMetric()]) == 'OwnMetric may look at them'
    assert reason_for_scores(model, [*OURS, Watching()]) == 'Watching may look at them'
    assert reason_for_scores(segmentor(plain=True), OURS).startswith('its head is no LossHead')
    assert reason_for_scores(segmentor(upsample='stock'), OURS).startswith('its head is no LossHead')
    assert reason_for_scores(TTAModel(module=model), OURS) == 'the views of an image are averaged'
    monkeypatch.setattr(type(model.decode_head), 'predict_by_feat', lambda *args: None)
    assert reason_for_scores(model, OURS) == 'its LossFCNHead has its own predict_by_feat'


def runner(model: Any, *metrics: Any) -> Any:
    evaluator = SimpleNamespace(metrics=list(metrics))
    return SimpleNamespace(model=model, hooks=[], logger=logging.getLogger('test'), val_evaluator=evaluator,
                           test_evaluator=evaluator)


@pytest.mark.parametrize('stage', ['val', 'test'])
@pytest.mark.parametrize(('plain', 'wanted', 'metric', 'maps'), [
    (False, False, LongTailIoUMetric(), True), (False, False, OwnMetric(), False), (True, False, LongTailIoUMetric(), False),
    (True, True, OwnMetric(), True)])
def test_the_hook_acts_while_a_model_is_evaluated(stage: str, plain: bool, wanted: bool, metric: Any, maps: bool) -> None:
    model, hook = segmentor(plain=plain), LowMemoryHook(wanted)
    run = runner(Wrapper(model), metric)
    getattr(hook, f'before_{stage}_epoch')(run)
    assert ('seg_logits' in model.predict(images(1), samples({}))[0]) is not maps
    getattr(hook, f'after_{stage}_epoch')(run, metrics={})
    assert 'seg_logits' in model.predict(images(1), samples({}))[0]


def test_a_model_with_a_way_of_its_own_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r'^`--low-memory` must meet .*; drop it: `model` must .*, got Linear') as error:
        LowMemoryHook(True).before_test_epoch(runner(torch.nn.Linear(2, 2), OwnMetric()))
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('options', [['--tta'], ['--tau-normalization', '0.5'],
                                     ['--logit-adjustment', '1', '--stats', 'stats.json']], ids=lambda o: o[0])
def test_class_maps_and_scores_at_once_are_refused(options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_report(tmp_path / 'stats.json')
    result = refused('test.py', 'config.py', 'model.pth', '--low-memory', *options)
    assert result.returncode == 2
    assert result.stderr == (f'error: `--low-memory` must be without {options[0]}, which needs the scores of all classes: drop '
                             'one of the two\n')


LOSS_HEAD = '''
model['decode_head'] = dict(model['decode_head'], type='mmimb.LossHead', base='FCNHead',
                            loss_decode=dict(type='mmimb.CrossEntropyLoss'))
'''
DICE = "model['decode_head']['loss_decode'] = dict(type='mmimb.DiceLoss')\n"
SAYS = 'class maps are predicted without full-resolution logits'


@pytest.mark.slow
def test_the_tools(tmp_path: Path) -> None:
    """A LossHead is validated and tested without full-resolution logits, any head with the option; the scores are the same."""
    root, report = make_dataset(tmp_path / 'data'), make_report(tmp_path / 'stats.json')
    config = make_config(tmp_path / 'ours.py', root, report, LOSS_HEAD)
    plain = make_config(tmp_path / 'plain.py', root, report, DICE)
    trained = tool('train.py', config, '--work-dir', tmp_path / 'work')
    assert trained.returncode == 0, trained.stderr[-3000:]
    assert (trained.stdout + trained.stderr).count(SAYS) == 2
    found = []
    for given, options, says in ((config, [], 1), (plain, [], 0), (plain, ['--low-memory'], 1)):
        out = tmp_path / 'out.json'
        result = tool('test.py', given, tmp_path / 'work/iter_8.pth', '--out', out, '--work-dir', tmp_path / 'logs', *options)
        assert result.returncode == 0, result.stderr[-3000:]
        assert (result.stdout + result.stderr).count(SAYS) == says
        found.append(json.loads(out.read_text()))
        assert found[-1].get('low_memory', False) is bool(options)
    assert found[0]['metrics'] == found[1]['metrics'] == found[2]['metrics']
