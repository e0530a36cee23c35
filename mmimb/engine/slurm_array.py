"""The runs of ``mmimb train --seeds`` as a job array of Slurm: one task for each."""
from __future__ import annotations

import shlex

from ..signals import EX_TEMPFAIL
from .child import INSTALLED, PACKAGE, program
from .seeds import SeedOptions, plan

SCRIPT = '''#!/usr/bin/env bash
# {runs} runs, one task each. What it needs of your cluster goes on the command line, for example:
#   sbatch --gres=gpu:{processes} --cpus-per-task={cpus} --time=24:00:00 THIS_FILE
#SBATCH --job-name=mmimb
#SBATCH --array=0-{last}
#SBATCH --ntasks=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=TERM@120
{path}configs=({configs})
seeds=({seeds})
config=${{configs[SLURM_ARRAY_TASK_ID % {number}]}}
seed=${{seeds[SLURM_ARRAY_TASK_ID / {number}]}}
srun --ntasks=1 {program} train "$config" --seeds "$seed" {arguments}
status=$?
if [ "$status" -eq {stopped} ]; then  # a signal stopped it, and it has saved its checkpoint
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
fi
exit "$status"
'''


def slurm_array(options: SeedOptions) -> str:
    """Return the script for ``sbatch``; a task trains one run, and goes on with it when it is queued again.

    Raises:
        ValueError, OSError: As for :func:`mmimb.engine.seeds.plan`.
    """
    runs = plan(options)
    arguments = ['--work-dir', options.work_dir, *(['--test'] if options.test else []), *(['--amp'] if options.amp else []),
                 *(['--processes', str(options.processes)] if options.processes > 1 else []),
                 *(['--trust-checkpoint'] if options.trust_checkpoint else []),
                 *(['--cfg-options', *options.cfg_options] if options.cfg_options else [])]
    root = PACKAGE.parent
    path = '' if root.name in INSTALLED else f'export PYTHONPATH={shlex.quote(str(root))}${{PYTHONPATH:+:$PYTHONPATH}}\n'
    return SCRIPT.format(runs=len(runs), last=len(runs) - 1, number=len(options.configs), stopped=EX_TEMPFAIL, path=path,
                         processes=options.processes, cpus=4 * options.processes, program=shlex.join(program()),
                         configs=shlex.join(options.configs), seeds=' '.join(map(str, options.seeds)),
                         arguments=shlex.join(arguments))
