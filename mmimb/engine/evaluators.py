"""The evaluators of a config are asked for their keys before a run starts: what would end it at its first validation."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..checks import nearest
from ..scan.sources import dataset_classes

OF_IOU_METRIC = {'mIoU': ('mIoU', 'mAcc'), 'mDice': ('mDice', 'mAcc'), 'mFscore': ('mFscore', 'mPrecision', 'mRecall')}
OF_CITYSCAPES_METRIC = ('averageScoreCategories', 'averageScoreInstCategories')


def check_evaluators(cfg: Any, split: str = 'val') -> list[str]:
    """Check that the evaluators of a split give distinct keys, and for validation that ``save_best`` is one of them.

    The keys of mmimb's and mmseg's own metrics are known; of others nothing is. An evaluator or a loop of a class that is not
    mmengine's can give keys in its own way: it is not checked.

    Returns:
        Warnings: ``save_best`` is a key that only an evaluator of another package can give.

    Raises:
        ValueError: Two evaluators give the same key, ``save_best`` is no key at all, or an evaluator refuses its arguments.
    """
    place = f'{split}_evaluator'
    if _is_own(cfg, split):
        return []
    owner: dict[str, str] = {}
    unknown: list[str] = []
    for metric in metric_cfgs(cfg.get(place)):
        name = str(getattr(metric['type'], '__name__', metric['type']))
        keys = _keys(metric, cfg, split, place)
        if keys is None:
            unknown.append(name)
        for key in keys or ():
            if key in owner:
                raise ValueError(f'`{place}` must give every key once (mmengine stops at the first validation otherwise), got '
                                 f'{key!r} of {owner[key]} and of {name}; give one of them a `prefix`')
            owner[key] = name
    if split != 'val' or not (owner or unknown):
        return []
    return [warning for where, key in _best_keys(cfg) if (warning := _check_best(where, key, list(owner), unknown))]


def _is_own(cfg: Any, split: str) -> bool:
    """Whether the evaluator or the loop of a split is of a class that is not mmengine's."""
    evaluator, loop = cfg.get(f'{split}_evaluator'), cfg.get(f'{split}_cfg') or {}
    kinds = [evaluator.get('type') if isinstance(evaluator, Mapping) and 'metrics' in evaluator else None, loop.get('type')]
    names = {str(getattr(kind, '__name__', kind)).split('.')[-1] for kind in kinds if kind is not None}
    return not names <= {'Evaluator', 'ValLoop', 'TestLoop'}


def metric_cfgs(evaluator: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the configs of the metrics; objects that are built already are left alone."""
    if isinstance(evaluator, Mapping) and 'metrics' in evaluator:
        evaluator = evaluator['metrics']
    for metric in evaluator if isinstance(evaluator, Sequence) else [evaluator]:
        if isinstance(metric, Mapping) and 'type' in metric:
            yield metric


def _keys(metric: Mapping[str, Any], cfg: Any, split: str, place: str) -> list[str] | None:
    """Return the keys of a metric, None if they are not known."""
    from mmseg.registry import METRICS

    from .. import registry  # noqa: F401  (registers the scope)

    kind = METRICS.get(metric['type']) if isinstance(metric['type'], str) else metric['type']
    package = str(getattr(kind, '__module__', '')).split('.')[0]
    if package == 'mmimb':
        classes = split_classes(cfg, split)
        if classes is None:
            return None
        try:
            built = METRICS.build(dict(metric))
            built.dataset_meta = {'classes': classes}
            return list(built.keys())
        except (ValueError, TypeError) as error:
            raise type(error)(f'{place}: {error}') from error
    if package != 'mmseg':
        return None
    keys = _stock_keys(getattr(kind, '__name__', ''), metric)
    prefix = metric.get('prefix')
    return keys if keys is None or not prefix else [f'{prefix}/{key}' for key in keys]


def _stock_keys(name: str, metric: Mapping[str, Any]) -> list[str] | None:
    if metric.get('format_only'):
        return []
    if name == 'IoUMetric':
        wanted = metric.get('iou_metrics', ['mIoU'])
        wanted = [wanted] if isinstance(wanted, str) else wanted
        if not isinstance(wanted, (list, tuple)):
            raise TypeError(f'`iou_metrics` of IoUMetric must be a list of names, got {wanted!r}')
        return list(dict.fromkeys(['aAcc', *(key for one in wanted for key in OF_IOU_METRIC.get(one, ()))]))
    return list(OF_CITYSCAPES_METRIC) if name == 'CityscapesMetric' else None


def split_classes(cfg: Any, split: str) -> tuple[str, ...] | None:
    """Return the class names of a split's dataset before its files are listed; None if they are not known so early."""
    from ..datasets.layout import leaf_cfgs, unlisted_dataset
    dataset = (cfg.get(f'{split}_dataloader') or {}).get('dataset')
    leaf = next(leaf_cfgs(dataset), None) if isinstance(dataset, Mapping) else None
    built = None if leaf is None else unlisted_dataset(leaf)
    return None if built is None else dataset_classes(built)


def _best_keys(cfg: Any) -> Iterator[tuple[str, str]]:
    """Yield every ``save_best`` of the hooks with its place in the config."""
    hooks = {f'default_hooks.{name}': hook for name, hook in (cfg.get('default_hooks') or {}).items()}
    hooks.update({f'custom_hooks[{i}]': hook for i, hook in enumerate(cfg.get('custom_hooks') or [])})
    for where, hook in hooks.items():
        best = hook.get('save_best') if isinstance(hook, Mapping) else None
        keys = [best] if isinstance(best, str) else best or []
        if not isinstance(keys, (list, tuple)):
            raise TypeError(f'`{where}.save_best` must be a key or a list of keys, got {best!r}')
        for key in keys:
            if key != 'auto':
                yield f'{where}.save_best', key


def _check_best(where: str, key: str, known: Sequence[str], unknown: Sequence[str]) -> str | None:
    if key in known:
        return None
    near = nearest(key, known)
    hint = f'; did you mean {near!r}?' if near else ''
    if not unknown:
        groups = ' (head, medium and tail need `stats` or `groups`)' if key.startswith('mIoU_') else ''
        raise ValueError(f'`{where}` must be a key that validation gives{groups}, got {key!r}{hint}')
    return f'`{where}` {key!r} is no key that is known: if {", ".join(unknown)} does not give it, training ends at its ' \
           f'first validation{hint}'
