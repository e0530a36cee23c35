"""What a run with difficulty-balanced weights keeps: who uses the measurements, the meter and the log."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.runner import EpochBasedTrainLoop
from torch import nn

from ...analysis.difficulty import Measurement
from ...functional import MEASURES
from ...sampling import DifficultySampler
from ...scan.sources import class_names
from ...weights import Deferred, DifficultyBalanced
from .log import DifficultyLog
from .meter import DifficultyMeter
from .sampler import check_delay, find_sampler, first_draw
from .source import Source

SAMPLER = 'sampler'
CHECKPOINT_KEY = 'class_difficulty'
SHOWN = 3


class DifficultyTracker:
    """Hands measurements on to the class weights of the losses and to the sampler, and remembers them.

    Args:
        model: The segmentor, unwrapped.
        loader: The training dataloader.
        source: What is measured, and how scores are averaged.
        folder: For the CSV and the plot.

    Raises:
        ValueError: The number of classes of a weight or the sampler is not that of the dataset; workers prefetch too far.
    """

    def __init__(self, model: nn.Module, loader: Any, source: Source, *, folder: str) -> None:
        self.source = source.name
        self.done = 0  # iterations of this run, and of those that it resumes
        self.classes = class_names(loader.dataset)
        self.sampler = find_sampler(loader, DifficultySampler)
        self._loader = loader
        self._ahead = 0  # batches of all epochs so far minus iterations: not 0 after a resume with another batch size
        self.weights = _users(model)
        if self.sampler is not None:
            check_delay(loader, self.sampler.delay)
            self.weights[SAMPLER] = DifficultyBalanced(self.sampler.num_classes, self.sampler.tau, self.sampler.measure,
                                                       max_ratio=None)
        self._deferred = [m for m in model.modules() if isinstance(m, Deferred)]
        for user, weight in self.weights.items():
            if weight.num_classes != len(self.classes):
                raise ValueError(f'`num_classes` of the DifficultyBalanced of {user} must be {len(self.classes)}, as many as '
                                 f'the training split has classes, got {weight.num_classes}')
        device = next((p.device for p in model.parameters()), None)
        self.meter = DifficultyMeter(len(self.classes), source.momentum).to(device)
        self.log = DifficultyLog(self.classes, folder)

    @property
    def measured(self) -> int:
        """Iterations that were done at the last measurement; 0 before the first."""
        return self.log.measurements[-1].iteration if self.log.measurements else 0

    def update(self, runner: Any, iteration: int) -> None:
        """Close the measurement after ``iteration`` iterations, on all ranks, hand it on, and log what became of it."""
        scores, seen = self.meter.close()
        if not bool(seen):
            runner.logger.warning(f'Difficulty at iteration {iteration} ({self.source}): no labelled pixel was counted')
        lines: dict[str, list[str]] = {}
        for user, weight in self.weights.items():
            weight.update(scores[MEASURES.index(weight.measure)])
            taken = Measurement(iteration, user, weight.tau.item(), weight.difficulty.tolist(), weight.weight.tolist())
            self.log.add(taken)
            runner.visualizer.add_scalars(self._scalars(taken), step=iteration)
            lines.setdefault(self._describe(taken), []).append(user)
        for line, users in lines.items():
            runner.logger.info(f'Difficulty at iteration {iteration} ({self.source}) for {", ".join(users)}: {line}')
        for deferred in self._deferred:
            deferred.refresh()
        if self.sampler is not None:
            start = first_draw(self._loader, self.sampler, iteration + self._ahead + self.sampler.delay)
            self.sampler.set_class_weights(self.weights[SAMPLER].weight, start)

    def restore(self, runner: Any, state: Mapping[str, Any] | None) -> None:
        """Take over the state of a resumed checkpoint; begin at weights of 1 in a run that is new."""
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            self._ahead = runner.epoch * len(self._loader) - runner.iter
        elif getattr(runner.train_loop, 'fast_forward_on_resume', False) and self.sampler is not None and self.sampler.infinite:
            self.sampler.skip(first_draw(self._loader, self.sampler, runner.iter) // get_world_size())  # costs nothing here
        if state is not None and (runner.iter > 0 or runner._resume):
            self.load_state_dict(state)
            if state['source'] != self.source:
                runner.logger.warning(f'difficulty was measured from {state["source"]!r} before, and from {self.source!r} now: '
                                      'scores begin anew, weights stay until then')
        else:  # a checkpoint that only gave its parameters may have left other values in the buffers
            for weight in self.weights.values():
                for name, value in weight.compute_vectors(None).items():
                    getattr(weight, name).copy_(value)
            if runner.iter > 0:
                runner.logger.warning('the checkpoint has no measurement of difficulty: class weights begin at 1')
        self.log.start()

    def state_dict(self, done: int) -> dict[str, Any]:
        """Return everything but the buffers of the model, as plain data.

        Args:
            done: Iterations that a run resumed from the checkpoint has behind it; those after it, in an interrupted epoch,
                are done again, so what was counted in them is left out. Scores and weights stay.
        """
        meter = dict(self.meter.state_dict())
        if done < self.done:
            meter['gathered'] = torch.zeros_like(meter['gathered'])
        state = {'classes': list(self.classes), 'source': self.source, 'meter': meter, 'log': self.log.state_dict(done)}
        if self.sampler is not None:
            state[SAMPLER] = {'draws': self.sampler.state_dict(), 'weight': dict(self.weights[SAMPLER].state_dict())}
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the state of a checkpoint of the same run; scores and counts only from the same source.

        Raises:
            ValueError: The checkpoint is of another class list.
        """
        if list(state['classes']) != list(self.classes):
            raise ValueError(f'`--resume` must be a checkpoint of the same classes {_short(self.classes)}, got one of '
                             f'{_short(state["classes"])}')
        if state['source'] == self.source:
            self.meter.load_state_dict(state['meter'])
        self.log.load_state_dict(state['log'])
        if self.sampler is not None and SAMPLER in state:
            self.weights[SAMPLER].load_state_dict(state[SAMPLER]['weight'])
            self.sampler.load_state_dict(state[SAMPLER]['draws'])

    def _scalars(self, taken: Measurement) -> dict[str, float]:
        scalars = {f'tau/{taken.user}': taken.tau}
        for name, difficulty, weight in zip(self.classes, taken.difficulty, taken.weight, strict=True):
            scalars |= {f'difficulty/{taken.user}/{name}': difficulty, f'class_weight/{taken.user}/{name}': weight}
        return scalars

    def _describe(self, taken: Measurement) -> str:
        order = sorted(range(len(self.classes)), key=lambda c: -taken.difficulty[c])
        hard, easy = order[:SHOWN], order[SHOWN:][-SHOWN:]
        shown = [', '.join(f'{self.classes[c]} {taken.difficulty[c]:.2f} (weight {taken.weight[c]:.2f})' for c in part)
                 for part in (hard, easy)]
        return f'tau {taken.tau:.2f}; hardest: {shown[0]}' + (f'; easiest: {shown[1]}' if easy else '')


def wants_difficulty(model: nn.Module, loader: Any) -> bool:
    """Return whether a loss or the sampler follows the difficulty of classes."""
    return bool(_users(model)) or find_sampler(loader, DifficultySampler) is not None


def _users(model: nn.Module) -> dict[str, DifficultyBalanced]:
    """Return every ``DifficultyBalanced`` of a model by the name of the loss that uses it (``….later`` inside ``Deferred``)."""
    return {name.replace('.class_weight', '').replace('.scheme', ''): module for name, module in model.named_modules()
            if isinstance(module, DifficultyBalanced)}


def _short(names: Sequence[str]) -> str:
    return f'({len(names)}: {", ".join(map(str, names[:4]))}{", ..." if len(names) > 4 else ""})'
