"""docs/sampling.md says what the code does: arguments with their defaults, snippets that build, measured numbers."""
from __future__ import annotations

import csv
import inspect
import re

import numpy as np
import pytest
from conftest import ROOT
from mmengine.registry import DATA_SAMPLERS, TRANSFORMS
from support.sampling import build, sampler, scan, write_images

TEXT = (ROOT / 'docs/sampling.md').read_text()
GIVEN = {'self', 'dataset', 'seed'}
CHOSEN = {'RareClassSampler': dict(temperature=0.01, min_pixels=100), 'RepeatFactorSampler': dict(threshold=0.1),
          'DifficultySampler': dict(tau='dynamic', measure='recall'), 'RareClassCrop': dict(min_pixels=1000, prob=0.5)}


def section(name: str) -> str:
    found = re.search(rf'^## {name}\n(.*?)(?=^## )', TEXT, re.M | re.S)
    assert found, f'docs/sampling.md has no section {name}'
    return found.group(1)


def snippet(name: str) -> dict:
    values: dict = {}
    exec(re.search(r'```python\n(.*?)```', section(name), re.S).group(1), values)
    return values


@pytest.mark.parametrize('name', CHOSEN)
def test_arguments(name: str) -> None:
    kind = (TRANSFORMS if name == 'RareClassCrop' else DATA_SAMPLERS).get(f'mmimb.{name}')
    skipped = GIVEN if name == 'RareClassCrop' else GIVEN | {'stats'}
    parameters = inspect.signature(kind.__init__).parameters.values()
    own = {p.name: 'required' if p.default is p.empty else repr(p.default) for p in parameters if p.name not in skipped}
    assert dict(re.findall(r'^\| `(\w+)` \| `?(.+?)`? \|', section(name), re.M)) == own
    for argument in own:
        assert f'{argument}: ' in kind.__doc__
    assert set(re.findall(r'\d{4}\.\d{5}', section(name))) <= set(re.findall(r'\d{4}\.\d{5}', kind.__doc__))


@pytest.mark.parametrize('name', ['RareClassSampler', 'RepeatFactorSampler', 'DifficultySampler'])
def test_sampler_snippets(name: str, tmp_path) -> None:
    cfg = snippet(name)['train_dataloader']['sampler']
    assert cfg.pop('_delete_')
    assert cfg.pop('type') == f'mmimb.{name}'
    assert cfg.pop('stats') == 'data/my/stats.json'
    assert cfg == CHOSEN[name]
    data = build(write_images(tmp_path / 'data'))
    made = sampler(name, data, scan(data, tmp_path / 'stats.json'), **cfg)
    assert 0 <= next(iter(made)) < 12


def test_crop_snippet(tmp_path) -> None:
    pipeline = snippet('RareClassCrop')['train_pipeline']
    (crop, ) = (step for step in pipeline if step['type'] == 'mmimb.RareClassCrop')
    assert crop['stats'] == 'data/my/stats.json'
    crop['stats'] = dict(pixels=[90, 9, 5, 0, 4])
    assert CHOSEN['RareClassCrop'].items() <= crop.items()
    data = build({**write_images(tmp_path / 'data'), 'pipeline': pipeline})
    for seed in range(3):
        np.random.seed(seed)  # noqa: NPY002
        height, width = data[2]['inputs'].shape[1:]
        assert height == 512
        assert 512 <= width <= 1024  # of a square, resized to between 512 and 2048


def test_links_lead_somewhere() -> None:
    titles = {re.sub(r'[^\w -]', '', title).lower().replace(' ', '-') for title in re.findall(r'^##* (.*)$', TEXT, re.M)}
    assert set(re.findall(r'\(#(.*?)\)', TEXT)) <= titles


def test_times_are_those_of_the_benchmark() -> None:
    with (ROOT / 'benchmarks/results/rare_class_crop_cpu.csv').open() as file:
        ms = {row['transform']: float(row['ms']) for row in csv.DictReader(file)}
    told = re.search(r'takes ([\d.]+) ms, a `RandomCrop` with `cat_max_ratio=0.75` ([\d.]+) ms', section('RareClassCrop'))
    np.testing.assert_allclose([float(told[1]), float(told[2])],
                               [ms['RareClassCrop'], ms['RandomCrop(cat_max_ratio=0.75)']], atol=0.051)
