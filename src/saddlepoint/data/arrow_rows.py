"""Access to the images in a column of an Arrow table, which the ``datasets`` library maps into memory."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from saddlepoint.data.store import digest_of_files, file_size, is_file, read_file
from saddlepoint.errors import UserError

if TYPE_CHECKING:  # the extra "huggingface"
    from datasets import Dataset


class ArrowRows:
    """The encoded images of a column, named by the numbers of their rows.

    Values are binary, or structs of ``bytes`` and the ``path`` of a file, which is read where there are no bytes.

    Args:
        path: of the data set, for error messages.
        dataset: the table, as it was loaded: not filtered and not shuffled.
        column: name of the column.
    """

    def __init__(self, path: Path, dataset: Dataset, column: str):
        self.path = path
        self.dataset = dataset  # it is pickled as the paths of its files, an Arrow column as its data
        self.column = column

    @property
    def _values(self) -> Any:
        return self.dataset.data.column(self.column)

    @cached_property
    def _sizes(self) -> NDArray[np.int64]:
        """The number of bytes in each row, 0 for a path."""
        import pyarrow as pa
        import pyarrow.compute as pc

        values = self._values
        if pa.types.is_struct(values.type):
            values = pc.struct_field(values, "bytes")
        if pa.types.is_null(values.type):
            return np.zeros(len(values), dtype=np.int64)
        sizes: NDArray[np.int64] = pc.fill_null(pc.binary_length(values), 0).to_numpy().astype(np.int64)
        return sizes

    def names(self) -> list[str]:
        """Return the numbers of all rows."""
        return [str(row) for row in range(len(self.dataset))]

    def _file(self, name: str, value: Any) -> Path:
        """Return the file of a row that has no bytes."""
        path = value.get("path") if isinstance(value, dict) else None
        if not path or not is_file(Path(path)):
            raise UserError(f"{self.path}: row {name} has no image", None, "remove the row, or repair its file")
        return Path(path)

    def read(self, name: str) -> bytes:
        """See :meth:`Store.read`."""
        value = self._values[int(name)].as_py()
        raw: bytes | None = value["bytes"] if isinstance(value, dict) else value
        return read_file(self._file(name, value)) if raw is None else raw

    def size(self, name: str) -> int:
        """See :meth:`Store.size`."""
        size = int(self._sizes[int(name)])
        return size or file_size(self._file(name, self._values[int(name)].as_py()))

    def crc32(self, name: str) -> int:
        """See :meth:`Store.crc32`."""
        return zlib.crc32(self.read(name))

    def digest(self, names: Sequence[str]) -> str:
        """See :func:`~saddlepoint.data.store.digest_of_files`."""
        return digest_of_files(self, names)
