"""mmseg's own configs: the checks at start refuse none of them, wherever its files lie."""
from __future__ import annotations

import json
import os
import warnings
from pathlib import Path

import mmseg
import pytest
from mmengine.config import Config

from mmimb.datasets.layout import check_layout, leaf_cfgs, lists_files_as_mmseg, unlisted_dataset
from mmimb.engine.check_classes import check_classes
from mmimb.engine.evaluators import check_evaluators

CONFIGS = Path(mmseg.__file__).parent / '.mim/configs'
FAMILIES = sorted(p for p in CONFIGS.iterdir() if p.is_dir() and p.name != '_base_') if CONFIGS.is_dir() else []
pytestmark = pytest.mark.skipif(not FAMILIES, reason='the wheel of mmseg has no configs')


def plant(dataset, root: Path) -> None:
    """Write the least tree that a dataset config asks for."""
    for leaf in leaf_cfgs(dataset):
        leaf['data_root'] = str(root)
        for key, folder in (leaf.get('data_prefix') or {}).items():
            if os.path.isabs(folder):
                leaf['data_prefix'][key] = folder.lstrip('/')
        found = unlisted_dataset(leaf)
        if found is None or not lists_files_as_mmseg(type(found)):
            continue
        for key, suffix in (('img_path', found.img_suffix), ('seg_map_path', found.seg_map_suffix)):
            folder = found.data_prefix.get(key)
            if folder is not None:
                Path(folder).mkdir(parents=True, exist_ok=True)
                (Path(folder) / f'x{suffix}').touch()
        if found.ann_file:
            Path(found.ann_file).parent.mkdir(parents=True, exist_ok=True)
            Path(found.ann_file).write_text('x\n')


@pytest.mark.parametrize('folder', FAMILIES, ids=lambda p: p.name)
def test_no_config_of_mmseg_is_refused(folder, tmp_path) -> None:
    warnings.simplefilter('ignore')
    seen: set[str] = set()
    for file in sorted(folder.glob('*.py')):
        cfg = Config.fromfile(file, import_custom_modules=False)  # some want mmdet
        cfg.setdefault('default_scope', 'mmseg')
        check_evaluators(cfg)
        check_evaluators(cfg, 'test')
        for split in ('train', 'val', 'test'):
            dataset = (cfg.get(f'{split}_dataloader') or {}).get('dataset')
            if dataset is not None:
                plant(dataset, tmp_path / 'data')
                text = json.dumps(dataset, default=str, sort_keys=True)
                if text not in seen:
                    check_layout(dataset, split)
                seen.add(text)
        if cfg.get('model'):
            notices = check_classes(cfg)  # of empty files, no label is known
            assert all('san-' in file.name and 'num_classes` is 20, ' in notice for notice in notices), notices
