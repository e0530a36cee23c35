"""From what the command line names to runs: result files and work folders, grouped by name."""
from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from .result import Result, read_result
from .runs import Run, check_runs, make_run
from .work_dirs import WorkDir, find_work_dirs, same_method

FORM = 'must be a work folder, or have the form NAME=FILE.json[,FILE2.json...] or NAME=FOLDER[,FOLDER2...]'


class Loaded(NamedTuple):
    """Runs, and sentences about what is not in them: runs that go on, were interrupted, or are not tested."""

    runs: list[Run]
    notes: list[str]


def load(specs: Sequence[str], *, validation: bool = False, base: str | None = None) -> Loaded:
    """Read what is to be compared.

    Args:
        specs: ``NAME=FILE.json[,FILE2.json...]`` (results of `mmimb test`), ``NAME=FOLDER[,...]``, or ``FOLDER``, which may
            hold many runs. In all folders without a name, runs of one config are seeds of one name. All of these may be globs.
        validation: Compare the last validations, although tests are there.
        base: The name that comes first, with which the others are compared.

    Raises:
        ValueError: An entry has another form, a name, seed or file comes twice, files are no results or are of different
            classes or groups, or runs of one name were trained with different settings.
        OSError: A file or folder cannot be read.
    """
    if not specs:
        raise ValueError('`runs` must have at least one NAME=FILE.json or work folder, got none')
    bare = {spec: find_work_dirs(spec) for spec in specs if _is_bare(spec)}
    grouped = _by_config([folder for found in bare.values() for folder in found])
    named: dict[str, list[Result] | list[WorkDir]] = {}
    for spec in specs:
        if spec in bare:
            named.update({folder.name: grouped[folder.name] for folder in bare[spec] if folder.name not in named})
            continue
        name, found = _named(spec)
        if name in named or name in grouped:
            raise ValueError(f'`runs` must have distinct names, got {name!r} twice')
        named[name] = found
    if base is not None:
        if base not in named:
            raise ValueError(f'`--base` must be one of {", ".join(named)}, got {base!r}')
        named = {base: named[base], **named}
    loaded = _choose(named, validation)
    check_runs(loaded.runs)
    return loaded


def _is_bare(spec: str) -> bool:
    """Tell whether an entry is a folder without a name."""
    if '=' in spec and not os.path.isdir(spec):
        return False
    if spec.endswith('.json') or not spec:
        raise ValueError(f'`runs` {FORM}, got {spec!r}')
    return True


def _named(spec: str) -> tuple[str, list[Result] | list[WorkDir]]:
    name, _, text = spec.partition('=')
    places = text.split(',')
    if not name or not all(places):
        raise ValueError(f'`runs` {FORM}, got {spec!r}')
    if all(place.endswith('.json') for place in places):
        return name, _files(name, [file for place in places for file in _expand(place)])
    if any(place.endswith('.json') for place in places):
        raise ValueError(f'`runs` must name files or folders, not both under one name, got {spec!r}')
    return name, _distinct(name, [folder for place in places for folder in find_work_dirs(place)])


def _expand(place: str) -> list[str]:
    found = sorted(glob.glob(place)) if not os.path.exists(place) else []
    if not found and not Path(place).is_file():
        raise FileNotFoundError(f'`runs` must name files that `mmimb test --out` has written, got {place!r} (no such file)')
    return found or [place]


def _files(name: str, files: Sequence[str]) -> list[Result]:
    if len({Path(file).resolve() for file in files}) != len(files):
        raise ValueError(f'`runs` must name every file once (a seed that is counted twice is no second seed), got {name}='
                         f'{",".join(files)}')
    return [read_result(file) for file in files]


def _by_config(folders: Sequence[WorkDir]) -> dict[str, list[WorkDir]]:
    """Group folders, each once, by the name of their config, and see to it that their settings agree."""
    found: dict[str, list[WorkDir]] = {}
    for folder in {folder.path.resolve(): folder for folder in folders}.values():
        found.setdefault(folder.name, []).append(folder)
    for name, group in found.items():
        _distinct(name, group)
        for folder in group[1:]:
            if different := same_method(group[0], folder):
                raise ValueError(f'`runs` of one name must have the same settings, got different {", ".join(different[:3])} in '
                                 f'{group[0].path} and {folder.path}; NAME=FOLDER gives each a name')
    return found


def _distinct(name: str, folders: list[WorkDir]) -> list[WorkDir]:
    if len({folder.path.resolve() for folder in folders}) != len(folders):
        raise ValueError(f'`runs` must name every folder once, got one twice under {name!r}')
    seeds = [folder.seed for folder in folders]
    twice = [folder for folder in folders if folder.seed is not None and seeds.count(folder.seed) > 1]
    if twice:
        raise ValueError(f'`runs` of one name must have distinct seeds, got {twice[0].seed} in {twice[0].path} and '
                         f'{twice[1].path}; NAME=FOLDER gives each a name')
    return folders


def _choose(named: Mapping[str, list[Result] | list[WorkDir]], validation: bool) -> Loaded:
    """Take tests if every name has one, else validations."""
    folders = {name: [x for x in found if isinstance(x, WorkDir)] for name, found in named.items()}
    files = {name: [x for x in found if isinstance(x, Result)] for name, found in named.items()}
    without = [name for name in named if not files[name] and not any(folder.metrics for folder in folders[name])]
    if not without and not validation:
        return _tests(named, folders, files)
    given = [name for name in named if files[name]]
    if given:
        raise ValueError(f'`runs` must all be tested or all be work folders, got files of {given[0]} and '
                         f'{"--val" if validation else f"no {without[0]}/metrics.json"}')
    loaded = _validations(folders)
    if not validation and len(without) < len(named):
        loaded.notes.insert(0, f'Note: {", ".join(without)} has no tested run: the validations of all are compared.')
    return loaded


def _tests(named: Iterable[str], folders: Mapping[str, list[WorkDir]], files: Mapping[str, list[Result]]) -> Loaded:
    runs, notes = [], []
    for name in named:
        results = files[name] + [folder.tested() for folder in folders[name] if folder.metrics]
        runs.append(make_run(name, results))
        notes += _states(name, folders[name], [folder for folder in folders[name] if folder.metrics])
    return Loaded(runs, notes)


def _validations(folders: Mapping[str, list[WorkDir]]) -> Loaded:
    """Take the last validation of finished runs; while a name has none, all at the last step that every name has reached."""
    ends = {name: [f for f in found if f.finished and f.validations] for name, found in folders.items()}
    notes = []
    if all(ends.values()):
        chosen = {name: [(f, max(f.validations)) for f in found] for name, found in ends.items()}
    else:
        steps = [set().union(*(f.validations for f in found)) for found in folders.values()]
        common = set.intersection(*steps)
        if not common:
            raise ValueError(f'`runs` must have a validation in common, got {_how_far(folders)}')
        step = max(common)
        chosen = {name: [(f, step) for f in found if step in f.validations] for name, found in folders.items()}
        waiting = ' and '.join(name for name, found in ends.items() if not found)
        notes.append(f'Note: no run of {waiting} is finished: all are compared at step {step}, the last validation that every '
                     'name has.')
    runs = [make_run(name, [folder.result(step) for folder, step in found]) for name, found in chosen.items()]
    for name, found in folders.items():
        notes += _states(name, found, [folder for folder, _ in chosen[name]])
    return Loaded(runs, notes)


def _states(name: str, folders: Sequence[WorkDir], taken: Sequence[WorkDir]) -> list[str]:
    """Return a sentence about each run that is left out or unfinished."""
    notes = []
    for folder in folders:
        if folder in taken and folder.finished:
            continue
        what = f'seed {folder.seed} of {name}' if folder.seed is not None else f'{folder.path} of {name}'
        last = folder.validations[max(folder.validations)].get('mIoU') if folder.validations else None
        score = f', last mIoU {last:.2f}' if isinstance(last, (int, float)) else ''
        notes.append(f'{"Unfinished" if folder in taken else "Left out"}: {what} {folder.state()}{score}.')
    return notes


def _how_far(folders: Mapping[str, list[WorkDir]]) -> str:
    parts = []
    for name, found in folders.items():
        steps = sorted(set().union(*(folder.validations for folder in found)))
        parts.append(f'{name}: steps {", ".join(map(str, steps))}' if steps else f'{name}: none, it {found[0].state()}')
    return '; '.join(parts)
