"""docs/results.md says what the code does: its tables hold every field, its commands run."""

import re
from pathlib import Path

import pytest
from pages import commands, page, table

from cscbench.asking.cost import Cost, Usage
from cscbench.asking.meter import EVERY_S
from cscbench.runs.options import RunOptions
from cscbench.runs.plan import prepare
from cscbench.runs.results import EngineSummary
from cscbench.runs.run import run

PAGE = page("results.md")


@pytest.mark.parametrize(("heading", "struct"), [("usage", Usage), ("cost", Cost), ("engine", EngineSummary)])
def test_every_field_stands_in_its_table(heading, struct):
    documented = [name for row in table(PAGE, heading) for name in re.split(r"[`, ]+", row[0]) if name]
    assert sorted(documented) == sorted(struct.__struct_fields__)
    assert f"every {EVERY_S:.0f} seconds" in PAGE


def test_the_commands_compare_two_runs_as_the_page_says(cscbench, tmp_path):
    for model in ("gold", "majority"):
        run(prepare(RunOptions(model=model, limit=2, encoder="none")))
    shown = commands(PAGE)
    assert len(shown) == 2
    for program, *words in shown:
        assert program == "cscbench"
        found = [next(iter(map(str, Path().glob(word))), word) if "*" in word else word for word in words]
        done = cscbench(*found)
        assert done.returncode == 0, done.stderr
        assert "requests compared: 23" in done.stdout
    assert (tmp_path / "agree.json").is_file()
