"""Dialogues that are not independent share a cluster: evidence counts clusters, and nothing else of a run changes."""

import json
from pathlib import Path

import numpy as np
import pytest

from cscbench.comparing.compare import Verdict, compare
from cscbench.comparing.gate.evidence import check_run
from cscbench.comparing.gate.rules import read_rules
from cscbench.comparing.pairing import pair_runs
from cscbench.runs.finished import load
from cscbench.runs.options import RunOptions
from cscbench.runs.plan import prepare
from cscbench.runs.run import run
from cscbench.scoring.bootstrap import Resampling
from cscbench.values import UserError

SAMPLE = Path(__file__).parents[1] / "tasks/csconv_sample/data/test.jsonl"


def data(path: Path, size: int, clusters: int = 0, copies: int = 1) -> str:
    """The sample's first dialogues, copied under new ids; in this many clusters, or in none."""
    rows = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()][:size]
    made = []
    for number, row in enumerate(rows):
        for copy in range(copies):
            cluster = {"cluster": f"c{number % clusters}"} if clusters else {}
            made.append({**row, "id": f"{row['id']}-{copy}", **cluster})
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made), encoding="utf-8")
    return str(path)


def played(folder: Path, file: str, model: str = "majority"):
    return run(prepare(RunOptions(model=model, data=file, encoder="none", out=str(folder))))


@pytest.fixture
def repeated(tmp_path):
    """Six dialogues; the same, each four times, as 24 dialogues; and those in six clusters."""
    return [
        played(tmp_path / name, data(tmp_path / f"{name}.jsonl", 6, clusters, copies))
        for name, clusters, copies in (("once", 0, 1), ("copies", 0, 4), ("clusters", 6, 4))
    ]


def test_repeats_of_one_case_are_no_more_evidence_than_the_case(repeated):
    once, copies, clusters = ({metric.name: metric for metric in member.results.metrics} for member in repeated)
    for name in ("strategy_accuracy", "rouge_l", "bleu_2"):
        assert copies[name].value == pytest.approx(once[name].value) == pytest.approx(clusters[name].value)
        wide, narrow = (metrics[name].high - metrics[name].low for metrics in (clusters, copies))
        assert wide == pytest.approx(once[name].high - once[name].low)
        assert narrow < 0.7 * wide  # what copies that count as dialogues would pretend
    assert "by:cluster" in clusters["bleu_2"].signature
    assert "by:dialogue" in copies["bleu_2"].signature
    assert [member.results.data.clusters for member in repeated] == [0, 0, 6]


def test_a_cluster_is_stored_with_each_turn_and_changes_the_run(repeated):
    once, copies, clusters = repeated
    assert {pair.cluster for pair in clusters.pairs.values()} == {f"c{number}" for number in range(6)}
    assert all(pair.cluster == pair.dialogue for pair in once.pairs.values())
    assert copies.record.hash != clusters.record.hash


def test_tests_count_clusters(tmp_path):
    """Twelve dialogues in five clusters are too few to tell, where twelve by themselves are not."""
    for clusters, verdict in ((0, Verdict.WORSE), (5, Verdict.TOO_FEW)):
        file = data(tmp_path / f"{clusters}.jsonl", 12, clusters)
        both = [played(tmp_path / str(clusters), file, model) for model in ("gold", "majority")]
        comparison = compare(both, Resampling())
        table = next(table for table in comparison.metrics if table.name == "strategy_accuracy")
        assert [row.verdict for row in table.rows] == [Verdict.BASELINE, verdict]
        assert ("by:cluster" in comparison.resampling) == ("by:cluster" in comparison.tests) == bool(clusters)
        (sums,) = (sums for sums in both[1].metric_sums("strategy") if sums.spec.name == "strategy_accuracy")
        assert sums.clusters == (clusters or 12)


def test_the_smallest_number_of_a_gate_counts_clusters(tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules:\n- {metric: parse_rate, floor: 90, min_n: 10}\n", encoding="utf-8")
    for clusters, outcome in ((0, "passed"), (5, "cannot tell")):
        run = played(tmp_path / str(clusters), data(tmp_path / f"{clusters}.jsonl", 12, clusters), "gold")
        (judged,) = check_run(run.folder, read_rules(rules), None, Resampling()).judged
        assert judged.outcome.value == outcome


def test_a_run_of_before_there_were_clusters_takes_those_of_the_other(tmp_path):
    plain = played(tmp_path / "plain", data(tmp_path / "plain.jsonl", 6))
    named = played(tmp_path / "named", data(tmp_path / "named.jsonl", 6, 3))
    pairing = pair_runs([plain, named])
    assert set(pairing.clusters.values()) == {"c0", "c1", "c2"}
    other = played(tmp_path / "other", data(tmp_path / "other.jsonl", 6, 2))
    with pytest.raises(UserError, match="is in cluster 'c2' of one run and in 'c0' of"):
        pair_runs([named, other])


def test_sums_of_clusters_are_sums_of_their_dialogues(tmp_path):
    run = load(played(tmp_path, data(tmp_path / "d.jsonl", 9, 4), "retrieval").folder)
    for sums in run.metric_sums("rouge"):
        rows = dict(zip(run.statistics.turns, run.statistics.columns["rouge.f1"], strict=True))
        by_hand = {}
        for turn, pair in run.pairs.items():
            by_hand[pair.cluster] = by_hand.get(pair.cluster, 0) + rows[turn]
        assert sums.cluster_sums[:, 0] == pytest.approx(np.array(list(by_hand.values())))


@pytest.mark.parametrize("bad", [["a"], {"a": 1}])
def test_a_cluster_is_a_name(tmp_path, bad):
    """What is no text is taken as its JSON, as ids and topics are."""
    row = json.loads(SAMPLE.read_text(encoding="utf-8").splitlines()[0]) | {"cluster": bad}
    (tmp_path / "d.jsonl").write_text(json.dumps(row), encoding="utf-8")
    (dialogue,) = prepare(RunOptions(model="gold", data=str(tmp_path / "d.jsonl"))).dialogues
    assert dialogue.cluster == json.dumps(bad)
