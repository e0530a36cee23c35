"""Every config in configs/: loads, says only what it should, builds, trains two iterations and evaluates on a small tree."""
from __future__ import annotations

import json
import math
import re
import runpy
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mmseg
import pytest
import torch
from conftest import ROOT
from mmengine import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, MODELS
from support.trees import TREES

from mmimb.engine.config import OWN_HOOKS, add_own_hooks

MMSEG = Path(mmseg.__file__).parent / '.mim/configs'
FILES = sorted((ROOT / 'configs').glob('**/*.py'))
CONFIGS = [path for path in FILES if not {'_base_', 'masks'} & {*path.parts}]  # the latter: test_mask_configs.py
OUTLYING = [path for path in CONFIGS if path.stem.endswith('_outlying-mse')]
ROOTS = [path for path in CONFIGS if path.stem.endswith('_ce-root')]
VARIANT = '_ce$|_ce-root$|_outlying-mse$'
# Trainings below divide all sizes of images and crops by this: seconds instead of minutes.
SHRINK = {'demo': 1, 'camvid': 2, 'magnetic_tile': 2, 'ccp': 2, 'ade20k': 8, 'cityscapes': 16}
LOSS_KEYS = {'mmimb.CrossEntropyLoss': 'loss_cross_entropy', 'mmimb.OutlyingMSELoss': 'loss_outlying_mse'}
NAME = {'ids': lambda path: path.stem}


def load(path: Path) -> Config:
    return Config.fromfile(path)


def flat(value: Any, prefix: str = '') -> dict[str, Any]:
    """Nested dicts and lists as one dict with dotted keys."""
    if not isinstance(value, (dict, list, tuple)):
        return {prefix: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {key: leaf for k, v in items for key, leaf in flat(v, f'{prefix}.{k}' if prefix else str(k)).items()}


def shrink(cfg: Config, factor: int) -> dict[str, Any]:
    """Options that divide the sizes of images and crops of the config."""
    options = {'model.data_preprocessor.size': tuple(n // factor for n in cfg.model.data_preprocessor.size)}
    for split in ('train', 'val', 'test'):
        for i, transform in enumerate(cfg[f'{split}_dataloader'].dataset.pipeline):
            for key in ('scale', 'crop_size'):
                if key in transform:
                    options[f'{split}_dataloader.dataset.pipeline.{i}.{key}'] = tuple(n // factor for n in transform[key])
    return options


def overrides(path: Path) -> dict[str, Any]:
    """All that the test of a training changes: sizes, number of iterations, no download, no workers, smaller checkpoints."""
    cfg = load(path)
    options = shrink(cfg, SHRINK[path.parent.name])
    options.update({'train_cfg.max_iters': 2, 'train_cfg.val_interval': 2, 'train_dataloader.batch_size': 2,
                    'default_hooks.logger.interval': 1, 'default_hooks.checkpoint.save_optimizer': False,
                    'model.backbone.init_cfg': None})
    for split in ('train', 'val', 'test'):
        options.update({f'{split}_dataloader.num_workers': 0, f'{split}_dataloader.persistent_workers': False})
    if 'difficulty' in path.stem:
        options['custom_hooks.0.interval'] = 1
    return options


def run_tool(name: str, *arguments: str) -> None:
    """Run a tool as from the shell, but here, which saves ten seconds of imports."""
    status: Any = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', [name, *arguments])
        try:
            runpy.run_path(str(ROOT / 'tools' / name), run_name='__main__')
        except SystemExit as end:
            status = end.code
    assert not status, f'{name} ended with {status!r}'


@pytest.fixture(scope='module')
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory in which every dataset lies where the configs say, with scanned statistics."""
    folder, threads = tmp_path_factory.mktemp('home'), torch.get_num_threads()
    torch.set_num_threads(1)  # such small trainings gain nothing from a second one, and lose much where it must wait
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for path in {path.parent.name: path for path in CONFIGS}.values():
            root = Path(load(path).data_root)
            TREES[path.parent.name](root)
            run_tool('scan_dataset.py', str(path), '--out', str(root / 'stats.json'), '--workers', '0')
        yield folder
    torch.set_num_threads(threads)
    shutil.rmtree(folder)


def test_there_is_a_pair_for_every_network() -> None:
    assert {path.parent.name for path in CONFIGS} == set(SHRINK) == set(TREES)
    assert len(OUTLYING) >= 5
    for path in CONFIGS:
        for kind in ('_ce', '_ce-root', '_outlying-mse'):
            assert path.with_name(re.sub(f'{VARIANT}|_[a-z-]*difficulty.*$', kind, path.stem) + '.py').is_file()


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(ROOT / 'configs')))
def test_self_contained(path: Path) -> None:
    """No bases elsewhere, no imports, no path of one machine."""
    text = path.read_text(encoding='utf-8')
    assert '::' not in text
    assert not re.search(r'import(?!ance)', re.sub(r'#.*', '', text))
    assert not re.search(r"""['"](/|~|[A-Za-z]:\\|\.\./\.\./)""", text)
    for base in re.findall(r"'([^']*\.py)'", text.split('model')[0]):
        assert (path.parent / base).resolve().is_relative_to(ROOT / 'configs')


@pytest.mark.parametrize('path', CONFIGS, **NAME)
def test_dump_and_reload(path: Path, tmp_path: Path) -> None:
    cfg = load(path)
    cfg.dump(tmp_path / 'dumped.py')
    again = Config.fromfile(tmp_path / 'dumped.py')
    assert again.to_dict() == cfg.to_dict()


@pytest.mark.parametrize('path', CONFIGS, **NAME)
def test_sound(path: Path) -> None:
    """What every run relies on, and what is easily forgotten in a new config."""
    cfg = load(path)
    hook = cfg.default_hooks.checkpoint
    assert cfg.default_scope == 'mmseg'
    assert hook.max_keep_ckpts >= 2
    assert (hook.save_best, hook.rule) == ('mIoU', 'greater')
    add_own_hooks(cfg)
    assert sorted(hook.type for hook in cfg.custom_hooks) == sorted(OWN_HOOKS)
    assert max(scheduler.end for scheduler in cfg.param_scheduler) == cfg.train_cfg.max_iters
    assert cfg.train_cfg.max_iters % cfg.train_cfg.val_interval == 0
    crop = next(t for t in cfg.train_dataloader.dataset.pipeline if t.type == 'RandomCrop')
    assert tuple(cfg.model.data_preprocessor.size) == tuple(crop.crop_size)
    assert cfg.val_evaluator.stats == cfg.test_evaluator.stats == f'{cfg.data_root}/stats.json'
    for split in ('train', 'val', 'test'):
        assert cfg[f'{split}_dataloader'].dataset.data_root == cfg.data_root
    for head in (cfg.model.decode_head, cfg.model.auxiliary_head):
        assert head.num_classes == len(DATASETS.get(cfg.dataset_type).METAINFO['classes'])


@pytest.mark.parametrize('path', OUTLYING, **NAME)
def test_small_diff(path: Path) -> None:
    """An outlying-MSE config differs from its baseline in the losses of both heads and in nothing else."""
    cfg, base = load(path), load(path.with_name(path.name.replace('_outlying-mse', '_ce')))
    new, old = flat(cfg.to_dict()), flat(base.to_dict())
    changed = {key for key in new.keys() | old.keys() if new.get(key) != old.get(key)} - {'stats'}
    assert {key.rsplit('.', 1)[0] for key in changed} == {'model.decode_head.loss_decode', 'model.auxiliary_head.loss_decode'}
    for head in ('decode_head', 'auxiliary_head'):
        loss = cfg.model[head].loss_decode
        assert (loss.type, loss.stats) == ('mmimb.OutlyingMSELoss', cfg.val_evaluator.stats)
        assert loss.get('loss_weight', 1.0) == base.model[head].loss_decode.get('loss_weight', 1.0)
    assert f'--out {loss.stats}' in path.read_text(encoding='utf-8')


@pytest.mark.parametrize('path', ROOTS, **NAME)
def test_the_recipe_is_two_lines(path: Path) -> None:
    """The recommended config differs from its baseline in the class weights of both heads and in nothing else."""
    cfg, base = load(path), load(path.with_name(path.name.replace('_ce-root', '_ce')))
    weight = {'type': 'mmimb.InverseFrequency', 'stats': base.val_evaluator.stats, 'power': 0.5}
    for head in ('decode_head', 'auxiliary_head'):
        assert cfg.model[head].loss_decode.pop('class_weight') == weight
    assert cfg.pop('weight') == weight
    assert cfg.to_dict() == base.to_dict()
    assert f"--out {weight['stats']}" in path.read_text(encoding='utf-8')


@pytest.mark.parametrize('path', [path for path in CONFIGS if 'r50' in path.stem], **NAME)
def test_same_network_as_in_mmseg(path: Path) -> None:
    """Weights of MMSegmentation's model zoo fit: all names and shapes are equal."""
    zoo = next(MMSEG.glob(f'*/{re.sub(VARIANT, "", path.stem)}.py'))
    init_default_scope('mmseg')
    shapes = [{name: value.shape for name, value in MODELS.build(cfg.model).state_dict().items()}
              for cfg in (load(path), load(zoo))]
    assert shapes[0] == shapes[1]


def as_options(path: Path) -> list[str]:
    return ['--cfg-options', *(f'{key}={str(value).replace(" ", "")}' for key, value in overrides(path).items())]


@pytest.mark.parametrize('path', CONFIGS, **NAME)
def test_train_and_evaluate(path: Path, home: Path) -> None:
    """Two iterations and one evaluation through tools/train.py, read back from the run's own log."""
    cfg, work_dir = load(path), home / 'work_dirs' / path.stem
    try:
        run_tool('train.py', str(path), '--work-dir', str(work_dir), *as_options(path))
        lines = next(work_dir.glob('*/vis_data/scalars.json')).read_text(encoding='utf-8').splitlines()
        assert len(list(work_dir.glob('best_mIoU_iter_*.pth'))) == 1
        state = torch.load(work_dir / 'iter_2.pth', map_location='cpu', weights_only=True)
        assert state['meta']['iter'] == 2
    finally:
        shutil.rmtree(work_dir, ignore_errors=True)
    weights = [line for line in lines if line.startswith('{"tau/')]
    assert len(weights) == (2 * 2 if 'difficulty' in path.stem else 0)  # two heads, two iterations
    *steps, scores = (json.loads(line) for line in lines if 'class_weight/' not in line)
    name = LOSS_KEYS[cfg.model.decode_head.loss_decode.type]
    assert len(steps) == 2
    for step in steps:
        assert {key for key in step if 'loss' in key} == {'loss', f'decode.{name}', f'aux.{name}'}
        assert all(math.isfinite(step[key]) and step[key] > 0 for key in step if 'loss' in key)
    assert {'mIoU', 'mAcc', 'aAcc', 'mIoU_head', 'mIoU_medium', 'mIoU_tail'} <= scores.keys()
    assert any(key.startswith('IoU.') for key in scores)
    assert math.isfinite(scores['mIoU'])


def test_the_line_for_tensorboard(home: Path) -> None:
    """The line that the runtime file shows as a comment works as it stands there, and so does save_best='mIoU_tail'."""
    accumulator = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator')
    base = next(path for path in CONFIGS if path.parent.name == 'demo' and path.stem.endswith('_ce'))
    line = re.search('# (visualizer = .*)', (ROOT / 'configs/_base_/runtime.py').read_text(encoding='utf-8'))
    assert line is not None
    child, work_dir = home / 'child.py', home / 'work_dirs/tensorboard'
    child.write_text(f"_base_ = '{base}'\n{line.group(1)}\ndefault_hooks = dict(checkpoint=dict(save_best='mIoU_tail'))\n")
    run_tool('train.py', str(child), '--work-dir', str(work_dir), *as_options(base))
    events = accumulator.EventAccumulator(str(next(work_dir.glob('*/vis_data'))))
    events.Reload()
    assert {'mIoU', 'mIoU_tail', 'IoU.road', 'decode.loss_cross_entropy'} <= set(events.Tags()['scalars'])
    assert len(list(work_dir.glob('best_mIoU_tail_iter_*.pth'))) == 1


@pytest.mark.parametrize('path', [path for path in CONFIGS if path.stem.endswith('_ce')], **NAME)
def test_time_augmentation_pipeline(path: Path, home: Path) -> None:
    """tta_pipeline gives every scale with and without a flip, and labels."""
    cfg = load(path)
    init_default_scope('mmseg')
    sample = DATASETS.build({**cfg.test_dataloader.dataset, 'pipeline': cfg.tta_pipeline})[0]
    ratios = cfg.tta_pipeline[1].transforms[0]
    assert len(sample['inputs']) == len(sample['data_samples']) == 2 * len(ratios)
    assert all('gt_sem_seg' in s for s in sample['data_samples'])
