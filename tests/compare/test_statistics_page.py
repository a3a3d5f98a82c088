"""docs/statistics.md says what the code does."""

import re
from pathlib import Path

import pytest

from cscbench.comparing.compare import Verdict
from cscbench.comparing.rows import HEAD
from cscbench.scoring.bootstrap import LEVEL, IntervalMethod, Resampling
from cscbench.scoring.paired import PERMUTATIONS, POWER, SIGNIFICANCE, minimum_detectable_effect

PAGE = (Path(__file__).parents[2] / "docs/statistics.md").read_text(encoding="utf-8")


def test_columns_and_verdicts_are_the_ones_there_are():
    named = set(re.findall(r"`([^`\n]+)`", PAGE))
    assert set(HEAD[4:]) - {"95% CI"} <= named
    assert {outcome.value for outcome in Verdict} - {"baseline"} <= named
    assert {method.value for method in IntervalMethod} <= named


def test_its_numbers_are_the_code_s():
    assert f"{LEVEL:g} %, from {Resampling().resamples:,} resamples" in PAGE
    most = max(n for n in range(64) if 1 << n <= PERMUTATIONS)
    assert f"at most {PERMUTATIONS:,} ({most} dialogues)" in PAGE
    errors = minimum_detectable_effect(1, 1855)
    assert f"{POWER * 100:g} times in 100, at {SIGNIFICANCE * 100:g} % ({errors:.1f} standard errors" in PAGE


@pytest.mark.parametrize("line", re.findall(r"^cscbench (.*)", PAGE, re.MULTILINE))
def test_its_commands_are_typed_right(line, cscbench):
    """Options are read before the runs are: the run folders of the page are not there."""
    done = cscbench(*line.partition("#")[0].split())
    assert done.returncode == 2
    assert "is not a run folder" in done.stderr
