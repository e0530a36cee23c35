"""What was measured and which weights followed: kept in the checkpoint, written as CSV, drawn at the end."""
from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process

from ..analysis.difficulty import Measurement, draw_difficulty
from ..files import write_files

COLUMNS = ('iteration', 'user', 'class', 'difficulty', 'weight', 'tau')
STEM = 'class_weights'


class DifficultyLog:
    """All measurements of a run, those before a resume included.

    Args:
        classes: Names of the classes.
        folder: Where ``class_weights.csv``, which grows during training, and ``class_weights.png`` go.
    """

    def __init__(self, classes: Sequence[str], folder: str | Path) -> None:
        self.classes = tuple(classes)
        self.measurements: list[Measurement] = []
        self._folder = Path(folder)

    def start(self) -> None:
        """Write the CSV with what a resumed run knows already; nothing yet for a new run."""
        if self.measurements and is_main_process():
            self._write(self.measurements)

    def add(self, measurement: Measurement) -> None:
        """Append a measurement."""
        self.measurements.append(measurement)
        if not is_main_process():
            return
        if len(self.measurements) == 1:
            self._write([measurement])
            return
        with self._path('.csv').open('a', encoding='utf-8', newline='') as file:
            file.write(self._rows([measurement]))

    def draw(self) -> Path | None:
        """Draw difficulty and weight of every class over time; nothing without a measurement."""
        if not self.measurements or not is_main_process():
            return None
        write_files({self._path('.png'): draw_difficulty(self.measurements, self.classes)})
        return self._path('.png')

    def state_dict(self, done: int) -> dict[str, Any]:
        """Return the measurements of the first ``done`` iterations as plain data."""
        kept = [m for m in self.measurements if m.iteration <= done]
        return {'iteration': [m.iteration for m in kept], 'user': [m.user for m in kept],
                'tau': torch.tensor([m.tau for m in kept], dtype=torch.float64),
                'difficulty': _stacked([m.difficulty for m in kept]), 'weight': _stacked([m.weight for m in kept])}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the measurements of a checkpoint."""
        columns = [state['iteration'], state['user'], state['tau'].tolist(), state['difficulty'].tolist(),
                   state['weight'].tolist()]
        self.measurements = [Measurement(*row) for row in zip(*columns, strict=True)]

    def _path(self, suffix: str) -> Path:
        return self._folder / (STEM + suffix)

    def _write(self, measurements: Sequence[Measurement]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        write_files({self._path('.csv'): (','.join(COLUMNS) + '\n' + self._rows(measurements)).encode()})

    def _rows(self, measurements: Sequence[Measurement]) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator='\n')
        for m in measurements:
            for name, difficulty, weight in zip(self.classes, m.difficulty, m.weight, strict=True):
                writer.writerow((m.iteration, m.user, name, difficulty, weight, m.tau))
        return text.getvalue()


def _stacked(rows: Sequence[Sequence[float]]) -> torch.Tensor:
    return torch.tensor([list(row) for row in rows], dtype=torch.float64)
