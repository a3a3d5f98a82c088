"""Tasks: the shipped ones, a person's own in the working directory, and the rules that the shipped sample obeys."""

import hashlib
import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from cscbench.content.shipped import content_root
from cscbench.content.tasks import Task, find_task, task_names
from cscbench.values import Condition, Language, Speaker, UserError

SAMPLE = content_root() / "tasks" / "csconv_sample" / "data"
RECORD = {
    "dialogue": [
        {"speaker": "supporter", "strategy": "Greeting", "text": "Hello, how can I help?"},
        {"speaker": "customer", "text": "My card is lost."},
        {"speaker": "supporter", "strategy": "RI", "text": "I have blocked it."},
    ]
}
OWN = "name: mine\ntitle: Mine\ndescription: A task of my own.\n"


def task_file(text: str, name: str = "mine", file: str = "task.yaml") -> Path:
    folder = Path("tasks") / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(text, encoding="utf-8")
    (folder / "test.jsonl").write_text(json.dumps(RECORD), encoding="utf-8")
    return (folder / file).resolve()


def refused(name: str = "mine") -> str:
    with pytest.raises(UserError) as caught:
        find_task(name)
    return str(caught.value)


# --- the shipped sample ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parts() -> dict[str, list[dict]]:
    """The sample's records, read without the harness."""
    return {
        part: [json.loads(line) for line in (SAMPLE / f"{part}.jsonl").read_text("utf-8").splitlines()]
        for part in ("test", "train")
    }


def _labels(record: dict) -> list[str]:
    return [turn["strategy"] for turn in record["dialogue"] if turn["speaker"] in ("客服", "supporter")]


@pytest.mark.parametrize(("part", "zh", "en"), [("test", 24, 16), ("train", 30, 30)])
def test_the_sample_is_as_large_and_as_wide_as_promised(parts, part, zh, en):
    languages = Counter(record["language"] for record in parts[part])
    assert (languages["zh"], languages["en"]) >= (zh, en)
    assert languages["en"] >= en
    assert len({record["topic"] for record in parts[part]}) == 8
    loaded = find_task("csconv_sample").load(None)
    dialogues = loaded.test if part == "test" else loaded.train
    assert loaded.faults == ()
    assert [dialogue.id for dialogue in dialogues] == [record["id"] for record in parts[part]]
    for language in Language:
        in_language = [dialogue for dialogue in dialogues if dialogue.language is language]
        assert len({turn.strategy for dialogue in in_language for turn in dialogue.turns if turn.strategy}) == 12


@pytest.mark.parametrize("part", ["test", "train"])
def test_every_dialogue_of_the_sample_obeys_csconvs_rules(parts, part):
    for record in parts[part]:
        turns, where = record["dialogue"], record["id"]
        assert 10 <= len(turns) <= 30, where
        assert {turn["speaker"] for turn in turns} in ({"客服", "客户"}, {"supporter", "customer"}), where
        assert all(turn["speaker"] != following["speaker"] for turn, following in pairwise(turns)), where
        labels = _labels(record)
        assert all(label and "+" not in label for label in labels), where
        assert all(not t["strategy"] for t in turns if t["speaker"] in ("客户", "customer")), where
        required = "策略1 礼貌问候", "策略2 确认身份", "策略11 感谢与告别"
        if record["language"] == "en":
            required = "Greeting", "Identity Verification", "Appreciation and Closure"
        assert set(required) <= set(labels), where
        assert all(0 < len(turn["text"]) <= 500 for turn in turns), where
        han = sum(1 for turn in turns if re.search(r"[㐀-鿿]", turn["text"]))
        assert han == 0 if record["language"] == "en" else han >= 0.8 * len(turns), where


def test_no_two_dialogues_of_the_sample_share_an_id_or_scenario(parts):
    records = parts["test"] + parts["train"]
    for field in ("id", "scenario"):
        assert [value for value, n in Counter(record[field] for record in records).items() if n > 1] == []


def test_no_utterance_of_weight_stands_in_both_parts_of_the_sample(parts):
    """Short ones (好的。) may recur; a longer one would leak the test part into training."""

    def weighty(part: str) -> set[str]:
        texts = ((record["language"], turn["text"]) for record in parts[part] for turn in record["dialogue"])
        return {text for language, text in texts if (len(text) > 12 if language == "zh" else len(text.split()) > 8)}

    assert weighty("test") & weighty("train") == set()
    assert len(weighty("test")) > 400


def test_the_samples_scores_cannot_pass_for_csconvs(cscbench):
    task = find_task("csconv_sample")
    assert "not CSConv" in task.description
    assert task.name != find_task("csconv").name
    listed = cscbench("tasks")
    assert listed.returncode == 0
    assert "scores on them are not CSConv scores" in " ".join(listed.stdout.split())


# --- finding tasks ---------------------------------------------------------------------------------------------------


def test_csconv_without_data_or_network_says_what_to_download_and_where_to_put_it(cscbench):
    done = cscbench("run", "--model", "gold", "--task", "csconv")
    assert (done.returncode, done.stdout) == (2, "")
    assert "https://huggingface.co/datasets/DianJin/DianJin-CSC-Data/resolve/main/data/CSConv.json" in done.stderr
    assert "save it as data/CSConv.json, and add: --data data/CSConv.json" in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("reports").exists()


@pytest.mark.parametrize(
    ("name", "message"), [("csconv_smaple", "did you mean 'csconv_sample'"), ("", "no task ''; known")]
)
def test_an_unknown_task_is_told_the_nearest_names(name, message):
    assert message in refused(name)
    assert refused(name).endswith("To list all tasks: cscbench tasks")


def test_a_task_of_ones_own_extends_a_shipped_one_and_runs(cscbench):
    path = task_file(OWN + "extends: csconv\nscorers: [strategy]\ndata: {test: test.jsonl}\n")
    task, base = find_task("mine"), find_task("csconv")
    assert "mine" in task_names()
    assert (task.name, task.scorers, task.encoder, task.strategies) == (
        "mine",
        ("strategy",),
        base.encoder,
        base.strategies,
    )
    assert task.prompt("default", Language.EN, Condition.JOINT).name == "csconv/default/en/joint"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert task.files == {**base.files, "mine/task.yaml": digest}
    data = task.load(None)
    assert [(turn.speaker, turn.strategy) for turn in data.test[0].turns] == [
        (Speaker.SUPPORTER, "GT"),
        (Speaker.CUSTOMER, None),
        (Speaker.SUPPORTER, "RI"),
    ]
    assert (data.train, data.test[0].language) == ((), Language.EN)
    done = cscbench("run", "--model", "gold", "--task", "mine")
    assert done.returncode == 0, done.stderr
    assert re.search(r"strategy_accuracy +100\.00", done.stdout)


def test_the_working_directorys_task_hides_the_shipped_one():
    task_file(
        "name: csconv_sample\ntitle: Hidden\ndescription: x\nextends: csconv\ndata: {test: test.jsonl}\n",
        "csconv_sample",
    )
    assert find_task("csconv_sample").title == "Hidden"
    assert len(find_task("csconv_sample").load(None).test) == 1


def test_prompts_of_ones_own_replace_those_of_the_extended_task():
    folder = task_file(OWN + "extends: csconv\ndata: {test: test.jsonl}\n").parent / "prompts" / "terse" / "en"
    folder.mkdir(parents=True)
    (folder / "joint.yaml").write_text(
        "system: Be terse.\nopening: Begin.\nsteps:\n- step: joint\n  user: '{{ customer }}'\n"
        "  assistant: '{{ strategy.code }}: {{ reply }}'\n",
        encoding="utf-8",
    )
    assert find_task("mine").prompt("terse", Language.EN, Condition.JOINT).name == "mine/terse/en/joint"
    with pytest.raises(UserError, match="no prompt set 'default'"):
        find_task("mine").prompt("default", Language.EN, Condition.JOINT)


def test_data_from_the_command_line_stands_for_the_tasks_own():
    task_file(OWN + "extends: csconv\ndata: {}\n")
    with pytest.raises(UserError, match="mine: this task has no data: add --data PATH"):
        find_task("mine").load(None)
    assert len(find_task("mine").load(Path("tasks/mine/test.jsonl")).test) == 1


BROKEN = [
    (OWN + "extends: csconv\ndata: {tset: a}", 5, "field `data.tset`: .*did you mean 'test'"),
    (OWN + "extends: csconv\ndata:\n  hub: {repo: a}", 6, "field `data.hub`: .*missing required field `file`"),
    (OWN + "extends: csconv", 1, "missing required field `data`"),
    (
        OWN + "extends: csconv\ndata:\n  train: ../other/x.jsonl",
        6,
        "field `data.train`: .* is outside the task's folder",
    ),
    (OWN + "extends: csconv\ndata: {test: /etc/passwd}", 5, "field `data.test`: .* is outside the task's folder"),
    (OWN + "data: {}\nextends: csconf", 5, "field `extends`: no task 'csconf'; did you mean 'csconv'"),
    (OWN + "extends: mine\ndata: {}", 4, "field `extends`: a task cannot extend itself"),
    (OWN + "extends: csconv\ndata: {}\nscorers: bleu", 6, "field `scorers`: Expected `array`, got `str`"),
    (OWN + "data: {}\ntitle: Again", 5, "duplicate key `title` .first in line 2."),
    (
        "title: Mine\nname: other\ndescription: x\ndata: {}",
        2,
        "field `name`: 'other' must match the folder name, 'mine'",
    ),
    (OWN + "data: [", 4, "not valid YAML"),
]


@pytest.mark.parametrize(("text", "line", "message"), BROKEN, ids=[row[2] for row in BROKEN])
def test_a_broken_task_file_is_refused_with_file_line_and_cure(text, line, message):
    path = task_file(text)
    error = refused()
    assert error.startswith(f"{path}:{line}: "), error
    assert re.search(message, error), error


def test_tasks_that_extend_each_other_are_no_endless_walk():
    task_file(OWN + "extends: yours\ndata: {}")
    path = task_file(OWN.replace("mine", "yours") + "extends: mine\ndata: {}", "yours")
    assert refused().startswith(f"{path}:4: field `extends`: ")
    assert "mine extends yours extends mine" in refused()


def test_a_task_needs_prompts_of_its_own_or_anothers():
    path = task_file(OWN + "data: {test: test.jsonl}")
    assert (
        refused() == f"{path.parent / 'prompts'}: no such folder: add prompts, or set `extends` to a task that has them"
    )


PYTHON = '''
from __future__ import annotations
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from cscbench.content.csconv import load_csconv
from cscbench.content.tasks import Task, TaskData, find_task, task_data

@dataclass
class Where:
    """Dataclasses with postponed annotations look their module up while it loads."""
    file: str

def load(where: Where, data):
    return task_data(load_csconv(data or Path(__file__).parent / where.file))

def task() -> Task:
    return Task(name="mine", title="Mine", description="x", load=partial(load, Where("test.jsonl")),
                prompt=find_task("csconv").prompt, scorers=("strategy",))
'''


def test_a_python_task_in_the_working_directory_is_found_and_identified_by_its_text():
    path = task_file(PYTHON, file="task.py")
    task = find_task("mine")
    assert isinstance(task, Task)
    assert len(task.load(None).test) == 1
    assert task.files == {"mine/task.py": hashlib.sha256(path.read_bytes()).hexdigest()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", ": no function `task() -> Task`"),
        ("task = 7\n", ": no function `task() -> Task`"),
        ("def task():\n    return 7\n", ": `task()` returned a int"),
        (PYTHON.replace('name="mine"', 'name="other"'), "a task named 'other': its name must be 'mine'"),
        ("x = 1\ny = (\n", ":2: the task does not load: SyntaxError: '(' was never closed"),
        ("import json\n\nimport no_such_package\n", ":3: the task does not load: ModuleNotFoundError: No module named"),
        ("def f():\n    return 1 / 0\n\nf()\n", ":2: the task does not load: ZeroDivisionError"),
    ],
)
def test_a_broken_python_task_is_refused_and_hides_no_other(cscbench, text, message):
    path = task_file(text, file="task.py")
    assert refused().startswith(str(path))
    assert message in refused()
    if "no_such_package" in text:
        listed = cscbench("tasks")
        assert (listed.returncode, "csconv_sample" in listed.stdout) == (0, True)
        assert f"broken: {path}{message}" in listed.stderr
