"""Real runs: results.json against its schema, scored again, shown, and refused where a file was changed."""

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import results_of
from jsonschema import Draft202012Validator
from sacrebleu.metrics.bleu import BLEU
from sklearn.metrics import accuracy_score

from cscbench.runs import results
from cscbench.runs.run import rescore
from cscbench.values import UserError

DATA = Path(__file__).parents[1] / "tasks" / "csconv_sample" / "data" / "test.jsonl"
CHECK = Draft202012Validator(results.schema())

# By turn, in order: the reference, another strategy and half the words, no strategy, no words, no answer at all.
PLUGIN = """
from cscbench.models.backend import Backend, LoadedAdapter
from cscbench.values import Reply

class Noisy:
    def __init__(self, context):
        self.dialogues = {dialogue.id: dialogue for dialogue in context.test}
        self.deaf = context.card.name == "deaf"

    async def generate(self, request):
        turn = self.dialogues[request.thread].turns[request.turn]
        kind = 4 if self.deaf else request.turn // 2 % 5
        if kind == 4:
            return Reply("", error="TimeoutError: no answer")
        half = turn.text[: len(turn.text) // 2]
        other = "EM" if turn.strategy != "EM" else "PS"
        text = (f"[{turn.strategy}] {turn.text}", f"[{other}] {half}", half, f"[{turn.strategy}]")[kind]
        return Reply(text, tokens_in=7, tokens_out=3, seconds=0.25, finish_reason="stop")

    def close(self):
        pass

KIND = Backend(load=lambda context: LoadedAdapter(Noisy(context), notes=("answers at random",)))
"""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Iterator[Path]:
    """A working directory with a third party's adapter and two cards for it."""
    place = tmp_path_factory.mktemp("workplace")
    (place / "noisy_plugin.py").write_text(PLUGIN, encoding="utf-8")
    info = place / "noisy_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: noisy-plugin\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[cscbench.adapters]\nnoisy = noisy_plugin:KIND\n", encoding="utf-8")
    (place / "model_cards").mkdir()
    for name in ("noisy", "deaf"):
        card = f"---\nname: {name}\nadapter: noisy\nlanguages: [zh, en]\n---\n"
        (place / "model_cards" / f"{name}.md").write_text(card, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("PYTHONPATH", str(place), prepend=os.pathsep)
        yield place


@pytest.fixture(scope="module")
def runs(cscbench, workplace) -> dict[str, Path]:
    """Finished runs by name."""
    folders = {}
    for name, wanted, args in (
        ("gold", 0, ("--model", "gold")),
        ("majority", 0, ("--model", "majority")),
        ("two-step", 0, ("--model", "retrieval", "--condition", "two-step", "--limit", "4")),
        ("gold-strategy", 0, ("--model", "retrieval", "--condition", "gold-strategy", "--limit", "4")),
        ("one", 0, ("--model", "gold", "--limit", "1", "--language", "en", "--seed", "3")),
        ("noisy", 3, ("--model", "noisy", "--limit", "8")),
        ("deaf", 3, ("--model", "deaf", "--limit", "1")),
    ):
        done = cscbench("run", *args, "--encoder", "none", "--out", workplace / name)
        assert done.returncode == wanted, done.stderr
        (folders[name],) = (workplace / name).iterdir()
    return folders


@pytest.fixture
def noisy(runs, tmp_path) -> Path:
    """A run of one's own, to be spoiled."""
    return Path(shutil.copytree(runs["noisy"], tmp_path / "run"))


def values(scored: dict[str, Any]) -> dict[str, float]:
    return {metric["name"]: metric["value"] for metric in scored["metrics"]}


RUNS = ["gold", "majority", "two-step", "gold-strategy", "one", "noisy", "deaf"]


@pytest.mark.parametrize("name", RUNS)
def test_a_real_run_keeps_to_the_schema(name, runs):
    assert [error.message for error in CHECK.iter_errors(results_of(runs[name]))] == []


def test_the_schema_is_itself_one():
    Draft202012Validator.check_schema(results.schema())


# Results of before there were clusters do not have it.
OPTIONAL = {"clusters", "overrides"}
# Here keys are data. (`metrics` is a group's, by name; those of the list are called `metrics[0]`.)
FREE = {"options", "fingerprint", "prompts", "prompt_sha256", "packages", "facts", "parse", "metrics"}


def spoiled(value: Any, key: str = "", top: bool = True) -> Iterator[tuple[str, Any]]:
    """Copies of a JSON value, each with one key left out, one key too many, or one value of another kind."""
    if isinstance(value, dict):
        if key not in FREE:
            yield f"{key}: extra key", {**value, "extra": 1}
            for name in value.keys() - OPTIONAL:
                yield f"{key}: without {name}", {k: v for k, v in value.items() if k != name}
        if key not in {"options", "fingerprint"}:
            for name, inner in value.items():
                for said, other in spoiled(inner, name, top=False):
                    yield f"{key}.{said}", {**value, name: other}
    elif isinstance(value, list) and value:
        for said, other in spoiled(value[0], f"{key}[0]", top=False):
            yield said, [other, *value[1:]]
    if not top:
        yield f"{key}: of another kind", {"extra": [1]}


def test_the_schema_refuses_every_missing_key_every_further_key_and_every_other_kind(runs):
    scored = results_of(runs["noisy"])
    # One row of each table will do: the rest are alike.
    scored["tables"] = {k: v[:1] if isinstance(v, list) else v for k, v in scored["tables"].items()}
    scored["data"]["faults"] = [{"file": "x.json", "index": 0, "field": "text", "reason": "empty"}]
    scored["counts"]["faults"] = 1
    assert CHECK.is_valid(scored)
    accepted = [said for said, other in spoiled(scored) if CHECK.is_valid(other)]
    # `options` may hold anything.
    assert accepted == [".model.options: of another kind"]


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("gold", ("run", "complete"), False),
        ("gold", ("counts", "failed"), 1),
        ("noisy", ("run", "complete"), True),
        ("gold", ("protocol", "condition"), "gold-strategy"),
        ("gold-strategy", ("protocol", "condition"), "joint"),
        ("gold", ("tables",), {}),
        ("gold", ("counts", "answered"), 0),
        ("gold", ("schema",), "cscbench/results/0"),
        ("gold", ("protocol", "context"), "golden"),
        ("gold", ("run", "hash"), "not hexa"),
        ("gold", ("usage",), None),
        ("gold", ("timing", "cost"), None),
        ("gold", ("timing", "cost", "tokens_in"), -1),
    ],
)
def test_the_schema_refuses_what_contradicts_itself(name, path, value, runs):
    scored = results_of(runs[name])
    place = scored
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert not CHECK.is_valid(scored)


def test_gold_scores_100_on_all_of_the_sample(runs):
    scored = values(results_of(runs["gold"]))
    assert scored.pop("rouge_l_ascii") < 90  # the package's default tokenizer reads no Chinese
    assert scored == pytest.approx(dict.fromkeys(scored, 100), abs=1e-3)
    assert set(scored) == {"strategy_accuracy", "strategy_macro_f1", "parse_rate", "bleu_2", "bleu_4", "rouge_l"}


def test_majority_scores_the_share_of_the_largest_class_in_the_data_file(runs):
    written = Counter(re.findall(r'"strategy": "(?:策略\d+ )?([^"]+)"', DATA.read_text(encoding="utf-8")))
    english = {
        "信息传达": "Information Delivery",
        "提供建议": "Providing Suggestions",
        "情感管理": "Emotional Management",
    }
    assert {label for label, _ in written.most_common(4)} <= {*english, *english.values()}
    labels = Counter({zh: written.pop(zh) + written.pop(en) for zh, en in english.items()}) + written
    scored = results_of(runs["majority"])
    assert scored["counts"]["turns"] == labels.total()
    assert values(scored)["strategy_accuracy"] == pytest.approx(100 * max(labels.values()) / labels.total(), abs=1e-9)


def test_failed_replies_are_counted_and_never_scored(runs):
    scored = results_of(runs["noisy"])
    rows = pq.read_table(runs["noisy"] / "predictions.parquet").to_pylist()
    lost = [row for row in rows if row["error"]]
    counts = scored["counts"]
    assert not scored["run"]["complete"]
    assert counts["turns"] == len(rows) == counts["answered"] + counts["failed"]
    assert counts["failed"] == len(lost) == scored["parse"]["failed"] > 5
    assert counts["unparsed"] == scored["parse"]["unparsed"] > 5
    assert {metric["n"] for metric in scored["metrics"]} == {counts["answered"]}
    kept = [row for row in rows if not row["error"]]
    said = [row["strategy"] or "unparsed" for row in kept]
    expected = 100 * accuracy_score([row["reference_strategy"] for row in kept], said)
    assert values(scored)["strategy_accuracy"] == pytest.approx(expected, abs=1e-9)
    assert pq.read_table(runs["noisy"] / "scores.parquet").num_rows == len(kept)


@pytest.mark.parametrize(("language", "tokenizer"), [("zh", "zh"), ("en", "13a")])
def test_a_runs_bleu_is_sacrebleus_on_its_predictions(language, tokenizer, runs):
    rows = pq.read_table(runs["noisy"] / "predictions.parquet").to_pylist()
    kept = [row for row in rows if row["language"] == language and not row["error"]]
    assert any(not row["text"] for row in kept)  # empty replies are among them
    (group,) = (row for row in results_of(runs["noisy"])["tables"]["by_language"] if row["language"] == language)
    for order in (2, 4):
        metric = BLEU(tokenize=tokenizer, max_ngram_order=order)
        expected = metric.corpus_score([row["text"] for row in kept], [[row["reference"] for row in kept]]).score
        assert group["metrics"][f"bleu_{order}"]["value"] == pytest.approx(expected, abs=1e-6)


def test_where_the_strategy_was_given_there_are_no_strategy_metrics(runs):
    scored = results_of(runs["gold-strategy"])
    assert set(values(scored)) == {"bleu_2", "bleu_4", "rouge_l", "rouge_l_ascii"}
    assert "confusion" not in scored["tables"]
    assert set(scored["parse"]) == {"given"}


def test_one_dialogue_has_values_and_no_interval(runs):
    metrics = results_of(runs["one"])["metrics"]
    assert metrics
    assert all(metric["low"] is None and metric["high"] is None for metric in metrics)


def test_a_run_without_a_single_answer_has_no_metrics(runs):
    scored = results_of(runs["deaf"])
    assert (scored["metrics"], scored["tables"]) == ([], {})
    assert scored["counts"]["failed"] == scored["counts"]["turns"] == scored["parse"]["failed"]
    assert not rescore(runs["deaf"], "none", ()).metrics


def test_pairs_are_read_as_they_were_written(runs, tmp_path):
    pairs = results.read_pairs(runs["noisy"])
    results.write_pairs(tmp_path, pairs)
    assert results.read_pairs(tmp_path) == pairs


@pytest.mark.parametrize("name", ["noisy", "majority", "gold-strategy"])
def test_scoring_again_gives_the_same_results_times_aside(name, runs, tmp_path):
    folder = Path(shutil.copytree(runs[name], tmp_path / "run"))
    before, scores = results_of(folder), (folder / "scores.parquet").read_bytes()
    (folder / "scores.parquet").unlink()
    rescore(folder, "none", ())
    after = results_of(folder)
    assert after["timing"].pop("finished") >= before["timing"].pop("finished")
    assert after["timing"] == before["timing"]
    assert {**after, "timing": {}} == {**before, "timing": {}}
    assert (folder / "scores.parquet").read_bytes() == scores


@pytest.mark.parametrize("name", ["noisy", "two-step", "deaf"])
def test_a_lost_results_file_is_made_anew_with_all_it_said(name, runs, tmp_path):
    folder = Path(shutil.copytree(runs[name], tmp_path / "run"))
    before = results_of(folder)
    (folder / "results.json").unlink()
    rescore(folder, "none", ())
    after = results_of(folder)
    assert CHECK.is_valid(after)
    assert before["usage"]["requests"] == before["timing"]["cost"]["requests"] > 5
    assert after["timing"].pop("finished") >= before["timing"].pop("finished")
    assert after == before


def test_without_the_replies_what_they_came_to_is_kept_and_after_that_not_known(noisy):
    before = results_of(noisy)
    (noisy / "replies.jsonl").unlink()
    rescore(noisy, "none", ())
    kept = results_of(noisy)
    assert (kept["usage"], kept["timing"]["cost"]) == (before["usage"], before["timing"]["cost"])
    (noisy / "results.json").unlink()
    rescore(noisy, "none", ())
    lost = results_of(noisy)
    assert CHECK.is_valid(lost)
    assert (lost["usage"], lost["timing"]["cost"]) == (None, None)
    assert lost["metrics"] == before["metrics"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"schema": "cscbench/results/0"}', b'{"schema": "cscbench/results/1"}'],
)
def test_a_file_that_is_no_results_file_is_named(content, noisy):
    (noisy / "results.json").write_bytes(content)
    with pytest.raises(UserError, match=re.escape(str(noisy / "results.json"))):
        results.read(noisy)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("metrics", 0, "value"), "42", "$.metrics[0].value"),
        (("metrics", 0, "unit"), "%", "unit"),
        (("metrics",), {}, "$.metrics"),
        (("counts", "turns"), None, "$.counts.turns"),
        (("counts",), {}, "$.counts"),
        (("model", "label"), 7, "$.model.label"),
        (("task", "languages"), ["fr"], "$.task.languages[0]"),
        (("protocol", "context"), "golden", "$.protocol.context"),
        (("notes",), [1], "$.notes[0]"),
        (("usage", "requests"), "7", "$.usage.requests"),
        (("timing", "cost", "currency"), 5, "$.timing.cost.currency"),
        (("engine", "facts"), [], "$.engine.facts"),
    ],
)
def test_a_results_file_that_was_changed_is_refused_with_the_field(path, value, said, noisy):
    scored = results_of(noisy)
    place: Any = scored
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (noisy / "results.json").write_text(json.dumps(scored), encoding="utf-8")
    with pytest.raises(UserError) as raised:
        results.read(noisy)
    assert said in str(raised.value)
    assert "cscbench score" in str(raised.value)


def changed(folder: Path, column: str, value: Any) -> None:
    """Row 3 of predictions.parquet with another value in a column."""
    path = folder / "predictions.parquet"
    rows = pq.read_table(path).to_pylist()
    rows[3][column] = value
    pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("strategy", "XX", "'XX' is unknown to the task"),
        ("reference_strategy", "", "'' or"),
        ("dialogue", "of-another-run", "'of-another-run' is not part of the run"),
        ("turn", 0, "appears twice"),
        ("language", "fr", "language"),
        ("form", "guessed", "form"),
        ("text", None, "text"),
    ],
)
def test_predictions_that_were_changed_are_refused_with_the_reason(column, value, said, noisy):
    changed(noisy, column, value)
    before = (noisy / "results.json").read_bytes()
    with pytest.raises(UserError) as raised:
        rescore(noisy, "none", ())
    assert str(noisy / "predictions.parquet") in str(raised.value)
    assert said in str(raised.value)
    assert (noisy / "results.json").read_bytes() == before


def test_another_runs_predictions_are_refused(noisy, runs):
    shutil.copy(runs["one"] / "predictions.parquet", noisy)
    with pytest.raises(UserError, match=r"not the predictions of csconv_sample--gold--noisy--"):
        rescore(noisy, "none", ())


@pytest.mark.parametrize("spoil", ["empty", "short", "middle", "text", "folder", "foreign"])
def test_a_file_that_is_no_predictions_file_is_refused(spoil, noisy):
    path = noisy / "predictions.parquet"
    content = path.read_bytes()
    path.unlink()
    if spoil == "folder":
        path.mkdir()
    elif spoil == "foreign":
        pq.write_table(pa.table({"prompt": ["a"], "answer": ["b"]}), path)
    else:
        half = len(content) // 2
        middle = content[:200] + bytes(half) + content[200 + half :]
        path.write_bytes({"empty": b"", "short": content[:half], "middle": middle, "text": b"dialogue,turn\n"}[spoil])
    with pytest.raises(
        UserError, match=r"predictions\.parquet.*(?s:.*Remove it and results\.json, then repeat the `cscbench run`)"
    ):
        rescore(noisy, "none", ())
