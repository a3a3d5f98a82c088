"""One rule forms tie groups: `compare` and a leaderboard agree on the same runs."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cscbench.comparing.compare import compare
from cscbench.publishing.board.boards import read_board
from cscbench.publishing.board.rank import rank
from cscbench.publishing.board.records import ENTRY_SCHEMA, BoardEntry, RunEntry
from cscbench.runs import results as results_file
from cscbench.runs.finished import load
from cscbench.runs.options import RunOptions
from cscbench.runs.plan import prepare
from cscbench.runs.run import rescore, run
from cscbench.scoring.bootstrap import Resampling
from cscbench.scoring.metric_sums import MetricSums, can_differ, tie_groups
from cscbench.scoring.scorer import MetricSpec, ratio
from cscbench.values import ParseForm

BOARD = Path(__file__).parents[2] / "leaderboards/csconv_sample"


@pytest.fixture(scope="module")
def golds(tmp_path_factory):
    """Runs of gold over some numbers of dialogues, to be spoiled."""
    place = tmp_path_factory.mktemp("ties")
    return {
        limit: run(prepare(RunOptions(model="gold", limit=limit, encoder="none", out=str(place / str(limit)))))
        for limit in (4, 6, 13, 20)
    }


def spoiled(gold, place: Path, name: str, share: float, seed: int):
    """A copy of a run in which a share of the replies is wrong in strategy and words, rescored."""
    import json
    import shutil

    folder = Path(shutil.copytree(gold.folder, place / name))
    record = json.loads((folder / "run.json").read_bytes()) | {"name": name, "hash": f"{seed % 2**32:08x}"}
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    (folder / "results.json").unlink()
    rng = np.random.default_rng(seed)
    pairs = []
    for pair in gold.pairs.values():
        fields = {field: getattr(pair, field) for field in pair.__struct_fields__}
        if rng.random() < share:
            fields |= {
                "strategy": "OT" if pair.strategy != "OT" else "ID",
                "text": pair.text[:3],
                "form": ParseForm.BRACKET,
            }
        pairs.append(type(pair)(**fields))
    results_file.write_pairs(folder, pairs)
    rescore(folder, "none", ())
    return load(folder)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    limit=st.sampled_from([4, 6, 13, 20]),
    shares=st.lists(st.floats(0, 0.9), min_size=2, max_size=4),
    seed=st.integers(0, 2**31),
)
def test_compare_and_the_leaderboard_agree_on_random_runs(golds, tmp_path_factory, limit, shares, seed):
    assert_they_agree(golds, tmp_path_factory, limit, shares, seed)


def test_compare_and_the_leaderboard_agree_on_three_runs(golds, tmp_path_factory):
    assert_they_agree(golds, tmp_path_factory, 13, [0.2, 0.3, 0.8], 1)


def assert_they_agree(golds, tmp_path_factory, limit, shares, seed) -> None:
    """All columns of a board over runs spoiled in these shares."""
    place = tmp_path_factory.mktemp("runs")
    runs = [spoiled(golds[limit], place, f"run-{number}", share, seed + number) for number, share in enumerate(shares)]
    compared = {table.name: {row.run: row.group for row in table.rows} for table in compare(runs, Resampling()).metrics}
    entries = [
        BoardEntry(RunEntry(ENTRY_SCHEMA, member.name, "", "", "", member.results), member.folder) for member in runs
    ]
    for order in (entries, entries[::-1]):
        track = rank(read_board(BOARD), order, Resampling())[0]
        (block,) = [block for block in track.blocks if not block.reported]
        on_board = {
            column.metric: {row.entry: row.cells[at].tie_group for row in block.rows if row.cells[at] is not None}
            for at, column in enumerate(track.columns)
        }
        assert {name: groups for name, groups in on_board.items() if groups} == {
            name: groups for name, groups in compared.items() if on_board.get(name)
        }


def sums(name: str, hits: np.ndarray, measured_as: str = "m") -> MetricSums:
    """A share over 40 clusters of ten turns."""
    table = np.stack([hits, np.full(len(hits), 10.0)], axis=1)
    return MetricSums(name, MetricSpec("share", ""), measured_as, table, lambda part: ratio(part[:, :1], part[:, 1:]))


def test_noise_ties_and_a_real_difference_does_not():
    rng = np.random.default_rng(0)
    common = rng.integers(3, 7, 40).astype(float)
    a, b = sums("a", common + (rng.random(40) < 0.1)), sums("b", common + (rng.random(40) < 0.1))
    c = sums("c", common - 1)
    # Their own intervals overlap widely; what all share cancels in the difference.
    for order in itertools.permutations((a, b, c)):
        groups = tie_groups(order, 0)
        assert (groups["a"], groups["b"], groups["c"]) == (1, 1, 2)


def test_runs_that_were_measured_otherwise_have_no_groups():
    hits = np.arange(40.0) % 10
    assert tie_groups([sums("a", hits), sums("b", hits, "other")], 0) == {}
    assert tie_groups([sums("a", hits[:1]), sums("b", hits[:1])], 0) == {}
    assert tie_groups([], 0) == {}


@pytest.mark.parametrize(
    ("runs", "clusters", "can"),
    [(2, 5, False), (2, 6, True), (3, 6, False), (3, 7, True), (32, 1855, True), (33, 1855, False)],
)
def test_so_many_runs_over_so_few_dialogues_cannot_differ(runs, clusters, can):
    """2 / 2**n is the smallest p of n clusters, and Holm's correction multiplies it by the number of pairs."""
    assert can_differ(runs, clusters) is can
    far = [sums(f"r{number}", np.full(clusters, 10.0 if number else 0.0)) for number in range(min(runs, 3))]
    if runs <= 3:
        assert (len(set(tie_groups(far, 0).values())) > 1) is can
