"""Read parquet files on the caller's thread."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow


def read(content: bytes) -> "pyarrow.Table":
    """Read a whole parquet file into a table.

    `pyarrow.parquet.read_table` starts threads. A process that ends soon afterwards, such as a gate, then sometimes
    aborts ("terminate called without an active exception") and loses its exit code.

    Raises:
        OSError, pyarrow.ArrowException: the content is not a parquet file, or it is damaged.
    """
    import pyarrow
    import pyarrow.parquet

    return pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content)).read(use_threads=False)
