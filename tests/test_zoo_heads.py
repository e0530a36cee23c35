"""Official configs of every decode head: scan, suggested config, an iteration and a validation of it, doctor."""
from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import ROOT
from mmseg.models import decode_heads
from support.tiny_run import make_config, make_dataset
from support.zoo import FAMILIES, Family, shrunk

from mmimb.doctor.check import CONFIG
from mmimb.doctor.config import config as doctor
from mmimb.engine.check_heads import check_parts
from mmimb.engine.config import read_config
from mmimb.engine.training import TrainOptions, build_runner, prepare
from mmimb.loss_places import OTHER, loss_places
from mmimb.report import suggest
from mmimb.scan import scan_dataset
from mmimb.scan.build import build_split
from mmimb.scan.report import write_report
from mmimb.stack import lacking
from mmimb.stats import ClassStats

NOT_HEADS = {'KernelUpdateHead', 'KernelUpdator'}  # parts of K-Net
REST = '''
val_dataloader['dataset']['indices'] = 2
for loader in (train_dataloader, val_dataloader):
    loader['dataset']['serialize_data'] = False  # mmengine collects garbage as it serialises, which takes a second
del loader
train_dataloader['dataset']['pipeline'] = [*load[:2], {edges}load[2]]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1, val_interval=1)
param_scheduler = None
default_hooks = dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1000, save_last=False))
model = {model!r}
'''


@pytest.fixture(scope='module')
def scanned(tmp_path_factory) -> tuple[Path, Path, ClassStats]:
    """Return the data, the report of a real scan, and its counts."""
    folder = tmp_path_factory.mktemp('zoo')
    data = make_dataset(folder / 'data')
    base = read_config(str(make_config(folder / 'tiny.py', data, folder / 'none.json')))
    scan = scan_dataset(build_split(base, 'train'), workers=0, split='train')
    write_report(scan, folder / 'stats.json')
    return data, folder / 'stats.json', scan.stats


def write_base(family: Family, folder: Path, data: Path, report: Path) -> Path:
    """Write the official model over the data of the tiny run."""
    model = shrunk(family).to_dict()
    edges = "dict(type='GenerateEdge', edge_width=4), " if family.head == 'PIDHead' else ''
    if family.head == 'SideAdapterCLIPHead':  # it cannot be initialised without a file
        torch.save({'decode_head.nothing': torch.zeros(1)}, folder / 'part.pth')
        model['decode_head']['init_cfg'] = {'type': 'Pretrained_Part', 'checkpoint': str(folder / 'part.pth')}
    return make_config(folder / 'base.py', data, report, REST.format(edges=edges, model=model))


def losses_in(module: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """Return the losses of a model by their names in it."""
    inside = ('class_weight', 'scheme')
    return {name: part for name, part in module.named_modules()
            if '.loss' in name and not any(word in name.rpartition('.loss')[2] for word in inside)}


@pytest.mark.parametrize('family', [family for family in FAMILIES if not family.task], ids=str)
def test_the_suggested_config_trains_with_our_losses(family, scanned, tmp_path, monkeypatch) -> None:
    data, report, stats = scanned
    base = write_base(family, tmp_path, data, report)
    cfg = read_config(str(base))
    suggestion = suggest(stats, base.name, str(report), cfg=cfg)
    child = tmp_path / 'child.py'
    child.write_text(suggestion.config)
    reason = lacking(family.head)
    monkeypatch.setenv(CONFIG, str(child))
    if reason:  # in one line, from all four
        assert reason in '\n'.join(suggestion.reasons)
        for call in (lambda: check_parts(cfg), lambda: prepare(TrainOptions(str(child), work_dir=str(tmp_path / 'work')))):
            with pytest.raises(ImportError, match=f'got {family.head}, which needs '):
                call()
        answer = doctor()
        assert (answer.status, reason in answer.text) == ('failure', True)
        return
    cfg, _, notices = prepare(TrainOptions(str(child), work_dir=str(tmp_path / 'work'), seed=0))
    assert [notice for notice in notices if 'synchronised batch norm' not in notice] == []
    changed = [one for one in loss_places(cfg.model) if one.learns != OTHER and one.loss.type.startswith('mmimb.')]
    assert changed
    answer = doctor()
    assert answer.status == 'ok', answer
    runner = build_runner(cfg)
    if family.head == 'SideAdapterCLIPHead':  # the file that it wants would fill what is empty memory here
        for parameter in runner.model.parameters():
            torch.nn.init.normal_(parameter, std=0.02)
    calls: dict[str, int] = {}
    for name, loss in losses_in(runner.model).items():
        loss.register_forward_hook(lambda module, args, output, name=name: calls.update({name: calls.get(name, 0) + 1}))
    runner.train()
    ours = {name for name, loss in losses_in(runner.model).items() if type(loss).__module__.startswith('mmimb.losses')}
    assert len(ours) == len(changed)
    assert ours <= set(calls), 'each of them is called'
    assert runner.message_hub.get_scalar('val/mIoU').current() >= 0


@pytest.mark.parametrize('family', [family for family in FAMILIES if family.task], ids=str)
def test_other_tasks_are_refused_in_one_line(family, scanned) -> None:
    suggestion = suggest(scanned[2], cfg={'model': shrunk(family)})
    assert suggestion.config == ''
    assert family.head in suggestion.reasons[0] or 'decode_head' in suggestion.reasons[0]


def test_every_decode_head_is_here() -> None:
    assert {family.head for family in FAMILIES} == set(decode_heads.__all__) - NOT_HEADS


def test_the_table_of_the_documentation() -> None:
    page = SimpleNamespace(**runpy.run_path(str(ROOT / 'docs/heads.py')))
    text = page.PAGE.read_text(encoding='utf-8')
    assert page.written(text) == text, 'write it again: python docs/heads.py'
