"""Running several processes without a GPU, which mmengine's own launchers cannot."""
from __future__ import annotations

import os
import subprocess
from datetime import timedelta
from typing import Any

from ..nodes import nodes
from .port import job_port

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')
REQUIRED = {'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT'),
            'slurm': ('SLURM_PROCID', 'SLURM_STEP_NUM_TASKS'),  # a batch script has the first, too, and hangs
            'mpi': ('OMPI_COMM_WORLD_RANK',)}
STARTED_BY = {'pytorch': 'torchrun (tools/dist_train.sh)', 'slurm': 'srun (tools/slurm_train.sh)', 'mpi': 'mpirun'}
SYNC_BATCH_NORMS = ('SyncBN', 'MMSyncBN', 'SyncBatchNorm')


def has_accelerator() -> bool:
    """Tell whether mmengine would train on a device other than the CPU."""
    from mmengine.device import get_device
    return bool(get_device() != 'cpu')


def prepare_launch(cfg: Any, launcher: str) -> list[str]:
    """Make a run on CPUs possible: gloo instead of NCCL, batch norm of each process instead of synchronised.

    With an accelerator, only the environment is checked and a port is chosen: mmengine starts the process group itself.

    Args:
        cfg: The config, changed in place.
        launcher: What ``--launcher`` says.

    Returns:
        Notices for the log.

    Raises:
        ValueError: The launcher is unknown, did not start this process, or cannot do without a GPU.
    """
    if launcher not in LAUNCHERS:
        raise ValueError(f'`--launcher` must be one of {LAUNCHERS}, got {launcher!r}')
    for name in REQUIRED.get(launcher, ()):
        if name not in os.environ:
            raise ValueError(f'`--launcher {launcher}` must be given in processes that {STARTED_BY[launcher]} starts, '
                             f'got no {name} in the environment')
    cfg.launcher = launcher
    if launcher in ('slurm', 'mpi') and (port := job_port()) is not None:
        os.environ.setdefault('MASTER_PORT', str(port))  # mmengine would take the same for every job
    if has_accelerator():
        return []
    if launcher == 'mpi':
        raise ValueError("`--launcher` must be 'none', 'pytorch' or 'slurm' on a machine without a GPU, got 'mpi'; "
                         'tools/dist_train.sh starts several processes there')
    notices = plain_batch_norm(cfg)
    if launcher == 'slurm':
        _name_ranks()
    if launcher != 'none':
        _start_gloo(cfg)
    return notices


def leave_group() -> None:
    """Leave an NCCL process group, as NCCL demands. A gloo group ends with the process (:mod:`mmimb.engine.process`)."""
    import torch.distributed as dist
    if dist.is_available() and dist.is_initialized() and dist.get_backend() != 'gloo':
        dist.destroy_process_group()


def plain_batch_norm(cfg: Any) -> list[str]:
    """Replace synchronised batch norm in the model by the ordinary one; return a notice if there was any."""
    found = [node for _, node in nodes(cfg.get('model'), 'model') if node.get('type') in SYNC_BATCH_NORMS]
    for node in found:
        node['type'] = 'BN'  # type: ignore[index]
    count = len(found)
    if cfg.pop('sync_bn', None) is not None:
        count += 1
    return [f'no GPU: synchronised batch norm became ordinary batch norm ({count} settings)'] if count else []


def _name_ranks() -> None:
    """Say in torch's words what srun has told this task."""
    for name, slurm in (('RANK', 'SLURM_PROCID'), ('LOCAL_RANK', 'SLURM_LOCALID'), ('WORLD_SIZE', 'SLURM_STEP_NUM_TASKS')):
        os.environ[name] = os.environ[slurm]
    os.environ.setdefault('MASTER_ADDR', _first_host())


def _first_host() -> str:
    """Return the node of the step's first task."""
    if os.environ.get('SLURM_STEP_NUM_NODES') == '1':
        return '127.0.0.1'
    nodes_of_step = os.environ.get('SLURM_STEP_NODELIST', '')
    try:
        found = subprocess.run(['scontrol', 'show', 'hostnames', nodes_of_step], capture_output=True, text=True, check=True)
        return found.stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError) as error:
        raise ValueError('`MASTER_ADDR` must be in the environment where scontrol cannot tell the first node of '
                         f'SLURM_STEP_NODELIST, got {nodes_of_step!r}') from error


def _start_gloo(cfg: Any) -> None:
    import torch.distributed as dist
    env = cfg.get('env_cfg') or {}
    settings = dict(env.get('dist_cfg') or {})
    cfg.env_cfg = {**env, 'dist_cfg': {**settings, 'backend': 'gloo'}}
    wrapper = dict(cfg.get('model_wrapper_cfg') or {})
    if wrapper.get('type') in (None, 'MMDistributedDataParallel'):
        defaults = {'type': 'MMDistributedDataParallel', 'broadcast_buffers': False,
                    'find_unused_parameters': cfg.get('find_unused_parameters', False)}
        cfg.model_wrapper_cfg = {**defaults, **wrapper, 'device_ids': None}
    if not dist.is_initialized():
        timeout = settings.get('timeout')
        dist.init_process_group('gloo', timeout=None if timeout is None else timedelta(seconds=timeout))
