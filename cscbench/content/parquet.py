"""Parquet files read on the caller's thread."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow


def read(content: bytes) -> "pyarrow.Table":
    """The table of a whole parquet file.

    `pyarrow.parquet.read_table` starts threads. A process that ends soon after, as a gate does, then aborts now and
    then ("terminate called without an active exception"), and its exit code is lost.

    Raises:
        OSError, pyarrow.ArrowException: this is no parquet file, or it is damaged.
    """
    import pyarrow
    import pyarrow.parquet

    return pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content)).read(use_threads=False)
