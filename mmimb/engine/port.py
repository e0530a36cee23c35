"""The port at which the processes of a run meet: two runs on one machine must not take the same."""
from __future__ import annotations

import os
import re
import socket
from collections.abc import Sequence

JOB_IDS = ('SLURM_JOB_ID', 'PBS_JOBID', 'LSB_JOBID', 'JOB_ID')  # Slurm has an id of its own for each job of an array
ARRAY_INDICES = ('PBS_ARRAY_INDEX', 'PBS_ARRAYID', 'LSB_JOBINDEX', 'SGE_TASK_ID')
FIRST, COUNT = 15_000, 15_000  # below the ports that systems give out themselves
TORCH_DEFAULT = 29_500


def job_port() -> int | None:
    """Return a port that follows from the scheduler's job, the same in all its processes; None outside a job."""
    job = next((match[0] for name in JOB_IDS if (match := re.search(r'\d+', os.environ.get(name, '')))), None)
    if job is None:
        return None
    step = os.environ.get('SLURM_STEP_ID', '0')  # several srun of one job may share a node
    index = next((value for name in ARRAY_INDICES if (value := os.environ.get(name, '')).isdigit()), '0')
    return FIRST + (31 * int(job) + 101 * int(index) + (int(step) if step.isdigit() else 0)) % COUNT


def torchrun_port(arguments: Sequence[str]) -> list[str]:
    """Return the arguments that give torchrun a port, if its ``arguments`` do not."""
    given = [name.replace('-', '_') for name in (argument.partition('=')[0] for argument in arguments)]
    if {'__master_port', '__rdzv_endpoint', '__rdzv_backend', '__standalone'} & set(given):
        return []
    several = any(value not in ('', '1') for value in _values(arguments, '__nnodes'))
    port = os.environ.get('MASTER_PORT') or ((job_port() or TORCH_DEFAULT) if several else _free_port())
    return [f'--master_port={port}']


def _values(arguments: Sequence[str], name: str) -> list[str]:
    following = [*arguments[1:], ''] if arguments else []
    return [argument.partition('=')[2] if '=' in argument else after
            for argument, after in zip(arguments, following, strict=True)
            if argument.partition('=')[0].replace('-', '_') == name]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('', 0))
        return int(probe.getsockname()[1])
