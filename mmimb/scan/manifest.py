"""What is scanned and how, known before a file is read. Parts of scans with equal manifests can be joined."""
from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .. import __version__
from .labels import LabelChain
from .names import relative_name, root_names
from .sources import LabelFiles, class_names, hash_names, image_loader, is_local, label_settings, leaves


@dataclass(frozen=True)
class Manifest:
    """A list of files and how they are read.

    Args:
        classes: Class names, in label order.
        provenance: What the report says about where its counts come from.
        listed: Number of images that are counted. They have the positions from 0 on.
        total: Number of all positions. Those from ``listed`` on are images of the other split, which are only compared.
        other_split: Name of the other split.
        other_fingerprint: SHA-256 of its list of files.
        unlisted: Label files that no image belongs to.
        notes: What cannot be checked in this dataset.
    """

    classes: tuple[str, ...]
    provenance: dict[str, Any]
    listed: int
    total: int
    other_split: str | None = None
    other_fingerprint: str | None = None
    unlisted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as JSON gives it back."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def digest(self) -> str:
        """Return the SHA-256 of all fields."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()


def describe(dataset: Any, files: LabelFiles, chains: Sequence[LabelChain], split: str | None, ignore_index: Sequence[int],
             other: LabelFiles | None, other_split: str | None) -> Manifest:
    """Return the manifest of a scan of ``dataset``, whose labels are made by ``chains``."""
    parts = leaves(dataset)
    return Manifest(
        classes=class_names(dataset), provenance=_provenance(parts, files, chains, split, ignore_index), listed=len(files),
        total=len(files) + (0 if other is None else len(other)), other_split=None if other is None else other_split,
        other_fingerprint=None if other is None else hash_names(other.images), unlisted=tuple(_unlisted(parts, files)),
        notes=tuple(dict.fromkeys(_notes(parts, chains))))


def _provenance(parts: list[Any], files: LabelFiles, chains: Sequence[LabelChain], split: str | None,
                ignore_index: Sequence[int]) -> dict[str, Any]:
    def same(values: list[Any]) -> Any:
        return values[0] if all(v == values[0] for v in values) else values

    settings = [label_settings(leaf) for leaf in parts]
    own = list(dict.fromkeys(name for chain in chains for name in chain.own))
    return {
        'dataset': same([type(leaf).__name__ for leaf in parts]),
        'split': split,
        'reduce_zero_label': same([one['reduce_zero_label'] for one in settings]),
        'label_map': same([one['label_map'] for one in settings]),
        **({'transforms': own} if own else {}),
        'ignore_index': same(list(ignore_index)),
        'num_images': len(files),
        'fingerprint': hash_names(files.labels),
        'mmimb': __version__,
    }


def _notes(parts: list[Any], chains: Sequence[LabelChain]) -> Iterator[str]:
    for leaf, chain in zip(parts, chains, strict=True):
        name = type(leaf).__name__
        yield from chain.notes
        if chain.loader is None:
            yield f'the values in the label files of {name}, which loads its labels in its own way'
        loader = image_loader(leaf)
        if loader is None:
            yield f'the sizes of the images of {name}, whose pipeline has no LoadImageFromFile'
        elif not is_local('', loader.backend_args):
            yield f'the images of {name}, which are not files of this machine'


def _unlisted(parts: list[Any], files: LabelFiles) -> Iterator[str]:
    """Yield the label files without an image, for datasets that take all images of a folder."""
    known = set(files.labels)
    for leaf, root in zip(parts, root_names(parts), strict=True):
        folder = (getattr(leaf, 'data_prefix', None) or {}).get('seg_map_path')
        suffix = getattr(leaf, 'seg_map_suffix', None)
        listed = getattr(leaf, 'ann_file', '') and not os.path.isdir(leaf.ann_file)
        if not folder or not suffix or listed or getattr(leaf, '_indices', None) is not None or not os.path.isdir(folder):
            continue
        for here, _, names in sorted(os.walk(folder)):
            for file in sorted(names):
                name = relative_name(os.path.join(here, file), leaf, 'seg_map_path', root)
                if file.endswith(suffix) and name not in known and not file.startswith('.'):
                    known.add(name)
                    yield name
