"""`cscbench compare --texts` as it is typed, on real runs: what it prints, what it writes, what it refuses."""

import json
import re
import shutil
from pathlib import Path

import pytest
from helpers import refused, replies_of

from cscbench.comparing.agree.common_turns import common_turns
from cscbench.runs.finished import load
from cscbench.runs.options import RunOptions
from cscbench.runs.plan import prepare
from cscbench.runs.run import run
from cscbench.values import Context, Language, UserError

BOTH = {"limit": 6}


def agreed(cscbench, tmp_path, *args, **env) -> tuple[dict, str]:
    """What the command wrote and printed."""
    done = cscbench("compare", "--texts", *args, **env)
    assert done.returncode == 0, done.stderr
    in_full = cscbench("compare", "--texts", *args, "--format", "json", **env)
    assert in_full.returncode == 0, in_full.stderr
    return json.loads(in_full.stdout), done.stdout


def group(agreement: dict, name: str) -> dict:
    return next(group for group in agreement["groups"] if group["name"] == name)


def fact(agreement: dict, name: str) -> tuple[str | None, str | None, bool | None]:
    return next((fact["a"], fact["b"], fact["same"]) for fact in agreement["facts"] if fact["name"] == name)


def test_a_model_that_changes_at_the_fifth_turn_is_found_out(cscbench, played, tmp_path):
    a, b = played("parrot", **BOTH), played("parrot+late", **BOTH)
    agreement, output = agreed(cscbench, tmp_path, a, b, "--tokenizer", "none", "--first", "4", "--examples", "2")
    replies = {path: {line["id"]: line for line in replies_of(path)} for path in (a, b)}
    spoiled = [name for name in replies[a] if int(name.split("/")[1]) >= 4]
    everything = group(agreement, "all")
    assert everything == {**group(agreement, "same prompt"), "name": "all"}
    assert everything["requests"] == agreement["scope"]["requests"] == len(replies[a])
    assert everything["identical"] == len(replies[a]) - len(spoiled)
    # By hand: characters before the first difference, of every reply that has one.
    prefixes = []
    for name in spoiled:
        left, right = (replies[path][name]["reply"]["text"] for path in (a, b))
        prefixes.append(next(n for n in range(99) if left[n : n + 1] != right[n : n + 1]))
    assert everything["identical_first"] == everything["identical"] + sum(n >= 4 for n in prefixes)
    for low, high in ((0, 0), (1, 1), (2, 3), (4, 7)):
        (band,) = [band for band in everything["histogram"] if band["low"] == low]
        assert band["count"] == sum(low <= n <= high for n in prefixes), low
    assert {counts["name"] for counts in agreement["groups"]} == {"all", "same prompt", "zh", "en"}
    assert group(agreement, "zh")["requests"] + group(agreement, "en")["requests"] == everything["requests"]
    assert len(agreement["divergences"]) == 2
    assert agreement["strategies"]["same"] == everything["identical"]
    differences = {row["name"]: row for row in agreement["differences"]}
    wrong = 100 * len(spoiled) / len(replies[a])
    assert differences["strategy_accuracy"]["difference"] == pytest.approx(-wrong)
    assert differences["strategy_accuracy"]["high"] < 0 == differences["parse_rate"]["difference"]
    assert f"{100 * everything['identical'] / everything['requests']:.1f}%" in output
    assert "counted in characters" in output


def test_the_tables_are_aligned_chinese_included(cscbench, played, tmp_path):
    from rich.cells import cell_len

    _, output = agreed(
        cscbench, tmp_path, played("parrot", **BOTH), played("parrot+late", **BOTH), "--tokenizer", "none"
    )
    blocks = [block.splitlines() for block in re.split(r"^ *\n", output, flags=re.MULTILINE) if "────" in block]
    assert len(blocks) == 5  # what differs, the shares, the histogram, the divergences, the differences
    assert any(re.search("[一-鿿]", line) for block in blocks for line in block)
    for block in blocks:
        assert len({cell_len(line) for line in block if line.startswith(" ")}) == 1


def test_the_same_runs_give_the_same_bytes(cscbench, played, tmp_path):
    a, b = played("parrot", **BOTH), played("majority", **BOTH)
    args = ("compare", "--texts", a, b, "--tokenizer", "none", "--format", "json")
    (written,) = {cscbench(*args).stdout for _ in range(2)}
    assert str(a.parent) not in written


def test_in_generated_context_later_prompts_differ_and_are_counted_apart(cscbench, played, tmp_path):
    options = {**BOTH, "context": Context.GENERATED}
    a, b = played("parrot", **options), played("parrot+late", **options)
    agreement, output = agreed(cscbench, tmp_path, a, b)
    turns = [int(line["id"].split("/")[1]) for line in replies_of(a)]
    # B changes from turn 4 on: that turn still has the same prompt, the ones after it do not.
    same = group(agreement, "same prompt")
    assert (group(agreement, "all")["requests"], same["requests"]) == (len(turns), sum(turn <= 4 for turn in turns))
    assert same["identical"] == sum(turn < 4 for turn in turns)
    assert "`same prompt` counts only requests whose messages are equal" in output
    assert {reply["request"].split("/")[1] for reply in agreement["divergences"]} == {"4"}


def test_what_is_not_the_engine_and_differs_is_said_plainly(cscbench, played, tmp_path):
    a = played("parrot", **BOTH)
    b = played("parrot", dtype="bfloat16", seed=7, **BOTH)
    agreement, output = agreed(cscbench, tmp_path, a, b)
    assert fact(agreement, "sampling seed") == ("0", "7", False)
    assert fact(agreement, "dtype") == ("float32", "bfloat16", False)
    assert fact(agreement, "context") == ("gold", "gold", True)
    assert fact(agreement, "weights") == (None, None, None)
    assert "differs besides the engine: question sampling seed, model dtype" in output
    assert re.search(r"^ model +dtype +float32 +bfloat16 *$", output, re.MULTILINE)
    # Another seed makes another request, but no other prompt.
    assert group(agreement, "same prompt")["requests"] == agreement["scope"]["requests"]
    plain, printed = agreed(cscbench, tmp_path, a, a)
    assert "differs besides the engine: nothing known" in printed
    assert {row["same"] for row in plain["facts"]} == {True, None}


def test_turns_that_one_run_failed_on_are_left_out_and_counted(cscbench, played, tmp_path):
    a, b = played("parrot", **BOTH), played("parrot+fails", **BOTH)
    agreement, output = agreed(cscbench, tmp_path, a, b)
    failed = sum(line["reply"]["error"] != "" for line in replies_of(b))
    whole = group(agreed(cscbench, tmp_path, a, a)[0], "all")["requests"]
    assert (agreement["scope"]["failed"], agreement["scope"]["requests"]) == (failed, whole - failed)
    assert agreement["scope"]["turns"] == whole - failed
    assert (agreement["a"]["state"], agreement["b"]["state"]) == ("complete", "partial")
    assert "PARTIAL" in output
    assert {row["difference"] for row in agreement["differences"]} == {0}


def test_an_unfinished_run_is_compared_as_far_as_it_has_come(cscbench, played, tmp_path):
    a, whole = played("parrot", **BOTH), played("parrot+late", **BOTH)
    b = Path(shutil.copytree(whole, tmp_path / "b"))
    for name in ("predictions.parquet", "scores.parquet", "results.json"):
        (b / name).unlink()
    content = (b / "replies.jsonl").read_bytes()
    foreign = (a / "replies.jsonl").read_bytes()  # another model's: not this run's, even in its file
    (b / "replies.jsonl").write_bytes(foreign + content[: len(content) // 2])  # torn, as a kill leaves it
    agreement, output = agreed(cscbench, tmp_path, a, b)
    on_disk = content[: len(content) // 2].count(b"\n")
    assert (agreement["b"]["state"], agreement["scope"]["requests"]) == ("unfinished", on_disk)
    assert agreement["scope"]["only_a"] > 0 == agreement["scope"]["only_b"]
    assert (agreement["differences"], agreement["strategies"]) == ([], None)
    assert "UNFINISHED" in output
    assert "both runs must be scored" in output
    assert group(agreement, "zh")["requests"] > 0  # the other run knows the languages
    assert (b / "replies.jsonl").read_bytes() == foreign + content[: len(content) // 2]


def test_fewer_dialogues_are_compared_over_those_of_both(cscbench, played, tmp_path):
    agreement, _ = agreed(cscbench, tmp_path, played("parrot", **BOTH), played("parrot", limit=3))
    assert (agreement["scope"]["dialogues"], agreement["scope"]["only_b"]) == (3, 0)
    assert fact(agreement, "dialogues")[2] is False
    assert {row["difference"] for row in agreement["differences"]} == {0}


def test_runs_without_a_common_turn_are_refused_with_what_they_are(cscbench, played, tmp_path):
    english, chinese = (played("parrot", limit=2, language=language) for language in (Language.EN, Language.ZH))
    texts = ("compare", "--texts")
    refused(cscbench(*texts, english, chinese), "no turn in common", "task csconv_sample", "same task and data")
    refused(cscbench(*texts, english, english, "--format", "csv"), "--texts has no --format csv: use table or json")
    refused(cscbench(*texts, english), "--texts compares two runs")
    refused(cscbench(*texts, english, chinese, "--baseline", english), "without --baseline")
    unscored = Path(shutil.copytree(chinese, tmp_path / "b"))
    (unscored / "results.json").unlink()
    with pytest.raises(UserError, match="no request in common"):
        common_turns(load(english), load(unscored))
    with pytest.raises(UserError, match=r"run\.json: no such file"):
        load(tmp_path / "none")


@pytest.mark.parametrize("name", ["run.json", "results.json", "predictions.parquet", "scores.parquet"])
def test_a_damaged_file_of_a_run_is_named(played, tmp_path, name):
    spoiled = Path(shutil.copytree(played("parrot", limit=3), tmp_path / "run"))
    (spoiled / name).write_bytes(b"{}")
    with pytest.raises(UserError, match=name):
        load(spoiled).read_all()
    (spoiled / name).unlink()
    if name == "results.json":
        assert load(spoiled).results is None
    else:
        with pytest.raises(UserError, match=name):
            load(spoiled).read_all()


def test_a_file_of_other_words_under_the_same_names_is_not_taken_for_the_same_turns(cscbench, played, tmp_path):
    source = Path(__file__).parents[2] / "tasks/csconv_sample/data/test.jsonl"
    records = source.read_text(encoding="utf-8").splitlines()[:2]
    (tmp_path / "same.jsonl").write_text("\n".join(records), encoding="utf-8")
    other = [json.loads(record) for record in records]
    other[0]["dialogue"][0]["text"] += " And more."
    other[0]["dialogue"][2]["text"] = "Other words."
    (tmp_path / "other.jsonl").write_text("\n".join(map(json.dumps, other)), encoding="utf-8")
    a, b = (played("parrot", data=str(tmp_path / name)) for name in ("same.jsonl", "other.jsonl"))
    agreement, output = agreed(cscbench, tmp_path, a, b)
    whole = sum(turn.get("strategy") not in (None, "") for record in other for turn in record["dialogue"])
    assert (agreement["scope"]["other_words"], agreement["scope"]["turns"]) == (2, whole - 2)
    assert fact(agreement, "data")[2] is False
    assert "2 turns have different references" in output


@pytest.mark.usefixtures("tiny_card")
@pytest.mark.slow
def test_a_real_model_agrees_with_itself_in_other_batches_and_not_under_another_seed(cscbench, tmp_path, tiny_model):
    card = tmp_path / "model_cards/tiny.md"
    card.write_text(card.read_text().replace("variants:\n", "variants:\n  alone:\n    options: {batch_size: 1}\n"))
    shared = {"limit": 1, "encoder": "none"}
    three, alone = (run(prepare(RunOptions(model=model, **shared))).folder for model in ("tiny", "tiny+alone"))
    agreement, output = agreed(cscbench, tmp_path, three, alone, "--tokenizer", tiny_model)
    assert fact(agreement, "option batch_size") == ("3", "1", False)
    assert fact(agreement, "chat template")[2] is True
    assert "differs besides the engine: nothing known" in output
    assert f"counted in tokens of {tiny_model.name}" in output
    everything = group(agreement, "all")
    assert everything["identical"] == everything["requests"] >= 10
    first, second = (run(prepare(RunOptions(model="tiny+sampled", seed=seed, **shared))).folder for seed in (0, 1))
    agreement, output = agreed(cscbench, tmp_path, first, second, "--tokenizer", tiny_model)
    everything = group(agreement, "all")
    assert everything["identical"] < everything["requests"] / 2
    assert everything["quartiles"][2] <= 8  # a reply has 8 tokens
    assert "differs besides the engine: question sampling seed" in output
