"""Checking the statistics of a config when a run starts, and writing them into it, so that it works without the files."""
from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from ..loss_places import QUERIES, loss_places, type_names
from ..scan.sources import LabelFiles, UnlistedError, dataset_classes, hash_names, label_files
from ..stats import ClassStats, refuse_published
from ..weights import no_object_weight, read_class_weight, weights_of_queries
from ..weights.queries import NO_OBJECT

ONE_CHANNEL = 'a head with one channel (labels 0 and 1; the same as num_classes=2, out_channels=1)'
KEEP_PATH = ('sampler', 'batch_sampler')  # these need the report itself: the counts per image lie beside it


def embed_stats(cfg: Any) -> list[str]:
    """Replace the paths of statistics and class weights in a config, for types of mmimb, by the content of the files.

    Args:
        cfg: The config, changed in place. The dataset of ``train_dataloader`` is built if there is something to compare.

    Returns:
        Warnings for the log: statistics of another split, or that were published and not counted.

    Raises:
        FileNotFoundError: A file is not there.
        ValueError, TypeError: A file is no report, or is of other classes than the head or the dataset.
    """
    embedder = _Embedder(cfg)
    for key in list(cfg.keys()):
        embedder.walk(cfg[key], key, None)
    return embedder.warnings


def fill_query_weights(cfg: Any) -> None:
    """Write weights of 1 where a head of queries would miss them as it is built, for testing, which has no use for them."""
    for one in loss_places(cfg.get('model')):
        classes = one.at.head.get('num_classes')
        ours = one.learns == QUERIES and isinstance(one.loss, Mapping) and _is_ours(one.loss)
        if ours and isinstance(classes, int) and one.loss.get('class_weight') is None:
            one.loss['class_weight'] = [1.0] * classes + [NO_OBJECT]


class _Embedder:
    def __init__(self, cfg: Any) -> None:
        self.cfg = cfg
        self.warnings: list[str] = []

    def walk(self, node: Any, path: str, num_classes: int | None) -> None:
        if isinstance(node, Mapping):
            num_classes = node.get('num_classes', num_classes)
            if _is_ours(node):
                self._visit(node, path, num_classes)
            for key, value in list(node.items()):
                self.walk(value, f'{path}.{key}', num_classes)
        elif isinstance(node, (list, tuple)):
            for index, value in enumerate(node):
                self.walk(value, f'{path}[{index}]', num_classes)

    def _visit(self, node: Any, path: str, num_classes: int | None) -> None:
        of_queries = type_names(node.get('type'))[:1] == ('QueryCrossEntropyLoss', )
        try:
            if node.get('stats') is not None:
                stats = self._checked(node['stats'], num_classes)
                if any(part in path.split('.') for part in KEEP_PATH):
                    refuse_published(node['stats'])
                else:
                    node['stats'] = stats.to_dict()
            for key in ('class_weight', 'weight') if '.class_weight' in path else ('class_weight', ):
                if node.get(key) is not None and not isinstance(node[key], Mapping):
                    node[key] = _weights(node[key], num_classes, of_queries=of_queries)
            if of_queries and node.get('class_weight') is None and num_classes is not None:
                node['class_weight'] = _query_weights(node, num_classes)
        except (ValueError, TypeError, OSError) as error:
            raise type(error)(f'{path}: {error}') from error

    def _checked(self, source: Any, num_classes: int | None) -> ClassStats:
        stats = ClassStats.load(source)
        if num_classes == 1 and stats.num_classes != 2:
            raise ValueError(f'`stats` must have the 2 classes of {ONE_CHANNEL}, got {stats.num_classes}')
        if num_classes is not None:
            stats.fit(max(num_classes, 2), where='the model')
        if 'published' in stats.provenance:
            self._tell_published(stats)
        if self.dataset is None:
            return stats
        classes = dataset_classes(self.dataset)
        if classes is not None:
            stats.fit(len(classes), classes, 'the training dataset')
        self._compare_split(stats, source)
        return stats

    @cached_property
    def dataset(self) -> Any:
        """The training dataset, built when the first statistics are found; None without one in the config."""
        if not self.cfg.get('train_dataloader'):
            return None
        from ..scan import build_split
        return build_split(self.cfg, 'train')

    @cached_property
    def files(self) -> LabelFiles:
        return label_files(self.dataset)

    @cached_property
    def fingerprint(self) -> str:
        return hash_names(self.files.labels)

    def _tell_published(self, stats: ClassStats) -> None:
        name, source = stats.provenance['published'], stats.provenance.get('source')
        self._warn(f'`stats` {name!r} are published counts of {stats.num_images} images, not counted from your files: {source}')
        if self.dataset is None:
            return
        try:
            found = len(self.files)
        except UnlistedError:
            return
        if found != stats.num_images:
            self._warn(f'`stats` {name!r} are of {stats.num_images} images, and train_dataloader.dataset has {found}; scan it '
                       '(`mmimb scan`) unless you train on a part of them on purpose')

    def _compare_split(self, stats: ClassStats, source: Any) -> None:
        expected = stats.provenance.get('fingerprint')
        try:
            if expected is None or expected == self.fingerprint:
                return
        except UnlistedError as error:
            self._warn(f'`stats` cannot be compared with the training split ({error})')
            return
        name = 'the `stats` of the config' if isinstance(source, (Mapping, ClassStats)) else f'`stats` {str(source)!r}'
        warning = f'{name} were counted on another list of files than train_dataloader.dataset has; scan it again if you ' \
                  'train on another split than you meant to'
        self._warn(warning)

    def _warn(self, warning: str) -> None:
        if warning not in self.warnings:
            self.warnings.append(warning)


def _is_ours(node: Mapping) -> bool:
    kind = node.get('type')
    if isinstance(kind, str):
        return kind.startswith('mmimb.') or ('.' not in kind and node.get('_scope_') == 'mmimb')
    return str(getattr(kind, '__module__', '')).split('.')[0] == 'mmimb'


def _weights(source: Any, num_classes: int | None, *, of_queries: bool) -> list[float]:
    values = read_class_weight(source)
    if num_classes == 1 and len(values) != 2:
        raise ValueError(f'`class_weight` must have 2 entries for {ONE_CHANNEL}, got {len(values)}')
    if of_queries and num_classes is not None and len(values) != num_classes + 1:
        raise ValueError(f'`class_weight` must have one entry per class ({num_classes}) and one for no object, got '
                         f'{len(values)}')
    if num_classes is not None and not of_queries and len(values) != max(num_classes, 2):
        raise ValueError(f'`class_weight` must have one entry per class ({num_classes}), got {len(values)}')
    return values


def _query_weights(node: Mapping, num_classes: int) -> list[float]:
    """Return what the head of a loss on queries reads from the config; a scheme has other weights, which the loss knows."""
    arguments = {key: node[key] for key in ('max_ratio', 'no_object') if key in node}
    if node.get('scheme') is not None:
        return [1.0] * num_classes + [no_object_weight(arguments.get('no_object', NO_OBJECT))]
    if node.get('stats') is None:
        raise ValueError('`stats` must be given where class_weight is not, got none')
    return weights_of_queries(node['stats'], **arguments)
