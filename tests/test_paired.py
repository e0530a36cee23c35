"""Intervals of paired differences, against scipy and a slow bootstrap."""
from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from mmimb.analysis import paired
from mmimb.analysis.paired import Interval, over_seeds, over_units, unit_counts


def test_interval_over_seeds() -> None:
    a, b = {1: 3.0, 2: 5.5, 3: 4.0, 9: 0.0}, {1: 1.0, 2: 2.0, 3: 3.5}
    expected = scipy_stats.ttest_rel([3.0, 5.5, 4.0], [1.0, 2.0, 3.5]).confidence_interval(0.95)
    assert over_seeds(a, b) == pytest.approx((2.0, expected.low, expected.high))
    assert over_seeds({**a, 4: np.nan}, {**b, 4: 1.0}) == over_seeds(a, b), 'an undefined value is a missing one'
    assert np.isnan(over_seeds({1: 2.0}, b).low)
    assert np.isnan(over_seeds({5: 2.0}, b).mean)
    assert [str(over_seeds(x, b)) for x in (a, {1: 2.0}, {5: 2.0})] == ['+2.0 (-1.7 to +5.7)', '+1.0', '']
    assert over_seeds(a, b).text(3) == '+2.000 (-1.726 to +5.726)'


@pytest.mark.parametrize(('bounds', 'side'), [((0.1, 2), 1), ((-2, -0.1), -1), ((-1, 1), 0), ((0, 1), 0), ((np.nan, ) * 2, 0)])
def test_side(bounds, side) -> None:
    assert Interval(0.5, *bounds).side == side


def scores_of(counts, classes):
    """Mean IoU, recall and precision in percent of ``(3, C)`` counts, by the definition."""
    hits, labelled, predicted = counts[:, classes].astype(float)
    return 100 * np.array([(hits / (labelled + predicted - hits)).mean(), (hits / labelled).mean(), (hits / predicted).mean()])


def test_interval_over_units() -> None:
    rng = np.random.default_rng(0)
    labelled = rng.integers(10, 50, (12, 3))
    predicted = labelled + rng.integers(-3, 10, (12, 3))
    arm, other, reference = (np.stack([labelled // k, labelled, predicted], 1) for k in (2, 3, 4))
    keys = {'IoU': ('IoU', [0, 2]), 'Acc': ('Acc', [0, 2]), 'Precision': ('Precision', [0, 2]), 'one': ('Precision', [1])}
    found = over_units([(arm, reference), (other, reference)], keys)

    def gain(picked, classes):
        a, b, r = (scores_of(counts[picked].sum(0), classes) for counts in (arm, other, reference))
        return (a + b) / 2 - r

    draws = [rng.integers(12, size=12) for _ in range(4000)]
    slow = np.percentile([gain(d, [0, 2]) for d in draws], [2.5, 97.5], axis=0)
    for i, key in enumerate(('IoU', 'Acc', 'Precision')):
        assert found[key].mean == pytest.approx(gain(np.arange(12), [0, 2])[i])
        assert found[key][1:] == pytest.approx(slow[:, i], abs=0.25)
        assert 0 < found[key].low < found[key].mean < found[key].high
    assert found['one'].mean == pytest.approx(gain(np.arange(12), [1])[2])


def test_draws_are_the_same_for_both_and_whatever_their_number_at_a_time(monkeypatch) -> None:
    rng = np.random.default_rng(1)
    arm, same = rng.integers(1, 9, (2, 30, 3, 4))
    keys = {'m': ('IoU', range(4))}
    assert over_units([(same, same)], keys)['m'] == (0, 0, 0)
    before = over_units([(arm, same)], keys)
    monkeypatch.setattr(paired, 'PART', 999)
    assert over_units([(arm, same)], keys) == before
    assert over_units([(arm, same)], keys, seed=1) != before


def test_overall_accuracy() -> None:
    arm, reference = np.array([[[3, 1], [4, 6], [7, 3]]] * 2), np.array([[[2, 0], [4, 6], [8, 2]]] * 2)
    assert over_units([(arm, reference)], {'aAcc': ('aAcc', range(2))})['aAcc'] == pytest.approx((20, 20, 20))


def test_one_unit_says_nothing_of_others() -> None:
    arm, reference = np.array([[[3, 1], [4, 6], [7, 3]]]), np.array([[[2, 0], [4, 6], [8, 2]]])
    found = over_units([(arm, reference)], {'aAcc': ('aAcc', range(2))})['aAcc']
    assert found.mean == pytest.approx(20)
    assert np.isnan(found[1:]).all()
    assert found.side == 0


def test_a_class_of_two_units_has_no_interval_and_does_not_harm_the_mean() -> None:
    labelled = np.full((10, 2), 20)
    labelled[2:, 1] = 0
    arm, reference = (np.stack([labelled // k, labelled, np.full((10, 2), 20)], 1) for k in (2, 4))
    found = over_units([(arm, reference)], {'m': ('IoU', [0, 1]), 'rare': ('IoU', [1]), 'never': ('IoU', [])})
    assert not np.isnan(found['m']).any()
    assert found['rare'].mean == pytest.approx(100 * (20 / 220 - 10 / 230))
    assert np.isnan(found['rare'].low)
    assert np.isnan(found['never'].mean)


def test_refused() -> None:
    with pytest.raises(ValueError, match='at least one pair'):
        over_units([], {})
    with pytest.raises(ValueError, match='one shape'):
        over_units([(np.ones((2, 3, 4)), np.ones((3, 3, 4)))], {'m': ('IoU', [0])})


def test_unit_counts() -> None:
    counts = np.arange(12).reshape(2, 3, 2)
    assert np.array_equal(unit_counts(counts, ['a', 'a']), counts.sum(0, keepdims=True))
    assert np.array_equal(unit_counts(counts, [1, 0]), counts[::-1])
