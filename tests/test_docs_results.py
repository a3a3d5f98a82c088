"""docs/results.md says what the code does: its tables hold every field, its commands run."""

import json
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


def test_the_commands_compare_two_runs_as_the_page_says(cscbench):
    for model in ("gold", "majority"):
        run(prepare(RunOptions(model=model, limit=2, encoder="none")))
    table, encoded = (words for words in commands(PAGE) if words[0] == "cscbench")
    assert "requests compared: 23" in compared(cscbench, table)
    assert json.loads(compared(cscbench, encoded))


def compared(cscbench, command):
    """Run a command of the page, with its patterns expanded, and return what it printed."""
    words = [next(iter(map(str, Path().glob(word))), word) if "*" in word else word for word in command[1:]]
    done = cscbench(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout
