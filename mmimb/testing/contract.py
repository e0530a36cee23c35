"""The contract of a segmentation loss, asked of any registered loss."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import calling, ranks, values  # noqa: F401  (they fill QUESTIONS)
from .questions import QUESTIONS, Broken
from .tested_loss import Subject


@dataclass(frozen=True)
class Answer:
    """The answer to one question: ``verdict`` is ``'holds'``, ``'broken'`` or ``'exempt'``."""

    question: str
    asks: str
    verdict: str
    detail: str = ''


def ask(subject: Subject, name: str) -> Answer:
    """Ask one question; whatever a loss raises is a broken answer, not an error of the check."""
    function = QUESTIONS[name]
    asks = (function.__doc__ or name).strip().splitlines()[0]
    try:
        function(subject)
    except Broken as broken:
        return Answer(name, asks, 'broken', str(broken))
    except Exception as error:
        first = (str(error).strip() or repr(error)).splitlines()[0]
        return Answer(name, asks, 'broken', f'{type(error).__name__}: {first}')
    return Answer(name, asks, 'holds')


def check_loss(loss: Subject | Mapping[str, Any] | str, *, num_classes: int = 4,
               exempt: Mapping[str, str] | None = None) -> list[Answer]:
    """Ask every question of a loss and return the answers by name.

    Args:
        loss: A config as in ``loss_decode``, a registered type, or a :class:`Subject`.
        num_classes: Channels of the logits that it is asked with.
        exempt: ``{question: reason}``; these are not asked, nor those that the loss itself declares as its ``exempt``.

    Raises:
        ValueError, TypeError, KeyError, OSError: An exempted question does not exist, or the loss cannot be built.

    >>> [answer for answer in check_loss('mmimb.CrossEntropyLoss') if answer.verdict == 'broken']
    []
    """
    if isinstance(loss, str):
        loss = Subject.of_type(loss, num_classes)
    elif not isinstance(loss, Subject):
        loss = Subject.of_config(loss, num_classes)
    exempt = {**loss.declared_exemptions(), **(exempt or {})}
    unknown = sorted(set(exempt) - set(QUESTIONS))
    if unknown:
        raise ValueError(f'`exempt` must name questions of the contract ({", ".join(QUESTIONS)}), got {unknown}')
    return [Answer(name, (QUESTIONS[name].__doc__ or '').splitlines()[0], 'exempt', exempt[name]) if name in exempt
            else ask(loss, name) for name in QUESTIONS]
