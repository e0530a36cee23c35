"""How a dataset makes the labels that training sees: its loaders, and the transforms of the user's own around them.

What is left out is what mmseg and mmcv do to images and labels together (geometry, colours, packing): counts are of whole
images. A transform of another package is run, unless its labels have another shape or differ between two seeds.
"""
from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..files import require_regular
from ..stats.npz import Array
from .seeds import kept_random_state, set_seeds
from .sources import flat, is_label_loader, is_plain, label_loaders

KNOWN = ('mmseg', 'mmcv', 'mmengine', 'mmimb')  # whose transforms move labels but do not rename them
LABEL_KEYS = ('gt_seg_map', 'seg_map_path', 'reduce_zero_label', 'label_map', 'seg_fields')
SEEDS = (0, 1)  # under which a label that is counted must be the same
PROBES, PROBE_SEEDS, PROBE_PLACES = 3, range(6), 12


class _UnusableProbeError(Exception):
    """The files of a probe cannot be read; the scan will name them."""


@dataclass(frozen=True)
class LabelChain:
    """The transforms that make the labels of one dataset, in order.

    Args:
        steps: The transforms.
        plain: They are mmseg's LoadAnnotations and nothing else: what it does is known.
        loader: The LoadAnnotations of mmseg's that reads the files, whose values can be looked at; None for another loader.
        own: Names of those among them that are of other packages, which are run.
        notes: What could not be counted through.
    """

    steps: tuple[Any, ...]
    plain: bool
    loader: Any = None
    own: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def labels(self, info: Any, *seeds: int) -> Array | None:
        """Return the labels of an entry of the dataset under some seeds, None if a transform drops it.

        Raises:
            Exception: Whatever a transform raises.
        """
        require_regular_files(info)
        with kept_random_state():
            set_seeds(*seeds)
            for step in self.steps:
                info = step(info)
                if info is None:
                    return None
        return packed_labels(info)


def require_regular_files(info: Any) -> None:
    """Raise an ``OSError`` if the image or the label of an entry is a pipe or a device, which a reader would wait for.

    Files that are not there are left to the loaders, which may read them from elsewhere.
    """
    for key in ('img_path', 'seg_map_path'):
        path = info.get(key) if isinstance(info, Mapping) else None
        if isinstance(path, (str, os.PathLike)) and os.path.exists(path):
            require_regular(os.fspath(path))


def label_chain(leaf: Any) -> LabelChain:
    """Return how the labels of a dataset are made; transforms of other packages are tried on a few of its images.

    Raises:
        ValueError: Nothing in its pipeline loads labels.
    """
    units = [*_units(leaf.pipeline)]
    if not any(_is_own(unit) for unit in units):
        loaders = label_loaders(leaf)
        return LabelChain(tuple(loaders), is_plain(loaders), loaders[0] if is_plain(loaders) else None)
    return _probed(leaf, [unit for unit in units if _is_own(unit) or _loads(unit)])


def packed_labels(data: Any) -> Array | None:
    """Return the labels that a pipeline has packed, or has left unpacked; None if there are none."""
    packed = data.get('data_samples') if isinstance(data, dict) else None
    if packed is not None and 'gt_sem_seg' in packed:
        labels = np.asarray(packed.gt_sem_seg.data)
        return labels[0] if labels.ndim == 3 and labels.shape[0] == 1 else labels
    found = data.get('gt_seg_map') if isinstance(data, dict) else None
    return found if isinstance(found, np.ndarray) else None


class _Watched(dict):
    """The dict of a pipeline that notices whether a transform looks at the labels or at what they are loaded by."""

    touched = False

    def _note(self, key: Any) -> None:
        self.touched = self.touched or key in LABEL_KEYS

    def __getitem__(self, key: Any) -> Any:
        self._note(key)
        return super().__getitem__(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._note(key)
        super().__setitem__(key, value)

    def get(self, key: Any, default: Any = None) -> Any:
        self._note(key)
        return super().get(key, default)

    def pop(self, key: Any, *default: Any) -> Any:
        self._note(key)
        return super().pop(key, *default)

    def __iter__(self) -> Iterator[Any]:
        self.touched = True
        return super().__iter__()

    def items(self) -> Any:
        self.touched = True
        return super().items()

    def values(self) -> Any:
        self.touched = True
        return super().values()


def _probed(leaf: Any, units: Sequence[Any]) -> LabelChain:
    touching, obstacles, expected = set[int](), dict[int, str](), dict[int, Array | None]()
    with kept_random_state():
        for at in sorted({*np.linspace(0, max(len(leaf) - 1, 0), PROBE_PLACES).astype(int).tolist()}):
            try:
                require_regular_files(info := leaf.get_data_info(at))
                labels, touched, reasons = _follow(units, info, at)
            except (_UnusableProbeError, OSError):
                continue
            expected[at] = labels
            touching |= touched
            obstacles.update(reasons)
            if len(expected) == PROBES:
                break
    if not expected:
        note = f'how the labels of {type(leaf).__name__} change under {_own_names(units)}: none that was tried can be read'
        return _chain(units, (note, ))
    if any(labels is None for labels in expected.values()):
        why = ''.join(f' ({_name(units[n])} {reason})' for n, reason in [*obstacles.items()][:1])
        raise ValueError(f'`pipeline` of {type(leaf).__name__} must load labels, got none of '
                         f'{", ".join(map(_name, units))}{why}')
    notes = tuple(f'the labels after {_name(units[n])} of {type(leaf).__name__}, which {reason}'
                  for n, reason in obstacles.items())
    good = [n for n in range(len(units)) if n not in obstacles]
    wanted = [n for n in good if n in touching]
    with_images = [n for n in good if n in touching or not _is_own(units[n])]
    for chosen in (wanted, with_images, good):
        chain = _chain([units[n] for n in chosen], notes)
        if all(_gives(chain, leaf.get_data_info(at), labels) for at, labels in expected.items()):
            break
    return chain


def _chain(units: Sequence[Any], notes: tuple[str, ...]) -> LabelChain:
    names = tuple(_name(unit) for unit in units if _is_own(unit))
    of_labels = [unit for unit in units if _is_own(unit) or is_label_loader(unit)]
    return LabelChain(tuple(units), is_plain([*units]), of_labels[0] if is_plain(of_labels[:1]) else None, names, notes)


def _follow(units: Sequence[Any], info: Any, at: int) -> tuple[Array | None, set[int], dict[int, str]]:
    """Return the labels after all units that can be counted through, which touch labels, and why others cannot be."""
    touching, obstacles = set(), {}
    for n, unit in enumerate(units):
        before = packed_labels(info)
        results = [_run(unit, info, seed, at) for seed in (PROBE_SEEDS if _is_own(unit) else SEEDS[:1])]
        if any(touched for _, touched, _ in results):
            touching.add(n)
        reason = next((reason for _, _, reason in results if reason), '') or _difference(before, [r[0] for r in results])
        if reason:
            obstacles[n] = reason
        else:
            info = results[0][0]
    return packed_labels(info), touching, obstacles


def _run(unit: Any, info: Any, *seeds: int) -> tuple[Any, bool, str]:
    watched = _Watched(copy.deepcopy(info))
    set_seeds(*seeds)
    try:
        data = unit(watched)
    except Exception as error:  # whatever a transform raises
        if _loads(unit) or isinstance(error, OSError):
            raise _UnusableProbeError from error
        return None, watched.touched, f'raises {type(error).__name__}: {" ".join(str(error).split())[:100]}'
    touched = watched.touched
    if data is None:
        return None, touched, 'drops images'
    return dict(dict.items(data)) if isinstance(data, dict) else data, touched, ''


def _difference(before: Array | None, results: Sequence[Any]) -> str:
    found = [labels for result in results if (labels := packed_labels(result)) is not None]
    if len(found) < len(results):
        return '' if before is None else 'leaves no labels'
    if before is not None and any(labels.shape[:2] != before.shape[:2] for labels in found):
        return 'changes the shape'
    return '' if all(np.array_equal(labels, found[0]) for labels in found) else 'gives other labels under another seed'


def _gives(chain: LabelChain, info: Any, expected: Array | None) -> bool:
    try:
        labels = chain.labels(copy.deepcopy(info), *SEEDS)
    except Exception:  # it needs what was left out
        return False
    return labels is not None and expected is not None and np.array_equal(labels, expected)


def _units(transform: Any) -> Iterator[Any]:
    """Yield the transforms of a pipeline; one that chooses among others or repeats them is one."""
    inner = getattr(transform, 'transforms', None)
    if type(transform).__name__ == 'Compose' and isinstance(inner, (list, tuple)):
        for part in inner:
            yield from _units(part)
    else:
        yield transform


def _is_own(unit: Any) -> bool:
    return any(_module(part).split('.')[0] not in KNOWN for part in flat(unit))


def _loads(unit: Any) -> bool:
    return any(is_label_loader(part) or _module(part).endswith('.loading') for part in flat(unit))


def _own_names(units: Sequence[Any]) -> str:
    return ', '.join(_name(unit) for unit in units if _is_own(unit))


def _module(part: Any) -> str:
    return str(getattr(part, '__module__', ''))


def _name(unit: Any) -> str:
    return getattr(unit, '__name__', None) or type(unit).__name__
