"""What ``mmimb explain`` does: one pass over a split for each checkpoint, and the pictures that show its errors."""
from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..analysis.evidence import RunEvidence
from ..analysis.training_facts import TrainingFacts, training_facts
from ..files import check_writable, require_suffix
from ..scan import build_split
from ..scan.labels import label_chain
from ..scan.sources import leaves
from ..stack import require_stack
from ..stats import ClassStats
from ..stats.imbalance import rarest
from ..stats.known import PREFIX
from .checkpoint import check_named_checkpoints, inspect_checkpoint, refused_pickles, set_trust
from .evaluation import build_test_runner
from .evaluators import metric_cfgs
from .fit import fit_hook
from .launch import leave_group, prepare_launch
from .tuning_split import overlaps, tuning_config

RARE = 6  # classes that are looked at
IMAGES = 2  # of a class, by each way of choosing them
WIDTH = 480  # pixels; larger pictures are made smaller


@dataclass
class ExplainOptions:
    """The command line of ``mmimb explain``.

    Args:
        config: Path of the config.
        checkpoint: Path of the weights.
        html: Where the page goes.
        against: Other weights for the same config, to be compared.
        split: ``'val'``, ``'test'``, or a config whose ``test_dataloader`` is the split to look at.
        stats: Report on the training split; that of the split's evaluator by default.
        scores: Count precision and recall over the scores.
        work_dir: Where logs go; a folder ``explain`` in the run's own by default.
        cfg_options: ``key=value`` overrides.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.
        local_rank: For launchers that do not set ``LOCAL_RANK``.
        trust_checkpoint: Load a checkpoint that is no plain data.
    """

    config: str
    checkpoint: str
    html: str | None = None
    against: str | None = None
    split: str = 'val'
    stats: str | None = None
    scores: bool = True
    work_dir: str | None = None
    cfg_options: Sequence[str] | None = None
    launcher: str = 'none'
    local_rank: int = 0
    trust_checkpoint: bool = False


@dataclass(frozen=True)
class Choice:
    """An image that is worth a look.

    Args:
        class_index: For this class.
        image: Its position in the split.
        kind: ``'worst'`` (lowest IoU), ``'lost'`` (most lost pixels), ``'taken'`` (most pixels taken for ``other``).
        other: The class that its pixels are taken for, -1 for another kind.
    """

    class_index: int
    image: int
    kind: str
    other: int = -1


@dataclass
class Picture:
    """An image of the split with its label and the predictions of each checkpoint, of one size.

    Args:
        file: Name of the label file.
        image: ``(H, W, 3)`` uint8 in the order BGR, None if it cannot be read.
        label: ``(H, W)`` classes, -1 where there is none.
        predictions: ``(H, W)`` classes each.
    """

    file: str
    image: npt.NDArray[np.uint8] | None
    label: npt.NDArray[np.int64]
    predictions: list[npt.NDArray[np.int64]] = field(default_factory=list)


@dataclass(frozen=True)
class Explanation:
    """What was found.

    Args:
        title: Name of the config.
        split: That was looked at.
        report: Path of the scanner's report.
        runs: Of the checkpoint, and of the other one if there is one.
        stats: Of the training split.
        facts: Of every class in the training split.
        rare: The classes that are looked at, the rarest first.
        palette: ``(C, 3)`` colours, red, green and blue.
        choices: Images that are worth a look.
        pictures: By position in the split.
        notices: What the user should know.
    """

    title: str
    split: str
    report: str
    runs: tuple[RunEvidence, ...]
    stats: ClassStats
    facts: tuple[TrainingFacts, ...]
    rare: tuple[int, ...]
    palette: npt.NDArray[np.uint8]
    choices: tuple[Choice, ...]
    pictures: Mapping[int, Picture]
    notices: tuple[str, ...] = ()


def explain_checkpoint(options: ExplainOptions) -> Explanation | None:
    """Pass over the split with each checkpoint; only the main process returns what was found.

    Raises:
        ValueError, TypeError, OSError, ImportError: What the user can mend.
    """
    require_stack()
    set_trust(options.trust_checkpoint)
    if options.html is not None:
        require_suffix('--html', options.html, '.html')
        check_writable('--html', options.html)
    cfg = tuning_config(options.config, options.split, options.work_dir, options.cfg_options, below='explain')
    for leaf in leaves(build_split(cfg, 'test')):
        label_chain(leaf)  # refuses a split without labels
    report = _report(options.stats, cfg.test_evaluator)
    stats, facts = ClassStats.load(report), tuple(training_facts(report))
    names = [name for name in (options.checkpoint, options.against) if name is not None]
    for name in names:
        if '://' in name:
            raise ValueError(f'`CHECKPOINT` must be a local file, got {name!r}')
        inspect_checkpoint(name, trust=options.trust_checkpoint)
    cfg.load_from, cfg.resume = None, False
    check_named_checkpoints(cfg, trust=options.trust_checkpoint)
    os.environ.setdefault('LOCAL_RANK', str(options.local_rank))
    notices = overlaps(cfg, options.split, ['train']) + prepare_launch(cfg, options.launcher)
    runner = build_test_runner(cfg)
    runner.call_hook('before_run')
    rare = tuple(rarest(stats, RARE))
    with refused_pickles():
        from .explain_run import ExplainRun
        run = ExplainRun(runner, stats, scores=options.scores)
        runs: list[RunEvidence] = []
        choices: tuple[Choice, ...] = ()
        pictures: dict[int, Picture] = {}
        for name in names:
            hook = fit_hook(name)
            found = run.look(name, hook)
            if found is not None:
                runs.append(found)
                choices = choices or chosen(found, rare)
                run.add_predictions(pictures, dict.fromkeys(choice.image for choice in choices))
    leave_group()
    if runner.rank != 0:
        return None
    return Explanation(os.path.splitext(os.path.basename(options.config))[0], options.split, report, tuple(runs), stats, facts,
                       rare, run.palette, choices, pictures, tuple(notices))


def chosen(found: RunEvidence, rare: Iterable[int]) -> tuple[Choice, ...]:
    """Return images for each rare class: its worst ones, those with the most lost pixels, and one for each main confusion."""
    choices = []
    fates = found.fates()
    for c in rare:
        worst = found.worst_images(c, IMAGES)
        lost = [image for image in found.most_lost(c, 2 * IMAGES) if image not in worst][:IMAGES]
        choices += [Choice(c, image, 'worst') for image in worst] + [Choice(c, image, 'lost') for image in lost]
        for other, _ in fates[c].taken[:IMAGES]:
            choices.append(Choice(c, int(found.anatomy.image[c, other]), 'taken', other))
    return tuple(choices)


def _report(given: str | None, evaluator: Any) -> str:
    """Return the path of the scanner's report: the given one, else that of the evaluator of the split."""
    if given is not None:
        return given
    for metric in metric_cfgs(evaluator):
        stats = metric.get('stats')
        if isinstance(stats, str) and not stats.startswith(PREFIX):
            return stats
    raise ValueError('`--stats` must name the report of `mmimb scan CONFIG` on the training split, got none (and the '
                     'evaluator of the split names none)')
