"""Decision offsets: the sample, the search and the choice, against brute force in numpy."""
from __future__ import annotations

import itertools

import numpy as np
import pytest

from mmimb.analysis.offset_evidence import student, witnesses
from mmimb.analysis.offset_objective import Counts, Objective
from mmimb.analysis.offset_search import Contest, _State, ascend
from mmimb.analysis.offset_table import tuning_sentence
from mmimb.analysis.offsets import half_of_weights, tune
from mmimb.analysis.score_sample import ScoreSample, budget_per_image, pool, sample_image

GOALS = ['mIoU', 'mIoU_tail', 'mAcc', 'worst', 'mIoU=1,mIoU_tail=2,mAcc=0.5,worst=3']
TAIL = (1, 2)


def images(number: int, shares, *, separation: float = 2.0, bias=0.0, size: int = 12, seed: int = 0):
    """Give logits that are exactly the log posterior plus ``bias``, and their labels: ``[((C, H, W), (H, W)), ...]``."""
    rng, shares = np.random.default_rng(seed), np.asarray(shares, float) / np.sum(shares)
    out = []
    for _ in range(number):
        label = rng.choice(len(shares), p=shares, size=(size, size))
        feature = rng.normal(size=(len(shares), size, size)) + separation * (np.arange(len(shares))[:, None, None] == label)
        logits = separation * feature + np.log(np.maximum(shares, 1e-9))[:, None, None] + np.reshape(bias, (-1, 1, 1))
        out.append((logits.astype(np.float32), label))
    return out


def sample_of(data, groups=None, **how) -> ScoreSample:
    return pool([sample_image(*image, **how) for image in data], len(data[0][0]), groups)


def plain_counts(data, offsets) -> Counts:
    """Count predictions as an evaluation would: ``(C,)``."""
    classes = len(data[0][0])
    hits, labels, predicted = np.zeros((3, classes))
    for logits, label in data:
        pred = (logits.astype(np.float64) + np.reshape(offsets, (-1, 1, 1))).argmax(0)[label != 255]
        label = label[label != 255]
        for c in range(classes):
            hits[c] += ((pred == c) & (label == c)).sum()
            labels[c] += (label == c).sum()
            predicted[c] += (pred == c).sum()
    return Counts(hits, labels, predicted)


def plain_value(goal: str, counts: Counts) -> float:
    occurs = [c for c in range(len(counts.hits)) if counts.labels[c]]
    iou = {c: counts.hits[c] / (counts.labels[c] + counts.predicted[c] - counts.hits[c]) for c in occurs}
    tail = [iou[c] for c in occurs if c in TAIL]
    scores = {'mIoU': np.mean(list(iou.values())), 'mIoU_tail': np.mean(tail) if tail else np.nan,
              'mAcc': np.mean([counts.hits[c] / counts.labels[c] for c in occurs]), 'worst': min(iou.values())}
    parts = [part.split('=') if '=' in part else [part, '1'] for part in goal.split(',')]
    return 100 * sum(float(w) * scores[name] for name, w in parts) / sum(float(w) for _, w in parts)


@pytest.mark.parametrize('goal', GOALS)
def test_the_objective_is_that_of_plain_numpy(goal) -> None:
    counts = plain_counts(images(3, [8, 1, 1, 0, 3]), np.zeros(5))
    assert Objective.of(goal, TAIL).value(counts) == pytest.approx(plain_value(goal, counts), abs=1e-12)


@pytest.mark.parametrize('span', [20, 3])
@pytest.mark.parametrize('goal', GOALS)
def test_no_move_of_one_class_is_better_than_the_one_that_is_found(goal, span) -> None:
    """Brute force: every interval of thresholds of every class is tried at the end of the search."""
    data = images(2, [6, 2, 1, 3], size=9, seed=3)
    sample = sample_of(data, keep=4, budget=10**6)
    contest, objective = Contest.of(sample, span), Objective.of(goal, TAIL)
    found = ascend(contest, objective, np.zeros(4), margin=0.01)
    assert np.ptp(found) < span
    assert objective.value(contest.counts(found).sum()) == pytest.approx(plain_value(goal, plain_counts(data, found)))
    best = plain_value(goal, plain_counts(data, found))
    assert best >= plain_value(goal, plain_counts(data, np.zeros(4)))
    logits = np.concatenate([x.reshape(4, -1) for x, _ in data], 1).astype(np.float64)
    for c in range(4):
        others = np.delete(logits + found[:, None], c, 0).max(0) - logits[c]
        edges = np.sort(others)
        tries = np.concatenate([[edges[0] - 1e-3], (edges[1:] + edges[:-1]) / 2, [edges[-1] + 1e-3]])
        for value in tries:
            moved = found.copy()
            moved[c] = value
            if np.ptp(moved) < span:
                assert plain_value(goal, plain_counts(data, moved)) <= best + 100 * 1e-5 + 1e-9, (c, value)


def test_pixels_with_equal_gaps_are_taken_together() -> None:
    data = [(np.round(2 * logits) / 2, label) for logits, label in images(2, [6, 2, 1, 3], size=9, seed=3)]
    contest, goal = Contest.of(sample_of(data, keep=4, budget=10**6), 20), Objective.of('mIoU')
    state = _State(contest, goal, np.array([0, 0.1, 0.22, 0.34]), 0.01)
    before = goal.value(contest.counts(state.offsets).sum())
    for c in [0, 1, 2, 3] * 4:
        gain = state.move(c)
        counted = contest.counts(state.offsets).sum()
        np.testing.assert_allclose(state.hits, counted.hits)
        np.testing.assert_allclose(state.predicted, counted.predicted)
        assert goal.value(counted) == pytest.approx(before + 100 * gain)
        before = goal.value(counted)


def test_coordinate_ascent_reaches_the_best_of_a_grid_over_all_offsets() -> None:
    data = images(2, [8, 1, 2], size=14, seed=1, bias=[0, 1.2, 0.4])
    contest = Contest.of(sample_of(data, keep=3, budget=10**6), 20.0)
    found = ascend(contest, Objective.of('mIoU'), np.zeros(3), margin=0.01)
    grid = np.arange(-3, 3.01, 0.2)
    best = max(plain_value('mIoU', plain_counts(data, [0, a, b])) for a, b in itertools.product(grid, grid))
    assert plain_value('mIoU', plain_counts(data, found)) >= best - 0.3


@pytest.mark.parametrize('budget', [60, 300, 10**6])
def test_weights_give_the_counts_of_the_plain_prediction_exactly(budget) -> None:
    data = images(3, [20, 4, 1, 2], size=30, seed=2)
    data[1][1][:5] = 255
    sample = sample_of(data, budget=budget)
    contest = Contest.of(sample, 20.0)
    ours, plain = contest.counts(np.zeros(4)).sum(), plain_counts(data, np.zeros(4))
    for name in ('hits', 'labels', 'predicted'):
        np.testing.assert_allclose(getattr(ours, name), getattr(plain, name))
    assert len(sample) <= 3 * max(budget, 4 * 4 * 4 * 4)


def test_a_small_sample_estimates_the_counts_after_offsets() -> None:
    data = images(20, [50, 5, 1, 2, 10], size=60, seed=4)
    sample = sample_of(data, budget=600)
    assert len(sample) < 20 * 600
    offsets = np.array([-0.5, 0.3, 1.0, 0.2, 0.0])
    ours, plain = Contest.of(sample, 20.0).counts(offsets).sum(), plain_counts(data, offsets)
    np.testing.assert_allclose(ours.predicted, plain.predicted, rtol=0.03)


def test_equal_scores_count_for_the_first_class_as_argmax_does() -> None:
    rng = np.random.default_rng(0)
    data = [(rng.integers(0, 3, (5, 20, 20)).astype(np.float16), rng.integers(0, 5, (20, 20)))]
    ours, plain = Contest.of(sample_of(data, budget=50), 9.0).counts(np.zeros(5)).sum(), plain_counts(data, np.zeros(5))
    np.testing.assert_array_equal(ours.predicted, plain.predicted)
    np.testing.assert_array_equal(ours.hits, plain.hits)


def test_tuning_undoes_a_bias_towards_rare_classes() -> None:
    shares = np.array([60, 20, 10, 6, 3, 1.0])
    data = images(40, shares, bias=-1.0 * np.log(shares / shares.sum()), size=40, seed=5)
    result = tune(sample_of(data[:20]))
    assert result.changed
    assert result.interval[0] <= result.gain <= result.interval[1]
    before, after = (plain_value('mIoU', plain_counts(data[20:], d)) for d in (np.zeros(6), result.offsets))
    assert after - before > 1
    assert after - before == pytest.approx(result.gain, abs=1)
    assert result.before == pytest.approx(plain_value('mIoU', plain_counts(data[:20], np.zeros(6))))


@pytest.mark.parametrize('seed', range(6))
def test_a_calibrated_balanced_model_stays_as_it_is(seed) -> None:
    result = tune(sample_of(images(12, [1] * 6, size=30, seed=seed)))
    assert not result.changed
    assert not result.offsets.any()
    assert result.gain == 0


ROOT = np.array([60, 20, 10, 6, 3, 1.0])
ROOT_WEIGHT = (ROOT / ROOT.sum()) ** -0.5
ROOT_HALF = 0.25 * np.log(ROOT / ROOT.sum())


def test_half_of_the_weights() -> None:
    np.testing.assert_allclose(half_of_weights(ROOT_WEIGHT), ROOT_HALF, rtol=1e-12)
    np.testing.assert_allclose(half_of_weights([1.0, 4.0, 0.0]), [0, -np.log(2), 0])


def test_a_shifted_sample_is_the_sample_of_shifted_scores() -> None:
    data, offsets = images(2, [6, 3, 1], bias=[0, 1, 2]), np.array([0.5, -0.2, -1.5])
    moved = sample_of(data, budget=10_000).shifted(offsets)
    assert (np.diff(moved.scores) <= 0).all()
    counts = Contest.of(moved, 8).counts(np.zeros(3)).sum()
    np.testing.assert_array_equal(counts.hits, plain_counts(data, offsets).hits)
    np.testing.assert_array_equal(counts.predicted, plain_counts(data, offsets).predicted)


def test_the_start_is_kept_where_few_images_do_not_decide() -> None:
    data = images(2, ROOT, bias=np.log(ROOT_WEIGHT), size=10, seed=6)
    assert tune(sample_of(data)).family == 'none'
    result = tune(sample_of(data), start=ROOT_HALF)
    assert result.family == 'start'
    np.testing.assert_allclose(result.offsets, ROOT_HALF - ROOT_HALF.mean())
    before, after = (plain_value('mIoU', plain_counts(data, d)) for d in (np.zeros(6), ROOT_HALF))
    assert (result.before, result.after) == pytest.approx((before, after))
    assert result.gain == result.start.gain == pytest.approx(after - before)


def test_a_start_that_hurts_is_dropped() -> None:
    data = images(20, ROOT, size=40, seed=4)
    result = tune(sample_of(data), start=3 * ROOT_HALF)
    assert result.start is None
    assert result.dropped.interval[1] < 0
    assert (f'Start: half of the class weights taken back, which was dropped, for it changes mIoU by {result.dropped.gain:.2f} '
            in tuning_sentence(result))
    assert result.offsets.tobytes() == tune(sample_of(data)).offsets.tobytes()


def test_offsets_on_top_of_the_start_are_those_of_the_whole_way() -> None:
    data = images(40, ROOT, bias=2 * np.log(ROOT_WEIGHT), size=40, seed=5)
    plain, begun = tune(sample_of(data[:20])), tune(sample_of(data[:20]), start=ROOT_HALF)
    assert begun.family not in ('none', 'start')
    values = [plain_value('mIoU', plain_counts(data[20:], found.offsets)) for found in (plain, begun)]
    assert values[1] == pytest.approx(values[0], abs=0.5)
    nothing = plain_value('mIoU', plain_counts(data[20:], np.zeros(6)))
    assert begun.gain == pytest.approx(values[1] - nothing, abs=1)  # over the model as it is, not over the start
    assert begun.before == plain.before


def test_an_even_start_is_no_start() -> None:
    data = images(4, [3, 2, 1], size=20)
    result = tune(sample_of(data), start=np.ones(3))
    assert (result.start, result.dropped) == (None, None)


def test_the_same_call_gives_the_same_bits() -> None:
    data = images(8, [9, 1, 3], bias=[0, 2, 1], size=20)
    first, second = (tune(sample_of(data), 'mIoU=1,worst=1') for _ in range(2))
    assert first.offsets.tobytes() == second.offsets.tobytes()
    assert first.candidates == second.candidates


def test_offsets_fit_scores_of_any_size() -> None:
    """Raw outputs are no log-probabilities: scores of another size want offsets of that size."""
    data = images(8, [9, 1, 3], bias=[0, 2, 1], size=30)
    one, eight = tune(sample_of(data)), tune(sample_of([(8 * logits, label) for logits, label in data]))
    assert eight.unit == pytest.approx(8 * one.unit)
    np.testing.assert_allclose(eight.offsets, 8 * one.offsets, rtol=1e-6)


def test_a_class_without_labels_neither_wins_nor_loses() -> None:
    data = images(12, [60, 20, 5, 0], bias=[0, 1, 2, 0], size=30)
    result = tune(sample_of(data))
    assert result.changed
    before, after = (plain_counts(data, d).predicted[3] for d in (np.zeros(4), result.offsets))
    assert after <= before + 5


@pytest.mark.parametrize(('freedom', 'quantile'), [(2, 1.886), (3, 1.638), (5, 1.476), (10, 1.372), (100, 1.290)])
def test_the_interval_knows_how_few_groups_there_are(freedom, quantile) -> None:
    assert student(freedom) == pytest.approx(quantile, rel=0.015)


@pytest.mark.parametrize(('more', 'number'), [
    ([[0, 0], [2, 0], [2, 0]], 3),
    ([[0, 2], [0, 0], [0, 0]], 2),  # one group, counted as two
    ([[2, 0.2], [2, 0], [2, 0]], None),
])
def test_a_gain_rests_on_the_groups_that_hold_its_classes(more, number) -> None:
    base = Counts(*np.array([[[5., 2], [5, 0], [5, 0]], [[10, 5], [10, 0], [10, 0]], [[10, 5], [10, 0], [10, 0]]]))
    if number is None:
        share = [21 / 39 - 15 / 45, 2.2 / 7.8 - 2 / 8]
        number = sum(share) / (share[0] / 3 + share[1] / 1)
        assert number > 2
    hits = np.add(base.hits, more)
    assert witnesses(Counts(hits, base.labels, base.predicted), base, Objective.of('mIoU')) == pytest.approx(number)


@pytest.mark.parametrize('goal', GOALS)
def test_the_parts_of_the_objective_make_its_value(goal) -> None:
    counts = plain_counts(images(3, [8, 1, 1, 0, 3]), np.zeros(5))
    assert Objective.of(goal, TAIL).parts(counts).sum() == pytest.approx(plain_value(goal, counts), abs=1e-12)


def test_groups_are_kept_together() -> None:
    data = images(12, [9, 1, 3], bias=[0, 2, 1], size=20)
    assert tune(sample_of(data, ['a', 'b', 'a', 'c'] * 3)).num_groups == 3


@pytest.mark.parametrize(('change', 'words'), [
    (dict(objective='IoU'), '`objective` must be made of mIoU, mIoU_tail, mAcc, worst'),
    (dict(objective='mIoU=x'), "`objective` must be a name or like"),
    (dict(objective='mIoU=-1'), '`objective` must have weights above 0'),
    (dict(objective='mIoU_tail'), '`tail` must hold the tail classes'),
    (dict(shares=[1, 2]), '`shares` must be 3 numbers'),
    (dict(shares=[1, 2, -1]), '`shares` must be 3 numbers'),
    (dict(start=[1, 2]), '`start` must be 3 numbers'),
    (dict(start=[1, 2, np.nan]), '`start` must be 3 numbers'),
])
def test_bad_arguments(change, words) -> None:
    with pytest.raises(ValueError, match=words):
        tune(sample_of(images(3, [1, 1, 1])), **change)


def test_bad_images() -> None:
    logits, label = images(1, [1, 1, 1])[0]
    with pytest.raises(ValueError, match=r'`label` must have the size of `logits` \(12, 12\), got \(12, 11\)'):
        sample_image(logits, label[:, :-1])
    with pytest.raises(ValueError, match=r'`label` must be in \[0, 3\) or 255, got 7'):
        sample_image(logits, np.full_like(label, 7))
    with pytest.raises(ValueError, match='`logits` must be numbers, got NaN'):
        sample_image(np.full_like(logits, np.nan), label)
    with pytest.raises(ValueError, match='`groups` must be at least two for a cross-validation, got 1'):
        tune(sample_of([(logits, label)]))
    with pytest.raises(ValueError, match='`sample` must hold a labelled pixel, got none'):
        tune(sample_of([(logits, np.full_like(label, 255))] * 2))
    with pytest.raises(ValueError, match=r'`groups` must have one entry per image \(1\), got 2'):
        sample_of([(logits, label)], [1, 2])
    with pytest.raises(ValueError, match='`images` must be at least one'):
        pool([], 3)


def test_the_budget_of_a_split_is_bounded() -> None:
    assert budget_per_image(100) == 4000
    assert budget_per_image(2000) == 500
    assert budget_per_image(0) == 400_000
