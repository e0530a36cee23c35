"""What configs of the tests name through ``custom_imports``: a segmentor in float64, a sudden death, a list of reads."""
from __future__ import annotations

import os
import signal
from typing import Any

from mmcv.transforms import BaseTransform
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmseg.models import EncoderDecoder
from mmseg.registry import MODELS, TRANSFORMS


@MODELS.register_module()
class DoubleSegmentor(EncoderDecoder):
    """Everything in float64, so that two ways to the same parameters differ by rounding only."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.double()


@HOOKS.register_module()
class DieHook(Hook):
    """Sends the process the signal ``DIE_BY`` (KILL) after ``DIE_AFTER`` iterations if the environment says so."""

    priority = 'VERY_LOW'  # before PreemptionHook

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if runner.iter + 1 == int(os.environ.get('DIE_AFTER', 0)):
            os.kill(os.getpid(), getattr(signal, f'SIG{os.environ.get("DIE_BY", "KILL")}'))


@TRANSFORMS.register_module()
class NoteRead(BaseTransform):
    """Adds a line to the file ``$READS`` for every image that is read for training."""

    def transform(self, results: dict) -> dict:
        if 'READS' in os.environ:
            os.makedirs(os.path.dirname(os.environ['READS']), exist_ok=True)
            with open(os.environ['READS'], 'a', encoding='utf-8') as file:
                file.write(f'{results["img_path"]}\n')
        return results
