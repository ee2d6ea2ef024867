"""Rows of one array inside an .npz file, read as they are needed."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

_COPY_CHUNK_BYTES = 1 << 20


class NpyRows:
    """Random access to the first axis of a stored array, by plain reads.

    Reads, not a memory map: touched pages of a map count as the process's memory, which would grow
    with the number of rows. A compressed member is unpacked once into a nameless temporary file.

    Args:
        path: of the .npz file.
        key: of the array in it.

    Raises:
        OSError, ValueError, zipfile.BadZipFile, zlib.error: the file is not sound.
    """

    def __init__(self, path: str, key: str) -> None:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(f"{key}.npy")
            if member.compress_type == zipfile.ZIP_STORED:
                self._file: IO[bytes] = Path(path).open("rb")  # noqa: SIM115 lives as long as the rows
                begin = _data_offset(self._file, member)
            else:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115
                with archive.open(member) as packed:
                    shutil.copyfileobj(packed, self._file, _COPY_CHUNK_BYTES)
                self._file.flush()
                begin = 0
        self._file.seek(begin)
        version = np.lib.format.read_magic(self._file)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read_header is None:
            raise ValueError(f"array format {version} is not known")
        self.shape: tuple[int, ...]
        self.shape, fortran, self.dtype = read_header(self._file)
        if fortran or self.dtype.hasobject:
            raise ValueError("the array is not stored row by row")
        self._begin = self._file.tell()
        self._row_bytes = self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=np.int64))
        self._check_length(member.file_size - (self._begin - begin))

    def _check_length(self, stored_bytes: int) -> None:
        if stored_bytes != self._row_bytes * len(self):
            raise ValueError("the array is cut short")

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 0

    def take(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """The rows at `indices`, in that order, in an array of their own."""
        out = np.empty((len(indices), *self.shape[1:]), self.dtype)
        flat = out.reshape(len(indices), -1).view(np.uint8)
        start = 0
        for stop in [*(np.flatnonzero(np.diff(indices) != 1) + 1), len(indices)]:
            if stop > start:  # rows that lie one after the other are one read
                self._read_into(flat[start:stop], int(indices[start]))
            start = stop
        return out

    def _read_into(self, rows: npt.NDArray[np.uint8], first: int) -> None:
        view = rows.reshape(-1).data
        at = self._begin + first * self._row_bytes
        while len(view):
            count = os.preadv(self._file.fileno(), [view], at)
            if not count:
                raise OSError("the file was cut short while it was read")
            view, at = view[count:], at + count

    def __del__(self) -> None:
        file = getattr(self, "_file", None)
        if file is not None:
            file.close()


def _data_offset(file: IO[bytes], member: zipfile.ZipInfo) -> int:
    """Where a stored member's bytes begin: behind its local header, whose lengths can differ."""
    file.seek(member.header_offset)
    header = file.read(30)
    if header[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile("a local header is damaged")
    name_bytes, extra_bytes = (int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
    return member.header_offset + 30 + name_bytes + extra_bytes
