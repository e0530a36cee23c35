"""What batches hold: labels counted after the dataset's whole pipeline, with its resizing, cropping and flipping."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import DataLoader, Dataset

from ..checks import whole_number
from ..stats.npz import Array
from .counting import class_counts, value_counts
from .labels import packed_labels
from .seeds import kept_random_state, set_seeds
from .sources import class_names, ignored_label, leaves

CROPS_PER_TASK = 4


@dataclass(frozen=True)
class CropCounts:
    """Counts of the labels that the trainer is given.

    Args:
        per_image: Crops of each image.
        seed: What the crops follow from.
        pixels: Labelled pixels of each class.
        images: Crops that hold each class.
        ignored_pixels: Pixels without a label, those that a transform padded among them.
        num_crops: Crops that could be counted.
        problems: What went wrong with the others, one line for each image.
    """

    per_image: int
    seed: int
    pixels: tuple[int, ...]
    images: tuple[int, ...]
    ignored_pixels: int
    num_crops: int
    problems: tuple[str, ...] = field(default=(), compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the entry ``crops`` of a report."""
        return {'per_image': self.per_image, 'seed': self.seed, 'pixels': list(self.pixels), 'images': list(self.images),
                'ignored_pixels': self.ignored_pixels, 'num_crops': self.num_crops}


class Crop(NamedTuple):
    """The classes of one crop with their pixels; ``problem`` says why there are none."""

    item: int
    class_index: Array
    pixels: Array
    ignored: int
    problem: str = ''


class CropCounter(Dataset[Crop]):
    """Maps a number to the counts of one crop: crop ``k`` of item ``i`` has the number ``i * per_image + k``.

    Each crop has a random stream of its own, which follows from the seed, the item and ``k``, so that it does not matter
    which process draws it.
    """

    def __init__(self, dataset: Any, per_image: int, seed: int, ignore_index: int | None) -> None:
        self.dataset = _without_repeats(dataset)
        self.per_image, self.seed = per_image, seed
        self.num_classes = len(class_names(dataset))
        self.ignore_index = ignored_label(leaves(dataset)[0]) if ignore_index is None else ignore_index

    def __len__(self) -> int:
        return len(self.dataset) * self.per_image

    def __getitem__(self, number: int) -> Crop:
        item, k = divmod(number, self.per_image)
        set_seeds(self.seed, item, k)
        try:
            labels = _packed(self.dataset[item])
        except Exception as error:  # whatever a pipeline raises is that image's problem, and all of them are wanted
            text = ' '.join(str(error).split()) or type(error).__name__
            return Crop(item, np.zeros(0, np.int32), np.zeros(0, np.int64), 0, f'{self._name(item)}: {text}')
        counts = class_counts(*value_counts(labels), self.num_classes, self.ignore_index)
        return Crop(item, counts.class_index, counts.pixels, counts.ignored)

    def _name(self, item: int) -> str:
        info = self.dataset.get_data_info(item) if hasattr(self.dataset, 'get_data_info') else {}
        return str(info.get('img_path', f'image {item}'))


def count_crops(dataset: Any, per_image: int, seed: int = 0, *, workers: int = 0, ignore_index: int | None = None,
                progress: Callable[[int, int], None] | None = None) -> CropCounts:
    """Run the pipeline of ``dataset`` ``per_image`` times on every image and count the labels that come out.

    Images that a wrapper draws more often count more often; a dataset that repeats all of them alike counts once.

    Args:
        dataset: A built mmseg dataset, or wrappers around some, with a pipeline that packs its result.
        per_image: Crops of each image.
        seed: Any number of at least 0; the counts follow from it, whatever ``workers`` is.
        workers: Processes that read; 0 reads here.
        ignore_index: What the heads ignore; by default what the dataset says.
        progress: Called after each crop with the number done and the number of all.

    Raises:
        TypeError, ValueError: An argument is out of its range, or no crop has a labelled pixel.
        ChildProcessError: A worker was killed.
    """
    whole_number('crops', per_image, least=1)
    whole_number('seed', seed, least=0)
    whole_number('workers', workers, least=0)
    counter = CropCounter(dataset, per_image, seed, ignore_index)
    pixels, images = np.zeros(counter.num_classes, np.int64), np.zeros(counter.num_classes, np.int64)
    ignored, done, problems = 0, 0, dict[int, str]()
    with kept_random_state():
        for number, crop in enumerate(_crops(counter, workers), start=1):
            if crop.problem:
                problems.setdefault(crop.item, crop.problem)
            else:
                pixels[crop.class_index] += crop.pixels
                images[crop.class_index] += 1
                ignored, done = ignored + crop.ignored, done + 1
            if progress is not None:
                progress(number, len(counter))
    if not pixels.any():
        raise ValueError(f'`pipeline` must give labelled pixels, got none in {len(counter)} crops'
                         + ''.join(f' ({problem})' for problem in list(problems.values())[:1]))
    return CropCounts(per_image, seed, tuple(pixels.tolist()), tuple(images.tolist()), ignored, done, tuple(problems.values()))


def _crops(counter: CropCounter, workers: int) -> Iterator[Crop]:
    """Yield all crops in order."""
    if workers == 0:
        yield from (counter[number] for number in range(len(counter)))
        return
    loader = DataLoader(counter, batch_size=CROPS_PER_TASK, num_workers=min(workers, -(-len(counter) // CROPS_PER_TASK)),
                        collate_fn=list, worker_init_fn=_start_worker)
    try:
        for crops in loader:
            yield from crops
    except RuntimeError as error:  # what a crop raises is caught where it is drawn
        reason = ' '.join(str(error).split())
        raise ChildProcessError(f'`workers` must live to the end, got one that did not ({reason})') from error


def _start_worker(worker: int) -> None:
    import cv2
    cv2.setNumThreads(0)


def _without_repeats(dataset: Any) -> Any:
    from mmengine.dataset import RepeatDataset
    return _without_repeats(dataset.dataset) if isinstance(dataset, RepeatDataset) else dataset


def _packed(data: Any) -> Array:
    """Return the labels that a pipeline has packed, or has left unpacked.

    Raises:
        TypeError: There are none.
    """
    labels = packed_labels(data)
    if labels is None:
        raise TypeError('`pipeline` must end in PackSegInputs with labels, got none')
    return labels
