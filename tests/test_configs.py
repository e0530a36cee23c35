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

import pytest
import torch
from conftest import ROOT
from mmengine import Config, visualization
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from support.trees import TREES
from support.zoo import ZOO

from mmimb.engine.config import OWN_HOOKS, add_own_hooks
from mmimb.stats import known_names

FILES = sorted((ROOT / 'configs').glob('**/*.py'))
CONFIGS = [path for path in FILES if not {'_base_', 'masks'} & {*path.parts}]  # the latter: test_mask_configs.py
OUTLYING = [path for path in CONFIGS if path.stem.endswith('_outlying-mse')]
ROOTS = [path for path in CONFIGS if path.stem.endswith('_ce-root')]
VARIANT = '_ce$|_ce-root$|_outlying-mse$'
# Trainings below divide all sizes of images and crops by this: seconds instead of minutes.
SHRINK = {'demo': 1, 'camvid': 2, 'magnetic_tile': 2, 'ccp': 2, 'ade20k': 8, 'cityscapes': 16, 'pascal_context': 8,
          'coco_stuff164k': 8}
PIDNET = 8  # its pyramid wants 1/64 of the crop
# Fewer blocks of the same kind, by the type of the backbone.
SHALLOW = {
    'HRNet': {f'extra.stage{k}.{key}': value for k in range(1, 5)
              for key, value in (('num_modules', 1), ('num_blocks', (1, ) * k))},
    'MixVisionTransformer': {'num_layers': [1, 1, 1, 1]}, 'SwinTransformer': {'depths': [1, 1, 1, 1]},
    'MSCAN': {'depths': [1, 1, 1, 1]}}
WIDE = ('PSPHead', 'UPerHead', 'DepthwiseSeparableASPPHead')  # heads of 512 channels: 32 do
# Of the zoo, every run trains these; --zoo trains all (.ci/run does).
EVERY_RUN = tuple(f'{name}_ce-root' for name in (
    'fcn_hr18_4xb2-80k_cityscapes-512x1024', 'ocrnet_hr18_4xb2-80k_cityscapes-512x1024',
    'pidnet-s_2xb6-120k_1024x1024-cityscapes', 'segformer_mit-b0_8xb1-160k_cityscapes-1024x1024',
    'segnext_mscan-t_1xb16-adamw-160k_ade20k-512x512', 'upernet_r50_4xb4-160k_ade20k-512x512',
    'swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512',
    'deeplabv3plus_r50-d8_4xb4-80k_pascal-context-59-480x480', 'pspnet_r50-d8_4xb4-160k_coco-stuff164k-512x512'))
LOSS_KEYS = {'mmimb.CrossEntropyLoss': 'loss_cross_entropy', 'mmimb.OutlyingMSELoss': 'loss_outlying_mse'}
NAME = {'ids': lambda path: path.stem}


def load(path: Path) -> Config:
    return Config.fromfile(path)


def heads(cfg: Config) -> dict[str, Any]:
    """Every head of the model by its place."""
    return {f'{name}.{k}': head for name in ('decode_head', 'auxiliary_head') if name in cfg.model
            for k, head in enumerate(cfg.model[name] if isinstance(cfg.model[name], list) else [cfg.model[name]])}


def losses(cfg: Config) -> dict[str, Any]:
    """Every loss of the model by its place."""
    return {f'{place}.{k}': loss for place, head in heads(cfg).items()
            for k, loss in enumerate(head.loss_decode if isinstance(head.loss_decode, list) else [head.loss_decode])}


def family(path: Path) -> str:
    """The network of a config of the zoo, without the size of its backbone."""
    return re.sub('-b[05]', '', re.split(r'_\d+xb', path.stem)[0])


def flat(value: Any, prefix: str = '') -> dict[str, Any]:
    """Nested dicts and lists as one dict with dotted keys."""
    if not isinstance(value, (dict, list, tuple)):
        return {prefix: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {key: leaf for k, v in items for key, leaf in flat(v, f'{prefix}.{k}' if prefix else str(k)).items()}


def shrink(cfg: Config, factor: int) -> dict[str, Any]:
    """Options that divide the sizes of images and crops of the config."""
    options = {'model.data_preprocessor.size': tuple(n // factor for n in cfg.model.data_preprocessor.size)}
    for key in ('crop_size', 'stride'):
        if key in cfg.model.test_cfg:
            options[f'model.test_cfg.{key}'] = tuple(n // factor for n in cfg.model.test_cfg[key])
    for split in ('train', 'val', 'test'):
        for i, transform in enumerate(cfg[f'{split}_dataloader'].dataset.pipeline):
            for key in ('scale', 'crop_size'):
                if key in transform:
                    options[f'{split}_dataloader.dataset.pipeline.{i}.{key}'] = tuple(n // factor for n in transform[key])
    return options


def overrides(path: Path) -> dict[str, Any]:
    """All that the test of a training changes: sizes, number of iterations, no download, no workers, smaller checkpoints."""
    cfg = load(path)
    options = shrink(cfg, PIDNET if cfg.model.backbone.type == 'PIDNet' else SHRINK[path.parent.name])
    options.update({f'model.backbone.{key}': value for key, value in SHALLOW.get(cfg.model.backbone.type, {}).items()})
    if isinstance(cfg.model.decode_head, dict) and cfg.model.decode_head.type in WIDE:
        options['model.decode_head.channels'] = 32
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
            cfg = load(path)
            root = Path(cfg.data_root)
            TREES[path.parent.name](root)
            if not cfg.val_evaluator.stats.startswith('mmimb::'):
                run_tool('scan_dataset.py', str(path), '--out', str(root / 'stats.json'), '--workers', '0')
        yield folder
    torch.set_num_threads(threads)
    shutil.rmtree(folder)


def test_there_is_a_pair_for_every_network() -> None:
    assert {path.parent.name for path in CONFIGS} == set(SHRINK) == set(TREES)
    assert len(OUTLYING) >= 5
    for path in CONFIGS:
        kinds = ('_ce', '_ce-root') if path.parent.name in ZOO else ('_ce', '_ce-root', '_outlying-mse')
        for kind in kinds:
            assert path.with_name(re.sub(f'{VARIANT}|_[a-z-]*difficulty.*$', kind, path.stem) + '.py').is_file()


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(ROOT / 'configs')))
def test_self_contained(path: Path) -> None:
    """No bases elsewhere, no imports, no path of one machine."""
    text = path.read_text(encoding='utf-8')
    assert '::' not in re.sub(r"stats ?= ?'mmimb::\w+'", '', text)
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
    stats = f'mmimb::{path.parent.name}'
    expected = stats if stats in known_names() else f'{cfg.data_root}/stats.json'
    assert cfg.val_evaluator.stats == cfg.test_evaluator.stats == expected
    for split in ('train', 'val', 'test'):
        assert cfg[f'{split}_dataloader'].dataset.data_root == cfg.data_root
    for head in heads(cfg).values():
        assert head.num_classes == len(DATASETS.get(cfg.dataset_type).METAINFO['classes'])


def says_how_to_scan(path: Path, stats: str) -> bool:
    """Whether the comment names the report to write, which published counts do not need."""
    text = path.read_text(encoding='utf-8')
    return 'scan_dataset' not in text if stats.startswith('mmimb::') else f'--out {stats}' in text


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
    assert says_how_to_scan(path, loss.stats)


@pytest.mark.parametrize('path', ROOTS, **NAME)
def test_the_recipe_is_two_lines(path: Path) -> None:
    """The recommended config differs from its baseline in the class weights of all heads and in nothing else."""
    cfg, base = load(path), load(path.with_name(path.name.replace('_ce-root', '_ce')))
    weight = {'type': 'mmimb.InverseFrequency', 'stats': base.val_evaluator.stats, 'power': 0.5}
    weighted = {place: loss.pop('class_weight') for place, loss in losses(cfg).items() if 'class_weight' in loss}
    assert all(value == weight for value in weighted.values())
    assert weighted.keys() == {place for place, loss in losses(base).items() if loss.type != 'BoundaryLoss'}
    assert cfg.pop('weight') == weight
    for loss in losses(base).values():
        loss.pop('class_weight', None)  # PIDNet's own
    assert cfg.to_dict() == base.to_dict()
    assert says_how_to_scan(path, base.val_evaluator.stats)


def as_options(path: Path) -> list[str]:
    return ['--cfg-options', *(f'{key}={str(value).replace(" ", "")}' for key, value in overrides(path).items())]


def loss_keys(cfg: Config) -> set[str]:
    """The keys of the losses in the log, as the heads of this config name them."""
    stages = isinstance(cfg.model.decode_head, list)
    if not stages and cfg.model.decode_head.type == 'PIDHead':
        return {'decode.loss_sem_p', 'decode.loss_sem_i', 'decode.loss_bd', 'decode.loss_sem_bd'}
    prefix = {'decode_head': 'decode', 'auxiliary_head': 'aux'}
    return {f"{prefix[name]}{f'_{place}' if stages else ''}.{LOSS_KEYS[head.loss_decode.type]}"
            for (name, place), head in ((key.split('.'), head) for key, head in heads(cfg).items())}


def test_the_lines_for_other_backends(tmp_path: Path) -> None:
    """The backends of docs/cluster.md take these arguments; their packages are needed when a run starts."""
    text = (ROOT / 'docs/cluster.md').read_text(encoding='utf-8')
    lines = [Config.fromstring(line, '.py').visualizer.vis_backends for line in re.findall('^visualizer = .*', text, re.M)]
    kinds = [backend.type for backends in lines for backend in backends if backend.type != 'LocalVisBackend']
    assert kinds == ['TensorboardVisBackend', 'WandbVisBackend', 'MLflowVisBackend']
    for backend in (backend for backends in lines for backend in backends):
        getattr(visualization, backend.pop('type'))(save_dir=str(tmp_path), **backend)


def one_per_dataset_file() -> list[Path]:
    """A baseline for every file of ``_base_/datasets`` that one names."""
    named = {re.findall(r'_base_/datasets/(\w+)', path.read_text(encoding='utf-8'))[0]: path for path in CONFIGS
             if path.stem.endswith('_ce')}
    return list(named.values())


def trained(path: Path) -> Any:
    """A config to train: in every run, or of the zoo and marked."""
    return path if path.parent.name not in ZOO or path.stem in EVERY_RUN else pytest.param(path, marks=pytest.mark.zoo)


def test_every_run_trains_each_family_on_each_dataset_of_the_zoo() -> None:
    paths = [path for path in CONFIGS if path.parent.name in ZOO]
    chosen = [path for path in paths if path.stem in EVERY_RUN]
    assert len(chosen) == len(EVERY_RUN)
    assert {family(path) for path in chosen} == {family(path) for path in paths}
    assert {path.parent.name for path in chosen} == set(ZOO)


@pytest.mark.parametrize('path', map(trained, CONFIGS), **NAME)
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
    assert len(steps) == 2
    for step in steps:
        assert {key for key in step if 'loss' in key} == {'loss', *loss_keys(cfg)}
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


@pytest.mark.parametrize('path', one_per_dataset_file(), **NAME)
def test_time_augmentation_pipeline(path: Path, home: Path) -> None:
    """tta_pipeline gives every scale with and without a flip, and labels."""
    cfg = load(path)
    init_default_scope('mmseg')
    sample = DATASETS.build({**cfg.test_dataloader.dataset, 'pipeline': cfg.tta_pipeline})[0]
    ratios = cfg.tta_pipeline[1].transforms[0]
    assert len(sample['inputs']) == len(sample['data_samples']) == 2 * len(ratios)
    assert all('gt_sem_seg' in s for s in sample['data_samples'])
