"""Samplers by rare classes and by repeat factors: what they draw, how often, and from which report."""
from __future__ import annotations

import json
import warnings
from itertools import islice

import numpy as np
import pytest
from support.sampling import CLASSES, CONTENT, build, chi_square, class_rule, sampler, scan, write_images

from mmimb.sampling.draws import BLOCK, unit, words
from mmimb.stats import ClassStats

COUNTS = np.array(CONTENT)
KINDS = ('RareClassSampler', 'RepeatFactorSampler', 'DifficultySampler')
CHI_11 = 31.3  # 99.9 % of a chi-square of 11 degrees of freedom lie below


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('samplers')


@pytest.fixture(scope='module')
def data(folder):
    return build(write_images(folder / 'data'))


@pytest.fixture(scope='module')
def report(folder, data):
    return scan(data, folder / 'stats.json')


def draws(made, count: int, start: int = 0) -> list[int]:
    return [made.draw(k) for k in range(start, start + count)]


def rare_rule(counts: np.ndarray, temperature: float, contains: np.ndarray) -> np.ndarray:
    share = counts.sum(0) / counts.sum()
    weight = np.where(contains.any(0), np.exp((1 - share) / temperature), 0)
    return class_rule(weight / weight.sum(), contains)


@pytest.mark.parametrize('temperature', [0.02, 0.5, 20])
def test_rare_classes_by_their_softmax(data, report, temperature) -> None:
    made = sampler('RareClassSampler', data, report, temperature=temperature)
    rule = rare_rule(COUNTS, temperature, COUNTS > 0)
    assert chi_square(draws(made, 4000), rule) < CHI_11
    others = [rare_rule(COUNTS, t, COUNTS > 0) for t in (0.02, 0.5, 20) if t != temperature]
    assert all(chi_square(draws(made, 4000), other) > 2 * CHI_11 for other in others if abs(other - rule).max() > 0.02)
    assert made.probability.sum() == pytest.approx(1)
    assert made.probability[3] == 0


def test_default_temperature_and_extreme_ones(data, report) -> None:
    default = sampler('RareClassSampler', data, report)
    np.testing.assert_array_equal(default.probability, sampler('RareClassSampler', data, report, temperature=0.01).probability)
    rarest = sampler('RareClassSampler', data, report, temperature=1e-300)
    assert rarest.probability.tolist() == [0, 0, 0.5, 0, 0.5]  # as many pixels of sign as of pole
    assert set(draws(rarest, 50)) == {2, 5, 7}


def test_min_pixels_leaves_out_images_but_no_class(data, report) -> None:
    made = sampler('RareClassSampler', data, report, temperature=0.5, min_pixels=5)
    enough = COUNTS >= 5
    enough[:, [2, 4]] = COUNTS[:, [2, 4]] > 0  # no image has five of them
    assert chi_square(draws(made, 4000), rare_rule(COUNTS, 0.5, enough)) < CHI_11
    assert chi_square(draws(made, 4000), rare_rule(COUNTS, 0.5, COUNTS > 0)) > CHI_11


@pytest.mark.parametrize('content', [[(64, 0), (0, 0)], [(10, 0), (20, 0)], [(9, 9), (8, 8), (1, 1)]],
                         ids=['one image', 'one class', 'both in every image'])
def test_few_classes(tmp_path, content) -> None:
    dataset = {**write_images(tmp_path / 'data', content), 'metainfo': dict(classes=CLASSES[:2])}
    data = build(dataset)
    report = scan(data, tmp_path / 'stats.json')
    contains = np.array(content) > 0
    for kind in ('RareClassSampler', 'DifficultySampler'):
        seen = draws(sampler(kind, data, report), 200)
        assert set(seen) == set(np.flatnonzero(contains.any(1)))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        made = sampler('RepeatFactorSampler', data, report, threshold=1.0)
    share = contains.mean(0)
    factor = [max([1, *(1 / np.sqrt(share[row]))]) for row in contains]
    np.testing.assert_allclose(made.factor, factor)


def test_repeat_factors_by_hand(data, report) -> None:
    # 12 images; road is in 11 of them, car in 9 (r = 1), sign in 1 (r = sqrt(0.5 * 12)), pole in 2 (r = sqrt(0.5 * 12 / 2))
    made = sampler('RepeatFactorSampler', data, report, threshold=0.5)
    want = np.ones(12)
    want[2], want[[5, 7]] = 2.449490, 1.732051
    np.testing.assert_allclose(made.factor, want, atol=1e-6)
    assert len(made) == 15  # of 14.91
    default = sampler('RepeatFactorSampler', data, report)
    np.testing.assert_allclose(default.factor, np.where(np.arange(12) == 2, np.sqrt(1.2), 1))


def test_repeat_factors_are_rounded_at_random_in_every_cycle(data, report) -> None:
    made = sampler('RepeatFactorSampler', data, report, threshold=0.5)
    counts = np.bincount(draws(made, 9000), minlength=12)
    cycles = counts[0]
    assert np.ptp(counts[[0, 1, 3, 4, 6, 8, 9, 10, 11]]) <= 1
    error = np.sqrt(0.25 / cycles)
    np.testing.assert_allclose(counts[[2, 5, 7]] / cycles, [2.449490, 1.732051, 1.732051], atol=4 * error)


def test_repeat_factor_cycles_are_complete_and_shuffled(tmp_path) -> None:
    content = [(64, 0), (64, 0), (64, 0), (60, 4)]
    data = build({**write_images(tmp_path / 'data', content), 'metainfo': dict(classes=CLASSES[:2])})
    made = sampler('RepeatFactorSampler', data, scan(data, tmp_path / 'stats.json'), threshold=1.0)  # r = sqrt(1 / (1 / 4))
    assert len(made) == 5
    cycles = np.array(draws(made, 500)).reshape(-1, 5)
    assert (np.sort(cycles, axis=1) == [0, 1, 2, 3, 3]).all()
    assert len({tuple(cycle) for cycle in cycles.tolist()}) > 40  # of 60 orders
    positions = (cycles == 0).sum(0)
    assert ((positions - 20)**2 / 20).sum() < 18.5  # 99.9 % of a chi-square of 4


def test_the_order_of_a_cycle_does_not_tell_what_was_rounded_up(data, report) -> None:
    """In a cycle in which image 2 occurs three times rather than twice, its first place is what it is by chance."""
    made = sampler('RepeatFactorSampler', data, report, threshold=0.5)
    cycles = [made._shuffled(cycle) for cycle in range(1500)]
    places = {times: [] for times in (2, 3)}
    for cycle in cycles:
        at = np.flatnonzero(cycle == 2)
        places[len(at)].append(at / (len(cycle) - 1))
    for found in places.values():
        assert np.mean(found) == pytest.approx(0.5, abs=4 * np.sqrt(1 / 12 / len(found) / 2))
    assert draws(made, 30) == np.concatenate(cycles)[:30].tolist()


def test_a_threshold_without_effect_is_told(data, report) -> None:
    with pytest.warns(UserWarning, match=r'repeats no image: every class is in at least 0\.0833 of the images'):
        sampler('RepeatFactorSampler', data, report, threshold=0.05)


@pytest.mark.parametrize('kind', KINDS)
def test_a_draw_depends_on_seed_and_position_only(data, report, kind) -> None:
    arguments = {'threshold': 0.5} if kind == 'RepeatFactorSampler' else {}
    made, other = (sampler(kind, data, report, **arguments) for _ in range(2))
    stream = draws(made, 2 * BLOCK + 5)
    assert list(islice(other, len(stream))) == stream
    order = np.random.default_rng(0).permutation(len(stream))
    assert [other.draw(int(k)) for k in order] == [stream[k] for k in order]
    assert draws(sampler(kind, data, report, seed=6, **arguments), 100) != stream[:100]
    other.load_state_dict(sampler(kind, data, report, seed=6, **arguments).state_dict())
    assert draws(other, 100) == draws(sampler(kind, data, report, seed=6, **arguments), 100)


def test_random_words() -> None:
    first = words(7, 0, 4096)
    np.testing.assert_array_equal(words(7, 100, 50), first[100:150])
    numbers = unit(first)
    assert len(np.unique(first)) == first.size
    assert 0 <= numbers.min() < 0.001
    assert 0.999 < numbers.max() < 1
    assert unit(np.array([2**64 - 1], np.uint64))[0] < 1
    np.testing.assert_allclose(numbers.mean(0), 0.5, atol=4 / np.sqrt(12 * 4096))
    assert np.abs(np.corrcoef(numbers.T) - np.eye(4)).max() < 4 / np.sqrt(4096)


BAD = [
    (dict(temperature=0), '`temperature` must be a finite number above 0, got 0', 'RareClassSampler'),
    (dict(temperature='cold'), "`temperature` must be a finite number above 0, got 'cold'", 'RareClassSampler'),
    (dict(min_pixels=0), '`min_pixels` must be at least 1, got 0', 'RareClassSampler'),
    (dict(infinite='yes'), '`infinite` must be True (iteration-based loops) or False', 'RareClassSampler'),
    (dict(seed=-1), '`seed` must be at least 0, got -1', 'RareClassSampler'),
    (dict(threshold=0), '`threshold` must be a finite number above 0 and at most 1, got 0', 'RepeatFactorSampler'),
    (dict(threshold=1.5), '`threshold` must be a finite number above 0 and at most 1, got 1.5', 'RepeatFactorSampler'),
    (dict(tau='wild'), "`tau` must be", 'DifficultySampler'),
    (dict(tau=-1), '`tau` must be', 'DifficultySampler'),
    (dict(measure='accuracy'), "`measure` must be one of ('recall', 'iou', 'f1'), got 'accuracy'", 'DifficultySampler'),
    (dict(delay=0), '`delay` must be at least 1, got 0', 'DifficultySampler'),
]


@pytest.mark.parametrize(('arguments', 'rule', 'kind'), BAD, ids=[f'{b[2]}-{b[0]}' for b in BAD])
def test_bad_arguments(data, report, arguments, rule, kind) -> None:
    with pytest.raises((ValueError, TypeError)) as error:
        sampler(kind, data, report, **arguments)
    assert rule in str(error.value)
    assert '\n' not in str(error.value)


def changed(report, path, **values):
    data = {**json.loads(report.read_text()), **values}
    path.write_text(json.dumps({k: v for k, v in data.items() if v is not None}))
    return path


@pytest.mark.parametrize('kind', KINDS)
def test_reports_that_do_not_serve(data, report, tmp_path, kind) -> None:
    with pytest.raises(ValueError, match=r'`stats` must be the path of a scanner report .*, got a dict'):
        sampler(kind, data, dict(pixels=[5, 3, 2, 0, 1]))
    with pytest.raises(ValueError, match='got a ClassStats'):
        sampler(kind, data, ClassStats.load(report))
    with pytest.raises(FileNotFoundError, match='no such file'):
        sampler(kind, data, tmp_path / 'nothing.json')
    with pytest.raises(ValueError, match='must be a report of `mmimb scan` that names `per_image`'):
        sampler(kind, data, changed(report, report.with_name('sums.json'), per_image=None))
    with pytest.raises(FileNotFoundError, match='must be a file beside it'):
        sampler(kind, data, changed(report, tmp_path / 'alone.json'))
    with pytest.raises(ValueError, match="must be of the same dataset as the training dataset: class 0 is 'road' there"):
        sampler(kind, data, changed(report, report.with_name('names.json'), classes=[*'abcde']))
    with pytest.raises(ValueError, match='must be counts of the same scan, got others'):
        sampler(kind, data, changed(report, report.with_name('sums.json'), pixels=[999, 175, 5, 0, 5], image_pixels=None))


def test_a_report_of_other_files(data, report, tmp_path) -> None:
    fewer = build(write_images(tmp_path / 'fewer', CONTENT[:5]))
    with pytest.raises(ValueError, match=r'of the training dataset, in order, got .* of 12 others; scan it again'):
        sampler('RareClassSampler', fewer, report)
    renamed = write_images(tmp_path / 'renamed')
    for kind in ('images', 'labels'):
        (tmp_path / f'renamed/{kind}/03.png').rename(tmp_path / f'renamed/{kind}/3.png')
    with pytest.raises(ValueError, match='scan it again'):
        sampler('RareClassSampler', build(renamed), report)
