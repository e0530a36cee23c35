"""The zoo is MMSegmentation's, loss for loss: every baseline is compared with mmseg's own config, and its figures are cited."""
from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import ROOT
from mmengine import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from support.zoo import MMSEG, ZOO

CONFIGS = sorted(path for folder in ZOO for path in (ROOT / 'configs' / folder).glob('*.py'))
BASELINES = [path for path in CONFIGS if path.stem.endswith('_ce')]
LOSSES = {'mmimb.CrossEntropyLoss': 'CrossEntropyLoss', 'mmimb.OhemCrossEntropyLoss': 'OhemCrossEntropy'}
NAME = {'ids': lambda path: path.stem}
HOST = r'https://[^/]*/mmsegmentation/'  # each stack has its own mirror


def theirs(path: Path) -> Path:
    return next(MMSEG.glob(f'*/{path.stem.removesuffix("_ce")}.py'))


def plain(value: Any) -> Any:
    """Tuples as lists, addresses without the mirror."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return re.sub(HOST, '', value) if isinstance(value, str) else value


def as_theirs(loss: dict) -> dict:
    """A loss of ours as mmseg writes it, with the defaults that it spells out."""
    loss = {**loss, 'type': LOSSES.get(loss['type'], loss['type'])}
    loss.setdefault('loss_weight', 1.0)
    if loss['type'] == 'CrossEntropyLoss':
        loss.setdefault('use_sigmoid', False)
    if 'thresh' in loss:
        loss['thres'] = loss.pop('thresh')
    return loss


def network(cfg: Config) -> Any:
    """The model of a config, weights for the backbone and losses in mmseg's words."""
    model = copy.deepcopy(cfg.model.to_dict())
    weights = model.pop('pretrained', None)
    if weights is not None:
        model['backbone']['init_cfg'] = {'type': 'Pretrained', 'checkpoint': weights}
    for name in ('decode_head', 'auxiliary_head'):
        for head in model[name] if isinstance(model.get(name), list) else [model[name]] if name in model else []:
            losses = head['loss_decode']
            head['loss_decode'] = [as_theirs(loss) for loss in (losses if isinstance(losses, list) else [losses])]
    return plain(model)


def pipeline(dataloader: Any) -> Any:
    """The transforms; ``reduce_zero_label`` stands at the dataset or at the loader."""
    dataset, zero = dataloader.dataset, False
    transforms = [transform.to_dict() for transform in dataset.pipeline]
    for transform in transforms:
        zero |= transform.pop('reduce_zero_label', False)
    return plain(transforms), zero or dataset.get('reduce_zero_label', False)


@pytest.mark.parametrize('path', BASELINES, **NAME)
def test_same_network_data_and_schedule_as_in_mmseg(path: Path) -> None:
    ours, zoo = Config.fromfile(path), Config.fromfile(theirs(path))
    assert network(ours) == network(zoo)
    for key in ('optim_wrapper', 'param_scheduler', 'train_cfg'):
        expected = plain(zoo[key])
        if key == 'optim_wrapper':
            expected.setdefault('clip_grad', None)
            ours[key].setdefault('clip_grad', None)
        assert plain(ours[key]) == expected
    for split in ('train', 'val', 'test'):
        mine, other = ours[f'{split}_dataloader'], zoo[f'{split}_dataloader']
        assert mine.batch_size == other.batch_size
        assert pipeline(mine) == pipeline(other)
        assert mine.dataset.type == other.dataset.type
        assert plain(mine.dataset.data_prefix) == plain(other.dataset.data_prefix)
        assert mine.dataset.get('ann_file') == other.dataset.get('ann_file')
        assert Path(mine.dataset.data_root) == Path(other.dataset.data_root)


@pytest.mark.parametrize('path', BASELINES, **NAME)
def test_weights_of_mmseg_fit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every config builds, large ones without memory; all names and shapes are those of mmseg's model."""
    init_default_scope('mmseg')
    item = torch.Tensor.item
    monkeypatch.setattr(torch.Tensor, 'item', lambda value: 0.5 if value.is_meta else item(value))  # rates of drop path
    with torch.device('cpu' if 'pidnet' in path.stem else 'meta'):  # its class weights are looked at
        shapes = [{name: value.shape for name, value in MODELS.build(Config.fromfile(file).model).state_dict().items()}
                  for file in (path, theirs(path))]
    own = {name: shape for name, shape in shapes[0].items() if 'loss_decode' not in name}
    assert own == {name: shape for name, shape in shapes[1].items() if 'loss_decode' not in name}


def entries() -> dict[str, dict]:
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text(encoding='utf-8'))['Import']
    assert sorted(index) == sorted(str(file.relative_to(ROOT)) for file in (ROOT / 'configs').rglob('metafile.yaml'))
    files = [yaml.safe_load((ROOT / file).read_text(encoding='utf-8')) for file in index]
    collections = {entry['Name'] for file in files for entry in file.get('Collections', [])}
    models = [entry for file in files for entry in file.get('Models', [])]
    assert {entry['In Collection'] for entry in models} == collections
    assert len({entry['Name'] for entry in models}) == len(models)
    return {entry['Config']: entry for entry in models}


def test_metafiles_list_every_config_and_claim_no_result() -> None:
    listed = entries()
    assert set(listed) == {str(path.relative_to(ROOT)) for path in CONFIGS}
    for path in CONFIGS:
        entry, cfg = listed[str(path.relative_to(ROOT))], Config.fromfile(path)
        gpus = int(re.search(r'_(\d+)xb', path.stem)[1])
        assert entry['Name'] == path.stem
        assert 'Results' not in entry
        assert 'Weights' not in entry
        assert entry['Metadata']['Batch Size'] == gpus * cfg.train_dataloader.batch_size
        assert entry['Metadata']['Iterations'] == cfg.train_cfg.max_iters
        assert entry['Metadata']['Training Resources'].split()[0] == str(gpus)


def test_figures_of_mmseg_are_those_that_it_publishes() -> None:
    """Found by the weights that they belong to: mmseg lists OCRNet's longest schedule under the name of a shorter one."""
    published = {model['Weights'].split('/')[-1]: model['Results'] for file in MMSEG.glob('*/metafile.yaml')
                 for model in yaml.safe_load(file.read_text(encoding='utf-8'))['Models'] if 'Weights' in model}
    table = (ROOT / 'configs/README.md').read_text(encoding='utf-8')
    listed, cited = entries(), 0
    for path in BASELINES:
        entry = listed[str(path.relative_to(ROOT))]['Metadata'].get('MMSegmentation')
        row = next(line for line in table.splitlines() if f'`{path.stem.removesuffix("_ce")}`' in line)
        if entry is None:
            assert row.rstrip(' |').endswith('–')
            continue
        results = published[entry['Weights'].split('/')[-1]]
        metrics = (results if isinstance(results, dict) else results[0])['Metrics']
        assert {key: entry[key] for key in ('mIoU', 'mIoU(ms+flip)') if key in entry} == metrics
        assert entry['Config'] == f'configs/{theirs(path).parent.name}/{theirs(path).name}'
        assert f'| {metrics["mIoU"]:.2f} |' in f'{row} |'
        cited += 1
    assert cited >= 17
