"""From class counts to class weights: the formulas, and the scale that all schemes share."""
from __future__ import annotations

import math

import torch
from torch import Tensor


def inverse_frequency(counts: Tensor, power: float) -> Tensor:
    r"""Return :math:`\pi_c^{-power}` with the class shares :math:`\pi`; infinite where a class never occurs."""
    return (counts / counts.sum()).pow(-power)


def median_frequency(counts: Tensor, image_counts: Tensor) -> Tensor:
    r"""Return :math:`\mathrm{median}(f) / f_c` over the classes that occur (arXiv 1411.4734).

    Args:
        counts: ``(C,)`` pixels of each class.
        image_counts: ``(C,)`` labelled pixels of the images that contain it; ``f`` is the ratio of the two.
    """
    frequency = counts / image_counts.clamp(min=1)
    return frequency[counts > 0].quantile(0.5) / frequency


def log_frequency(counts: Tensor, c: float) -> Tensor:
    r"""Return ENet's :math:`1 / \ln(c + \pi)` (arXiv 1606.02147)."""
    return 1 / (c + counts / counts.sum()).log()


def effective_number(counts: Tensor, beta: float) -> Tensor:
    r"""Return :math:`(1 - \beta) / (1 - \beta^n)` (arXiv 1901.05555), without cancellation for beta near 1.

    Args:
        counts: ``(C,)`` counts.
        beta: In ``[0, 1)``; it must suit the counts, for it saturates at ``n`` around ``1 / (1 - beta)``.
    """
    if beta == 0:
        return torch.ones_like(counts)
    return (1 - beta) / -torch.expm1(counts * math.log(beta))


def suitable_beta(counts: Tensor) -> float:
    """Return the beta that saturates at the geometric mean of the counts that occur: the same shape for pixels and images.

    Classes that are rarer than that are weighted as by inverse frequency, the others more and more alike.
    """
    typical = counts[counts > 0].log().mean().exp()
    return float(1 - 1 / typical.clamp(min=1))


def normalized_weights(raw: Tensor, occurs: Tensor, max_ratio: float | None = None) -> Tensor:
    """Scale weights to mean 1 over the classes that occur.

    Args:
        raw: ``(C,)`` weights; whatever stands at classes that do not occur is ignored.
        occurs: ``(C,)`` mask of the classes that occur.
        max_ratio: Largest weight over the smallest; larger ones are lowered before scaling.

    Returns:
        ``(C,)`` weights; a class that never occurs has the largest weight in use.
    """
    used = raw[occurs]
    if max_ratio is not None:
        used = used.clamp(max=float(max_ratio * used.min()))
    used = used / used.mean()
    weight = torch.full_like(raw, float(used.max()))
    weight[occurs] = used
    return weight


def query_weights(images: Tensor, max_ratio: float, no_object: float) -> Tensor:
    r"""Return the weights of a loss on queries: ``min(sqrt(n_max / n_c), max_ratio)`` up to a factor, then that of no object.

    A class is the target of one query in each image that holds it. The factor makes the mean over these targets 1, so that
    ``no_object`` has the meaning that it has beside weights of 1 (arXiv 2107.06278).

    Args:
        images: ``(C,)`` images that hold each class; one that none holds gets the largest weight in use.
        max_ratio: Largest weight over the smallest.
        no_object: Weight of queries that match nothing.

    Returns:
        ``(C + 1,)`` weights.
    """
    weight = normalized_weights(inverse_frequency(images, 0.5), images > 0, max_ratio)
    weight = weight * images.sum() / (weight * images).sum()
    return torch.cat([weight, weight.new_tensor([no_object])])
