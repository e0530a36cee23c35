"""Several configs with several seeds, one run after the other: each in a process and a folder of its own."""
from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..analysis.scalars import dumped_config, literal, progress
from ..analysis.work_dirs import LOCK, METRICS, RUN, SEED, TRAINED, read_record
from ..files import locked, write_files
from ..signals import EX_INTERRUPTED, EX_TEMPFAIL
from .child import Child, program, tail
from .config import TEST_KEYS, TRAIN_KEYS, read_config
from .errors import EXIT_STATUS

MOST = 1000
WORK_DIR = 'work_dirs/seeds'
Tell = Callable[[str], None]


@dataclass(frozen=True)
class SeedOptions:
    """What ``mmimb train --seeds`` does.

    Args:
        configs: Paths of the configs; their names must differ.
        seeds: The seeds of each.
        work_dir: Holds a folder ``<name of the config>/seed-<seed>`` for each run.
        test: Test the last checkpoint of each run, into ``metrics.json`` and counts per image.
        processes: Processes of each run; with GPUs, one for each of them.
        amp, trust_checkpoint, cfg_options: For every training, as in :class:`mmimb.engine.training.TrainOptions`.
    """

    configs: Sequence[str]
    seeds: Sequence[int]
    work_dir: str
    test: bool = False
    processes: int = 1
    amp: bool = False
    trust_checkpoint: bool = False
    cfg_options: Sequence[str] | None = None


@dataclass(frozen=True)
class SeedRun:
    """One run: a config and a seed.

    Args:
        config: Path of the config.
        seed: The seed.
        folder: Where it works.
        settings: Checksum of the config with the overrides.
    """

    config: str
    seed: int
    folder: Path
    settings: str

    @property
    def name(self) -> str:
        """The name of the config."""
        return Path(self.config).stem


def parse_seeds(text: str) -> list[int]:
    """Return the seeds of a text such as ``0-4`` or ``0,2,5-7``.

    >>> parse_seeds('0-2,7')
    [0, 1, 2, 7]

    Raises:
        ValueError: It has another form, or a seed comes twice.
    """
    seeds: list[int] = []
    for part in text.split(','):
        match = re.fullmatch(r'\s*(\d{1,9})(?:-(\d{1,9}))?\s*', part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first or last - first >= MOST:
            raise ValueError(f'`--seeds` must be numbers and ranges such as 0-4 or 0,2,5-7, got {text!r}')
        seeds += range(first, last + 1)
    if len(set(seeds)) != len(seeds):
        raise ValueError(f'`--seeds` must name every seed once, got {text!r}')
    return seeds


def train_seeds(options: SeedOptions, tell: Tell) -> int:
    """Train every run that is not done, and test it if that is asked for; return the exit status.

    What is done is skipped, what was interrupted goes on from its last checkpoint, what another process works on is left to
    it. The seeds are outermost, so that there are pairs to compare early. A failed run does not keep the others from running,
    apart from those of the same config where that is at fault.

    Args:
        options: The runs.
        tell: Called with a line before and after each run.

    Raises:
        ValueError: The configs have one name, or a folder holds a run of other settings.
        SystemExit: After a signal, when the run has saved its checkpoint: the same command goes on there.
    """
    runs, failed = plan(options), dict[SeedRun, int]()
    done = busy = 0
    for number, run in enumerate(runs, 1):
        title = f'[{number}/{len(runs)}] {run.name}, seed {run.seed}'
        if EXIT_STATUS in (failed.get(other) for other in runs if other.config == run.config):
            failed[run] = EXIT_STATUS
            tell(f'{title}: left out, its config has just failed')
            continue
        with locked(run.folder / LOCK) as lock:
            if lock is None:
                busy += 1
                tell(f'{title}: another process works on it')
                continue
            status = _Worker(run, options, lock, tell, title).work()
        if status in (EX_TEMPFAIL, EX_INTERRUPTED):
            tell(f'stopped: {done} of {len(runs)} runs are done; the same command goes on')
            raise SystemExit(status)
        done += status == 0
        if status:
            failed[run] = status
    what = 'trained and tested' if options.test else 'trained'
    tell(f'{done} of {len(runs)} runs are {what}' + (f', {busy} in other processes' if busy else '')
         + (f', failed: {", ".join(f"{run.name} seed {run.seed}" for run in failed)}' if failed else ''))
    return 0 if not failed else EXIT_STATUS if EXIT_STATUS in failed.values() else 1


def plan(options: SeedOptions) -> list[SeedRun]:
    """Return the runs in their order.

    Raises:
        ValueError, OSError: A config cannot be read, two have one name, or a folder holds a run of other settings.
    """
    stems = [Path(config).stem for config in options.configs]
    if len(set(stems)) != len(stems):
        twice = max(stems, key=stems.count)
        raise ValueError(f'`config` must be files of different names, after which folders are named, got {twice!r} twice')
    keys = list(dict.fromkeys((*TRAIN_KEYS, *(TEST_KEYS if options.test else ()))))
    settings = [_checksum(read_config(config, overrides=options.cfg_options, required=keys)) for config in options.configs]
    runs = [SeedRun(config, seed, Path(options.work_dir) / Path(config).stem / f'{SEED}{seed}', checksum)
            for seed in options.seeds for config, checksum in zip(options.configs, settings, strict=True)]
    for run in runs:
        before = read_record(run.folder / RUN).get('settings', run.settings)
        if before != run.settings:
            raise ValueError(f'`--work-dir` must hold runs of the same settings, got {str(run.folder)!r} of another version of '
                             f'{run.config!r} or other --cfg-options: choose another folder, or delete this one')
    return runs


class _Worker:
    """Does what is left to do for a run; holds its lock meanwhile."""

    def __init__(self, run: SeedRun, options: SeedOptions, lock: int, tell: Tell, title: str) -> None:
        self.run, self.options, self.lock, self.tell, self.title = run, options, lock, tell, title

    def work(self) -> int:
        """Return the exit status of the first step that fails, 0 if none does."""
        trained = read_record(self.run.folder / RUN).get('state') == TRAINED
        tested = (self.run.folder / METRICS).is_file()
        if trained and (tested or not self.options.test):
            self.tell(f'{self.title}: done already')
            return 0
        if not trained:
            self.tell(f'{self.title}: training (log: {self.run.folder / "train.log"})')
            self._record('started')
            if status := self._start('train', self._train_arguments()):
                return status
            self._record(TRAINED)
        if self.options.test and not tested:
            self.tell(f'{self.title}: testing (log: {self.run.folder / "test.log"})')
            try:
                arguments = self._test_arguments()
            except (ValueError, OSError) as error:  # the other runs go on
                self.tell(f'{self.title}: failed: {error}')
                return 1
            return self._start('test', arguments)
        return 0

    def _record(self, state: str) -> None:
        run = self.run
        record = {'name': run.name, 'config': run.config, 'seed': run.seed, 'settings': run.settings, 'state': state}
        write_files({run.folder / RUN: (json.dumps(record, indent=1) + '\n').encode()})

    def _train_arguments(self) -> list[str]:
        return [self.run.config, '--work-dir', str(self.run.folder), '--seed', str(self.run.seed), '--resume',
                *(['--amp'] if self.options.amp else []), *self._common()]

    def _test_arguments(self) -> list[str]:
        from .checkpoint import find_resume
        checkpoint, warnings = find_resume(self.run.folder, trust=self.options.trust_checkpoint)
        if checkpoint is None:
            raise ValueError(f'`--test` must find a checkpoint of the run, got none in {str(self.run.folder)!r}')
        for warning in warnings:
            self.tell(warning)
        return [self.run.config, checkpoint, '--work-dir', str(self.run.folder / 'test'), '--out',
                str(self.run.folder / METRICS), *self._common()]

    def _common(self) -> list[str]:
        options = self.options
        return [*(['--trust-checkpoint'] if options.trust_checkpoint else []),
                *(['--cfg-options', *options.cfg_options] if options.cfg_options else [])]

    def _start(self, command: str, arguments: list[str]) -> int:
        words, number, log = program(), self.options.processes, self.run.folder / f'{command}.log'
        if number > 1:
            words = [sys.executable, '-m', 'mmimb.engine.torchrun', f'--nproc_per_node={number}', '-m', 'mmimb']
            arguments = [*arguments, '--launcher', 'pytorch']
        status = Child([*words, command, *arguments], log, self.lock).wait(self._tick if command == 'train' else lambda: None)
        if status and status not in (EX_TEMPFAIL, EX_INTERRUPTED):
            self.tell(f'{self.title}: failed with status {status}; the end of {log}:\n{tail(log)}')
        return status

    def _tick(self) -> None:
        """Say how far training is."""
        step, total = progress(self.run.folder)['iter'], total_iterations(self.run.folder)
        of = f' of {total}' if total else ''
        self.tell(f'{self.title}: iteration {step}{of}' if step else f'{self.title}: starting')


def total_iterations(folder: Path) -> int | None:
    """Return the number of iterations of a run, None where it is counted in epochs."""
    train = literal(dumped_config(folder)[1].get('train_cfg'))
    total = train.get('max_iters') if isinstance(train, dict) else None
    return total if isinstance(total, int) else None


def _checksum(cfg: Any) -> str:
    """Return a checksum of the settings of a config that does not depend on their order."""
    def name(value: Any) -> str:
        return str(getattr(value, '__qualname__', type(value).__qualname__))
    plain = _plain({key: value for key, value in cfg.items() if key not in ('work_dir', 'launcher')})
    return sha256(json.dumps(plain, sort_keys=True, default=name).encode()).hexdigest()


def _plain(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {str(key): _plain(value) for key, value in node.items()}
    return [_plain(value) for value in node] if isinstance(node, (list, tuple)) else node
