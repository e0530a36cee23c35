"""Where runs lie, who works on which, and the results files."""
from __future__ import annotations

import csv
import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SUMMARY = ('mIoU', 'tail', 'tail_precision', 'tail_recall', 'mAcc')
META = ('regime', 'dataset', 'size', 'stage', 'arm', 'seed', 'decision', 'commit', 'torch', 'mmseg', 'device', 'iterations',
        'train_seconds')


@dataclass(frozen=True)
class Job:
    """One run: its folder is ``<work>/runs/<regime>-<size>/<dataset>/<arm>/<seed>``."""

    dataset: str
    arm: str
    seed: int
    stage: str = 'screen'
    size: str = 'half'
    regime: str = 'frozen'

    def folder(self, work: Path) -> Path:
        return work / 'runs' / f'{self.regime}-{self.size}' / self.dataset / self.arm / str(self.seed)

    def done(self, work: Path) -> bool:
        return (self.folder(work) / 'run.json').is_file()


def read_plan(path: Path) -> list[Job]:
    """Return the jobs of a plan in their order: a JSON list of ``datasets, arms, seeds, stage``, the seeds outermost."""
    jobs = []
    for block in json.loads(path.read_text(encoding='utf-8')):
        for seed in block['seeds']:
            jobs += [Job(dataset, arm, seed, block['stage']) for dataset in block['datasets'] for arm in block['arms']]
    return list(dict.fromkeys(jobs))


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Yield whether this process may work in a folder: nobody else does, or who did is gone."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / 'lock').open('w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def write_json(path: Path, value: Any) -> None:
    """Write a file that appears whole or not at all."""
    part = path.with_name(f'.{path.name}.{os.getpid()}')
    part.write_text(json.dumps(value), encoding='utf-8')
    part.replace(path)


def result_row(job: Job, decision: str, meta: Mapping[str, Any], classes: Sequence[str],
               found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a row of a results file; ``found`` has the figures of ``dev`` and, where it was read, of ``test``."""
    row: dict[str, Any] = {'regime': job.regime, 'dataset': job.dataset, 'size': job.size, 'stage': job.stage, 'arm': job.arm,
                           'seed': job.seed, 'decision': decision, **{k: meta[k] for k in META if k in meta}}
    for split in ('dev', 'test'):
        values = found.get(split)
        row.update({f'{split}_{k}': '' if values is None else f'{values[k]:.3f}' for k in SUMMARY})
    for split in ('dev', 'test'):
        values = found.get(split)
        row.update({f'{split}:{name}': '' if values is None or np.isnan(values['iou'][c]) else f'{values["iou"][c]:.3f}'
                    for c, name in enumerate(classes)})
    return row


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add a row to a results file at once; other processes wait meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('a+', newline='', encoding='utf-8') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        writer = csv.DictWriter(file, list(row), lineterminator='\n')
        file.seek(0, os.SEEK_END)
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow(row)


def read_stats(path: Path) -> dict[str, Any]:
    """Return the class counts of a dataset's fit split."""
    found: dict[str, Any] = json.loads(path.read_text(encoding='utf-8'))
    return found


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the lines of a results file; none if it is not there."""
    if not path.is_file():
        return []
    with path.open(newline='', encoding='utf-8') as file:
        return list(csv.DictReader(file))
