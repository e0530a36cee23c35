"""What happens to a class, in sentences, and what would help, by the rules in docs/explain.md."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..stats.imbalance import FEW_IMAGES, RARE_IMAGES
from .evidence import Fate
from .training_facts import TrainingFacts

FLAWED = 0.05  # share of the training images of a class with audit findings
BELIEF = 0.05  # gain in F-score of an offset from which on a class is not believed, or believed too much
UNSEEN = 0.5  # best F-score below which no threshold separates a class
LEARNT = 0.2  # best F-score below which a class is not learnt, so that what it is taken for says little
RIVAL = 0.5  # share of the lost pixels that one class takes
EDGE = 0.5  # share of the lost pixels near an edge
WELL = 0.8  # IoU from which on nothing is advised
SHOWN = 3  # classes that are named
LEAST = 0.01  # share of the pixels below which a class is not named


@dataclass(frozen=True)
class Advice:
    """What to do, and the evidence.

    Args:
        kind: ``'label'``, ``'see'``, ``'believe'``, ``'doubt'``, ``'separate'``, ``'sharpen'`` or ``'look'``.
        title: What to do.
        text: Why, with the numbers, and how.
    """

    kind: str
    title: str
    text: str


def story(fate: Fate, facts: TrainingFacts, names: Sequence[str]) -> list[str]:
    """Return sentences: what happens to the pixels of a class, what its scores say, how often training saw it."""
    if not fate.labelled:
        return [f'No pixel of {names[fate.class_index]} is labelled on this split: nothing is known of it.', _training(facts)]
    parts = [f'{_percent(share)} are taken for {names[c]}' for c, share in fate.taken[:SHOWN] if share >= LEAST]
    rest = 1 - fate.recall - sum(share for _, share in fate.taken[:SHOWN] if share >= LEAST)
    parts += [f'{_percent(rest)} for other classes'] if rest >= LEAST and parts else []
    sentences = [f'{_percent(fate.recall)} of its pixels are found' + (f'; {", ".join(parts)}.' if parts else '.')]
    if fate.recall < 1:
        sentences.append(f'{_percent(fate.near)} of the lost pixels lie near an edge between classes; of its {fate.objects:,} '
                         f'objects {fate.found:,} are found (half of their pixels or more).')
    if fate.predicted:
        wrong = ', '.join(f'{names[c]} {_percent(share)}' for c, share in fate.from_others[:SHOWN] if share >= LEAST)
        sentences.append(f'Of the pixels that are predicted as it, {_percent(fate.precision)} are right'
                         + (f' (the others are {wrong})' if wrong else '') + f'; it is predicted {fate.area:.2f} times as '
                         'large as it is labelled.')
    else:
        sentences.append('It is never predicted.')
    if fate.best is not None and fate.now is not None:
        sentences.append(f'The best offset of its scores, {fate.best.offset:+.2f}, would change the F-score from '
                         f'{fate.now.f_score:.2f} to {fate.best.f_score:.2f}.')
    return [*sentences, _training(facts)]


def advise(fate: Fate, facts: TrainingFacts, names: Sequence[str], *, movable: bool = True) -> list[Advice]:
    """Return what would help a class, the surest first; nothing for one that does well or has no label.

    Args:
        fate: What becomes of its pixels.
        facts: What training saw of it.
        names: Of all classes.
        movable: Whether offsets can be added to the scores of the model.
    """
    if not fate.labelled or fate.iou >= WELL:
        return []
    learnt = fate.best is None or fate.best.f_score >= LEARNT
    of_errors = [*_belief(fate, movable), *_edges(fate), *_rival(fate, names)] if learnt else []
    found = [*_label(facts), *_few(facts), *of_errors, *_seen(fate, facts)]
    return found or [Advice('look', 'Look at its images', 'No rule applies: it fails for several small reasons.')]


def _label(facts: TrainingFacts) -> list[Advice]:
    if not facts.images or facts.findings < FLAWED * facts.images:
        return []
    return [Advice('label', 'Label it better', f'The audit has findings about {facts.findings:,} of the {facts.images:,} '
                   f'training images that hold it, such as {facts.example}: mend these first.')]


def _few(facts: TrainingFacts) -> list[Advice]:
    if facts.images is None or facts.images >= FEW_IMAGES:
        return []
    return [Advice('see', 'Label more of it', f'Training has {facts.images} images with it; below {FEW_IMAGES} no loss makes '
                   'up for that. Add images, or merge it with a neighbouring class.')]


def _belief(fate: Fate, movable: bool) -> list[Advice]:
    if fate.best is None or fate.now is None or not fate.best.f_score - fate.now.f_score >= BELIEF:
        return []
    how = '`mmimb tune` finds the offsets of all classes together' if movable else 'class weights move its scores'
    now, best = fate.now, fate.best
    gain = f'with {best.offset:+.2f} on its scores the F-score is {best.f_score:.2f} instead of {now.f_score:.2f}'
    if fate.best.offset > 0:
        seen = 'It is' if fate.best.f_score >= UNSEEN else 'A part of it is'
        return [Advice('believe', 'Believe it more', f'{seen} seen and not believed: {gain}. {_upper(how)}; weights such as '
                       'InverseFrequency(power=0.5) teach it.')]
    return [Advice('doubt', 'Believe it less', f'It is predicted too much: {gain}. {_upper(how)}, which takes back what class '
                   'weights have moved too far.')]


def _edges(fate: Fate) -> list[Advice]:
    if not (fate.near >= EDGE and 2 * fate.found >= fate.objects > 0):
        return []
    return [Advice('sharpen', 'Sharpen its edges', f'{_percent(fate.near)} of its lost pixels lie near an edge, and most of '
                   'its objects are found: larger crops, a higher resolution of the logits or of the images help, weights do '
                   'not.')]


def _rival(fate: Fate, names: Sequence[str]) -> list[Advice]:
    lost = 1 - fate.recall
    if not fate.taken or not fate.taken[0][1] >= RIVAL * lost > 0:
        return []
    rival, share = fate.taken[0]
    return [Advice('separate', f'Separate it from {names[rival]}', f'{names[rival]} takes {_percent(share / lost)} of the '
                   'pixels that it loses: a margin (LDAMLoss) or a higher resolution; and check that the two are labelled by '
                   'the same rule.')]


def _seen(fate: Fate, facts: TrainingFacts) -> list[Advice]:
    if facts.images is None or not facts.num_images or facts.images < FEW_IMAGES:
        return []
    in_images, best = facts.images / facts.num_images, fate.best
    if in_images < RARE_IMAGES:
        return [Advice('see', 'See it more', f'Only {_percent(in_images)} of the training images hold it: show those more '
                       'often (RepeatFactorSampler, RareClassSampler).')]
    if facts.crop_share is not None and facts.crop_share < RARE_IMAGES:
        return [Advice('see', 'See it more', f'Only {_percent(facts.crop_share)} of the crops hold it, of the images '
                       f'{_percent(in_images)}: crop around it (RareClassCrop).')]
    if best is not None and best.f_score < LEARNT:
        return [Advice('see', 'See it more', f'It is not learnt: the best offset of its scores reaches an F-score of '
                       f'{best.f_score:.2f}. Class weights such as InverseFrequency(power=0.5) and longer training come first, '
                       'then more images of it and a higher resolution.')]
    if best is not None and best.f_score < UNSEEN:
        return [Advice('see', 'See it more', f'Its scores do not tell it apart: the best offset reaches an F-score of '
                       f'{best.f_score:.2f}. Longer training with weights, more images of it, or a network with a higher '
                       'resolution.')]
    return []


def _training(facts: TrainingFacts) -> str:
    images = '' if facts.images is None else f', in {facts.images:,} images'
    images += f' ({_percent(facts.images / facts.num_images)})' if facts.images and facts.num_images else ''
    crops = '' if facts.crop_share is None else f' and {_percent(facts.crop_share)} of the crops'
    return f'Training saw {facts.pixels:,} pixels of it, {_percent(facts.share)} of all{images}{crops}.'


def _percent(share: float) -> str:
    """Return a share in percent, whole from 10 % on; small ones keep a digit.

    >>> _percent(0.316), _percent(0.0392), _percent(0.00021), _percent(0.0)
    ('32 %', '3.9 %', '0.02 %', '0 %')
    """
    value = 100 * share
    if value != value:
        return 'none'
    if value == 0 or value >= 9.95:
        return f'{value:.0f} %'
    return f'{value:.1f} %' if value >= 1 else f'{value:.1g} %' if value >= 1e-4 else '<0.0001 %'


def _upper(text: str) -> str:
    return text if text.startswith('`') else text[:1].upper() + text[1:]
