"""Parquet files are read without threads, which could abort a process at its end."""

import subprocess
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from cscbench.content import parquet

_COUNT = """
import os, sys
import pyarrow.parquet
from cscbench.content import parquet
content = open(sys.argv[1], "rb").read()
before = set(os.listdir("/proc/self/task"))
rows = parquet.read(content).num_rows
new = set(os.listdir("/proc/self/task")) - before
names = [open(f"/proc/self/task/{task}/comm").read().strip() for task in new]
print(rows, [name for name in names if "jemalloc" not in name])
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads where Linux lists them")
def test_reading_starts_no_thread(tmp_path):
    path = tmp_path / "many.parquet"
    columns = {f"c{number}": list(range(5000)) for number in range(20)}
    pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=500)
    done = subprocess.run([sys.executable, "-c", _COUNT, path], capture_output=True, text=True, check=True)
    assert done.stdout == "5000 []\n"


def test_the_same_table_as_pyarrows():
    table = pyarrow.table({"文": ["退款", None, ""], "n": [1, 2, 3], "deep": [[1], [], None]})
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink, row_group_size=1)
    assert parquet.read(sink.getvalue().to_pybytes()).equals(table)
