"""Writing and reading ``.npz`` files: equal arrays give equal bytes, and a hostile file is refused, not unpacked."""
from __future__ import annotations

import hashlib
import io
import math
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


MOST_BYTES, MOST_RATIO = 2**26, 200  # limit of the unpacked size: the first plus the second times the size of the file
KINDS = 'iuU'


def pack(arrays: Mapping[str, Array]) -> bytes:
    """Return the bytes of an ``.npz``; the same arrays give the same bytes."""
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)  # type: ignore[arg-type]
    return packed.getvalue()


def read(path: Path, names: Iterable[str], optional: Iterable[str] = ()) -> dict[str, Array]:
    """Return the arrays of ``names``, and those of ``optional`` that the file holds.

    Raises:
        ValueError: It is no such file, is cut or changed, or would unpack to more than the limit.
    """
    try:
        with zipfile.ZipFile(path) as file:
            size, most = sum(info.file_size for info in file.infolist()), MOST_BYTES + MOST_RATIO * path.stat().st_size
            if size > most:
                raise ValueError(f'it unpacks to {size} bytes, more than {most}')
            there = set(file.namelist())
            return {name: _array(file, name) for name in [*names, *(n for n in optional if f'{n}.npy' in there)]}
    except Exception as error:  # a damaged archive or array header can raise nearly anything
        raise ValueError(f'must be an .npz of the scanner, got {str(path)!r} ({" ".join(str(error).split())})') from error


def digest(arrays: Mapping[str, Array]) -> str:
    """Return the SHA-256 of named arrays, whatever their order."""
    total = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        total.update(f'{name} {array.dtype.str} {array.shape}\n'.encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def parse(data: bytes, name: str, kinds: str) -> Array:
    """Return the array of an ``.npy``; nothing is made of the size that its header says before that is held against the data.

    Raises:
        ValueError: It is none, or of a dtype whose kind is not among ``kinds``.
    """
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    header: Any = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, dtype = header(stream)
    if dtype.kind not in kinds or by_columns or math.prod(shape) * dtype.itemsize != len(data) - stream.tell():
        raise ValueError(f'{name} is {shape} of {dtype}')
    return np.frombuffer(data, dtype, offset=stream.tell()).reshape(shape)


def _array(file: zipfile.ZipFile, name: str) -> Array:
    info = file.getinfo(f'{name}.npy')
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f'{name} is packed in a way of its own')  # the other ways cannot be unpacked in part
    with file.open(info) as stream:
        data = stream.read(info.file_size + 1)  # without a number, all is unpacked, whatever the directory says
    return parse(data, name, KINDS)
