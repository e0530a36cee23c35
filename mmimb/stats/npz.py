"""Writing and reading ``.npz`` files: equal arrays give equal bytes, and a hostile file is refused, not unpacked."""
from __future__ import annotations

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


def _array(file: zipfile.ZipFile, name: str) -> Array:
    data = file.read(f'{name}.npy')
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    header: Any = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, dtype = header(stream)
    if dtype.kind not in KINDS or by_columns or math.prod(shape) * dtype.itemsize != len(data) - stream.tell():
        raise ValueError(f'{name} is {shape} of {dtype}')
    return np.frombuffer(data, dtype, offset=stream.tell()).reshape(shape)
