"""The passes over a split that tuning needs: what was decided before, which offsets, what is decided with them."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from mmengine.dist import broadcast_object_list
from mmengine.evaluator import Evaluator

from ..analysis.image_groups import image_groups
from ..analysis.offset_objective import Counts, Objective
from ..analysis.offsets import Tuning, half_of_weights, tune
from ..analysis.score_sample import pool
from ..stats import ClassStats
from .decision import Classifier, class_weights_of, correction_notices, losses_of
from .score_pass import ScorePass
from .tuning_split import fitting_classes


@dataclass(frozen=True)
class TuneResult:
    """What was found, and full counts of the split before and after.

    Args:
        tuning: As found on the sample; ``before`` and ``after`` are those of the full passes.
        classes: Names of the classes.
        before: ``(C,)`` counts of the model as it is.
        after: ``(C,)`` counts with the offsets.
        notices: What the user should know.
    """

    tuning: Tuning
    classes: tuple[str, ...]
    before: Counts
    after: Counts
    notices: tuple[str, ...]


class TuningRun:
    """A runner whose test split is tuned on, with its weights loaded.

    Args:
        runner: As for testing.
        state: The weights without offsets.

    Raises:
        ValueError: The model has no place for offsets, or other classes than the split.
    """

    def __init__(self, runner: Any, state: Mapping[str, Any]) -> None:
        self.runner, self.loop = runner, runner.test_loop
        self.evaluator = self.loop.evaluator
        runner.call_hook('before_run')
        runner.load_or_resume()
        self.classifier = Classifier(runner.model)
        key = self.classifier.key
        self.classifier.restore(state.get(key, state.get(f'module.{key}')))
        dataset = self.loop.dataloader.dataset
        self.classes = fitting_classes(dataset, self.classifier.num_classes)
        self.classifier.check(self._first_scores)
        self.scan = ScorePass(self.classifier, len(dataset), self.classifier.head.ignore_index)
        self.loop.evaluator = Evaluator([self.scan])

    def tail(self, stats: ClassStats | None) -> tuple[int, ...]:
        """Return the tail classes: of the report, else of the metric that the split has in the config.

        Raises:
            ValueError: Neither knows them.
        """
        if stats is not None:
            return tuple(stats.groups()['tail'])
        for metric in self.evaluator.metrics:
            members = metric.class_groups().get('tail', []) if hasattr(metric, 'class_groups') else []
            if members:
                return tuple(self.classes.index(name) for name in members)
        raise ValueError('`--stats` must name the report of the training split for mIoU_tail, got none (and the evaluator of '
                         'the split has no tail)')

    def run(self, goal: Objective, stats: ClassStats | None, groups: str | None, blocks: int | None, *,
            half_weights: bool = True) -> TuneResult:
        """Pass over the split, tune, and pass again with the offsets, which then are in the model; the same on all ranks.

        Args:
            goal: What to maximise.
            stats: Report on the training split, or None.
            groups: File with images that belong together, or None.
            blocks: Number of images in a row that belong together, or None.
            half_weights: Start with half of the class weights taken back, where the head has some.

        Raises:
            ValueError, OSError: The groups do not fit, or there is nothing to measure on.
        """
        if groups is None:  # told before a pass over the split
            _check_groups(image_groups([''] * len(self.loop.dataloader.dataset), None, blocks))
        shares = None if stats is None else stats.fit(len(self.classes), self.classes, 'the model').pixels
        start, told = self._start() if half_weights else (None, [])
        self.loop.run()
        tuning, before = self._on_main(lambda: (self._tune(goal, shares, start, groups, blocks), self.scan.counts().sum()))
        after = before
        if tuning.changed:
            self.classifier.shift(tuning.offsets)
            self.scan.sampling = False
            self.loop.run()
            after = self._on_main(lambda: self.scan.counts().sum())
        self.runner.call_hook('after_run')
        tuning, after, notices = confirmed(tuning, before, after, goal)
        self.classifier.shift(tuning.offsets)
        told = [*correction_notices(losses_of(self.runner.model)), *told, *notices]
        return TuneResult(tuning, self.classes, before, after, tuple(told))

    def _start(self) -> tuple[np.ndarray | None, list[str]]:
        """Return the offsets that take half of the class weights back, if there are any, and why if they cannot be read."""
        try:
            weights = class_weights_of(losses_of(self.runner.model))
        except (ValueError, OSError) as error:
            return None, [f'half of the class weights cannot be taken back: {error}']
        return (None if weights is None or self.classifier.binary else half_of_weights(weights)), []

    def _tune(self, goal: Objective, shares: Sequence[int] | None, start: np.ndarray | None, groups: str | None,
              blocks: int | None) -> Tuning:
        numbers = image_groups([image['path'] for image in self.scan.collected], groups, blocks)
        _check_groups(numbers)
        return tune(pool(self.scan.collected, len(self.classes), numbers), goal.terms, tail=goal.tail, shares=shares,
                    start=start)

    def _on_main(self, call: Callable[[], Any]) -> Any:
        """Return on all ranks what ``call`` returns, or raise what it raises, on the main one."""
        found: list[Any] = [None]
        if self.runner.rank == 0:
            try:
                found[0] = call()
            except (ValueError, OSError) as error:  # the others wait
                found[0] = error
        broadcast_object_list(found)
        if isinstance(found[0], Exception):
            raise found[0]
        return found[0]

    def _first_scores(self) -> torch.Tensor:
        self.runner.model.eval()
        loader = self.loop.dataloader
        with torch.no_grad():
            (sample, ) = self.runner.model.test_step(loader.collate_fn([loader.dataset[0]]))
        return self.classifier.scores(sample.seg_logits.data).double()


def confirmed(tuning: Tuning, before: Counts, after: Counts, goal: Objective) -> tuple[Tuning, Counts, list[str]]:
    """Return the tuning with the figures of the full passes, the counts, and notices; no change if they do not bear it out."""
    old, new = float(goal.value(before)), float(goal.value(after))
    if tuning.changed and new <= old:
        notice = f'the offsets found on the sample of scores give {new:.2f} instead of {old:.2f} on all pixels: no change'
        same = replace(tuning, offsets=np.zeros_like(tuning.offsets), family='none', tau=0.0, strength=None, gain=0.0,
                       interval=(0.0, 0.0), before=old, after=old)
        return same, before, [notice]
    return replace(tuning, before=old, after=new), after, []


def _check_groups(numbers: Sequence[int]) -> None:
    images, found = len(numbers), len(set(numbers))
    if found < 2:
        raise ValueError('`--split` must hold 2 groups of images or more, for offsets are tried on others than they were found '
                         f'on, got {images} image{"s" * (images != 1)} in {found}; without such images, '
                         '`mmimb test --logit-adjustment` takes back what weights did')
