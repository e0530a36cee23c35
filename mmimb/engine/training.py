"""Training: what `mmimb train` does."""
from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..signals import leave_on_signal
from ..stack import require_stack
from .check_classes import check_classes
from .check_heads import check_heads
from .check_losses import check_losses
from .checkpoint import check_named_checkpoints, find_resume, inspect_checkpoint, refused_pickles, set_trust
from .config import TRAIN_KEYS, add_own_hooks, check_datasets, read_config, set_work_dir, use_amp
from .embed_stats import embed_stats
from .evaluators import check_evaluators
from .launch import leave_group, prepare_launch

RESUME_LATEST = ''


@dataclass
class TrainOptions:
    """The command line of `mmimb train`.

    Args:
        config: Path of the config.
        work_dir: Where checkpoints and logs go.
        resume: None: start anew. ``''``: from the latest checkpoint in the work folder. Else the file to resume from.
        amp: Automatic mixed precision.
        cfg_options: ``key=value`` overrides.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.
        local_rank: For launchers that do not set ``LOCAL_RANK``.
        seed: Seed of the run; by default that of the config, or a random one.
        trust_checkpoint: Load checkpoints that are no plain data.
    """

    config: str
    work_dir: str | None = None
    resume: str | None = None
    amp: bool = False
    cfg_options: Sequence[str] | None = None
    launcher: str = 'none'
    local_rank: int = 0
    seed: int | None = None
    trust_checkpoint: bool = False


def train(options: TrainOptions) -> Any:
    """Prepare a run, train, and return the runner.

    Raises:
        ValueError, TypeError, OSError, ImportError: What the user can mend; nothing has been written if the preparation
            raises it.
        SystemExit: With the status of ``PreemptionHook`` after SIGTERM, SIGUSR1 or SIGINT.
    """
    with leave_on_signal():
        require_stack()
        set_trust(options.trust_checkpoint)
        cfg, resume_from, notices = prepare(options)
        runner = build_runner(cfg)
        for notice in notices:
            runner.logger.warning(notice)
        if resume_from is not None:  # set after the config is dumped, so that a run from the dumped one starts anew
            runner._resume, runner._load_from = True, resume_from
            from .pending import PendingValidationHook
            runner.register_hook(PendingValidationHook())
        try:
            with refused_pickles():
                runner.train()
        except SystemExit:
            leave_group()
            raise
        leave_group()
        return runner


def prepare(options: TrainOptions) -> tuple[Any, str | None, list[str]]:
    """Return the checked config with statistics embedded, the checkpoint to resume from, and notices for the log."""
    cfg = read_config(options.config, overrides=options.cfg_options, required=TRAIN_KEYS)
    set_work_dir(cfg, options.config, options.work_dir)
    if options.seed is not None:
        cfg.randomness = {**(cfg.get('randomness') or {}), 'seed': options.seed}
    if options.amp:
        use_amp(cfg)
    add_own_hooks(cfg)
    check_heads(cfg)
    check_datasets(cfg, 'train', 'val')
    notices = embed_stats(cfg)
    check_losses(cfg)
    notices += check_classes(cfg) + check_evaluators(cfg)
    resume = options.resume
    if resume is None and cfg.get('resume'):
        resume = cfg.get('load_from') or RESUME_LATEST
    cfg.resume = False
    resume_from, more = _resume_from(cfg, resume, options.trust_checkpoint)
    _keep_seed(cfg, resume_from, options.trust_checkpoint)
    check_named_checkpoints(cfg, trust=options.trust_checkpoint)
    os.environ.setdefault('LOCAL_RANK', str(options.local_rank))
    return cfg, resume_from, notices + more + prepare_launch(cfg, options.launcher)


def build_runner(cfg: Any) -> Any:
    """Return the runner of a prepared config."""
    from mmengine.registry import RUNNERS
    from mmengine.runner import Runner

    from .. import registry  # noqa: F401  (registers the scope)
    from ..printable import PrintableFilter
    from ..workers import steady_workers
    from .low_memory import LowMemoryHook
    with refused_pickles():
        runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    steady_workers(runner)
    runner.logger.addFilter(PrintableFilter())
    runner.register_hook(LowMemoryHook())
    return runner


def _keep_seed(cfg: Any, checkpoint: str | None, trust: bool) -> None:
    """Take over the random seed of a resumed run whose config has none: samplers need it before the checkpoint is loaded."""
    randomness = cfg.get('randomness') or {}
    if checkpoint is None or randomness.get('seed') is not None or not os.path.isfile(checkpoint):
        return
    meta = inspect_checkpoint(checkpoint, trust=trust, complete=False).get('meta')
    seed = meta.get('seed') if isinstance(meta, Mapping) else None
    if isinstance(seed, int):
        cfg.randomness = {**randomness, 'seed': seed}


def _resume_from(cfg: Any, resume: str | None, trust: bool) -> tuple[str | None, list[str]]:
    if resume is None:
        return None, []
    if resume == RESUME_LATEST:
        hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
        template = hook.get('filename_tmpl')
        pattern = {} if template is None else {'pattern': re.escape(template).replace(r'\{\}', r'(\d+)')}
        return find_resume(cfg.work_dir, trust=trust, **pattern)
    if '://' not in resume:
        content = inspect_checkpoint(resume, trust=trust)
        if 'message_hub' not in content or 'meta' not in content:
            raise ValueError(f'`--resume` must be a checkpoint of a run, got {resume!r} with {sorted(map(str, content))[:5]}; '
                             '--cfg-options load_from=FILE starts from its weights')
    return resume, []
