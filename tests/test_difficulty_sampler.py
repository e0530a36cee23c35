"""The sampler by difficulty: weights that come into force at a draw, its state, and what it refuses."""
from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch
from support.sampling import CONTENT, build, chi_square, class_rule, sampler, scan, write_images

CONTAINS = np.array(CONTENT) > 0
CHI_11 = 31.3  # 99.9 % of a chi-square of 11 degrees of freedom lie below
FIRST, SECOND = [0.1, 0.5, 2.0, 7.0, 1.0], [3.0, 0.0, 0.2, 0.0, 0.1]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('difficulty')


@pytest.fixture(scope='module')
def data(folder):
    return build(write_images(folder / 'data'))


@pytest.fixture(scope='module')
def report(folder, data):
    return scan(data, folder / 'stats.json')


@pytest.fixture
def made(data, report):
    return sampler('DifficultySampler', data, report)


def rule(weight) -> np.ndarray:
    weight = np.asarray(weight) * CONTAINS.any(0)
    return class_rule(weight / weight.sum(), CONTAINS)


def test_weights_in_force_at_each_draw(made) -> None:
    made.set_class_weights(torch.tensor(FIRST), 4000)
    made.set_class_weights(torch.tensor(SECOND, dtype=torch.float64), 8000)
    stream = list(islice(made, 12000))
    rules = [rule(weight) for weight in (np.ones(5), FIRST, SECOND)]
    fits = [[chi_square(stream[start:start + 4000], each) < CHI_11 for each in rules] for start in (0, 4000, 8000)]
    assert fits == np.eye(3, dtype=bool).tolist()


def test_new_weights_begin_at_their_draw_exactly(data, report, made) -> None:
    plain = sampler('DifficultySampler', data, report)
    made.set_class_weights(torch.tensor([0., 0, 1, 0, 0]), 30)
    before, after = [made.draw(k) for k in range(30)], [made.draw(k) for k in range(30, 60)]
    assert before == [plain.draw(k) for k in range(30)]
    assert set(after) == {2}
    assert plain.draw(30) != 2


def test_scale_of_the_weights_does_not_matter(data, report, made) -> None:
    other, weight = sampler('DifficultySampler', data, report), torch.tensor([4., 5, 6, 1, 7], dtype=torch.float64)
    made.set_class_weights(weight, 1)
    other.set_class_weights(weight * 2.0**1021, 1)  # finite, but not their sum
    assert list(islice(made, 500)) == list(islice(other, 500))


@pytest.mark.parametrize('number', [0.0, 0.5, 1 - 2.0**-53])
def test_the_ends_of_the_unit_interval(made, number) -> None:
    """With the least and the largest number a class of weight 0 is not drawn, nor an item that is not there."""
    made.set_class_weights(torch.tensor([0., 0, 1, 0, 0]), 1)
    made._pairs = lambda seed, position: (number, number)
    assert made.draw(5) == 2


def test_it_does_not_matter_when_weights_are_handed_over(data, report, made) -> None:
    """Early, or with the draws up to their start handed out: as prefetching workers have more of them."""
    other, weight = sampler('DifficultySampler', data, report), torch.tensor(FIRST)
    made.set_class_weights(weight, 100)
    early = list(islice(made, 300))
    late = iter(other)
    head = list(islice(late, 100))
    other.set_class_weights(weight, 100)
    assert head + list(islice(late, 200)) == early


def test_starts_that_are_refused(made) -> None:
    stream = iter(made)
    for _ in range(10):
        next(stream)
    with pytest.raises(ValueError, match='`start` must be at least 10, as all draws before were handed out, got 9'):
        made.set_class_weights(torch.tensor(FIRST), 9)
    for start in (5, 0, -3):
        with pytest.raises(ValueError, match=f'`start` must be at least 10, .*, got {start};'):
            made.set_class_weights(torch.tensor(SECOND), start)
    with pytest.raises(TypeError, match=r'`start` must be an integer, got 12\.0'):
        made.set_class_weights(torch.tensor(SECOND), 12.0)


def test_planned_weights_make_way_for_earlier_ones(data, report, made) -> None:
    """A resumed run may measure again where one was made, or draw less in an iteration."""
    other = sampler('DifficultySampler', data, report)
    made.set_class_weights(torch.tensor(FIRST), 20)
    for one in (made, other):
        one.set_class_weights(torch.tensor(SECOND), 15)
    assert made.state_dict()['starts'].tolist() == [0, 15]
    assert list(islice(made, 100)) == list(islice(other, 100))
    with pytest.raises(ValueError, match='`start` must be at least 1, '):
        sampler('DifficultySampler', data, report).set_class_weights(torch.tensor(FIRST), 0)


@pytest.mark.parametrize(('weight', 'message'), [
    ([1.0, 2.0], r'one entry per class \(5\), got 2'), ([1, -1, 1, 1, 1], 'finite and non-negative'),
    ([1, float('nan'), 1, 1, 1], 'finite and non-negative'), ([1, float('inf'), 1, 1, 1], 'finite and non-negative'),
    ([0] * 5, 'above 0 for a class that occurs'), ([0, 0, 0, 1, 0], 'above 0 for a class that occurs')])
def test_weights_that_are_refused_change_nothing(data, report, made, weight, message) -> None:
    with pytest.raises(ValueError, match=f'`weight` must (have|be) {message}'):
        made.set_class_weights(torch.tensor(weight), 8)
    made.set_class_weights(torch.tensor(FIRST), 8)
    other = sampler('DifficultySampler', data, report)
    other.set_class_weights(torch.tensor(FIRST), 8)
    assert list(islice(made, 100)) == list(islice(other, 100))


def test_state_goes_through_a_checkpoint_of_plain_data(data, report, made, tmp_path) -> None:
    weight = torch.rand(5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    made.set_class_weights(weight, 16)
    made.set_class_weights(1 / weight, 48)
    torch.save(made.state_dict(), tmp_path / 'state.pth')
    want = list(islice(made, 200))
    state = torch.load(tmp_path / 'state.pth', weights_only=True)
    assert state['starts'].tolist() == [0, 16, 48]
    assert torch.equal(state['weights'], torch.stack([torch.ones(5, dtype=torch.float64), weight, 1 / weight]))
    other = sampler('DifficultySampler', data, report)
    existing = iter(other)
    assert [next(existing) for _ in range(7)] == want[:7]
    other.load_state_dict(state)
    assert [next(existing) for _ in range(193)] == want[7:]
    assert all(torch.equal(torch.as_tensor(other.state_dict()[key]), torch.as_tensor(state[key])) for key in state)
    state['weights'].zero_()
    assert other.state_dict()['weights'][1].equal(weight)


def test_a_saved_state_does_not_follow_the_sampler(made) -> None:
    state = made.state_dict()
    made.set_class_weights(torch.tensor(FIRST), 5)
    assert state['starts'].tolist() == [0]
    assert len(state['weights']) == 1


def test_weights_are_copied(data, report, made) -> None:
    weight = torch.tensor(FIRST, dtype=torch.float64)
    made.set_class_weights(weight, 5)
    weight.fill_(0)
    assert made.state_dict()['weights'][1].tolist() == FIRST


@pytest.mark.parametrize(('change', 'message'), [
    (dict(weights=torch.ones(1, 4)), r'must have the shape \(1, 5\) in a checkpoint of the same classes, got \(1, 4\)'),
    (dict(starts=torch.tensor([0, 3])), r'must have the shape \(2, 5\)'),
    (dict(starts=torch.tensor([4])), r'`starts` of the sampler must ascend from 0, got \[4\]'),
    (dict(starts=torch.tensor([0, 7, 7]), weights=torch.ones(3, 5)), r'must ascend from 0, got \[0, 7, 7\]'),
    (dict(weights=-torch.ones(1, 5)), 'must be finite and non-negative')])
def test_states_that_are_refused_change_nothing(made, change, message) -> None:
    before = made.state_dict()
    with pytest.raises(ValueError, match=message):
        made.load_state_dict({**before, 'seed': 99, **change})
    assert str(made.state_dict()) == str(before)


def test_what_the_hook_reads(data, report) -> None:
    made = sampler('DifficultySampler', data, report)
    assert (made.tau, made.measure, made.delay, made.num_classes) == ('dynamic', 'recall', 64, 5)
    made = sampler('DifficultySampler', data, report, tau=1.5, measure='f1', delay=7)
    assert (made.tau, made.measure, made.delay) == (1.5, 'f1', 7)


def test_min_pixels(data, report) -> None:
    made = sampler('DifficultySampler', data, report, min_pixels=30)
    made.set_class_weights(torch.tensor([0., 1, 0, 0, 0]), 1)
    assert {made.draw(k) for k in range(1, 200)} == {5, 7, 8, 11}
