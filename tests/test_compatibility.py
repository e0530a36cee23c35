"""Reports, parts, checkpoints and names of an earlier version are read and resumed by this one (``tests/data/earlier``)."""
from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from support import earlier
from support.earlier import FOLDER
from support.tiny_run import tool

from mmimb import registry
from mmimb.engine.config import read_config
from mmimb.sampling.labelled_items import LabelledItems
from mmimb.scan import build_split
from mmimb.scan.part import join_parts, read_part
from mmimb.scan.reader import Reader
from mmimb.scan.report import write_report
from mmimb.scan.scan import finish, read_files
from mmimb.scan.store import Store
from mmimb.stats import ClassStats


@pytest.fixture
def splits(tmp_path, monkeypatch):
    """A function that builds a split of the dataset, in a process that calls itself the version of the files."""
    monkeypatch.setattr('mmimb.scan.manifest.__version__', earlier.VERSION)
    monkeypatch.chdir(tmp_path)
    earlier.write_dataset(tmp_path / 'data')
    cfg = read_config(str(earlier.write_config(tmp_path / 'config.py')))
    return lambda split: build_split({**cfg, 'train_dataloader': dict(dataset=cfg[split])})


def reader(splits, split: str) -> Reader:
    return Reader(splits(split), split=split, other=splits('val'), other_split='val')


def members(path: Path) -> dict[str, bytes]:
    """Return the unpacked files of an .npz: how they are packed depends on the version of zlib."""
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def assert_same_report(made: Path, name: str) -> None:
    """The same bytes, but for the checksum of the ``.npz``, which earlier reports did not have."""
    lines = made.read_bytes().splitlines(keepends=True)
    assert b''.join(line for line in lines if b'"per_image_sha256": ' not in line) == (FOLDER / f'{name}.json').read_bytes()
    assert len(lines) == len((FOLDER / f'{name}.json').read_bytes().splitlines()) + 1
    assert members(made.with_suffix('.npz')) == members(FOLDER / f'{name}.npz')


@pytest.mark.parametrize('split', ['train', 'messy'])
def test_a_scan_gives_the_bytes_of_the_earlier_report(splits, tmp_path, split) -> None:
    scan = finish(read_files(reader(splits, split), 0))
    write_report(scan, tmp_path / f'{split}.json')
    assert_same_report(tmp_path / f'{split}.json', split)
    found = json.loads((FOLDER / f'{split}.json').read_text())['audit']
    kinds = {'train': {'duplicate_label', 'in_both_splits'},
             'messy': {'duplicate_label', 'duplicate_image', 'outside_classes', 'size_mismatch'}}
    assert set(found) == kinds[split]


def test_earlier_parts_are_joined(tmp_path) -> None:
    parts = [read_part(FOLDER / f'messy.{i}of2.json') for i in (0, 1)]
    write_report(finish(join_parts(parts)), tmp_path / 'messy.json')
    assert_same_report(tmp_path / 'messy.json', 'messy')


def test_an_interrupted_earlier_scan_goes_on(splits) -> None:
    now = reader(splits, 'messy')
    kept = Store(FOLDER / 'messy.json.parts', now.manifest).load(now)
    assert sum(map(len, kept)) == now.manifest.total


def test_earlier_counts_are_read(splits) -> None:
    with pytest.warns(UserWarning, match='in_both_splits'):
        items = LabelledItems(splits('train'), FOLDER / 'train.json')
    assert [found.tolist() for found in items.by_class()] == [[*range(7)], [*range(7)], [0, 3, 6]]
    with pytest.warns(UserWarning, match='2 errors'):
        assert ClassStats.load(FOLDER / 'messy.json').pixels == (4517, 1152, 24)


@pytest.mark.parametrize('kind', ['MODELS', 'HOOKS', 'METRICS', 'DATASETS', 'DATA_SAMPLERS', 'TRANSFORMS'])
def test_earlier_names_are_registered(kind) -> None:
    known = getattr(registry, kind)
    known.import_from_location()
    assert set(json.loads((FOLDER / 'registered.json').read_text())[kind]) <= set(known.module_dict)


@pytest.mark.slow
@pytest.mark.parametrize('source', earlier.HOOKS)
def test_an_earlier_checkpoint_is_resumed(tmp_path, source) -> None:
    """The rest of the training is the one that the earlier version would have done: losses, weights, draws."""
    earlier.write_dataset(tmp_path / 'data')
    config, work = earlier.write_config(tmp_path / 'config.py', source), tmp_path / 'work'
    work.mkdir()
    shutil.copy(FOLDER / f'{source}.pth', work / 'iter_6.pth')
    (work / 'last_checkpoint').write_text(str(work / 'iter_6.pth'))
    for name in ('train.json', 'train.npz'):
        shutil.copy(FOLDER / name, tmp_path)
    result = tool('train.py', config, '--work-dir', work, '--resume', cwd=tmp_path)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    expected = json.loads((FOLDER / 'trained.json').read_text())[source]
    losses = [float(loss) for loss in re.findall(r'Iter\(train\).* loss: ([0-9.]+)', result.stdout)]
    assert losses == pytest.approx(expected['loss'], rel=1e-3)  # another torch may round otherwise
    end = torch.load(work / 'iter_10.pth', weights_only=True)
    weight = end['state_dict']['decode_head.loss_decode.class_weight.weight']
    assert weight.tolist() == pytest.approx(expected['class_weight'], rel=1e-3)
    draws = end['class_difficulty']['sampler']['draws']
    assert draws['starts'].tolist() == expected['starts']
    for got, want in zip(draws['weights'].tolist(), expected['weights'], strict=True):
        assert got == pytest.approx(want, rel=1e-3)
