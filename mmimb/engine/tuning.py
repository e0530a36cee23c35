"""What tools/tune_offsets.py does."""
from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..analysis.image_groups import image_groups
from ..analysis.offset_objective import Counts, Objective
from ..analysis.offsets import Tuning, tune
from ..analysis.score_sample import pool
from ..files import check_writable
from ..scan import fingerprint
from ..stack import require_stack
from ..stats import ClassStats
from .checkpoint import check_named_checkpoints, refused_pickles, set_trust
from .evaluation import build_test_runner
from .fit import fit_hook
from .launch import leave_group, prepare_launch
from .tuned_file import RECORD, check_out, load_weights, with_offsets, without_offsets, write_checkpoint
from .tuning_split import overlaps, tuning_config


@dataclass
class TuneOptions:
    """The command line of tools/tune_offsets.py.

    Args:
        config: Path of the config.
        checkpoint: Path of the weights.
        out: Where the tuned checkpoint goes.
        undo: Write the weights as they were before they were tuned, and do nothing else.
        split: ``'val'``, ``'test'``, or a config whose ``test_dataloader`` is the split to tune on.
        objective: As for :func:`mmimb.analysis.offsets.tune`.
        stats: Report on the training split: its class shares, and its tail.
        groups: File with images that belong together, a group per line.
        blocks: Number of images that belong together, in the order of the split.
        work_dir: Where logs go; a folder ``tune`` in the run's own by default.
        cfg_options: ``key=value`` overrides.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.
        local_rank: For launchers that do not set ``LOCAL_RANK``.
        trust_checkpoint: Load a checkpoint that is no plain data.
    """

    config: str
    checkpoint: str
    out: str
    undo: bool = False
    split: str = 'val'
    objective: str = 'mIoU'
    stats: str | None = None
    groups: str | None = None
    blocks: int | None = None
    work_dir: str | None = None
    cfg_options: Sequence[str] | None = None
    launcher: str = 'none'
    local_rank: int = 0
    trust_checkpoint: bool = False


@dataclass(frozen=True)
class TuneResult:
    """What was found, and full counts of the split before and after.

    Args:
        tuning: As found on the sample; ``before`` and ``after`` are those of the full passes.
        classes: Names of the classes.
        before: ``(C,)`` counts of the model as it is.
        after: ``(C,)`` counts with the offsets.
        notices: What the user should know.
    """

    tuning: Tuning
    classes: tuple[str, ...]
    before: Counts
    after: Counts
    notices: tuple[str, ...]


def undo_offsets(options: TuneOptions) -> None:
    """Write the weights of a tuned checkpoint as they were.

    Raises:
        ValueError, OSError: The checkpoint has no offsets, or cannot be read.
    """
    check_out(options.out, options.checkpoint)
    content = load_weights(options.checkpoint, trust=options.trust_checkpoint)
    if RECORD not in content:
        raise ValueError(f'`--undo` must be given for a checkpoint of tools/tune_offsets.py, got {options.checkpoint!r} '
                         'without offsets')
    write_checkpoint(options.out, without_offsets(content))


def tune_checkpoint(options: TuneOptions) -> TuneResult | None:
    """Tune a checkpoint and write it to ``options.out``; only the main process returns the result.

    Raises:
        ValueError, TypeError, OSError, ImportError: What the user can mend; nothing is written then.
    """
    require_stack()
    set_trust(options.trust_checkpoint)
    goal = _goal_names(options.objective)
    stats = None if options.stats is None else ClassStats.load(options.stats)
    cfg = tuning_config(options.config, options.split, options.work_dir, options.cfg_options)
    check_out(options.out, options.checkpoint)
    check_writable('--out', options.out)
    content = without_offsets(load_weights(options.checkpoint, trust=options.trust_checkpoint))
    notices = overlaps(cfg, options.split)
    cfg.load_from, cfg.resume = None, False
    check_named_checkpoints(cfg, trust=options.trust_checkpoint)
    cfg.load_from = options.checkpoint
    os.environ.setdefault('LOCAL_RANK', str(options.local_rank))
    notices += prepare_launch(cfg, options.launcher)
    runner = build_test_runner(cfg)
    runner.register_hook(fit_hook(options.checkpoint))
    with refused_pickles():
        result, classifier = _run(runner, options, goal, stats, content)
    result = replace(result, notices=(*notices, *result.notices))
    if runner.rank == 0:
        bias = classifier.conv.bias if result.tuning.changed else None
        write_checkpoint(options.out, with_offsets(content, classifier.key, bias, _record(runner, options, result)))
    leave_group()
    return result if runner.rank == 0 else None


def _goal_names(objective: str) -> tuple[str, ...]:
    return tuple(Objective.of(objective, tail=(0, )).terms)  # refuses others before anything is built


def _run(runner: Any, options: TuneOptions, goal: tuple[str, ...], stats: ClassStats | None,
         content: Mapping[str, Any]) -> tuple[TuneResult, Any]:
    """Pass over the split, tune, and pass again with the offsets in the model."""
    from mmengine.dist import broadcast_object_list
    from mmengine.evaluator import Evaluator

    from .decision import Classifier, correction_notices, losses_of
    from .score_pass import ScorePass
    loop = runner.test_loop
    dataset = loop.dataloader.dataset
    runner.call_hook('before_run')
    runner.load_or_resume()
    classifier = Classifier(runner.model)
    classifier.restore(_bias(content, classifier.key))
    classes = _classes(dataset, classifier.num_classes)
    tail = _tail(loop.evaluator, stats, classes) if 'mIoU_tail' in goal else ()
    shares = None if stats is None else stats.fit(len(classes), classes, 'the model').pixels
    classifier.check(lambda: _first_scores(runner, loop, classifier))
    scan = ScorePass(classifier, len(dataset), classifier.head.ignore_index)
    loop.evaluator = Evaluator([scan])
    loop.run()
    found: list[Any] = [None]
    if runner.rank == 0:
        found[0] = _attempt(lambda: _tune(scan, options, classes, tail, shares))
    broadcast_object_list(found)
    if isinstance(found[0], Exception):
        raise found[0]
    tuning, first = found[0]
    last = first
    if tuning.changed:
        classifier.shift(tuning.offsets)
        scan.sampling = False
        loop.run()
        found[0] = scan.counts().sum() if runner.rank == 0 else None
        broadcast_object_list(found)
        last = found[0]
    runner.call_hook('after_run')
    tuning, last, more = _final(tuning, first, last, Objective.of(options.objective, tail))
    if not tuning.changed:
        classifier.shift(tuning.offsets)
    notices = (*correction_notices(losses_of(runner.model)), *more)
    return TuneResult(tuning, classes, first, last, notices), classifier


def _tune(scan: Any, options: TuneOptions, classes: Sequence[str], tail: Sequence[int],
          shares: Sequence[int] | None) -> tuple[Tuning, Counts]:
    groups = image_groups([image['path'] for image in scan.collected], options.groups, options.blocks)
    sample = pool(scan.collected, len(classes), groups)
    return tune(sample, options.objective, tail=tail, shares=shares), scan.counts().sum()


def _attempt(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (ValueError, OSError) as error:  # for all ranks: the others wait
        return error


def _final(tuning: Tuning, first: Counts, last: Counts, goal: Objective) -> tuple[Tuning, Counts, list[str]]:
    """Return the tuning with the figures of the full passes; no change if they do not bear it out."""
    before, after = float(goal.value(first)), float(goal.value(last))
    if tuning.changed and after <= before:
        notice = f'the offsets found on the sample of scores give {after:.2f} instead of {before:.2f} on all pixels: no change'
        tuning = replace(tuning, offsets=np.zeros_like(tuning.offsets), family='none', tau=0.0, strength=None, gain=0.0,
                         interval=(0.0, 0.0))
        return replace(tuning, before=before, after=before), first, [notice]
    return replace(tuning, before=before, after=after), last, []


def _bias(content: Mapping[str, Any], key: str) -> Any:
    state = content['state_dict']
    return state.get(key, state.get(f'module.{key}'))


def _first_scores(runner: Any, loop: Any, classifier: Any) -> Any:
    import torch
    runner.model.eval()
    data = loop.dataloader.collate_fn([loop.dataloader.dataset[0]])
    with torch.no_grad():
        return classifier.scores(runner.model.test_step(data)[0].seg_logits.data).double()


def _classes(dataset: Any, number: int) -> tuple[str, ...]:
    classes = tuple((getattr(dataset, 'metainfo', None) or {}).get('classes') or map(str, range(number)))
    if len(classes) != number:
        raise ValueError(f'`--split` must have the {number} classes of the model, got {len(classes)}')
    return classes


def _tail(evaluator: Any, stats: ClassStats | None, classes: Sequence[str]) -> tuple[int, ...]:
    if stats is not None:
        return tuple(stats.groups()['tail'])
    for metric in evaluator.metrics:
        members = metric.class_groups().get('tail', []) if hasattr(metric, 'class_groups') else []
        if members:
            return tuple(list(classes).index(name) for name in members)
    raise ValueError('`--stats` must name the report of the training split for mIoU_tail, got none (and the evaluator of the '
                     'split has no tail)')


def _record(runner: Any, options: TuneOptions, result: TuneResult) -> dict[str, Any]:
    """Return how the offsets were found, as plain data."""
    from .. import __version__
    tuning = result.tuning
    dataset = runner.test_loop.dataloader.dataset
    return {'offsets': tuning.offsets.tolist(), 'classes': list(result.classes), 'objective': tuning.objective,
            'family': tuning.family, 'tau': tuning.tau, 'strength': tuning.strength, 'unit': tuning.unit,
            'expected_gain': tuning.gain, 'interval': list(tuning.interval), 'before': tuning.before, 'after': tuning.after,
            'split': options.split, 'fingerprint': fingerprint(dataset), 'images': len(dataset), 'groups': tuning.num_groups,
            'version': __version__}
