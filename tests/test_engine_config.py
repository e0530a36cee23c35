"""What happens to a config before the runner gets it."""
from __future__ import annotations

import copy
import json
import os

import numpy as np
import pytest
import torch
from mmengine import Config
from support.tiny_run import CLASSES, make_config, make_dataset, make_report

from mmimb.engine import launch
from mmimb.engine.check_losses import check_losses
from mmimb.engine.config import add_own_hooks, read_config, set_work_dir, use_amp
from mmimb.engine.embed_stats import embed_stats
from mmimb.scan import build_split, fingerprint
from mmimb.stats import ClassStats


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp('data') / 'set')


@pytest.fixture
def config(tmp_path, data):
    make_report(tmp_path / 'stats.json')
    return make_config(tmp_path / 'tiny.py', data, tmp_path / 'stats.json')


def read(config, *overrides):
    return read_config(str(config), overrides=overrides)


@pytest.mark.parametrize(('override', 'words'), [
    ('train_dataloader=3', r'`train_dataloader` must be a dict, got 3'),
    ('model=net', r"`model` must be a dict, got 'net'"),
    ('custom_hooks=5', r'`custom_hooks` must be a dict or a list of dicts, got 5'),
    ('val_evaluator=[1]', r'`val_evaluator` must be a dict or a list of dicts, got \[1\]'),
    ('model.decode_head.num_classes=0', r'`model.decode_head.num_classes` must be at least 1, got 0'),
    ('model.decode_head.num_classes=-1', r'`model.decode_head.num_classes` must be at least 1, got -1'),
    ('model.decode_head.num_classes=1000000000', r'`model.decode_head.num_classes` must be at most 65536, got 1000000000'),
    ('model.decode_head.num_classes=2.5', r'`model.decode_head.num_classes` must be an integer, got 2.5')])
def test_settings_of_another_type_are_named(config, override, words):
    with pytest.raises((TypeError, ValueError), match=words):
        read(config, override)


def test_paths_become_counts_and_the_dump_works_without_the_files(config, tmp_path):
    np.save(tmp_path / 'weights.npy', np.array([1.0, 2.0, 3.0]))
    cfg = read(config, f'model.decode_head.loss_decode.class_weight={tmp_path / "weights.npy"}')
    assert embed_stats(cfg) == []
    for node in (cfg.model.decode_head.loss_decode, cfg.val_evaluator, cfg.test_evaluator):
        assert ClassStats.load(node['stats']).classes == CLASSES
    assert cfg.model.decode_head.loss_decode.class_weight == [1, 2, 3]
    cfg.dump(str(tmp_path / 'dumped.py'))
    assert str(tmp_path) not in (tmp_path / 'dumped.py').read_text().replace(str(cfg.data.data_root), '')
    again = read(tmp_path / 'dumped.py')
    embed_stats(again)
    assert again.model.to_dict() == cfg.model.to_dict()


def test_the_text_of_a_config_is_not_formatted(config, monkeypatch):
    """With the statistics of many classes in it, yapf takes about a second, and every checkpoint holds the text."""
    cfg = read(config)
    embed_stats(cfg)
    for place in ('yapf.yapflib.yapf_api', 'mmengine.config.config'):  # where onedl and openmmlab take it from
        monkeypatch.setattr(f'{place}.FormatCode', None, raising=False)
    text = copy.deepcopy(cfg).pretty_text  # the runner has a copy
    assert Config.fromstring(text, '.py').to_dict() == cfg.to_dict()


def test_lists_of_heads_and_losses_and_schemes_inside_losses(config, tmp_path):
    report = str(tmp_path / 'stats.json')
    (tmp_path / 'weights.json').write_text('[1, 2, 3]')
    cfg = read(config)
    loss = {'type': 'mmimb.CrossEntropyLoss', 'class_weight': {'type': 'mmimb.InverseFrequency', 'stats': report}}
    deferred = {'type': 'mmimb.Deferred', 'weight': str(tmp_path / 'weights.json'), 'begin': 0.5}
    cfg.model = {'decode_head': [{'num_classes': 3, 'loss_decode': [loss, {**loss, 'class_weight': deferred}]}],
                 'auxiliary_head': {'num_classes': 3,
                                    'loss_decode': {'type': 'OutlyingMSELoss', '_scope_': 'mmimb', 'stats': report}}}
    embed_stats(cfg)
    first, second = cfg.model.decode_head[0].loss_decode
    assert first.class_weight.stats.pixels == cfg.model.auxiliary_head.loss_decode.stats.pixels
    assert second.class_weight.weight == [1, 2, 3]


def test_samplers_keep_the_path_and_foreign_types_are_left_alone(config, tmp_path):
    report = str(tmp_path / 'stats.json')
    cfg = read(config)
    cfg.train_dataloader.sampler = {'type': 'mmimb.RareClassSampler', 'stats': report}
    cfg.model.decode_head.loss_decode = {'type': 'CrossEntropyLoss', 'class_weight': 'weights.pkl', 'stats': 'x'}
    embed_stats(cfg)
    assert cfg.train_dataloader.sampler.stats == report
    assert cfg.model.decode_head.loss_decode.stats == 'x'
    cfg.train_dataloader.sampler.stats = 'no.json'
    with pytest.raises(FileNotFoundError, match=r'train_dataloader\.sampler'):
        embed_stats(cfg)


@pytest.mark.parametrize(('changes', 'message'), [
    ({'classes': CLASSES[:2]}, r'model\.decode_head\.loss_decode: `stats` must have the 3 classes of the model, got 2'),
    ({'classes': ('road', 'bus', 'sign')}, "same dataset as the training dataset: class 1 is 'car' there.*'bus'"),
    ({'version': 99}, '`version` must be 1'), ({'pixels': [-1, 1, 1]}, 'pixels'), ({'pixels': ['1', 1, 1]}, 'pixels')])
def test_statistics_that_do_not_fit(config, tmp_path, changes, message):
    make_report(tmp_path / 'stats.json', **changes)
    with pytest.raises((ValueError, TypeError), match=message):
        embed_stats(read(config))


def test_missing_and_unreadable_files_are_named(config, tmp_path):
    (tmp_path / 'stats.json').write_text('{')
    with pytest.raises(ValueError, match=r'stats\.json'):
        embed_stats(read(config))
    (tmp_path / 'stats.json').unlink()
    with pytest.raises(FileNotFoundError, match=r'stats\.json.*no such file'):
        embed_stats(read(config))


def test_class_weights_that_do_not_fit(config):
    for weights, message in (('[1,2]', r'one entry per class \(3\), got 2'), ('w.pkl', 'must be a list or a'),
                             ('none.json', 'existing file')):
        with pytest.raises((ValueError, OSError), match=message):
            embed_stats(read(config, f'model.decode_head.loss_decode.class_weight={weights}'))


def test_losses_are_tried_wherever_they_are(config, tmp_path):
    cfg = read(config)
    check_losses(cfg)
    good = {'type': 'CrossEntropyLoss'}
    cfg.model = {'module': {'decode_head': [{'loss_decode': good}, {'loss_decode': [good, {**good, 'gamma': 1}]}]}}
    with pytest.raises(TypeError, match=r'^model\.module\.decode_head\[1\]\.loss_decode\[1\]: .*gamma'):
        check_losses(cfg)
    cfg.model = {'auxiliary_head': {'loss_decode': {'type': 'DiceLoss', '_scope_': 'mmimb', 'alpha': 1}}}
    with pytest.raises(TypeError, match=r'^model\.auxiliary_head\.loss_decode: `alpha`'):
        check_losses(cfg)
    cfg.model = {'decode_head': {'loss_decode': {'type': torch.nn.MSELoss, 'other': 'not tried'}}, 'backbone': {'type': 'UNet'}}
    check_losses(cfg)


@pytest.mark.parametrize('loss', [{'type': 'mmimb.DiceLoss'},
                                  [{'type': 'mmimb.CrossEntropyLoss'}, {'type': 'mmimb.LovaszLoss'}]])
def test_a_sampler_that_ranks_pixels_by_a_region_loss(config, loss):
    cfg = read(config)
    cfg.model = {'decode_head': {'loss_decode': loss, 'sampler': {'type': 'OHEMPixelSampler', 'min_kept': 9}}}
    with pytest.raises(ValueError, match=r'`sampler` must have a `thresh` beside (Dice|Lovasz)Loss'):
        check_losses(cfg)
    cfg.model.decode_head.sampler.thresh = 0.7
    check_losses(cfg)
    cfg.model.decode_head.sampler = None
    check_losses(cfg)


def test_statistics_of_another_split_are_a_warning(config, tmp_path):
    own = fingerprint(build_split(read(config), 'train'))
    make_report(tmp_path / 'stats.json', provenance={'fingerprint': own})
    assert embed_stats(read(config)) == []
    make_report(tmp_path / 'stats.json', provenance={'fingerprint': 'f' * 64})
    warnings = embed_stats(read(config))
    assert len(warnings) == 1
    assert 'stats.json' in warnings[0]


def test_reading_a_config(tmp_path, config):
    with pytest.raises(FileNotFoundError, match=r'no\.py'):
        read(tmp_path / 'no.py')
    for name, text in (('syntax.py', 'a = ('), ('name.py', 'a = b'), ('base.py', "_base_ = './nowhere.py'"), ('x.txt', '')):
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match='must be a readable config'):
            read(tmp_path / name)
    (tmp_path / 'empty.py').write_text('a = 1')
    with pytest.raises(ValueError, match='must define model, train_cfg'):
        read_config(str(tmp_path / 'empty.py'), required=('model', 'train_cfg'))
    assert read(tmp_path / 'empty.py').default_scope == 'mmseg'
    assert read(config, 'train_cfg.max_iters=3', 'a.b="[1,2]"').a.b == [1, 2]
    for option in ('max_iters', 'param_scheduler.7.end=3'):
        with pytest.raises(ValueError, match='--cfg-options'):
            read(config, option)


def test_work_dir(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = read(config)
    set_work_dir(cfg, str(config), None, below='test')
    assert cfg.work_dir == os.path.join('work_dirs', 'tiny', 'test')
    cfg.work_dir = 'mine'
    set_work_dir(cfg, str(config), None)
    assert cfg.work_dir == 'mine'
    set_work_dir(cfg, str(config), 'given', below='test')
    assert cfg.work_dir == 'given'
    (tmp_path / 'file').touch()
    with pytest.raises(NotADirectoryError, match='file'):
        set_work_dir(cfg, str(config), 'file')


def test_own_hooks_are_added_once(config):
    cfg = read(config)
    cfg.custom_hooks = [{'type': 'PreemptionHook', 'interval': 3}]
    add_own_hooks(cfg)
    add_own_hooks(cfg)
    kinds = [hook['type'] for hook in cfg.custom_hooks]
    assert kinds.count('PreemptionHook') == 1
    assert 'mmimb.PreemptionHook' not in kinds
    assert kinds.count('mmimb.PlainCheckpointHook') == 1


def test_amp_needs_a_gpu_and_a_stock_wrapper(config, monkeypatch):
    import mmimb.engine.config as module
    cfg = read(config)
    monkeypatch.setattr(module, 'has_accelerator', lambda: False)
    with pytest.raises(ValueError, match='`--amp` must run on a GPU'):
        use_amp(cfg)
    monkeypatch.setattr(module, 'has_accelerator', lambda: True)
    use_amp(cfg)
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    assert cfg.optim_wrapper.loss_scale == 'dynamic'
    cfg.optim_wrapper.type = 'Mine'
    with pytest.raises(ValueError, match='Mine'):
        use_amp(cfg)


def test_launchers(config, monkeypatch):
    monkeypatch.setattr(launch, 'has_accelerator', lambda: False)
    for name in ('RANK', 'SLURM_PROCID'):
        monkeypatch.delenv(name, raising=False)
    for name, message in (('none!', 'must be one of'), ('pytorch', 'torchrun.*RANK'), ('slurm', 'srun.*SLURM_PROCID')):
        with pytest.raises(ValueError, match=message):
            launch.prepare_launch(read(config), name)
    monkeypatch.setenv('SLURM_PROCID', '0')
    with pytest.raises(ValueError, match=r'srun.*no SLURM_STEP_NUM_TASKS'):  # a batch script without srun
        launch.prepare_launch(read(config), 'slurm')
    monkeypatch.setenv('OMPI_COMM_WORLD_RANK', '0')
    with pytest.raises(ValueError, match='without a GPU'):
        launch.prepare_launch(read(config), 'mpi')
    cfg = read(config)
    assert '2 settings' in launch.prepare_launch(cfg, 'none')[0]
    assert 'SyncBN' not in json.dumps(cfg.model.to_dict())


@pytest.mark.parametrize(('step_nodes', 'host'), [('1', '127.0.0.1'), ('2', 'a3')])
def test_slurm_tasks_on_cpus(config, monkeypatch, tmp_path, step_nodes, host):
    monkeypatch.setattr(launch, 'has_accelerator', lambda: False)
    for name, value in (('PROCID', '3'), ('LOCALID', '1'), ('STEP_NUM_TASKS', '4'), ('STEP_NUM_NODES', step_nodes),
                        ('STEP_NODELIST', 'a[3-4]'), ('JOB_ID', '7'), ('STEP_ID', '0')):
        monkeypatch.setenv(f'SLURM_{name}', value)
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('PATH', str(tmp_path))
    started = []
    monkeypatch.setattr(torch.distributed, 'init_process_group', lambda backend, timeout: started.append(backend))
    if step_nodes != '1':
        with pytest.raises(ValueError, match=r"`MASTER_ADDR` must be in the environment .* got 'a\[3-4\]'"):
            launch.prepare_launch(read(config), 'slurm')
        scontrol = tmp_path / 'scontrol'
        scontrol.write_text('#!/bin/sh\n[ "$*" = "show hostnames a[3-4]" ] && echo a3 && echo a4\n')
        scontrol.chmod(0o755)
    cfg = read(config)
    launch.prepare_launch(cfg, 'slurm')
    expected = {'RANK': '3', 'LOCAL_RANK': '1', 'WORLD_SIZE': '4', 'MASTER_ADDR': host, 'MASTER_PORT': str(15000 + 31 * 7)}
    assert {name: os.environ[name] for name in expected} == expected
    assert (cfg.launcher, started) == ('slurm', ['gloo'])


def test_gloo_without_a_gpu(config, monkeypatch):
    monkeypatch.setattr(launch, 'has_accelerator', lambda: False)
    for name in launch.REQUIRED['pytorch']:
        monkeypatch.setenv(name, '0')
    started = []
    monkeypatch.setattr(torch.distributed, 'init_process_group', lambda backend, timeout: started.append((backend, timeout)))
    cfg = read(config, 'find_unused_parameters=True', 'env_cfg.dist_cfg.timeout=60')
    launch.prepare_launch(cfg, 'pytorch')
    assert cfg.model_wrapper_cfg == {'type': 'MMDistributedDataParallel', 'device_ids': None, 'broadcast_buffers': False,
                                     'find_unused_parameters': True}
    assert cfg.env_cfg.dist_cfg.backend == 'gloo'
    assert started[0][0] == 'gloo'
    assert started[0][1].total_seconds() == 60
    monkeypatch.setattr(launch, 'has_accelerator', lambda: True)
    cfg = read(config)
    assert launch.prepare_launch(cfg, 'pytorch') == []
    assert 'model_wrapper_cfg' not in cfg
