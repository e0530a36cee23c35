"""What was measured and which weights followed: kept in the checkpoint, written as CSV, drawn at the end."""
from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process

from ...analysis.difficulty import Measurement, draw_difficulty
from ...files import write_files

COLUMNS = ('iteration', 'user', 'class', 'difficulty', 'weight', 'tau')
FLOATS = ('tau', 'difficulty', 'weight')
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
        """Write the CSV with what is known: that of before a resume; nothing yet for a new run."""
        if self.measurements and is_main_process():
            self._folder.mkdir(parents=True, exist_ok=True)
            text = ','.join(COLUMNS) + '\n' + self._rows(self.measurements)
            write_files({self._path('.csv'): text.encode()})

    def add(self, measurement: Measurement) -> None:
        """Append a measurement."""
        self.measurements.append(measurement)
        if len(self.measurements) == 1:
            self.start()
        elif is_main_process():
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
        columns: dict[str, Any] = {name: [getattr(m, name) for m in kept] for name in ('iteration', 'user')}
        for name in FLOATS:
            columns[name] = torch.tensor([getattr(m, name) for m in kept], dtype=torch.float64)
        return columns

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the measurements of a checkpoint."""
        columns = [state['iteration'], state['user'], *(state[name].tolist() for name in FLOATS)]
        self.measurements = [Measurement(*row) for row in zip(*columns, strict=True)]

    def _path(self, suffix: str) -> Path:
        return self._folder / (STEM + suffix)

    def _rows(self, measurements: Sequence[Measurement]) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator='\n')
        for m in measurements:
            for name, difficulty, weight in zip(self.classes, m.difficulty, m.weight, strict=True):
                writer.writerow((m.iteration, m.user, name, difficulty, weight, m.tau))
        return text.getvalue()
