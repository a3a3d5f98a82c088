"""`--set PATH=VALUE`: which fields it reaches, what it changes, and what run.json says of it."""

import contextlib
import json
import shlex
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscbench.content.cards import resolve_card
from cscbench.content.overrides import check_overrides, known_fields, published, read_overrides
from cscbench.content.tasks import find_task
from cscbench.runs.finished import load
from cscbench.runs.options import RunOptions
from cscbench.runs.plan import identity, prepare, run_record
from cscbench.runs.reproduce import command_of
from cscbench.values import Language, ModelCard, Price, UserError


def overridden(**fields) -> ModelCard:
    values = {f"card.{path.replace('__', '.')}": value for path, value in fields.items()}
    return resolve_card("smollm2-135m", overrides=check_overrides(values))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("card.sampling.max_tokens=64", 64),
        ("card.sampling.temperature=0.5", 0.5),
        ('card.sampling.stop=["\\n", END]', ["\n", "END"]),
        ("card.revision=1234", "1234"),  # a text stays a text
        ("card.revision=", ""),
        ("card.weights=a=b", "a=b"),
        ("card.languages=[zh]", ["zh"]),
        ("card.options.extra_body={top_k: 5}", {"top_k": 5}),
        ("card.options.dtype=float32", "float32"),
        ("card.price.input=0.15", 0.15),
        ("task.scorers=[bleu, rouge]", ["bleu", "rouge"]),
        ("task.title=客服: 测试", "客服: 测试"),
        ("data.hub.revision=main", "main"),
        ("judge.repeats=3", 3),
    ],
)
def test_values_are_read_as_yaml_or_as_text(text, value):
    assert read_overrides([text]) == {text.partition("=")[0]: value}


@given(st.lists(st.text(max_size=40), max_size=3) | st.lists(st.sampled_from([*known_fields()]).map("{}=x".format)))
@settings(max_examples=200)
def test_any_text_is_read_or_refused(texts):
    with contextlib.suppress(UserError):
        check_overrides(read_overrides(texts))


def test_a_path_may_be_given_once():
    with pytest.raises(UserError, match=r"--set card\.revision is listed twice: remove one"):
        read_overrides(["card.revision=a", "card.revision=b"])


def test_every_known_field_of_a_card_can_be_set():
    card = overridden(
        adapter="hf",
        family="f",
        parameters=7,
        license="mit",
        languages=["zh"],
        prompts="mine",
        revision="r",
        sampling__max_tokens=1,
        sampling__temperature=0.1,
        sampling__top_p=0.2,
        sampling__stop=["x"],
        price__input=1,
        price__output=2,
        options__dtype="float32",
    )
    assert (card.family, card.parameters, card.license, card.languages) == ("f", 7.0, "mit", (Language.ZH,))
    assert (card.prompts, card.revision, card.price) == ("mine", "r", Price(1.0, 2.0))
    assert (card.sampling.max_tokens, card.sampling.temperature, card.sampling.stop) == (1, 0.1, ("x",))
    assert card.options["dtype"] == "float32"
    assert card.name == "smollm2-135m"


def test_half_a_price_is_refused():
    with pytest.raises(UserError, match="missing required field `output`"):
        overridden(price__input=1)


def test_another_adapter_leaves_the_options_of_the_first_behind():
    assert resolve_card("smollm2-135m").options != {}
    assert overridden(adapter="openai", options__model="m").options == {"model": "m"}


def test_paths_are_relative_to_the_working_directory(tmp_path):
    assert overridden(weights="./mine").weights == str(tmp_path / "mine")
    assert overridden(lora="adapters/mine").lora == str(tmp_path / "adapters/mine")
    assert overridden(weights="owner/name").weights == "owner/name"


def plan(**overrides):
    paths = {path.replace("__", "."): value for path, value in overrides.items()}
    return prepare(RunOptions("gold", limit=1, encoder="none", overrides=paths))


def test_what_changes_a_reply_makes_another_run_and_what_does_not_does_not():
    plain = run_record(plan()).hash
    assert run_record(plan(card__sampling__max_tokens=64)).hash != plain
    assert run_record(plan(card__sampling__max_tokens=160)).hash == plain  # the default, by name
    assert run_record(plan(card__price__input=1, card__price__output=1)).hash == plain
    assert run_record(plan(task__scorers=["bleu"], task__encoder="none", judge__repeats=2)).hash == plain


def test_options_of_this_machine_are_not_published():
    overrides = check_overrides(
        {"card.options.base_url": "http://secret:1/v1", "card.options.seed": False, "card.weights": "/home/me/w"}
    )
    assert published(overrides, ("base_url",)) == ("card.options.seed=false", "card.weights=PATH")


def test_fields_of_a_task_change_what_is_scored(cscbench):
    line = ("run", "--model", "gold", "--limit", "2", "--set", "task.scorers=[rouge]", "--set", "task.title=客服")
    done = cscbench(*line)
    assert done.returncode == 0, done.stderr
    results = json.loads((Path(done.stdout.splitlines()[-1]) / "results.json").read_text(encoding="utf-8"))
    assert {metric["name"] for metric in results["metrics"]} == {"rouge_l", "rouge_l_ascii"}
    assert results["task"]["title"] == "客服"
    assert results["protocol"]["overrides"] == ['task.scorers=["rouge"]', "task.title=客服"]


def test_the_same_run_under_other_fields_of_scoring_is_scored_again_and_recorded(cscbench):
    line = ("run", "--model", "gold", "--limit", "2", "--encoder", "none")
    folder = Path(cscbench(*line).stdout.splitlines()[-1])
    replies = (folder / "replies.jsonl").read_bytes()
    for overrides in (("task.scorers=[rouge]", "task.title=Mine"), (), ("task.title=Other",)):
        done = cscbench(*line, *(word for text in overrides for word in ("--set", text)))
        assert (done.returncode, Path(done.stdout.splitlines()[-1])) == (0, folder), done.stderr
        run = load(folder)
        assert len(run.record.protocol.overrides) == len(run.scored().protocol.overrides) == len(overrides)
        assert (run.scored().scoring.scorers == ("rouge",)) == (len(overrides) == 2)
        assert run.scored().task.title == {2: "Mine", 1: "Other"}.get(len(overrides), "CSConv sample (authored)")
    assert (folder / "replies.jsonl").read_bytes() == replies


def test_a_scorer_that_does_not_exist_is_named(cscbench):
    done = cscbench("run", "--model", "gold", "--set", "task.scorers=[rogue]")
    assert (done.returncode, "no scorer 'rogue'; did you mean 'rouge'" in done.stderr) == (2, True)


def test_the_data_of_a_task_can_be_another_file(tmp_path):
    from cscbench.content.shipped import content_root

    lines = (content_root() / "tasks/csconv_sample/data/test.jsonl").read_text(encoding="utf-8").splitlines()
    (tmp_path / "few.jsonl").write_text("\n".join(lines[:2]), encoding="utf-8")
    task = find_task("csconv_sample", check_overrides({"data.test": "few.jsonl"}))
    assert len(task.load(None).test) == 2
    assert "data" in json.dumps(identity(plan(data__test="few.jsonl")))
    assert run_record(plan(data__test="few.jsonl")).protocol.overrides == ("data.test=few.jsonl",)


def test_a_file_on_the_hub_is_not_mixed_with_one_in_the_folder():
    with pytest.raises(UserError, match=r"--set data\.hub\.file: the task reads"):
        find_task("csconv_sample", check_overrides({"data.hub.file": "x.json", "data.hub.repo": "a/b"}))
    assert find_task("csconv", check_overrides({"data.hub.revision": "v2"})).name == "csconv"


def test_a_task_in_python_reads_its_own_data(tmp_path):
    folder = tmp_path / "tasks/mine"
    folder.mkdir(parents=True)
    code = "import msgspec\nfrom cscbench.content.tasks import find_task\n\n\ndef task():\n"
    code += "    return msgspec.structs.replace(find_task('csconv_sample'), name='mine')\n"
    (folder / "task.py").write_text(code, encoding="utf-8")
    assert find_task("mine", check_overrides({"task.scorers": ["bleu"]})).scorers == ("bleu",)
    with pytest.raises(UserError, match=r"--set data\.test: mine is written in Python and reads its own data"):
        find_task("mine", check_overrides({"data.test": "x.jsonl"}))


def test_the_command_of_a_run_repeats_it(cscbench):
    line = ("--model", "retrieval", "--limit", "2", "--encoder", "none", "--set", "card.sampling.max_tokens=64")
    done = cscbench("run", *line)
    assert done.returncode == 0, done.stderr
    run = load(Path(done.stdout.splitlines()[-1]))
    words = shlex.split(command_of(run.record, run.scored()))
    assert "card.sampling.max_tokens=64" in words
    again = cscbench(*words[1:])
    assert again.stdout == done.stdout
