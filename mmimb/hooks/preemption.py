"""A scheduler takes the machine away: save, and leave with a status on which the job is queued again."""
from __future__ import annotations

import signal
import threading
from typing import Any

import torch
from mmengine.dist import all_reduce, barrier, get_world_size
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import EpochBasedTrainLoop

from ..registry import HOOKS
from ..signals import EX_INTERRUPTED, EX_TEMPFAIL, give_back, is_first, listen
from .whole_files import save_whole


@HOOKS.register_module()
class PreemptionHook(Hook):
    """Saves a checkpoint and exits with a status of its own after SIGTERM (``sbatch --signal=TERM@120``), SIGUSR1 or SIGINT.

    Args:
        interval: Iterations between two agreements of several processes, which stop together; one process looks after every
            iteration. Choose it so that so many iterations and a save fit into the scheduler's grace time.
        exit_code: Exit status of every process (75, EX_TEMPFAIL) after SIGTERM or SIGUSR1; after SIGINT it is 130.

    The checkpoint has the name that the config's ``CheckpointHook`` gives, so that ``--resume`` finds it. The run goes on at
    the next iteration; a loop by epochs begins the interrupted epoch again, with the weights of the interruption. A pending
    validation comes first (a resumed run would leave it out), as does the end of training if this was the last iteration.
    """

    priority = 'LOWEST'  # after CheckpointHook

    def __init__(self, interval: int = 10, exit_code: int = EX_TEMPFAIL) -> None:
        if isinstance(interval, bool) or not isinstance(interval, int) or interval < 1:
            raise ValueError(f'`interval` must be an integer of at least 1, got {interval!r}')
        if isinstance(exit_code, bool) or not isinstance(exit_code, int) or not 0 < exit_code < 256:
            raise ValueError(f'`exit_code` must be an integer in [1, 255], got {exit_code!r}')
        self.interval = interval
        self.exit_code = exit_code
        self._received = 0
        self._previous: dict[int, Any] = {}

    def before_train(self, runner: Any) -> None:
        """Listen to the signals; only the main thread of a process can."""
        if threading.current_thread() is not threading.main_thread():
            runner.logger.warning('PreemptionHook is without effect: training does not run in the main thread')
            return
        self._previous = listen(self._receive)

    def after_train(self, runner: Any) -> None:
        """Give the signals back."""
        give_back(self._previous)
        self._previous = {}

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Stop if a signal came: after saving, by ``SystemExit``."""
        world_size = get_world_size()
        if not self._may_stop(runner, batch_idx, every=1 if world_size == 1 else self.interval):
            return
        received = self._received
        if world_size > 1:
            flag = torch.tensor([received], dtype=torch.int32)
            all_reduce(flag, 'max')  # SIGTERM is more than SIGUSR1, and that more than SIGINT
            received = int(flag)
        if not received:
            return
        path = self._save(runner)
        barrier()  # nobody leaves, and takes the process group along, before the file is there
        status = EX_INTERRUPTED if received == signal.SIGINT else self.exit_code
        runner.logger.warning(f'stopped by {signal.Signals(received).name} after iteration {runner.iter + 1}, saved {path}; '
                              f'--resume continues there (exit status {status})')
        runner.visualizer.close()
        raise SystemExit(status)

    def _receive(self, number: int, frame: Any) -> None:
        if is_first(number):
            self._received = number  # nothing else: this interrupts anything

    def _may_stop(self, runner: Any, batch_idx: int, *, every: int) -> bool:
        """Tell whether to ask now; the answer is the same on all ranks."""
        step = runner.iter + 1
        if step >= runner.max_iters:
            return False
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            return batch_idx + 1 < len(runner.train_dataloader) and step % every == 0
        validation = runner.val_interval if runner.val_loop is not None else 0
        if validation > 1 and step % validation == 0 and step >= runner.val_begin:
            return False
        return step % every == 0 or (validation > 1 and (step + 1) % validation == 0)

    def _save(self, runner: Any) -> str:
        hook = next((h for h in runner.hooks if isinstance(h, CheckpointHook)), None)
        if hook is None:
            hook = CheckpointHook(by_epoch=False)
            hook.before_train(runner)
            save_whole(hook)
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            step = runner.epoch + 1 if hook.by_epoch else runner.iter + 1
            meta = {'epoch': runner.epoch, 'iter': runner.epoch * len(runner.train_dataloader)}
        else:
            step = runner.iter + 1
            meta = {'epoch': runner.epoch, 'iter': step}
        path = hook.file_backend.join_path(hook.out_dir, hook.filename_tmpl.format(step))
        if hook.last_ckpt != path:  # else CheckpointHook has just saved it
            hook._save_checkpoint_with_step(runner, step, meta)
        return str(path)
