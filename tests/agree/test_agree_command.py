"""`cscbench agree` as it is typed, on real runs: what it prints, what it writes, what it refuses."""

import json
import re
import shutil
from pathlib import Path

import pytest

from cscbench.comparing.agree.common_turns import common
from cscbench.runs.finished import load
from cscbench.runs.options import RunOptions
from cscbench.runs.plan import prepare
from cscbench.runs.run import run
from cscbench.values import Context, Language, UserError

BOTH = {"limit": 6}


def agreed(cscbench, tmp_path, *args, **env) -> tuple[dict, str]:
    """What the command wrote and printed."""
    done = cscbench("agree", *args, "--json", tmp_path / "agree.json", **env)
    assert done.returncode == 0, done.stderr
    return json.loads((tmp_path / "agree.json").read_text(encoding="utf-8")), done.stdout


def refused(done, *said: str) -> None:
    assert done.returncode == 2, done.stdout
    assert "Traceback" not in done.stderr
    for words in said:
        assert words in done.stderr


def lines(folder: Path) -> list[dict]:
    """What replies.jsonl of a run holds."""
    return [json.loads(line) for line in (folder / "replies.jsonl").read_text(encoding="utf-8").splitlines()]


def group(found: dict, name: str) -> dict:
    return next(one for one in found["groups"] if one["name"] == name)


def fact(found: dict, name: str) -> tuple[str | None, str | None, bool | None]:
    return next((one["a"], one["b"], one["same"]) for one in found["facts"] if one["name"] == name)


def test_a_model_that_changes_at_the_fifth_turn_is_found_out(cscbench, played, tmp_path):
    a, b = played("parrot", **BOTH), played("parrot+late", **BOTH)
    found, said = agreed(cscbench, tmp_path, a, b, "--tokenizer", "none", "--first", "4", "--examples", "2")
    replies = {path: {line["id"]: line for line in lines(path)} for path in (a, b)}
    spoiled = [name for name in replies[a] if int(name.split("/")[1]) >= 4]
    everything = group(found, "all")
    assert everything == {**group(found, "same prompt"), "name": "all"}
    assert everything["requests"] == found["scope"]["requests"] == len(replies[a])
    assert everything["identical"] == len(replies[a]) - len(spoiled)
    # By hand: characters before the first difference, of every reply that has one.
    alike = []
    for name in spoiled:
        one, other = (replies[path][name]["reply"]["text"] for path in (a, b))
        alike.append(next(n for n in range(99) if one[n : n + 1] != other[n : n + 1]))
    assert everything["identical_first"] == everything["identical"] + sum(n >= 4 for n in alike)
    for low, high in ((0, 0), (1, 1), (2, 3), (4, 7)):
        (one,) = [one for one in everything["histogram"] if one["low"] == low]
        assert one["count"] == sum(low <= n <= high for n in alike), low
    assert {one["name"] for one in found["groups"]} == {"all", "same prompt", "zh", "en"}
    assert group(found, "zh")["requests"] + group(found, "en")["requests"] == everything["requests"]
    assert len(found["divergences"]) == 2
    assert found["strategies"]["same"] == everything["identical"]
    differences = {one["name"]: one for one in found["differences"]}
    wrong = 100 * len(spoiled) / len(replies[a])
    assert differences["strategy_accuracy"]["difference"] == pytest.approx(-wrong)
    assert differences["strategy_accuracy"]["high"] < 0 == differences["parse_rate"]["difference"]
    assert f"{100 * everything['identical'] / everything['requests']:.1f} %" in said
    assert "counted in characters" in said


def test_the_tables_are_aligned_chinese_included(cscbench, played, tmp_path):
    from rich.cells import cell_len

    _, said = agreed(cscbench, tmp_path, played("parrot", **BOTH), played("parrot+late", **BOTH), "--tokenizer", "none")
    blocks = [block.splitlines() for block in re.split(r"^ *\n", said, flags=re.MULTILINE) if "────" in block]
    assert len(blocks) == 5  # what differs, the shares, the histogram, the partings, the differences
    assert any(re.search("[一-鿿]", line) for block in blocks for line in block)
    for block in blocks:
        assert len({cell_len(line) for line in block if line.startswith(" ")}) == 1


def test_the_same_runs_give_the_same_bytes(cscbench, played, tmp_path):
    a, b = played("parrot", **BOTH), played("majority", **BOTH)
    written = set()
    for _ in range(2):
        agreed(cscbench, tmp_path, a, b, "--tokenizer", "none")
        written.add((tmp_path / "agree.json").read_bytes())
    (content,) = written
    assert str(a.parent).encode() not in content


def test_in_generated_context_later_prompts_differ_and_are_counted_apart(cscbench, played, tmp_path):
    options = {**BOTH, "context": Context.GENERATED}
    a, b = played("parrot", **options), played("parrot+late", **options)
    found, said = agreed(cscbench, tmp_path, a, b)
    turns = [int(line["id"].split("/")[1]) for line in lines(a)]
    # B changes from turn 4 on: that turn still has the same prompt, the ones after it do not.
    same = group(found, "same prompt")
    assert (group(found, "all")["requests"], same["requests"]) == (len(turns), sum(turn <= 4 for turn in turns))
    assert same["identical"] == sum(turn < 4 for turn in turns)
    assert "`same prompt` counts only requests whose messages are equal" in said
    assert {one["request"].split("/")[1] for one in found["divergences"]} == {"4"}


def test_what_is_not_the_engine_and_differs_is_said_plainly(cscbench, played, tmp_path):
    a = played("parrot", **BOTH)
    b = played("parrot", dtype="bfloat16", seed=7, **BOTH)
    found, said = agreed(cscbench, tmp_path, a, b)
    assert fact(found, "sampling seed") == ("0", "7", False)
    assert fact(found, "dtype") == ("float32", "bfloat16", False)
    assert fact(found, "context") == ("gold", "gold", True)
    assert fact(found, "weights") == (None, None, None)
    assert "not the engine, and differs: question sampling seed, model dtype" in said
    assert re.search(r"^ model +dtype +float32 +bfloat16 *$", said, re.MULTILINE)
    # Another seed makes another request, but no other prompt.
    assert group(found, "same prompt")["requests"] == found["scope"]["requests"]
    plain, printed = agreed(cscbench, tmp_path, a, a)
    assert "not the engine, and differs: nothing that is known" in printed
    assert {one["same"] for one in plain["facts"]} == {True, None}


def test_turns_that_one_run_failed_on_are_left_out_and_counted(cscbench, played, tmp_path):
    a, b = played("parrot", **BOTH), played("parrot+fails", **BOTH)
    found, said = agreed(cscbench, tmp_path, a, b)
    failed = sum(line["reply"]["error"] != "" for line in lines(b))
    whole = group(agreed(cscbench, tmp_path, a, a)[0], "all")["requests"]
    assert (found["scope"]["failed"], found["scope"]["requests"]) == (failed, whole - failed)
    assert found["scope"]["turns"] == whole - failed
    assert (found["a"]["state"], found["b"]["state"]) == ("complete", "partial")
    assert "PARTIAL" in said
    assert {one["difference"] for one in found["differences"]} == {0}


def test_an_unfinished_run_is_compared_as_far_as_it_has_come(cscbench, played, tmp_path):
    a, whole = played("parrot", **BOTH), played("parrot+late", **BOTH)
    b = Path(shutil.copytree(whole, tmp_path / "b"))
    for name in ("predictions.parquet", "scores.parquet", "results.json"):
        (b / name).unlink()
    content = (b / "replies.jsonl").read_bytes()
    foreign = (a / "replies.jsonl").read_bytes()  # another model's: not this run's, whatever file they stand in
    (b / "replies.jsonl").write_bytes(foreign + content[: len(content) // 2])  # torn, as a kill leaves it
    found, said = agreed(cscbench, tmp_path, a, b)
    on_disk = content[: len(content) // 2].count(b"\n")
    assert (found["b"]["state"], found["scope"]["requests"]) == ("unfinished", on_disk)
    assert found["scope"]["only_a"] > 0 == found["scope"]["only_b"]
    assert (found["differences"], found["strategies"]) == ([], None)
    assert "UNFINISHED" in said
    assert "both runs must be scored" in said
    assert group(found, "zh")["requests"] > 0  # the other run knows the languages
    assert (b / "replies.jsonl").read_bytes() == foreign + content[: len(content) // 2]


def test_fewer_dialogues_are_compared_over_those_of_both(cscbench, played, tmp_path):
    found, _ = agreed(cscbench, tmp_path, played("parrot", **BOTH), played("parrot", limit=3))
    assert (found["scope"]["dialogues"], found["scope"]["only_b"]) == (3, 0)
    assert fact(found, "dialogues")[2] is False
    assert {one["difference"] for one in found["differences"]} == {0}


def test_runs_without_a_common_turn_are_refused_with_what_they_are(cscbench, played, tmp_path):
    english, chinese = (played("parrot", limit=2, language=one) for one in (Language.EN, Language.ZH))
    refused(cscbench("agree", english, chinese), "no turn in common", "task csconv_sample", "same task and data")
    refused(cscbench("agree", english, english, "--json", tmp_path / "no/x.json"), "x.json: cannot write")
    unscored = Path(shutil.copytree(chinese, tmp_path / "b"))
    (unscored / "results.json").unlink()
    with pytest.raises(UserError, match="no request in common"):
        common(load(english), load(unscored))
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
    found, said = agreed(cscbench, tmp_path, a, b)
    whole = sum(turn.get("strategy") not in (None, "") for one in other for turn in one["dialogue"])
    assert (found["scope"]["other_words"], found["scope"]["turns"]) == (2, whole - 2)
    assert fact(found, "data")[2] is False
    assert "2 turns of one name have other references" in said


@pytest.mark.usefixtures("tiny_card")
def test_a_real_model_agrees_with_itself_in_other_batches_and_not_under_another_seed(cscbench, tmp_path, tiny_model):
    card = tmp_path / "model_cards/tiny.md"
    card.write_text(card.read_text().replace("variants:\n", "variants:\n  alone:\n    options: {batch_size: 1}\n"))
    shared = {"limit": 1, "encoder": "none"}
    three, alone = (run(prepare(RunOptions(model=model, **shared))).folder for model in ("tiny", "tiny+alone"))
    found, said = agreed(cscbench, tmp_path, three, alone, "--tokenizer", tiny_model)
    assert fact(found, "option batch_size") == ("3", "1", False)
    assert fact(found, "chat template")[2] is True
    assert "not the engine, and differs: nothing that is known" in said
    assert f"counted in tokens of {tiny_model.name}" in said
    everything = group(found, "all")
    assert everything["identical"] == everything["requests"] >= 10
    one, other = (run(prepare(RunOptions(model="tiny+sampled", seed=seed, **shared))).folder for seed in (0, 1))
    found, said = agreed(cscbench, tmp_path, one, other, "--tokenizer", tiny_model)
    everything = group(found, "all")
    assert everything["identical"] < everything["requests"] / 2
    assert everything["quartiles"][2] <= 8  # a reply has 8 tokens
    assert "not the engine, and differs: question sampling seed" in said
