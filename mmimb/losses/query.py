"""The classification loss of Mask2Former, MaskFormer and what derives from them: its samples are queries, not pixels."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import number
from ..dispatch import Upsample
from ..functional import log_prior
from ..registry import MODELS
from ..weights import build_class_weight, image_counts, no_object_weight, weights_of_queries
from ..weights.queries import MAX_RATIO, NO_OBJECT
from .softmax import SoftmaxLoss

NO_IGNORED = -100  # no label of a query


@MODELS.register_module()
class QueryCrossEntropyLoss(SoftmaxLoss):
    r"""Cross-entropy of queries over C classes and "no object", weighted by how many images hold a class.

    It stands in the place of mmdet's ``CrossEntropyLoss`` in ``loss_cls``. The loss of the queries is divided by the sum of
    their weights, averaged over all ranks. Scores of classes get :math:`\tau \log(n_c / \sum n)` first, with the numbers n
    of images; that of no object gets nothing, and the matcher sees the scores as they are.

    Args:
        stats: Class statistics with ``images`` (see :class:`mmimb.stats.ClassStats`). Not needed with ``tau=0`` where
            ``class_weight`` or ``scheme`` is given.
        max_ratio: Cap of the largest class weight over the smallest (see :func:`mmimb.functional.query_weights`).
        no_object: Weight of queries that match nothing.
        tau: Strength of the logit adjustment (arXiv 2007.07314).
        class_weight: C + 1 numbers, the last for no object, in the place of those from ``stats``. The heads of mmdet read them
            from the config: a scan's suggestion holds them, and ``mmimb train`` writes them where they are missing.
        scheme: ``dict(type='mmimb.<weight scheme>', ...)`` for the C classes, in the place of both: weights that change in
            training (``DifficultyBalanced``).
        normalize: As for all losses, here ``'weights'`` unless told otherwise.
        sync_avg: As for all losses, here True unless told otherwise.
        ignore_index: No query is ignored unless this is the label of some.
    """

    vectors = ('bias', 'queries')
    bias: Tensor
    queries: Tensor
    extra_channels = 1

    def __init__(self, stats: Any = None, max_ratio: float = MAX_RATIO, no_object: float = NO_OBJECT, tau: float = 0.0, *,
                 class_weight: Any = None, scheme: Any = None, normalize: str = 'weights', sync_avg: bool = True,
                 ignore_index: int = NO_IGNORED, **common: Any) -> None:
        self.max_ratio = number('max_ratio', max_ratio, least=1)
        self.no_object = no_object_weight(no_object)
        self.tau = number('tau', tau, least=0)
        self.given = class_weight is not None or scheme is not None
        if stats is None and (self.tau != 0 or not self.given):
            raise ValueError('`stats` must be given for QueryCrossEntropyLoss unless tau=0 and class_weight or scheme is, '
                             'got None')
        super().__init__(stats, class_weight=class_weight, normalize=normalize, sync_avg=sync_avg, ignore_index=ignore_index,
                         **common)
        self.scheme = build_class_weight(scheme)

    @property
    def exempt(self) -> dict[str, str]:
        heads = dict.fromkeys(('binary', 'points', 'positional', 'ohem_sampler'), 'heads of pixels ask it, not of queries')
        sums = dict.fromkeys(('mean', 'pixel_weight'), 'its mean divides by the sum of the weights')
        weights = dict.fromkeys(('class_weight', 'class_weight_ones'), 'it has weights without this argument, too')
        return {**super().exempt, **heads, **sums, **weights,
                'avg_factor': 'that of the head is of its own rank alone, and is left aside'}

    def compute_vectors(self, source: Any) -> Mapping[str, Tensor]:
        found: dict[str, Tensor] = {}
        if self.tau != 0:
            found['bias'] = torch.cat([self.tau * log_prior(image_counts(source)), torch.zeros(1, dtype=torch.float64)])
        if not self.given:
            found['queries'] = torch.tensor(weights_of_queries(source, self.max_ratio, self.no_object), dtype=torch.float64)
        return found

    def adjustment(self, logits: Tensor) -> dict[str, Any]:
        return {} if self.tau == 0 else {'bias': self.vector('bias', logits)}

    def forward(self, logits: Tensor, target: Tensor, weight: Tensor | None = None,
                avg_factor: float | Tensor | None = None, reduction_override: str | None = None,
                ignore_index: int | None = None, upsample: Upsample | None = None) -> Tensor:
        """Compute the loss as the heads of mmdet ask for it.

        Args:
            logits: ``(P, C + 1)`` scores of queries, the last of no object.
            target: ``(P,)`` labels in ``[0, C]``; C is no object.
            weight: ``(P,)`` weights of queries.
            avg_factor: Left aside: the head knows the weights of its own rank alone.
            reduction_override: As for all losses.
            ignore_index: As for all losses.
            upsample: None: queries have no size.

        Raises:
            ValueError: Shapes or the number of classes do not fit, or a label is out of range.
        """
        return super().forward(logits, target, weight, None, reduction_override, ignore_index, upsample)

    def _class_weight(self, logits: Tensor) -> Tensor:
        if self.scheme is not None:
            self.scheme.prepare()
            weight = F.pad(self.scheme.weight, (0, 1), value=self.no_object)
        elif self.class_weight is not None:
            self.class_weight.prepare()
            weight = self.class_weight.weight
        else:
            weight = self.queries
        if weight.numel() != logits.shape[1]:
            name = 'scheme' if self.scheme is not None else 'class_weight' if self.class_weight is not None else 'stats'
            raise ValueError(f'`{name}` must give a weight to each of the {logits.shape[1]} scores of a query (one per class, '
                             f'and one for no object), got {weight.numel()}')
        return weight.to(logits.device, torch.promote_types(logits.dtype, torch.float32))
