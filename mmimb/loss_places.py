"""Where the losses of a model are in its config, and what each of them learns: the classes of pixels, of queries, or else."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .stack import OF_MMDET, lacking

PIXELS, QUERIES, OTHER = 'pixels', 'queries', 'other'
Keys = tuple[str | int, ...]

HEAD_KEYS = ('decode_head', 'auxiliary_head', 'kernel_generate_head')
NESTED = 'kernel_generate_head'  # of K-Net, whose losses serve all iterations
FIXED = {'PIDHead': 4, 'DDRHead': 2}  # heads that call the losses of their list one by one
DEPTH = 'it learns depths, not classes'
OF_HEAD = {'VPDDepthHead': DEPTH, 'STDCHead': 'it learns where edges are'}
OF_LOSS = {'SiLogLoss': DEPTH, 'BoundaryLoss': 'it learns where boundaries are'}
OF_KEY = {'loss_se_decode': 'it learns which classes an image holds', 'loss_mask': 'it learns masks, whatever their class',
          'loss_dice': 'it learns masks, whatever their class'}
AT_BOUNDARIES = 'it learns the pixels at boundaries once more'
OF_QUERIES = (*OF_MMDET, 'SideAdapterCLIPHead')  # heads of mmseg that classify queries and sum up their masks
NO_BIAS = {  # heads of mmseg whose scores no bias shifts, by the name of a class that they derive from
    'PointHead': 'PointRend, which classifies single points once more',
    **dict.fromkeys(OF_QUERIES, 'a head of queries: masks times classes are no scores with a bias'),
    'SegmenterMaskTransformerHead': 'Segmenter, where a norm follows the scores',
    'IterativeDecodeHead': 'K-Net, whose kernels are updated after the classification',
}


@dataclass(frozen=True)
class HeadPlace:
    """A head in the config of a model.

    Args:
        keys: The way to it from the model.
        head: Its config.
    """

    keys: Keys
    head: Mapping[str, Any]

    @property
    def place(self) -> str:
        return shown(self.keys)

    @property
    def names(self) -> tuple[str, ...]:
        """The name of its class, and of those that it derives from where the config holds the class."""
        return type_names(self.head.get('type'))

    @property
    def name(self) -> str:
        return self.names[0] if self.names else 'a head without a type'

    def is_a(self, *names: str) -> bool:
        return any(name in names for name in self.names)

    @property
    def of_queries(self) -> bool:
        """Whether the head classifies queries with ``loss_cls``, as Mask2Former and what derives from it."""
        return self.is_a(*OF_MMDET) or ('loss_cls' in self.head and 'loss_mask' in self.head)


@dataclass(frozen=True)
class LossPlace:
    """A loss in the config of a model.

    Args:
        keys: The way to it from the model.
        at: Its head.
        loss: Its config; None where the head has a default.
        learns: ``PIXELS`` or ``QUERIES``, the classes of these, or ``OTHER``.
        reason: What it learns instead.
    """

    keys: Keys
    at: HeadPlace
    loss: Any
    learns: str = PIXELS
    reason: str = ''

    @property
    def place(self) -> str:
        return shown(self.keys)

    @property
    def name(self) -> str:
        return next(iter(type_names(self.loss.get('type') if isinstance(self.loss, Mapping) else None)), '')


def loss_places(model: Any) -> Iterator[LossPlace]:
    """Yield every loss of every head of a model, one by one where a head has several."""
    for at in heads(model):
        own = [key for key in at.head if isinstance(key, str) and key.startswith('loss_')]
        if at.of_queries:
            yield LossPlace((*at.keys, 'loss_cls'), at, at.head.get('loss_cls'), QUERIES)
            own = [key for key in own if key not in ('loss_cls', 'loss_decode')]  # the latter is refused at start
        elif 'loss_decode' in own or not own:
            yield from _decode(at)
            own = [key for key in own if key != 'loss_decode']
        for key in own:
            yield LossPlace((*at.keys, key), at, at.head[key], OTHER, OF_KEY.get(key, f'it is a loss of {at.name} alone'))


def heads(model: Any) -> Iterator[HeadPlace]:
    """Yield every head of a model that may have losses, wherever it is nested."""
    for keys, node in _walk(model, ()):
        named = [key for key in keys if isinstance(key, str)]
        if any(key.startswith('loss_') for key in named):
            continue
        at_home = bool(named) and named[-1] in HEAD_KEYS and NESTED not in node
        if 'loss_decode' in node or 'loss_cls' in node or at_home:
            yield HeadPlace(keys, node)


def missing_parts(model: Any) -> list[str]:
    """Return a line for every head of a model that cannot be built here, for want of compiled operators or a package."""
    found = [(shown(keys), lacking(name)) for keys, node in _walk(model, ()) for name in type_names(node.get('type'))]
    return [f'`{place}` must be a head that can be built here, got {reason}' for place, reason in found if reason]


def tunable(model: Any) -> bool:
    """Return whether decision offsets have a place in a model, as far as its config tells."""
    return not any(at.of_queries or at.is_a(*NO_BIAS) or NESTED in at.keys for at in heads(model))


def type_names(kind: Any) -> tuple[str, ...]:
    """Return the name that a ``type`` has without its scope or module; for a class also those of its bases."""
    if isinstance(kind, str):
        return (kind.rpartition('.')[2], )
    return tuple(one.__name__ for one in getattr(kind, '__mro__', ()) if one is not object)


def shown(keys: Keys) -> str:
    """Return ``model.decode_head[0].loss_decode``."""
    return 'model' + ''.join(f'[{key}]' if isinstance(key, int) else f'.{key}' for key in keys)


def _decode(at: HeadPlace) -> Iterator[LossPlace]:
    losses = at.head.get('loss_decode')
    several = isinstance(losses, (list, tuple))
    for index, loss in enumerate(losses if isinstance(losses, (list, tuple)) else [losses]):
        keys: Keys = (*at.keys, 'loss_decode', *([index] if several else []))
        yield LossPlace(keys, at, loss, *_learns(at, loss, index))


def _learns(at: HeadPlace, loss: Any, index: int) -> tuple[str, str]:
    """Return what the loss at a position of ``loss_decode`` learns, and the reason if that is no classification."""
    names = type_names(loss.get('type')) if isinstance(loss, Mapping) else ()
    reason = next((table[name] for table, known in ((OF_HEAD, at.names), (OF_LOSS, names)) for name in known
                   if name in table), '')
    if reason:
        return OTHER, reason
    if at.is_a('SideAdapterCLIPHead'):
        name = str(loss.get('loss_name')) if isinstance(loss, Mapping) else ''
        return (QUERIES, '') if 'loss_cls' in name else (OTHER, OF_KEY['loss_mask'])
    if at.is_a('PIDHead') and index >= 2:
        return OTHER, AT_BOUNDARIES if index > 2 else OF_LOSS['BoundaryLoss']
    return PIXELS, ''


def _walk(node: Any, keys: Keys) -> Iterator[tuple[Keys, Mapping[str, Any]]]:
    if isinstance(node, Mapping):
        if keys:
            yield keys, node
        for key, value in node.items():
            yield from _walk(value, (*keys, key))
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from _walk(value, (*keys, index))
