"""The configs that come with mmimb, by their names with ``mmimb::``, on the stack at hand."""
from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmimb.engine import shipped
from mmimb.engine.config import read_config
from mmimb.report.present import base_of

NAME = 'mmimb::demo/fast-scnn_demo_ce.py'


def test_a_clone_has_them_beside_the_package_and_a_wheel_in_it(tmp_path, monkeypatch) -> None:
    assert shipped.shipped_configs() == ROOT / 'configs'
    (tmp_path / '.mim/configs').mkdir(parents=True)
    monkeypatch.setattr(shipped, 'PACKAGE', tmp_path)
    assert shipped.shipped_configs() == tmp_path / '.mim/configs'


def test_a_command_takes_them() -> None:
    assert read_config(NAME).model == read_config(str(ROOT / 'configs/demo/fast-scnn_demo_ce.py')).model


@pytest.mark.parametrize('base', ["'{}'", "['{}']"])
def test_as_a_base_and_as_the_base_of_a_base(tmp_path, base) -> None:
    (tmp_path / 'a.py').write_text(f"_base_ = {base.format(NAME)}\nmodel = dict(decode_head=dict(dropout_ratio=0.5))\n")
    (tmp_path / 'b.py').write_text("_base_ = './a.py'\ntrain_cfg = dict(max_iters=7)\n")
    cfg, own = read_config(str(tmp_path / 'b.py')), read_config(NAME)
    assert (cfg.train_cfg.max_iters, cfg.model.decode_head.dropout_ratio) == (7, 0.5)
    own.merge_from_dict({'train_cfg.max_iters': 7, 'model.decode_head.dropout_ratio': 0.5})
    assert cfg.to_dict() == own.to_dict(), 'no _scope_ either, in which types of mmseg would not be found'
    init_default_scope(cfg.default_scope)
    assert type(MODELS.build(cfg.model)).__name__ == 'EncoderDecoder'


def test_other_packages_bases_are_found_as_before(tmp_path) -> None:
    (tmp_path / 'a.py').write_text("_base_ = 'mmseg::_base_/datasets/ade20k.py'\n")
    assert read_config(str(tmp_path / 'a.py')).dataset_type == 'ADE20KDataset'
    first = Config._get_cfg_path
    shipped.find_shipped_bases()
    assert Config._get_cfg_path is first, 'once is enough'


def test_an_unknown_name_tells_what_there_is(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r'must be one that comes with mmimb, got .*fast-scnn_demo_ce-root\.py'):
        read_config('mmimb::demo/none.py')
    with pytest.raises(FileNotFoundError, match=r'there are: .*cityscapes'):
        read_config('mmimb::none.py')
    (tmp_path / 'a.py').write_text("_base_ = 'mmimb::demo/none.py'\n")
    with pytest.raises(ValueError, match=r'must be a readable config, .* \(`config` must be one that comes with mmimb'):
        read_config(str(tmp_path / 'a.py'))


@pytest.mark.parametrize(('config', 'child', 'base'), [
    ('c.py', None, './c.py'), ('x/c.py', None, './c.py'), ('x/c.py', 'child.py', './x/c.py'), (NAME, 'child.py', NAME),
    ('x/c.py', 'y/child.py', '../x/c.py'), ('/x/c.py', '/y/child.py', '../x/c.py')])
def test_the_name_of_a_base_in_a_child(config, child, base) -> None:
    assert base_of(config, None if child is None else Path(child)) == base
