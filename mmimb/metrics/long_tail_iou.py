"""IoU, accuracy and precision of every class and of head, medium and tail classes."""
from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_reduce, broadcast_object_list, get_dist_info
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor

from ..checks import number
from ..files import check_writable, require_suffix, write_files
from ..functional import confusion_matrix
from ..padding import is_padding
from ..registry import METRICS
from ..stats import ClassStats, EvaluatedCounts
from ..stats.class_stats import StatsSource
from ..stats.npz import pack
from .groups import check_groups, resolve_groups
from .image_counts import ImageCounter
from .keys import check_iou_metrics, flat_scores
from .table import class_table

# Arguments of mmseg's IoUMetric that a config inherits from its base, with the values that ask for nothing.
INHERITED: dict[str, tuple[Any, ...]] = {'nan_to_num': (None,), 'output_dir': (None,), 'format_only': (False,)}


@METRICS.register_module()
class LongTailIoUMetric(BaseMetric):
    """Scores in percent, as flat keys: ``mIoU``, ``mAcc``, ``aAcc``, ``mIoU_<group>``, ``{IoU,Acc,Precision}.<class>``.

    Every evaluation gives the same keys. NaN stands for what is undefined, and is left out of the means: all scores of a
    class that is in neither labels nor predictions, the accuracy of a class without labels, the precision of one that is
    never predicted, the mean of a group without a measured class; ``save_best`` never takes a NaN for the best. A class that
    is only predicted has IoU, Dice and F-score 0.

    Images are counted into one (C, C) matrix per rank. The samplers of mmengine deal image ``i`` to rank ``i % world_size``
    and pad the end; these duplicates do not count.

    Args:
        stats: Statistics of the training split, or their path; thirds of the classes by pixel frequency are the groups
            ``head``, ``medium`` and ``tail``. A path is read at the first image; without the file there are no groups.
        groups: Class names or ids by group, like ``dict(head=[...], tail=[...])``, instead of the thirds.
        ignore_index: Label of pixels that do not count.
        iou_metrics: As in mmseg's ``IoUMetric``: with ``'mDice'`` the keys ``mDice`` and ``Dice.<class>`` come too, with
            ``'mFscore'`` the keys ``mFscore``, ``mPrecision``, ``mRecall`` and ``Fscore.<class>``. Those of ``'mIoU'`` are
            always there.
        beta: Of the F-score: recall counts ``beta`` times as much as precision.
        keep_counts: Keep the counts of every image, as :class:`mmimb.stats.EvaluatedCounts` in the attribute ``counts`` of the
            main rank after each evaluation.
        counts_out: An ``.npz`` for them, which each evaluation replaces; switches ``keep_counts`` on.
        collect_device: Accepted as for every metric, without effect: ranks add up their matrices, nothing is collected.
        prefix: Put before every key, with a slash.

    Raises:
        ValueError: Groups or statistics do not fit the classes of the dataset, a label is out of range, an argument of
            mmseg's ``IoUMetric`` asks for something that this metric does not do.
        TypeError: An argument is of the wrong type or unknown.
    """

    default_prefix = ''
    _total: Tensor | None = None  # every image but the last
    _last: Tensor | None = None
    _images = 0
    _kept: ImageCounter | None = None
    counts: EvaluatedCounts | None = None
    makes_confusion = True  # what is counted of an image

    def __init__(self, stats: StatsSource | None = None, groups: Mapping[str, Sequence[Any]] | None = None,
                 ignore_index: int = 255, *, iou_metrics: Sequence[str] | str = ('mIoU', ), beta: float = 1,
                 keep_counts: bool = False, counts_out: str | Path | None = None, collect_device: str = 'cpu',
                 prefix: str | None = None, **inherited: Any) -> None:
        _check_inherited(inherited)
        if isinstance(ignore_index, bool) or not isinstance(ignore_index, int):
            raise TypeError(f'`ignore_index` must be an integer, got {ignore_index!r}')
        if collect_device not in ('cpu', 'gpu'):
            raise ValueError(f"`collect_device` must be 'cpu' or 'gpu', got {collect_device!r}")
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.stats = stats if stats is None or isinstance(stats, (str, Path)) else ClassStats.load(stats)
        self.given_groups = None if groups is None else check_groups(groups)
        self.ignore_index = ignore_index
        self.iou_metrics, self.beta = check_iou_metrics(iou_metrics), number('beta', beta, above=0)
        self.keep_counts, self.counts_out = keep_counts or counts_out is not None, counts_out
        if self.keep_counts and not self.makes_confusion:
            raise ValueError(f'`keep_counts` must be off for {type(self).__name__}, which makes no confusion matrix, got True')
        if counts_out is not None:
            require_suffix('counts_out', str(counts_out), '.npz')
            check_writable('counts_out', counts_out)
        self._resolved: tuple[tuple[str, ...], dict[str, list[int]]] | None = None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the pixels of the images of a batch."""
        for sample in data_samples:
            counts = self._count(sample)
            if self.keep_counts:
                self._keep(sample, counts)
            if self._last is not None:
                self._total = self._last if self._total is None else self._total + self._last
            self._last = counts
            self._images += 1

    def evaluate(self, size: int) -> dict[str, float]:
        """Add up the ranks, log the table on the main one and return the scores; counting then starts anew.

        Args:
            size: Number of images in the dataset; what was counted beyond is padding of the sampler.
        """
        self._resolve()
        confusion, images = self._without_padding(size)
        own, kept = images, self._kept
        self._reset()
        total = torch.cat([confusion.flatten(), confusion.new_tensor([images])])
        all_reduce(total)
        confusion, images = total[:-1].view_as(confusion).cpu(), int(total[-1])
        if images != size:
            _warn(f'{images} images were measured in a dataset of {size}: the sampler did not deal every image once')
        if self.keep_counts:
            self._gather(kept, confusion, own)
        result: list[Any] = [None]
        if get_dist_info()[0] == 0:
            result = [self._prefixed(self.compute_metrics([confusion]))]
        broadcast_object_list(result)
        return result[0]

    def compute_metrics(self, results: list[Tensor]) -> dict[str, float]:
        """Return the scores of ``[confusion]``, the ``(C, C)`` counts of all images, and log them as a table."""
        classes, groups = self._resolve()
        metrics = flat_scores(results[0], classes, groups, self.iou_metrics, self.beta)
        print_log(f'per class results:\n{class_table(results[0], classes, groups)}', logger='current')
        return metrics

    def keys(self) -> list[str]:
        """Return the keys of every evaluation, for the classes of ``dataset_meta``."""
        classes, groups = self._resolve()
        return list(self._prefixed(flat_scores(self._nothing(), classes, groups, self.iou_metrics, self.beta)))

    def class_groups(self) -> dict[str, list[str]]:
        """Return the class names of every group, from frequent to rare where statistics are known."""
        classes, groups = self._resolve()
        return {name: [classes[c] for c in members] for name, members in groups.items()}

    def _count(self, sample: Mapping[str, Any]) -> Tensor:
        name = _path(sample)
        if 'gt_sem_seg' not in sample:
            raise ValueError(f"{name}: `data_samples` must hold `gt_sem_seg`, got none; mmseg's IoUMetric(format_only=True, "
                             "output_dir='...') writes predictions for a split without labels")
        self._resolve()  # wrong statistics fail here, on every rank, not after an hour of testing
        try:
            return self._confusion(sample)
        except ValueError as error:
            raise ValueError(f'{name}: {error} (`target` is the label file, `pred` the model)') from error

    def _keep(self, sample: Mapping[str, Any], confusion: Tensor) -> None:
        if self._kept is None:
            self._kept = ImageCounter(len(self._resolve()[0]))
        self._kept.add(_path(sample), confusion)

    def _gather(self, kept: ImageCounter | None, confusion: Tensor, images: int) -> None:
        """Put the counts of all ranks into ``counts`` on the main one, and into the file; every rank takes part."""
        kept = ImageCounter(len(self._resolve()[0])) if kept is None else kept
        counts = kept.gathered(confusion, images)
        if get_dist_info()[0] == 0:
            self.counts = counts
            if self.counts_out is not None:
                write_files({Path(self.counts_out): pack(counts.arrays())})

    @property
    def _rows(self) -> int:
        """Rows of the matrix that is counted; scores are those of the first C."""
        return len(self._resolve()[0])

    def _nothing(self) -> Tensor:
        return torch.zeros(self._rows, self._rows, dtype=torch.int64)

    def _confusion(self, sample: Mapping[str, Any]) -> Tensor:
        """Return the counts of an image, rows = label, columns = prediction."""
        return confusion_matrix(*self._maps(sample), self._rows, self.ignore_index)

    def _maps(self, sample: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Return prediction and label of an image."""
        pred = sample['pred_sem_seg']['data'].squeeze()
        label = sample['gt_sem_seg']['data'].squeeze().to(pred.device)
        if pred.device.type != 'cpu' and _out_of_range(pred, label, self._rows, self.ignore_index):
            pred, label = pred.cpu(), label.cpu()  # counting raises with the value then, and leaves the device alive
        return pred, label

    def _without_padding(self, size: int) -> tuple[Tensor, int]:
        """Return the counts of this rank and its number of images; only the last one can be padding."""
        parts = [] if self._total is None else [self._total]
        padded = self._last is not None and is_padding(self._images - 1, size)
        if self._last is not None and not padded:
            parts.append(self._last)
        counts = torch.stack(parts).sum(0) if parts else self._nothing()
        return counts, self._images - int(padded)

    def _prefixed(self, metrics: Mapping[str, float]) -> dict[str, float]:
        return {f'{self.prefix}/{key}': value for key, value in metrics.items()} if self.prefix else dict(metrics)

    def _resolve(self) -> tuple[tuple[str, ...], dict[str, list[int]]]:
        """Return class names and groups; statistics are read at the first call."""
        classes = (self.dataset_meta or {}).get('classes')
        if not classes:
            raise ValueError(f'`dataset_meta` must hold the class names under `classes`, got {self.dataset_meta!r}')
        classes = tuple(classes)
        if self._resolved is None or self._resolved[0] != classes:
            if len(set(classes)) != len(classes):
                raise ValueError(f'`classes` must be distinct names, got {max(classes, key=classes.count)!r} twice')
            self._resolved = classes, resolve_groups(self.given_groups, classes, self._read_stats())
        return self._resolved

    def _read_stats(self) -> ClassStats | None:
        if self.stats is None:
            return None
        try:
            return ClassStats.load(self.stats)
        except FileNotFoundError:
            _warn(f'{self.stats} is not on this machine: the scores of head, medium and tail classes are left out, and '
                  'save_best cannot use them' if self.given_groups is None else f'{self.stats} is not on this machine')
            return None

    def _reset(self) -> None:
        self._total = self._last = self._kept = None
        self._images = 0


def _path(sample: Mapping[str, Any]) -> str:
    return str(sample.get('seg_map_path') or sample.get('img_path') or 'an image without a path')


def _check_inherited(inherited: Mapping[str, Any]) -> None:
    for name, value in inherited.items():
        if name not in INHERITED:
            raise TypeError(f'`{name}` is no argument of LongTailIoUMetric')
        if value not in INHERITED[name]:
            raise ValueError(f'`{name}` must be {INHERITED[name][0]!r} or absent for LongTailIoUMetric, got {value!r}; where '
                             'a config inherits it, write _delete_=True; for files of predictions, put '
                             "dict(type='IoUMetric', prefix='mmseg', ...) beside it in a list")


def _out_of_range(pred: Tensor, label: Tensor, num_classes: int, ignore_index: int) -> bool:
    if pred.shape != label.shape:
        return False
    wrong = (label < 0) | (label >= num_classes) | (pred < 0) | (pred >= num_classes)
    return bool((wrong & (label != ignore_index)).any())


def _warn(message: str) -> None:
    print_log(message, logger='current', level=logging.WARNING)
