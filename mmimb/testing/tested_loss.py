"""A loss under test: its config, and a small batch that fits it."""
from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

from ..stats import ClassStats
from ..weights import read_class_weight

IGNORE = 255


@dataclass(frozen=True)
class Subject:
    """A loss under test.

    Args:
        cfg: Its config, as written into ``loss_decode``.
        num_classes: Channels of the logits it is asked with, that of no object included.
        state: Names that its ``state_dict`` declares; empty for a loss without state.
    """

    cfg: Mapping[str, Any]
    num_classes: int = 4
    state: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of_type(cls, name: str, num_classes: int = 4) -> Subject:
        """Return a subject for a registered type. A loss that needs ``stats`` gets distinct long-tailed counts."""
        with DefaultScope.overwrite_default_scope('mmseg'):
            kind = MODELS.get(name if '.' in name else f'mmseg.{name}')
        if kind is None:
            raise ValueError(f'`type` must be a registered loss, got {name!r}')
        needs = 'stats' in inspect.signature(kind.__init__).parameters
        channels = num_classes + getattr(kind, 'extra_channels', 0)
        return cls({'type': name, **({'stats': example_stats(num_classes)} if needs else {})}, channels)

    @classmethod
    def of_config(cls, cfg: Mapping[str, Any], num_classes: int = 4) -> Subject:
        """Return a subject for a ``loss_decode``. Its factor and averaging are left out; its files are read."""
        plain = {k: v for k, v in dict(cfg).items() if k not in ('loss_weight', 'reduction', 'normalize', 'sync_avg')}
        with DefaultScope.overwrite_default_scope('mmseg'):
            kind = MODELS.get(plain['type']) if isinstance(plain.get('type'), str) else plain.get('type')
        return cls(_read_files(plain), num_classes + getattr(kind, 'extra_channels', 0))

    def declared_exemptions(self) -> dict[str, str]:
        """Return what the loss declares in its attribute ``exempt``; building it raises what is wrong with the config."""
        try:
            loss = self.build()
        except Exception:
            if str(self.cfg['type']).startswith('mmseg.'):
                return {}  # stock losses that cannot be built are answered question by question
            raise
        return dict(getattr(loss, 'exempt', {}))

    def build(self, **override: Any) -> nn.Module:
        """Build the loss from its config, some arguments replaced, in training mode."""
        with DefaultScope.overwrite_default_scope('mmseg'):
            loss: nn.Module = MODELS.build({**self.cfg, **override})
        return loss.train()

    def batch(self, *, seed: int = 0, dtype: torch.dtype = torch.float64, ignored: bool = True) -> tuple[Tensor, Tensor]:
        """Return ``(2, C, 5, 6)`` logits and ``(2, 5, 6)`` labels with every class; if ``ignored``, about a third are 255."""
        g = torch.Generator().manual_seed(seed)
        logits = 2 * torch.randn(2, self.num_classes, 5, 6, generator=g, dtype=torch.float64)
        target = torch.randperm(60, generator=g).view(2, 5, 6) % self.num_classes
        if ignored:
            target[:, :2, 1:] = IGNORE
        return logits.to(dtype), target

    def permuted(self, order: list[int]) -> Subject:
        """Return the same loss for channels renamed so that new channel ``k`` is old channel ``order[k]``."""
        return Subject(_renamed(self.cfg, order), self.num_classes, self.state)

    @property
    def renamed(self) -> list[int]:
        """Another order of the channels; those beside the classes stay the last ones."""
        classes = self.num_classes - getattr(self.build(), 'extra_channels', 0)
        return [*range(1, classes), 0, *range(classes, self.num_classes)]


def example_stats(num_classes: int) -> dict[str, Any]:
    """Return distinct long-tailed counts for ``num_classes`` classes, the most frequent first."""
    images = [10 * num_classes - 3 * c for c in range(num_classes)]
    pixels = [n * int(10 ** (5 - 3 * c / max(num_classes - 1, 1))) for c, n in enumerate(images)]
    return {'pixels': pixels, 'images': images, 'num_images': 10 * num_classes,
            'image_pixels': [max(p, 5000 * n) for p, n in zip(pixels, images, strict=True)]}


def _read_files(node: Any) -> Any:
    """Replace the paths of statistics and of class weights in a config by what the files hold."""
    if not isinstance(node, Mapping):
        return node
    node = {key: _read_files(value) for key, value in node.items()}
    if isinstance(node.get('stats'), (str, Path)):
        node['stats'] = ClassStats.load(node['stats']).to_dict()
    for key in ('class_weight', 'weight'):
        if isinstance(node.get(key), (str, Path)):
            node[key] = read_class_weight(node[key])
    return node


def _renamed(cfg: Mapping[str, Any], order: list[int]) -> dict[str, Any]:
    """Reorder statistics and class weights in a config, nested schemes included."""
    renamed: dict[str, Any] = {}
    for key, value in cfg.items():
        if key == 'stats' and isinstance(value, Mapping):
            value = {k: _reordered(v, order) if isinstance(v, (list, tuple)) else v for k, v in value.items()}
        elif key in ('class_weight', 'weight') and isinstance(value, (list, tuple)):
            value = _reordered(value, order)
        elif isinstance(value, Mapping):
            value = _renamed(value, order)
        renamed[key] = value
    return renamed


def _reordered(values: Sequence[Any], order: list[int]) -> list[Any]:
    """Return one value for each class; channels beside the classes have none."""
    return [values[c] for c in order if c < len(values)]


def call(loss: nn.Module, logits: Tensor, target: Tensor, **kwargs: Any) -> Tensor:
    """Call a loss as ``BaseDecodeHead.loss_by_feat`` does."""
    result: Tensor = loss(logits, target, **{'weight': None, 'ignore_index': IGNORE, **kwargs})
    return result


def value_and_grad(loss: nn.Module, logits: Tensor, target: Tensor, **kwargs: Any) -> tuple[Tensor, Tensor]:
    """Return a loss and its gradient with respect to the logits."""
    leaf = logits.detach().requires_grad_()
    value = call(loss, leaf, target, **kwargs)
    (grad,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach(), grad
