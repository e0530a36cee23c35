"""What `mmimb tune` does."""
from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..analysis.offset_objective import Objective
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

if TYPE_CHECKING:
    from .tuning_run import TuneResult


HALF_WEIGHTS, AS_IT_IS = 'half-weights', 'none'


@dataclass
class TuneOptions:
    """The command line of `mmimb tune`.

    Args:
        config: Path of the config.
        checkpoint: Path of the weights.
        out: Where the tuned checkpoint goes.
        undo: Write the weights as they were before they were tuned, and do nothing else.
        split: ``'val'``, ``'test'``, or a config whose ``test_dataloader`` is the split to tune on.
        objective: As for :func:`mmimb.analysis.offsets.tune`.
        start: What counts as no change: ``'half-weights'``, the class weights of cross-entropy taken back by half, or
            ``'none'``, the model as it is.
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
    start: str = HALF_WEIGHTS
    stats: str | None = None
    groups: str | None = None
    blocks: int | None = None
    work_dir: str | None = None
    cfg_options: Sequence[str] | None = None
    launcher: str = 'none'
    local_rank: int = 0
    trust_checkpoint: bool = False


def undo_offsets(options: TuneOptions) -> None:
    """Write the weights of a tuned checkpoint as they were.

    Raises:
        ValueError, OSError: The checkpoint has no offsets, or cannot be read.
    """
    check_out(options.out, options.checkpoint)
    content = load_weights(options.checkpoint, trust=options.trust_checkpoint)
    if RECORD not in content:
        raise ValueError(f'`--undo` must be given for a checkpoint of `mmimb tune`, got {options.checkpoint!r} '
                         'without offsets')
    write_checkpoint(options.out, without_offsets(content))


def tune_checkpoint(options: TuneOptions) -> TuneResult | None:
    """Tune a checkpoint and write it to ``options.out``; only the main process returns the result.

    Raises:
        ValueError, TypeError, OSError, ImportError: What the user can mend; nothing is written then.
    """
    require_stack()
    set_trust(options.trust_checkpoint)
    if options.start not in (HALF_WEIGHTS, AS_IT_IS):
        raise ValueError(f'`start` must be {HALF_WEIGHTS!r} or {AS_IT_IS!r}, got {options.start!r}')
    tailed = 'mIoU_tail' in Objective.of(options.objective, tail=(0, )).terms  # refuses others before anything is built
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
        from .tuning_run import TuningRun
        run = TuningRun(runner, content['state_dict'])
        goal = Objective.of(options.objective, run.tail(stats) if tailed else ())
        result = run.run(goal, stats, options.groups, options.blocks, half_weights=options.start == HALF_WEIGHTS)
    result = replace(result, notices=(*notices, *result.notices))
    if runner.rank == 0:
        layer = run.classifier
        bias = layer.value if result.tuning.changed else None
        write_checkpoint(options.out, with_offsets(content, layer.key, bias, _record(runner, options, result)))
    leave_group()
    return result if runner.rank == 0 else None


def _record(runner: Any, options: TuneOptions, result: TuneResult) -> dict[str, Any]:
    """Return how the offsets were found, as plain data."""
    from .. import __version__
    tuning = result.tuning
    dataset = runner.test_loop.dataloader.dataset
    return {'offsets': tuning.offsets.tolist(), 'classes': list(result.classes), 'objective': tuning.objective,
            'family': tuning.family, 'tau': tuning.tau, 'strength': tuning.strength, 'unit': tuning.unit,
            'start_gain': None if tuning.start is None else tuning.start.gain, 'expected_gain': tuning.gain,
            'interval': list(tuning.interval), 'before': tuning.before, 'after': tuning.after,
            'split': options.split, 'fingerprint': fingerprint(dataset), 'images': len(dataset), 'groups': tuning.num_groups,
            'version': __version__}
