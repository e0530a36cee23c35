"""What is found, and what is let through, before a run starts: evaluators, one-channel heads, bases, imports, empty data."""
from __future__ import annotations

import os
import subprocess
import sys
from typing import ClassVar

import pytest
from conftest import ROOT
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS, MODELS, TRANSFORMS
from support.tiny_run import CLASSES, environment, error_line, make_config, make_dataset, make_report, refused, tool

from mmimb.engine.check_classes import check_classes
from mmimb.engine.config import read_config
from mmimb.engine.embed_stats import embed_stats
from mmimb.engine.errors import one_line_errors
from mmimb.engine.evaluators import check_evaluators
from mmimb.scan import build_split

NO_VALIDATION = 'val_dataloader = val_evaluator = val_cfg = None\n'


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp('start') / 'data')


@pytest.fixture
def tiny_config(tmp_path, root):
    return make_config(tmp_path / 'tiny.py', root, make_report(tmp_path / 'stats.json'))


def checked(config, *overrides: str) -> list[str]:
    return check_evaluators(read_config(str(config), overrides=overrides))


@pytest.mark.parametrize('key', ['mIoU', 'mIoU_tail', 'IoU.sign', 'Acc.car', 'Precision.road', 'auto'])
def test_keys_that_save_best_can_use(tiny_config, key) -> None:
    assert checked(tiny_config, f'default_hooks.checkpoint.save_best={key}') == []


@pytest.mark.parametrize(('key', 'near'), [('mIoU_tial', 'mIoU_tail'), ('IoU.sing', 'IoU.sign'), ('miou', 'mIoU')])
def test_an_unknown_key_of_save_best_is_refused_with_the_nearest(tiny_config, key, near) -> None:
    with pytest.raises(ValueError, match=rf"`default_hooks\.checkpoint\.save_best` must .*got '{key}'; did you mean '{near}'"):
        checked(tiny_config, f'default_hooks.checkpoint.save_best={key}')
    line = error_line(refused('train.py', tiny_config, '--cfg-options', f'default_hooks.checkpoint.save_best={key}'))
    assert near in line
    with pytest.raises(ValueError, match='need `stats` or `groups`'):
        checked(tiny_config, 'val_evaluator.stats=None', 'default_hooks.checkpoint.save_best=mIoU_tail')


def test_an_evaluator_of_another_package_may_give_any_key(tiny_config) -> None:
    from mmengine.evaluator import BaseMetric
    cfg = read_config(str(tiny_config), overrides=['default_hooks.checkpoint.save_best=Surface'])
    cfg.val_evaluator = [cfg.val_evaluator, {'type': type('SurfaceMetric', (BaseMetric, ), {})}]
    warning, = check_evaluators(cfg)
    assert 'SurfaceMetric' in warning
    assert "'Surface'" in warning


def test_own_evaluators_and_loops_give_keys_in_their_own_way(tiny_config) -> None:
    from mmengine.evaluator import Evaluator
    twice = [{'type': 'IoUMetric'}, {'type': 'IoUMetric'}]
    for kind, loop, checks in (('Evaluator', 'ValLoop', True), (type('PerSetEvaluator', (Evaluator, ), {}), 'ValLoop', False),
                               ('Evaluator', 'PerSetLoop', False)):
        cfg = read_config(str(tiny_config), overrides=['default_hooks.checkpoint.save_best=city/mIoU'])
        cfg.val_evaluator, cfg.val_cfg = dict(type=kind, metrics=twice), dict(type=loop)
        if checks:
            with pytest.raises(ValueError, match='must give every key once'):
                check_evaluators(cfg)
        else:
            assert check_evaluators(cfg) == []


@pytest.mark.parametrize(('override', 'words'), [
    ('default_hooks.checkpoint.save_best=3', r'`default_hooks.checkpoint.save_best` must be a key or a list of keys, got 3'),
    ('val_evaluator={"type":"IoUMetric","iou_metrics":3}', '`iou_metrics` of IoUMetric must be a list of names, got 3')])
def test_keys_of_another_type_are_named(tiny_config, override, words) -> None:
    cfg = read_config(str(tiny_config))
    if 'iou' in override:
        cfg.val_evaluator = dict(type='IoUMetric', iou_metrics=3)
    else:
        cfg.default_hooks.checkpoint.save_best = 3
    with pytest.raises(TypeError, match=words):
        check_evaluators(cfg)


def test_equal_keys_of_two_evaluators(tiny_config) -> None:
    cfg = read_config(str(tiny_config))
    ours, stock = dict(cfg.val_evaluator), {'type': 'IoUMetric', 'iou_metrics': ['mDice']}
    cfg.val_evaluator = [ours, stock]
    with pytest.raises(ValueError, match=r"`val_evaluator` must .*'aAcc' of mmimb.LongTailIoUMetric and of IoUM.*`prefix`"):
        check_evaluators(cfg)
    cfg.test_evaluator = cfg.val_evaluator
    with pytest.raises(ValueError, match='`test_evaluator` must'):
        check_evaluators(cfg, 'test')
    for good in ({**stock, 'prefix': 'mmseg'}, {**stock, 'format_only': True, 'output_dir': 'x'}):
        cfg.val_evaluator = [ours, good]
        assert check_evaluators(cfg) == []
    cfg.val_evaluator = {**ours, 'iou_metrics': ['mIoU', 'mDice']}
    cfg.default_hooks.checkpoint.save_best = 'Dice.sign'
    assert check_evaluators(cfg) == []


def test_keys_of_mmsegs_metrics_are_those_it_gives(tiny_config) -> None:
    import torch
    from mmseg.evaluation import IoUMetric

    from mmimb.engine.evaluators import _stock_keys
    for wanted in (['mIoU'], ['mDice'], ['mFscore'], ['mIoU', 'mDice', 'mFscore']):
        metric = IoUMetric(iou_metrics=wanted)
        metric.dataset_meta = {'classes': CLASSES}
        label = torch.tensor([[[0, 1, 2]]])
        metric.process(None, [{'pred_sem_seg': {'data': label}, 'gt_sem_seg': {'data': label}}])
        assert {*metric.evaluate(1)} == {*_stock_keys('IoUMetric', {'iou_metrics': wanted})}


def test_class_weights_of_a_head_with_one_channel(tmp_path, root) -> None:
    config = make_config(tmp_path / 'tiny.py', root, make_report(tmp_path / 'stats.json'), '''
classes = ('ground', 'thing')
data['metainfo'] = dict(classes=classes)
model['decode_head'].update(num_classes=1, loss_decode=dict(type='mmimb.BinaryCrossEntropyLoss', class_weight=[1.0, 3.0]))
''')
    cfg = read_config(str(config))
    cfg.val_evaluator.stats = cfg.test_evaluator.stats = None
    embed_stats(cfg)
    assert cfg.model.decode_head.loss_decode.class_weight == [1.0, 3.0]
    import torch
    loss = MODELS.build(cfg.model.decode_head.loss_decode)
    logits, label = torch.zeros(1, 1, 2, 2), torch.tensor([[[0, 1], [1, 255]]])
    assert float(loss(logits, label)) == pytest.approx(0.6931472 * (1 + 3 + 3) / 3)
    two = make_report(tmp_path / 'two.json', classes=('ground', 'thing'))
    cfg.model.decode_head.loss_decode.class_weight = {'type': 'mmimb.InverseFrequency', 'stats': str(two)}
    cfg.train_dataloader.dataset.metainfo = dict(classes=('ground', 'thing'))
    embed_stats(cfg)
    for wrong in ([2.0], [1.0, 2.0, 3.0]):
        cfg.model.decode_head.loss_decode.class_weight = wrong
        with pytest.raises(ValueError, match=r'2 entries for a head with one channel.*num_classes=2, out_channels=1'):
            embed_stats(cfg)
    one = make_report(tmp_path / 'one.json', classes=('thing', ))
    cfg.model.decode_head.loss_decode.class_weight = {'type': 'mmimb.InverseFrequency', 'stats': str(one)}
    with pytest.raises(ValueError, match=r'2 classes of a head with one channel.*num_classes=2, out_channels=1'):
        embed_stats(cfg)


def test_a_base_of_mmseg_on_either_stack(tmp_path) -> None:
    config = tmp_path / 'child.py'
    config.write_text("_base_ = ['mmseg::_base_/models/fcn_r50-d8.py', 'mmseg::_base_/schedules/schedule_20k.py']\n")
    code = f'from mmimb.engine.config import read_config; print(read_config({str(config)!r}).model.decode_head.type)'
    result = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], env=environment(), capture_output=True, text=True,
                            check=False)
    assert result.stdout.strip().endswith('FCNHead'), result.stderr


@pytest.mark.parametrize('beside', ['config', 'folder'])
def test_custom_imports_beside_the_config_and_in_the_current_folder(tmp_path, root, beside) -> None:
    (tmp_path / 'sub/configs').mkdir(parents=True)
    package = tmp_path / ('sub/configs' if beside == 'config' else '') / 'own_parts'
    package.mkdir()
    (package / '__init__.py').write_text('from . import sets\n')
    (package / 'sets.py').write_text('from mmseg.datasets import BaseSegDataset\nfrom mmseg.registry import DATASETS\n'
                                     '@DATASETS.register_module()\nclass ImportedSet(BaseSegDataset):\n    pass\n')
    make_config(tmp_path / 'sub/configs/c.py', root, make_report(tmp_path / 'stats.json'),
                NO_VALIDATION + "data['type'] = 'ImportedSet'\ntrain_dataloader['dataset']['type'] = 'ImportedSet'\n"
                "custom_imports = dict(imports=['own_parts'], allow_failed_imports=False)\n")
    result = tool('scan_dataset.py', 'sub/configs/c.py', '--out', 'r.json', '--workers', '2', cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / 'r.json').is_file()
    result = tool('doctor.py', 'sub/configs/c.py', '--only', 'config', cwd=tmp_path)
    assert result.returncode == 0, result.stdout


def test_modules_of_the_current_folder_never_hide_pythons_own(tmp_path, root, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', [*sys.path])
    config = make_config(tmp_path / 'tiny.py', root, make_report(tmp_path / 'stats.json'))
    read_config(str(config))
    at = sys.path.index(str(tmp_path))
    assert at > sys.path.index(os.path.dirname(os.__file__))
    assert sys.path[at + 1].endswith('-packages') or at == len(sys.path) - 1


def test_an_import_that_fails_is_one_short_line(tmp_path) -> None:
    (tmp_path / 'c.py').write_text("custom_imports = dict(imports=['no_such_parts'], allow_failed_imports=False)\n")
    line = error_line(refused('train.py', tmp_path / 'c.py'))
    assert "No module named 'no_such_parts'" in line
    assert len(line) < 300


def test_names_that_the_terminal_cannot_print(tmp_path, root) -> None:
    config = make_config(tmp_path / 'tiny.py', root, make_report(tmp_path / 'stats.json'), NO_VALIDATION + '''
train_dataloader['dataset']['metainfo'] = dict(classes=('Straße', '車', 'sign'))
''')
    result = tool('scan_dataset.py', config, '--out', 'r.json', '--workers', '0', cwd=tmp_path, PYTHONIOENCODING='ascii')
    assert result.returncode == 0, result.stderr
    assert '\\u8eca' in result.stdout


@DATASETS.register_module()
class NothingFoundSet(BaseSegDataset):
    def load_data_list(self) -> list[dict]:
        return []


@DATASETS.register_module()
class PlainNothingSet(BaseDataset):
    def load_data_list(self) -> list[dict]:
        return []


@TRANSFORMS.register_module()
class NeedsGdal:
    def __init__(self) -> None:
        raise RuntimeError('gdal is not installed')


@pytest.mark.parametrize('kind', ['NothingFoundSet', 'PlainNothingSet'])
@pytest.mark.parametrize('wrapped', [False, True])
def test_an_empty_dataset_of_another_class_says_where_it_looked(root, kind, wrapped, capsys) -> None:
    dataset = dict(type=kind, data_root=str(root), data_prefix=dict(img_path='images', seg_map_path='labels'), pipeline=[],
                   ann_file='list.txt')
    dataset = dict(type='RepeatDataset', times=2, dataset=dataset) if wrapped else dataset
    with pytest.raises(SystemExit) as caught, one_line_errors():
        build_split(Config(dict(train_dataloader=dict(dataset=dataset))))
    assert caught.value.code == 2
    line = capsys.readouterr().err
    assert line.startswith(f'error: `dataset` must have at least one image, got an empty {kind} (')
    assert str(root / 'list.txt') in line
    assert str(root / 'images') in line
    assert line.count('\n') == 1


@pytest.mark.parametrize('build', [
    lambda: TRANSFORMS.build(dict(type='NeedsGdal')),
    lambda: MODELS.build(dict(type='FCNHead', num_convs=-1, in_channels=4, channels=4, num_classes=3)),  # an assertion
    lambda: exec("raise RuntimeError('Please install onedl-mmcv for sigmoid_focal_loss ops. E.g. ...')", {}),
])
def test_missing_packages_and_refusals_of_mmseg_are_one_line(build, capsys) -> None:
    with pytest.raises(SystemExit) as caught, one_line_errors():
        build()
    assert caught.value.code == 2
    line = capsys.readouterr().err
    assert line.startswith('error: ')
    assert line.count('\n') == 1
    assert len(line) > 10


def test_a_bug_of_a_users_class_keeps_its_traceback() -> None:
    class Buggy:
        def __init__(self) -> None:
            self.missing  # noqa: B018

    with pytest.raises(AttributeError), one_line_errors():
        TRANSFORMS.build(dict(type=Buggy))


def test_gdal_is_missing_in_every_tool(tmp_path, root) -> None:
    config = make_config(tmp_path / 'tiny.py', root, make_report(tmp_path / 'stats.json'), '''
load = [dict(type='LoadSingleRSImageFromFile'), *load[1:]]
for loader in (train_dataloader, val_dataloader, test_dataloader):
    loader['dataset']['pipeline'] = load
''')
    try:
        from osgeo import gdal  # noqa: F401
        pytest.skip('gdal is there')
    except ImportError:
        pass
    for name in ('train.py', 'scan_dataset.py'):
        assert 'gdal' in error_line(refused(name, config))
    result = tool('doctor.py', config, '--only', 'config', cwd=ROOT)
    assert result.returncode == 1
    assert 'gdal' in result.stdout


def classes_checked(config, *overrides: str) -> list[str]:
    return check_classes(read_config(str(config), overrides=overrides))


def test_heads_with_another_number_of_classes(tiny_config, tmp_path, root) -> None:
    assert classes_checked(tiny_config) == []
    warning, = classes_checked(tiny_config, 'model.decode_head.num_classes=5')
    assert '`model.decode_head.num_classes` is 5' in warning
    assert 'has 3 classes' in warning
    with pytest.raises(ValueError, match=r'`model\.decode_head\.num_classes` must be above .*got 2 and label 2 in .*labels'):
        classes_checked(tiny_config, 'model.decode_head.num_classes=2')
    stock = make_config(tmp_path / 'stock.py', root, tmp_path / 'stats.json',
                        "model['decode_head'].update(num_classes=2, loss_decode=dict(type='CrossEntropyLoss'))\n")
    assert 'label 2 in' in error_line(refused('train.py', stock))
    ignored = ('model.decode_head.num_classes=2', 'model.decode_head.ignore_index=2')
    with pytest.raises(ValueError, match='label 255'):
        classes_checked(tiny_config, *ignored)


@DATASETS.register_module()
class EntriesSet(BaseDataset):
    METAINFO: ClassVar = dict(classes=CLASSES)

    def load_data_list(self) -> list[dict]:
        folders = [os.path.join(self.data_root, name) for name in ('images', 'labels')]
        return [dict(img_path=f'{folders[0]}/{i}.png', seg_map_path=f'{folders[1]}/{i}.png', label_map=None, seg_fields=[],
                     reduce_zero_label=False) for i in range(8)]


def test_classes_of_a_dataset_that_is_no_basesegdataset(tmp_path, root) -> None:
    config = make_config(tmp_path / 'entries.py', root, make_report(tmp_path / 'stats.json'), f"""
train_dataloader['dataset'] = dict(type='EntriesSet', data_root={str(root)!r}, pipeline=load)
model['decode_head']['num_classes'] = 2
""")
    with pytest.raises(ValueError, match=r'`model\.decode_head\.num_classes` must be above .*got 2 and label 2 in .*labels'):
        classes_checked(config)


def test_heads_with_fewer_classes_that_still_train(tmp_path) -> None:
    """The last class has no labels, as in Mapillary; an auxiliary head tells edges from the rest, as in STDC."""
    import cv2
    root = make_dataset(tmp_path / 'data')
    for file in (root / 'labels').iterdir():
        label = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        label[label == 2] = 1
        cv2.imwrite(str(file), label)
    config = make_config(tmp_path / 'tiny.py', root, make_report(tmp_path / 'stats.json'), '''
model['decode_head'] = [dict(model['decode_head'], num_classes=2), dict(model['decode_head'], num_classes=2)]
model['auxiliary_head'] = dict(model['decode_head'][0], num_classes=1)
''')
    warnings = classes_checked(config)
    assert [one.split()[0] for one in warnings] == [f'`model.decode_head[{i}].num_classes`' for i in (0, 1)]
    two = make_config(tmp_path / 'two.py', make_dataset(tmp_path / 'other'), tmp_path / 'stats.json', '''
model['decode_head'] = [dict(model['decode_head'], num_classes=2), dict(model['decode_head'], num_classes=3)]
''')
    warning, = classes_checked(two)  # it does not predict
    assert 'decode_head[0]' in warning
