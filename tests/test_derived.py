"""Numbers derived from the counts, against their definitions; weights side by side; the suggested config, built for real."""
from __future__ import annotations

import io
import itertools
import json
import warnings

import numpy as np
import pytest
from conftest import ROOT
from mmseg.registry import MODELS
from rich.console import Console

from mmimb.commands.main import build_parser
from mmimb.engine.check_losses import check_losses
from mmimb.engine.config import read_config
from mmimb.engine.embed_stats import embed_stats
from mmimb.loss_places import QUERIES, loss_places
from mmimb.registry import DATA_SAMPLERS, TRANSFORMS
from mmimb.report import all_schemes, derived_lines, evidence, scheme_table, suggest
from mmimb.report.suggest import CHILD
from mmimb.scan.crops import CropCounts
from mmimb.stats import ClassStats
from mmimb.stats.imbalance import derive, gini
from mmimb.weights import FrequencyWeight, weights_of_queries

CAMVID = (10682767, 14750079, 623349, 20076880, 2845085, 6166762, 743859, 714595, 3719877, 405385, 184967)
CLASSES = ('Sky', 'Building', 'Pole', 'Road', 'Pavement', 'Tree', 'SignSymbol', 'Fence', 'Car', 'Pedestrian', 'Bicyclist')


def stats(pixels: tuple[int, ...] = CAMVID, **rest) -> ClassStats:
    return ClassStats(pixels=pixels, **rest)


def long_tail(num_classes: int = 150) -> ClassStats:
    pixels = tuple(int(1e8 * 0.93 ** c) + 1 for c in range(num_classes))
    images = tuple(min(int(999 * 0.96 ** c) + 1, p) for c, p in enumerate(pixels))
    return stats(pixels, images=images, num_images=1000, image_pixels=tuple(p + 5 for p in pixels),
                 classes=tuple(f'class {c}' for c in range(num_classes)))


@pytest.mark.parametrize('counts', [CAMVID, (1,), (3, 3, 3), (0, 0, 7), (5, 1, 0, 2), tuple(2 ** c for c in range(40))])
def test_gini_is_half_the_mean_difference_over_the_mean(counts) -> None:
    pairs = np.mean([abs(a - b) for a, b in itertools.product(counts, counts)], dtype=np.float64)
    assert gini(counts) == pytest.approx(pairs / (2 * np.mean(counts, dtype=np.float64)), abs=1e-12)


def test_prior_ratio_and_groups() -> None:
    found = derive(stats(ignored_pixels=1000))
    np.testing.assert_allclose(found.prior, np.array(CAMVID) / sum(CAMVID), rtol=1e-15)
    assert found.ratio == 20076880 / 184967
    assert (found.most, found.least, found.absent) == (3, 10, ())
    assert [found.group.count(name) for name in ('head', 'medium', 'tail')] == [4, 4, 3]
    assert {CLASSES[c] for c, name in enumerate(found.group) if name == 'tail'} == {'Pole', 'Pedestrian', 'Bicyclist'}
    assert found.ignored == 1000 / (1000 + sum(CAMVID))


def test_classes_that_never_occur_or_in_few_images() -> None:
    found = derive(stats((1000, 0, 500, 40, 60), images=(100, 0, 19, 4, 20), num_images=401))
    assert found.ratio == 25
    assert found.absent == (1,)
    assert found.few_images == (3, 2)
    assert found.rare_images == (3, 2, 4), '20 of 401 is below 5 %'
    assert derive(stats((1000, 0, 500, 40, 60), images=(100, 0, 19, 4, 20), num_images=400)).rare_images == (3, 2)
    bare = derive(stats((5, 0)))
    assert (bare.few_images, bare.rare_images, bare.ignored, bare.ratio) == ((), (), None, 1)


def test_all_schemes_with_their_own_warnings() -> None:
    found = {scheme.name: scheme for scheme in all_schemes(long_tail())}
    assert {name.split('(')[0] for name in found} == {kind.__name__ for kind in FrequencyWeight.__subclasses__()}
    assert {'InverseFrequency(power=0.5)', 'EffectiveNumber(beta=0.9999)'} < set(found)
    share = np.array(long_tail().pixels, np.float64) / sum(long_tail().pixels)
    np.testing.assert_allclose(found['InverseFrequency(power=0.5)'].weights, share ** -.5 / np.mean(share ** -.5), rtol=1e-12)
    assert found['InverseFrequency'].ratio == pytest.approx(max(share) / min(share))
    assert found['InverseFrequency'].warning.startswith('is extreme'), 'the name stands before it already'
    assert 'max_ratio' in found['InverseFrequency'].warning
    assert found['InverseFrequency(power=0.5)'].warning == ''
    camvid = {scheme.name: scheme for scheme in all_schemes(stats())}
    assert 'MedianFrequency' not in camvid, 'needs image_pixels'
    assert 'has no effect' in camvid['EffectiveNumber(beta=0.9999)'].warning
    assert '1, 1, 1' not in camvid['EffectiveNumber(beta=0.9999)'].warning


@pytest.mark.parametrize(('ratio', 'weight'), [(1, False), (19.9, False), (20, True), (100, True), (1e5, True)])
def test_the_ratio_decides_on_weights(ratio, weight) -> None:
    suggestion = suggest(stats((int(1000 * ratio), 0, 1000)))
    assert suggestion.loss['type'] == 'mmimb.CrossEntropyLoss'
    expected = {'type': 'mmimb.InverseFrequency', 'stats': 'data/my/stats.json', 'power': 0.5}
    assert suggestion.loss.get('class_weight') == (expected if weight else None)
    assert f'{ratio:,.0f} : 1' in suggestion.reasons[0]
    assert ('weight = dict(' in suggestion.config) == weight
    assert suggestion.commands[-1] == 'mmimb tune my_child_config.py CHECKPOINT --out tuned.pth'


def test_the_tuning_command_is_one_that_there_is() -> None:
    program, *words = suggest(RARE).commands[-1].split()
    assert program == 'mmimb'
    options = build_parser().parse_args(words)
    assert (options.config, options.checkpoint, options.out, options.split) == (CHILD, 'CHECKPOINT', 'tuned.pth', 'val')


def test_the_figures_behind_the_weights_are_those_of_the_nearest_dataset(monkeypatch) -> None:
    def entry(title, classes, ratio, after, low, seeds) -> dict:
        change = {'before': 20.0, 'after': after, 'low': low, 'high': None if low is None else low + 2}
        scores = {'mIoU': change, 'tail': change} if seeds else {}
        decision = 'argmax' if title == 'many' else 'offsets-mIoU'
        return {'title': title, 'classes': classes, 'ratio': ratio, 'decision': decision, 'seeds': seeds, **scores}

    content = {'datasets': {'a': entry('few', 10, 100.0, 22.5, 1.5, [1, 2, 3]), 'b': entry('many', 50, 1000.0, 19.0, None, [1]),
                            'c': entry('open', 150, 150.0, 0.0, None, [])}}
    monkeypatch.setattr(evidence.json, 'loads', lambda text: content)
    few, many = suggest(stats((8000, 100) + (100,) * 9)).reasons, suggest(long_tail()).reasons
    assert 'few (100 : 1, 10 classes): mIoU 20.0 → 22.5 (+2.5, 95 % interval +1.5 to +3.5), tail 20.0' in few[1]
    assert few[1].endswith('3 seeds.')
    told = 'many (1,000 : 1, 50 classes), the weights alone, before tuning: mIoU 20.0 → 19.0 (-1.0), tail'
    assert told in many[1], 'a loss is told, too'
    assert many[1].endswith('1 seed, so no interval.')
    assert 'Better still' not in ''.join(few + many)
    scores = {key: {'before': 20.0, 'after': 27.0, 'low': 5.0, 'high': 9.0} for key in ('mIoU', 'tail')}
    content['datasets']['b']['higher'] = {'arm': 'x', 'way': 'another way', 'seeds': [1, 2, 3, 4, 5], **scores}
    assert suggest(long_tail()).reasons[2] == (
        'Better still there, so worth a run if your data are like that: another way: mIoU 20.0 → 27.0 (+7.0, 95 % interval '
        '+5.0 to +9.0), tail 20.0 → 27.0 (+7.0, 95 % interval +5.0 to +9.0), 5 seeds, without tuning.')
    content['datasets'] = {'c': content['datasets']['c']}
    assert not [reason for reason in suggest(long_tail()).reasons if 'Measured' in reason], 'nothing is measured yet'


def test_reasons_name_what_no_setting_can_mend() -> None:
    few = stats((10 ** 6, 0, 500, 400), images=(900, 0, 3, 400), num_images=900, classes=('a', 'never', 'scarce', 'd'),
                ignored_pixels=10 ** 6)
    text = '\n'.join(suggest(few).reasons)
    assert 'scarce (3) occurs in fewer than 20 images' in text
    assert 'scarce (3) occurs in less than 5 % of the images' in text
    assert 'never never occurs:' in text
    assert '50 % of the pixels have no label' in text
    for sampler in ('RepeatFactorSampler', 'RareClassCrop'):
        registry = DATA_SAMPLERS if 'Sampler' in sampler else TRANSFORMS
        assert registry.get(f'mmimb.{sampler}') is not None, 'what is named is there'
    assert len(suggest(stats(images=(184,) * 11, num_images=184)).reasons) == 2
    assert ' and 72 more occur in less than' in suggest(long_tail()).reasons[2], '4 are named'


def test_crops_tell_what_batches_lack() -> None:
    counts = stats((10 ** 6, 900, 500, 400, 0), images=(100, 50, 40, 4, 0), num_images=100, classes=tuple('abcde'))

    def told(*held: int, **cfg: int) -> str:
        crops = CropCounts(2, 0, (9, 1, 1, 1, 0), held, 0, 200)
        return '\n'.join(suggest(counts, crops=crops, cfg={'model': {}, 'train_dataloader': cfg}).reasons)

    assert 'c (4.5 %, one batch of 8 in 3) occurs in less than 5 % of the crops' in told(200, 90, 9, 10, 0, batch_size=8)
    assert 'c (0.0 %, no batch), b (4.5 %, one batch of 1 in 22) occur in less' in told(200, 9, 0, 10, 0), 'the rarest first'
    assert 'crops' not in told(200, 90, 10, 10, 0), 'd is in few images, but crops around it hold it; e never occurs'
    assert 'RareClassCrop' in told(200, 9, 20, 10, 0)
    seldom = told(200, 90, 10, 2, 0, batch_size=8)
    assert 'd (1.0 %, one batch of 8 in 13) occurs in less than 5 % of the crops (share in brackets), and of the' in seldom
    assert 'RepeatFactorSampler' in seldom
    assert 'RareClassCrop' not in seldom
    assert 'd (4) occurs in less than 5 % of the images' in '\n'.join(suggest(counts).reasons)
    assert 'crops' not in '\n'.join(suggest(counts).reasons)


def test_one_split_for_tuning_and_reporting_is_told() -> None:
    loader, other = ({'dataset': {'type': 'X', 'ann_file': name}} for name in 'ab')
    for val, test, same in ((loader, dict(loader), True), (loader, other, False), (loader, None, False), (None, None, False)):
        cfg = {'model': {}, 'val_dataloader': val, 'test_dataloader': test}
        assert any('hold the same images' in reason for reason in suggest(RARE, cfg=cfg).reasons) == same


@pytest.mark.parametrize('counts', [long_tail(11), stats(CAMVID), stats((90, 80, 70, 60, 50, 40, 30, 20, 10, 9, 8))],
                         ids=['tail', 'moderate', 'even'])
def test_the_suggested_config_trains(counts, tmp_path) -> None:
    """It loads as a child of a real config, its statistics are embedded and every loss is built through MODELS."""
    report, base = tmp_path / "sta'ts.json", ROOT / 'configs/camvid/fast-scnn_camvid_ce.py'
    report.write_text(json.dumps(ClassStats(**{**counts.to_dict(), 'classes': CLASSES}).to_dict()))
    suggestion = suggest(counts, str(base), str(report), cfg=read_config(str(base)))
    path = tmp_path / 'child.py'
    path.write_text(suggestion.config)
    cfg = read_config(str(path))
    cfg.train_dataloader = None  # needs the data
    embed_stats(cfg)
    check_losses(cfg)
    for head, factor in ((cfg.model.decode_head, 1.0), (cfg.model.auxiliary_head, 0.4)):
        assert head.loss_decode.type == suggestion.loss['type']
        assert '_delete_' not in head.loss_decode
        loss = MODELS.build(head.loss_decode)
        assert loss.loss_weight == factor
        if 'class_weight' in suggestion.loss:
            weight = loss.class_weight.weight.numpy()
            share = np.array(counts.pixels, np.float64)
            np.testing.assert_allclose(weight / weight.min(), (share / share.max()) ** -.5, rtol=1e-12)
    assert cfg.val_evaluator.type == 'mmimb.LongTailIoUMetric'
    assert list(cfg.val_evaluator.stats.pixels) == list(counts.pixels)


CE = "dict(type='CrossEntropyLoss', loss_weight=0.4)"
RARE = stats((10 ** 6, 500, 400), images=(900, 3, 400), num_images=900)


@pytest.mark.parametrize(('base', 'changed'), [
    (f'model = dict(decode_head=dict(loss_decode={CE}))', 1), (f'model = dict(decode_head=dict(loss_decode=[{CE}, {CE}]))', 2),
    (f'model = dict(decode_head=dict(loss_cls={CE}, loss_mask={CE}, num_classes=3))', 1),
    ('model = dict(decode_head=dict())', 1), (f'model = dict(decode_head=[dict(type="A", c=(1, ), loss_decode={CE})] * 2)', 2),
    (f'model = dict(decode_head=dict(kernel_generate_head=dict(loss_decode={CE}), x=[dict(y=1)]))', 1),
    (f'model = dict(student=dict(decode_head=dict(loss_decode=[{CE}, dict(type="DiceLoss")])))', 1),
    (f'model = dict(decode_head=dict(), auxiliary_head=[dict(loss_decode={CE})])', 2), ('x = 1', 0)],
    ids=['dict', 'list of losses', 'queries', 'none', 'list of heads', 'nested', 'student', 'auxiliary list', 'no model'])
@pytest.mark.parametrize('rest', [
    'train_dataloader = dict(sampler=dict(type="DefaultSampler", shuffle=True))',
    'val_evaluator = [dict(type="IoUMetric"), dict(type="B")]\ntrain_dataloader = dict()', 'test_evaluator = None'])
def test_the_suggestion_fits_any_base(base, changed, rest, tmp_path) -> None:
    """Every loss on classes is ours in the merged config, the rest is that of the base, and no key that deletes is left."""
    (tmp_path / 'base.py').write_text(f'{base}\n{rest}\n')
    cfg = read_config(str(tmp_path / 'base.py'))
    suggestion = suggest(RARE, './base.py', 'r.json', cfg=cfg)
    assert bool(suggestion.config) == bool(changed)
    if not changed:
        assert suggestion.reasons[0] == 'No config is suggested: the config has no model with heads.'
        return
    (tmp_path / 'child.py').write_text(suggestion.config)
    child = read_config(str(tmp_path / 'child.py'))
    assert '_delete_' not in child.pretty_text
    weight = {'type': 'mmimb.InverseFrequency', 'stats': 'r.json', 'power': 0.5}
    ours = [one for one in loss_places(child.model) if str((one.loss or {}).get('type')).startswith('mmimb.')]
    assert len(ours) == changed
    for one in ours:
        old = next(other.loss for other in loss_places(cfg.model) if other.keys == one.keys)
        factor = {'loss_weight': 0.4} if old else {}
        if one.learns == QUERIES:
            assert one.loss == {'type': 'mmimb.QueryCrossEntropyLoss', 'stats': 'r.json', **factor,
                                'class_weight': [round(w, 4) for w in weights_of_queries(RARE)]}
        else:
            assert one.loss == {'type': 'mmimb.CrossEntropyLoss', 'class_weight': weight, **factor}
    for one in ours:  # without the losses, the two are equal
        for tree in (child.model, cfg.model):
            for key in one.keys[:-1]:
                tree = tree[key]
            if isinstance(tree, dict):
                tree.pop(one.keys[-1], None)
            else:
                tree[one.keys[-1]] = None
    assert child.model == cfg.model
    assert child.get('train_dataloader') == cfg.get('train_dataloader')
    for key in ('val_evaluator', 'test_evaluator'):
        if cfg.get(key) is None:
            assert child.get(key) is None
        else:
            assert child[key] == {'type': 'mmimb.LongTailIoUMetric', 'stats': 'r.json'}


@pytest.mark.parametrize(('head', 'told'), [
    ("type='VPDDepthHead'", '(a default): it learns depths'), (f'num_classes=2, loss_decode={CE}', 'has 2 classes'),
    ("type='MyHead', loss_own=dict()", 'it is a loss of MyHead alone'), ("type='STDCHead', num_classes=3", 'where edges are')])
def test_no_config_is_suggested_where_nothing_would_change(head, told, tmp_path) -> None:
    (tmp_path / 'base.py').write_text(f'model = dict(decode_head=dict({head}))\ntest_evaluator = dict()\n')
    suggestion = suggest(RARE, cfg=read_config(str(tmp_path / 'base.py')))
    assert (suggestion.config, suggestion.commands) == ('', ())
    assert suggestion.reasons[0].startswith('No config is suggested: model.decode_head')
    assert told in suggestion.reasons[0]
    lines = derived_lines(RARE, [], suggestion)
    assert not [line for line in lines if 'to start from' in line or 'then:' in line]
    assert [line for line in lines if told in line]


def test_losses_that_stay_are_named_in_the_block() -> None:
    losses = [dict(type='CrossEntropyLoss'), dict(type='OhemCrossEntropy', thres=0.9, min_kept=5), dict(type='BoundaryLoss'),
              dict(type='OhemCrossEntropy')]
    cfg = {'model': {'decode_head': {'type': 'PIDHead', 'loss_decode': losses}}}
    text = suggest(RARE, cfg=cfg).config
    assert '# left as it was: model.decode_head.loss_decode[2] (BoundaryLoss): it learns where boundaries are\n' in text
    assert '# left as it was: model.decode_head.loss_decode[3] (OhemCrossEntropy): it learns the pixels at boundaries' in text
    assert "dict(type='mmimb.OhemCrossEntropyLoss', class_weight=weight, thresh=0.9, min_kept=5)" in text


def test_one_channel_gets_a_sigmoid() -> None:
    cfg = {'model': {'decode_head': {'num_classes': 2, 'out_channels': 1, 'loss_decode': {'type': 'DiceLoss'}}}}
    assert "'mmimb.BinaryCrossEntropyLoss'" in suggest(stats((1000, 9)), cfg=cfg).config


def test_the_suggestion_for_an_unknown_base() -> None:
    text = suggest(RARE).config
    assert text.count('_delete_=True') == 3


@pytest.mark.parametrize('num_classes', [1, 2, 12, 13, 150])
def test_terminal_output_of_any_number_of_classes(num_classes) -> None:
    counts = long_tail(num_classes)
    schemes = all_schemes(counts)
    console = Console(width=200, record=True, file=io.StringIO())
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        console.print(scheme_table(counts, schemes))
        lines = derived_lines(counts, schemes, suggest(counts))
    text = console.export_text()
    shown = [f'class {c}' for c in range(num_classes) if f'class {c} ' in text]
    assert len(shown) == min(num_classes, 12)
    assert f'class {num_classes - 1} ' in text
    assert ('more)' in text) == (num_classes > 12)
    assert f'Gini coefficient: {gini(counts.pixels):.3f} (0: all classes equal)' in lines
    assert sum('of the labelled pixels' in line for line in lines) == min(num_classes, 3)
