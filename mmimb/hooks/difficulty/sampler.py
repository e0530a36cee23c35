"""The samplers of mmimb in a training dataloader, and which of their draws belongs to which iteration."""
from __future__ import annotations

from typing import Any

from mmengine.dist import get_world_size
from mmengine.runner import EpochBasedTrainLoop

from ...sampling import DifficultySampler
from ...sampling.sampler_base import DrawSampler


def find_sampler(loader: Any, kind: type) -> Any:
    """Return the sampler of a kind that a dataloader draws with, itself or in its batch sampler; otherwise None."""
    samplers = loader.sampler, getattr(loader.batch_sampler, 'sampler', None)
    return next((sampler for sampler in samplers if isinstance(sampler, kind)), None)


def check_stream(loader: Any, loop: Any) -> None:
    """Refuse an endless sampler of ours in a loop by epochs, whose first epoch would never end."""
    sampler = find_sampler(loader, DrawSampler)
    if sampler is not None and sampler.infinite and isinstance(loop, EpochBasedTrainLoop):
        raise ValueError(f'`infinite` of {type(sampler).__name__} must be False in an epoch-based loop, got True')


def check_delay(loader: Any, delay: int) -> None:
    """Refuse more prefetched batches than the sampler waits with new weights."""
    ahead = loader.num_workers * (loader.prefetch_factor or 0)
    if ahead >= delay:
        raise ValueError(f'`delay` of DifficultySampler must be above the number of batches that workers prefetch '
                         f'(num_workers * prefetch_factor = {ahead}), got {delay}')


def first_draw(loader: Any, sampler: DifficultySampler, iteration: int) -> int:
    """Return the first draw of an iteration (from 0), counted over all ranks; epochs may end with a smaller batch."""
    draws = getattr(loader.batch_sampler, 'batch_size', 1) * get_world_size()
    if sampler.infinite:
        return iteration * draws
    epoch, batch = divmod(iteration, len(loader))
    return epoch * sampler.total_size + batch * draws
