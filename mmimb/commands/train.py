"""Train a segmentor: mmseg's options, with checked statistics, checkpoints of plain data, and preemption.

  mmimb train CONFIG
  mmimb train CONFIG CONFIG2 --seeds 0-4 --work-dir work_dirs/study --test      ten runs, one after the other

With --seeds each run has the folder <work dir>/<name of the config>/seed-<seed>. The same command again skips what is done and
goes on with what was interrupted; started twice, the two share the runs. `mmimb compare <work dir>` makes the tables.
"""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..loss_places import tunable
from .next_line import is_main_process, overrides, print_next, short
from .run_options import add_run_options

ONLY_SEEDS = {'test': False, 'processes': 1, 'slurm_array': False}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what training takes; the names are those of :class:`mmimb.engine.training.TrainOptions`."""
    parser.add_argument('config', nargs='+', help='config file; several with --seeds')
    parser.add_argument('--work-dir', help='folder for checkpoints and logs (default: ./work_dirs/<name of the config>; with '
                        '--seeds: ./work_dirs/seeds)')
    parser.add_argument('--resume', nargs='?', const='', metavar='FILE',
                        help='resume from the latest checkpoint in the work folder, if there is one, or from FILE')
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument('--seed', type=int, help='seed of everything random (default: the config, else a random one)')
    seeds = parser.add_argument_group('several seeds')
    seeds.add_argument('--seeds', metavar='SEEDS', help='train each config with these seeds, such as 0-4 or 0,2,5')
    seeds.add_argument('--test', action='store_true', help="test each run's last checkpoint, into metrics.json of its folder")
    seeds.add_argument('--processes', type=int, default=1, metavar='N', help='processes (GPUs) of each run (default: 1)')
    seeds.add_argument('--slurm-array', action='store_true', help='print a script for sbatch, with a task for each run, and '
                       'train nothing')
    add_run_options(parser)


def run(args: argparse.Namespace) -> int:
    """Train."""
    options = vars(args)
    seeds, special = options.pop('seeds'), {name: options.pop(name) for name in ONLY_SEEDS}
    configs = options.pop('config')
    if seeds is not None:
        return _run_seeds(configs, seeds, options, **special)
    given = [f'--{name.replace("_", "-")}' for name, value in special.items() if value != ONLY_SEEDS[name]]
    if given:
        raise ValueError(f'`{given[0]}` must be given with --seeds, got no --seeds')
    if len(configs) > 1:
        raise ValueError(f'`config` must be one config without --seeds, got {len(configs)}')
    from ..engine.training import TrainOptions, train
    runner = train(TrainOptions(config=configs[0], **options))
    if is_main_process():
        say_next(configs[0], Path(runner.work_dir), tunable(runner.cfg.get('model')), args.cfg_options)
    return 0


def say_next(config: str, work_dir: Path, has_offsets: bool = True, cfg_options: Sequence[str] | None = None) -> None:
    """Say how the decision of the trained model is tuned, or how it is tested where offsets have no place in it."""
    try:
        checkpoint = (work_dir / 'last_checkpoint').read_text(encoding='utf-8').strip()
    except OSError:  # a config may save none
        checkpoint = 'CHECKPOINT'
    step, out = ('tune', 'tuned.pth') if has_offsets else ('test', 'metrics.json')
    print_next('mmimb', step, config, short(checkpoint), '--out', short(work_dir / out), *overrides(cfg_options))


def _run_seeds(configs: list[str], seeds: str, options: dict, *, slurm_array: bool, test: bool, processes: int) -> int:
    if processes < 1:
        raise ValueError(f'`--processes` must be at least 1, got {processes}')
    if options['launcher'] != 'none':
        raise ValueError(f"`--seeds` must be without --launcher (it starts the runs itself, each with --processes N), got "
                         f"{options['launcher']!r}")
    for name, value in (('--seed', options['seed']), ('--resume', options['resume'] or None)):
        if value is not None:
            raise ValueError(f'`--seeds` must be without {name} {value}: it says the seeds, and resumes by itself')
    from ..engine.seeds import WORK_DIR, SeedOptions, parse_seeds, train_seeds
    given = SeedOptions(configs, parse_seeds(seeds), options['work_dir'] or WORK_DIR, test, processes, options['amp'],
                        options['trust_checkpoint'], options['cfg_options'])
    if slurm_array:
        from ..engine.slurm_array import slurm_array as script
        print(script(given), end='')
        return 0
    status = train_seeds(given, lambda line: print(line, flush=True))
    base = ['--base', Path(configs[0]).stem] if len(configs) > 1 else []  # without, the first name in the alphabet
    print_next('mmimb', 'compare', str(given.work_dir), *base)
    return status
