"""Test-time augmentation that averages what the loss was trained on."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData
from torch import Tensor

from ..registry import MODELS
from .introspect import activation, classifies_queries, head_losses, last_head, loss_scale


@MODELS.register_module()
class TTAModel(BaseTTAModel):
    """Average the predictions for several views of an image, in the place of mmseg's ``SegTTAModel``.

    The first loss of the last decode head decides what is averaged: raw outputs for losses on them (``OutlyingMSELoss``),
    the sigmoid of each channel for sigmoid losses, otherwise the softmax, of ``scale`` times the logits if the loss has a
    ``scale``. Heads with ``out_channels=1`` hand over probabilities, which are averaged as they are and compared with the
    head's threshold (``SegTTAModel`` takes their sigmoid once more, which calls every pixel foreground). Heads of queries hand
    over sums of probabilities, which are averaged as they are, too.

    The views come back un-flipped and in the size of the image. The first one's sample is returned with the average as
    ``seg_logits`` and its prediction as ``pred_sem_seg``.

    Args:
        module: The segmentor, or its config.
        data_preprocessor: Put into that config.
    """

    def merge_preds(self, data_samples_list: Sequence[Sequence[Any]]) -> list[Any]:
        """Return one sample per image, given the samples of all its views."""
        return [self._merge(samples) for samples in data_samples_list]

    def _merge(self, samples: Sequence[Any]) -> Any:
        total = self._values(samples[0].seg_logits.data)
        for sample in samples[1:]:
            total = total + self._values(sample.seg_logits.data)
        mean = total / len(samples)
        label = (mean > last_head(self.module).threshold).long() if len(mean) == 1 else mean.argmax(0, keepdim=True)
        samples[0].set_data({'seg_logits': PixelData(data=mean), 'pred_sem_seg': PixelData(data=label)})
        return samples[0]

    def _values(self, logits: Tensor) -> Tensor:
        """Return the ``(C, H, W)`` values to average, in float32 at least."""
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        head = last_head(self.module)
        loss = next(iter(head_losses(head)), None) if head is not None else None
        kind = activation(loss)
        if len(logits) == 1 or kind == 'none' or classifies_queries(head):
            return logits
        return logits.sigmoid() if kind == 'sigmoid' else (logits * (loss_scale(loss) or 1)).softmax(0)
