"""The layout check and classes that decide their settings in their own code: what builds is not refused."""
from __future__ import annotations

from pathlib import Path

import mmseg
import numpy as np
import pytest
from mmengine.config import Config
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from PIL import Image

from mmimb.datasets.layout import LayoutError, check_layout
from mmimb.scan import build_split

CLASSES = ('ground', 'building')
META = dict(classes=CLASSES, palette=[[0, 0, 0], [200, 0, 0]])
LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
PREFIX = dict(img_path='img', seg_map_path='ann')


@DATASETS.register_module()
class SuffixInBodySet(BaseSegDataset):
    """As the guide of mmseg writes its classes: the suffixes are given on, not declared."""

    METAINFO = META

    def __init__(self, **kwargs) -> None:
        super().__init__(img_suffix='.tiff', seg_map_suffix='_mask.tif', **kwargs)


@DATASETS.register_module()
class ListsInItsOwnWaySet(BaseSegDataset):
    """Chooses its suffix when the files are listed."""

    METAINFO = META

    def full_init(self) -> None:
        self.img_suffix = self.seg_map_suffix = '.png'
        super().full_init()


@DATASETS.register_module()
class FoldersInBodySet(BaseSegDataset):
    """Folders and list by ``setdefault``, and folders that the class looks for itself."""

    METAINFO = META

    def __init__(self, **kwargs) -> None:
        kwargs.setdefault('data_prefix', dict(img_path='a/pictures', seg_map_path='a/masks'))
        kwargs.setdefault('ann_file', 'a/names.txt')
        super().__init__(img_suffix='.png', **kwargs)
        assert Path(self.data_prefix['img_path']).is_dir()


@DATASETS.register_module()
class OwnListSet(BaseSegDataset):
    METAINFO = META

    def load_data_list(self) -> list[dict]:
        return [dict(img_path='anything', seg_map_path='elsewhere', label_map=None, reduce_zero_label=False, seg_fields=[])]


def write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(root / name)


def config(kind: str, root: Path, **arguments) -> dict:
    return dict(type=kind, data_root=str(root), pipeline=LOAD, **arguments)


def test_suffixes_that_a_class_decides_in_its_body(tmp_path) -> None:
    write(tmp_path, 'img/x.tiff', 'ann/x_mask.tif')
    dataset = config('SuffixInBodySet', tmp_path, data_prefix=PREFIX)
    check_layout(dataset)
    assert len(build_split(Config(dict(train_dataloader=dict(dataset=dataset))))) == 1
    (tmp_path / 'ann/x_mask.tif').unlink()
    with pytest.raises(LayoutError, match=r'no file of any image \(such as x_mask\.tif\)'):
        check_layout(dataset)


def test_folders_and_list_that_a_class_decides_in_its_body(tmp_path) -> None:
    dataset = config('FoldersInBodySet', tmp_path)
    with pytest.raises(LayoutError, match=r'missing: .*names.txt, missing folder: .*pictures, .*masks') as caught:
        check_layout(dataset)
    assert '├── a/pictures/*.png' in caught.value.detail
    write(tmp_path, 'a/pictures/x.png', 'a/masks/x.png')
    (tmp_path / 'a/names.txt').write_text('x\n')
    check_layout(dataset)
    assert len(build_split(Config(dict(train_dataloader=dict(dataset=dataset))))) == 1


def test_a_data_prefix_of_another_type_is_named(tmp_path) -> None:
    with pytest.raises(TypeError, match='`data_prefix` must be a dict, got 3'):
        check_layout(config('SuffixInBodySet', tmp_path, data_prefix=3))


def test_a_list_of_its_own_is_passed_over(tmp_path) -> None:
    write(tmp_path, 'img/x.png', 'ann/x.png')
    dataset = config('ListsInItsOwnWaySet', tmp_path, data_prefix=PREFIX)
    check_layout(dataset)
    assert len(build_split(Config(dict(train_dataloader=dict(dataset=dataset))))) == 1
    check_layout(config('OwnListSet', tmp_path / 'nowhere'))


def test_a_pipeline_without_labels_wants_none(tmp_path) -> None:
    write(tmp_path, 'img/x.jpg')
    dataset = dict(type='BaseSegDataset', data_root=str(tmp_path), metainfo=dict(classes=CLASSES), test_mode=True,
                   pipeline=[LOAD[0], LOAD[2]])
    check_layout({**dataset, 'data_prefix': dict(img_path='img')})
    check_layout({**dataset, 'data_prefix': PREFIX})
    with pytest.raises(LayoutError, match=r'missing folder: .*ann'):
        check_layout({**dataset, 'data_prefix': PREFIX, 'pipeline': LOAD})


def test_the_settings_of_every_dataset_of_mmseg_are_known(tmp_path) -> None:
    """The check asks each class that lists files as BaseSegDataset does, with its own suffixes."""
    from mmseg import datasets

    from mmimb.datasets.layout import lists_files_as_mmseg, unlisted_dataset
    kinds = [kind for kind in vars(datasets).values() if isinstance(kind, type) and issubclass(kind, BaseSegDataset)
             and lists_files_as_mmseg(kind)]
    assert len(kinds) > 15, mmseg.__version__
    for kind in kinds:
        found = unlisted_dataset(dict(type=kind, data_root=str(tmp_path), ann_file='list.txt', data_prefix=PREFIX))
        assert found is not None, kind
        assert found.data_prefix['img_path'] == str(tmp_path / 'img'), kind
        assert found.ann_file == str(tmp_path / 'list.txt'), kind
