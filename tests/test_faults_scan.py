"""Counting what training sees: datasets of other classes, and transforms that change labels after they are loaded."""
from __future__ import annotations

import json
import random

import numpy as np
import pytest
from mmcv.transforms import BaseTransform
from mmengine.dataset import BaseDataset
from mmseg.registry import DATASETS, TRANSFORMS
from support.scanning import build, leaf, write_pair
from support.tiny_run import error_line, make_config, make_dataset, make_report, refused, tool
from torch.utils.data import Dataset

from mmimb.scan import build_split, scan_dataset
from mmimb.scan.audit import add_crop_findings
from mmimb.scan.crops import count_crops

LOAD, LABEL, PACK = dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')
LABELS = {'x': [[0, 0, 1, 2], [2, 2, 3, 255]], 'y': [[3, 3, 3, 0], [1, 1, 0, 0]], 'z': [[1, 2, 255, 255], [0, 0, 0, 3]]}

META = {'classes': ('a', 'b', 'c', 'd')}


@TRANSFORMS.register_module()
class MergeClasses(BaseTransform):
    """Classes 2 and 3 become 1."""

    def transform(self, results: dict) -> dict:
        labels = results['gt_seg_map']
        results['gt_seg_map'] = np.where((labels == 2) | (labels == 3), 1, labels).astype(labels.dtype)
        return results


@TRANSFORMS.register_module()
class DarkIsIgnored(BaseTransform):
    """Needs the image."""

    def transform(self, results: dict) -> dict:
        labels = results['gt_seg_map'].copy()
        labels[results['img'].sum(-1) < 60] = 255
        return {**results, 'gt_seg_map': labels}


@TRANSFORMS.register_module()
class FlipsLabels(BaseTransform):
    def transform(self, results: dict) -> dict:
        if random.random() < 0.5:
            results['gt_seg_map'] = 3 - results['gt_seg_map']
        return results


@TRANSFORMS.register_module()
class HalvesLabels(BaseTransform):
    def transform(self, results: dict) -> dict:
        results['gt_seg_map'] = results['gt_seg_map'][::2]
        return results


@TRANSFORMS.register_module()
class BrightensImage(BaseTransform):
    def transform(self, results: dict) -> dict:
        results['img'] = np.clip(results['img'].astype(int) + np.random.randint(9), 0, 255).astype(np.uint8)  # noqa: NPY002
        return results


@TRANSFORMS.register_module()
class OwnLoader(BaseTransform):
    """No relative of LoadAnnotations; reads the class from colours."""

    def transform(self, results: dict) -> dict:
        from PIL import Image
        results['gt_seg_map'] = np.array(Image.open(results['seg_map_path'])) % 2
        results['seg_fields'].append('gt_seg_map')
        return results


@TRANSFORMS.register_module()
class RarelyFlips(BaseTransform):
    """Random on one label that no probe sees."""

    def transform(self, results: dict) -> dict:
        if 'odd' in results['seg_map_path']:
            results['gt_seg_map'] = np.random.permutation(results['gt_seg_map'].ravel()).reshape(2, 4)  # noqa: NPY002
        return results


@DATASETS.register_module()
class ItemsSet(BaseDataset):
    """No BaseSegDataset; its entries carry what LoadAnnotations reads, labels of odd images begin at 1."""

    METAINFO = META
    extra: tuple = ('reduce_zero_label', 'seg_fields')

    def load_data_list(self) -> list[dict]:
        root = self.data_root
        return [{'img_path': f'{root}/images/train/{n}.jpg', 'seg_map_path': f'{root}/annotations/train/{n}.png',
                 'label_map': {3: 0} if n == 'z' else None,
                 **{key: {'reduce_zero_label': False, 'seg_fields': []}[key] for key in self.extra}} for n in sorted(LABELS)]


@DATASETS.register_module()
class BareItemsSet(ItemsSet):
    extra = ()


@DATASETS.register_module()
class PathlessSet(ItemsSet):
    def load_data_list(self) -> list[dict]:
        return [{key: value for key, value in one.items() if key != 'seg_map_path'} for one in super().load_data_list()]


@DATASETS.register_module()
class TorchSet(Dataset):
    def __init__(self, root: str = '') -> None:
        self.root = root

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict:
        import torch
        from mmengine.structures import PixelData
        from mmseg.structures import SegDataSample
        sample = SegDataSample(gt_sem_seg=PixelData(data=torch.full((1, 64, 64), index % 3)))
        sample.set_metainfo(dict(img_shape=(64, 64), ori_shape=(64, 64)))
        return dict(inputs=torch.zeros(3, 64, 64, dtype=torch.uint8), data_samples=sample)


@pytest.fixture
def root(tmp_path):
    for name, rows in LABELS.items():
        write_pair(tmp_path, name, np.array(rows, np.uint8))
    return tmp_path


def oracle(root, steps, ignored=255, classes=4) -> list[int]:
    """Count what the pipeline gives, without the scanner."""
    dataset = build(leaf(root, pipeline=steps))
    total = np.zeros(classes, int)
    for at in range(len(dataset)):
        labels = np.asarray(dataset[at]['data_samples'].gt_sem_seg.data)
        total += [(labels == c).sum() for c in range(classes)]
    return total.tolist()


def scan(root, *steps, **arguments):
    return scan_dataset(build(leaf(root, pipeline=[*steps, PACK], **arguments)), 0, 'train')


def notes(found) -> str:
    return ' '.join(one['detail'] for one in found.audit.get('not_checked', {'files': []})['files'])


@pytest.mark.parametrize('steps', [
    [LOAD, LABEL, dict(type='MergeClasses')], [LABEL, dict(type='MergeClasses')],
    [LOAD, LABEL, dict(type='DarkIsIgnored')], [LOAD, LABEL, dict(type='MergeClasses'), dict(type='DarkIsIgnored')],
    [LOAD, LABEL, dict(type='BrightensImage'), dict(type='MergeClasses')], [LOAD, dict(type='OwnLoader')],
    [LOAD, dict(type='OwnLoader'), dict(type='MergeClasses')],
])
def test_own_transforms_are_counted_through(root, steps) -> None:
    found = scan(root, *steps)
    packed = [LOAD, *(step for step in steps if step != LOAD)]
    assert list(found.stats.pixels) == oracle(root, [*packed, PACK])
    assert 'unsteady_label' not in found.audit
    assert ('values in the label files' in notes(found)) is ('OwnLoader' in str(steps))
    assert found.stats.provenance['transforms'] == [s['type'] for s in steps if s['type'] not in
                                                    ('LoadImageFromFile', 'LoadAnnotations', 'BrightensImage')]


def test_geometry_between_does_not_matter(root) -> None:
    found = scan(root, LOAD, LABEL, dict(type='Resize', scale=(8, 4)), dict(type='MergeClasses'),
                 dict(type='RandomFlip', prob=0.5))
    assert list(found.stats.pixels) == oracle(root, [LOAD, LABEL, dict(type='MergeClasses'), PACK])


@pytest.mark.parametrize(('step', 'reason'), [
    (dict(type='FlipsLabels'), 'gives other labels under another seed'), (dict(type='HalvesLabels'), 'changes the shape'),
    (dict(type='RandomApply', transforms=[dict(type='MergeClasses')], prob=0.5), 'gives other labels under another seed'),
])
def test_what_cannot_be_counted_through_is_named(root, step, reason) -> None:
    found = scan(root, LOAD, LABEL, step)
    assert reason in notes(found)
    assert step['type'] in notes(found)
    assert list(found.stats.pixels) == oracle(root, [LOAD, LABEL, PACK])


def test_a_transform_of_images_alone_is_left_out(root) -> None:
    found = scan(root, LOAD, LABEL, dict(type='BrightensImage'))
    assert 'transforms' not in found.stats.provenance
    assert found.audit == {}


def test_a_label_that_a_transform_changes_at_random(root) -> None:
    for n in range(40):
        rows = [[n % 4, 1, 2, 3], [0, n // 4 % 4, 2, n // 16]]
        write_pair(root, f'm{n:02d}{"odd" if n == 5 else ""}', np.array(rows, np.uint8))
    found = scan(root, LOAD, LABEL, dict(type='RarelyFlips'))
    files = [one['file'] for one in found.audit['unsteady_label']['files']]
    assert files == ['annotations/train/m05odd.png']
    assert found.audit['unsteady_label']['severity'] == 'warning'


def test_a_broken_first_file_is_no_obstacle(root) -> None:
    (root / 'annotations/train/x.png').write_bytes(b'no image')
    found = scan(root, LOAD, LABEL, dict(type='MergeClasses'))
    assert [one['file'] for one in found.audit['unreadable_label']['files']] == ['annotations/train/x.png']
    assert found.stats.num_images == 2
    assert found.stats.pixels == (6, 8, 0, 0)  # of y and z


def test_classes_that_only_crops_hold_are_an_error(root, tmp_path) -> None:
    for name in LABELS:
        write_pair(tmp_path, name, np.zeros((2, 4), np.uint8))
    dataset = build(leaf(tmp_path, pipeline=[LOAD, LABEL, dict(type='FlipsLabels'), PACK]))
    found = scan_dataset(dataset, 0, 'train')
    assert found.stats.pixels == (24, 0, 0, 0)
    add_crop_findings(found.audit, found.stats, count_crops(dataset, 8))
    entry = found.audit['only_in_crops']
    assert entry['severity'] == 'error'
    assert [one['detail'].split(':')[0] for one in entry['files']] == ["class 3, 'd'"]
    assert list(found.audit).index('only_in_crops') < list(found.audit).index('class_never_seen')


def test_the_tool_writes_what_only_crops_hold_into_the_report(tmp_path) -> None:
    (tmp_path / 'own_flip.py').write_text(
        'import random\nfrom mmseg.registry import TRANSFORMS\n@TRANSFORMS.register_module()\nclass OwnFlip:\n'
        '    def __call__(self, results):\n        if random.random() < 0.5:\n'
        '            results["gt_seg_map"] = results["gt_seg_map"] + 3\n        return results\n')
    for name in LABELS:
        write_pair(tmp_path, name, np.zeros((2, 4), np.uint8))
    dataset = leaf(tmp_path, pipeline=[LOAD, LABEL, dict(type='OwnFlip'), PACK])
    lines = ["custom_imports = dict(imports=['own_flip'])", f'train_dataloader = dict(dataset={dataset!r})']
    (tmp_path / 'c.py').write_text('\n'.join(lines))
    result = tool('scan_dataset.py', 'c.py', '--out', 'r.json', '--workers', '0', '--crops', '8', cwd=tmp_path)
    assert result.returncode == 3, result.stderr
    assert "error: only_in_crops: class 3, 'd'" in result.stderr
    assert json.loads((tmp_path / 'r.json').read_text())['audit']['only_in_crops']['severity'] == 'error'


def test_a_dataset_that_is_no_basesegdataset_is_counted_by_its_entries(root) -> None:
    dataset = build(dict(type='ItemsSet', data_root=str(root), pipeline=[LOAD, LABEL, PACK]))
    found = scan_dataset(dataset, 0, 'train')
    total = np.zeros(4, int)
    for at in range(3):
        labels = np.asarray(dataset[at]['data_samples'].gt_sem_seg.data)
        total += [(labels == c).sum() for c in range(4)]
    assert found.stats.pixels == tuple(total)
    assert total[3] == 4  # of x and y; in z it is mapped
    assert found.stats.provenance['reduce_zero_label'] is False
    assert found.stats.provenance['label_map'] == [None, {'3': 0}]
    assert sum(count_crops(dataset, 1).pixels) == total.sum()


def test_entries_without_what_loading_needs_are_one_line(root) -> None:
    for kind, message in (('BareItemsSet', '`dataset` must give reduce_zero_label and seg_fields to LoadAnnotations'),
                          ('PathlessSet', 'must have `seg_map_path`, or each of its entries')):
        with pytest.raises(ValueError, match=message):
            scan_dataset(build(dict(type=kind, data_root=str(root), pipeline=[LABEL, PACK])), 0)


def test_a_torch_dataset_is_refused_in_one_line() -> None:
    dataset = build_split(dict(train_dataloader=dict(dataset=dict(type='TorchSet'))))
    with pytest.raises(ValueError, match=r"`dataset` must list its files as mmengine's BaseDataset does, got .*TorchSet"):
        scan_dataset(dataset, 0)
    with pytest.raises(ValueError, match='TorchSet'):
        count_crops(dataset, 1)


@pytest.mark.parametrize('kind', ['TorchSet', 'PathlessTinySet'])
def test_training_on_a_dataset_that_cannot_be_compared(tmp_path, kind) -> None:
    root = make_dataset(tmp_path / 'data')
    (tmp_path / 'own_sets.py').write_text(OWN_SETS)
    stats = make_report(tmp_path / 'stats.json', provenance=dict(fingerprint='0' * 64))
    config = make_config(tmp_path / 'c.py', root, stats, f'''
custom_imports = dict(imports=['own_sets'])
train_dataloader['dataset'] = dict(type='{kind.replace("Torch", "TinyTorch")}')
train_cfg['max_iters'] = 2
train_cfg['val_interval'] = 9
''')
    if kind == 'TorchSet':
        assert 'TinyTorchSet' in error_line(refused('scan_dataset.py', config))
    result = tool('train.py', config, '--work-dir', tmp_path / 'work', cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    assert 'cannot be compared with the training split' in result.stdout
    assert json.loads((tmp_path / 'stats.json').read_text())['classes']


OWN_SETS = '''
import numpy as np, torch
from mmengine.dataset import BaseDataset
from mmengine.structures import PixelData
from mmseg.registry import DATASETS
from mmseg.structures import SegDataSample
from torch.utils.data import Dataset


def item(index):
    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.full((1, 64, 64), index % 3)))
    sample.set_metainfo(dict(img_shape=(64, 64), ori_shape=(64, 64)))
    return dict(inputs=torch.zeros(3, 64, 64, dtype=torch.uint8), data_samples=sample)


@DATASETS.register_module()
class TinyTorchSet(Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, index):
        return item(index)


@DATASETS.register_module()
class PathlessTinySet(BaseDataset):
    METAINFO = dict(classes=('road', 'car', 'sign'))

    def load_data_list(self):
        return [dict(at=i) for i in range(6)]

    def __getitem__(self, index):
        return item(index)
'''
