"""A resumed run begins with the validation that a kill has taken from it."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.dist import broadcast_object_list
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop

from ..analysis.scalars import starts, validations


class PendingValidationHook(Hook):
    """Runs the validation that was due at the checkpoint which is resumed, unless the run has logged it.

    A checkpoint is saved before the validation of the same iteration. A kill between the two would leave a run without its
    last scores, or without a value of ``save_best``. Runs that write no ``scalars.json`` are left alone.
    """

    priority = 'LOWEST'  # after the hooks that prepare for validations

    def before_train(self, runner: Any) -> None:
        """Validate if that is due."""
        missing = [self._missing(runner) if runner.rank == 0 else None]
        broadcast_object_list(missing)
        if missing[0] is not None:
            runner.logger.info(f'the validation at {missing[0]} is missing in the logs of this run: it comes first')
            runner.val_loop.run()

    def _missing(self, runner: Any) -> int | None:
        """Return the step of a validation that was due and is not in the logs, None without one."""
        loop = runner.train_loop
        step, last = (loop.epoch, loop.max_epochs) if isinstance(loop, EpochBasedTrainLoop) else (loop.iter, loop.max_iters)
        if runner.val_loop is None or step < max(loop.val_begin, 1) or not self._logs_like_the_loop(runner):
            return None
        loop._decide_current_val_interval()
        if step % loop.val_interval and step != last:
            return None
        work_dir = Path(runner.work_dir)
        logged = any((start / 'vis_data/scalars.json').is_file() for start in starts(work_dir))
        return step if logged and step not in validations(work_dir) else None

    @staticmethod
    def _logs_like_the_loop(runner: Any) -> bool:
        """Tell whether the steps of the log are those of the loop: epochs, or iterations."""
        from mmengine.hooks import LoggerHook
        by_epoch = next((hook.log_metric_by_epoch for hook in runner.hooks if isinstance(hook, LoggerHook)), None)
        return by_epoch is not None and by_epoch == isinstance(runner.train_loop, EpochBasedTrainLoop)
