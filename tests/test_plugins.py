"""Entry points of third parties: valid ones are found; invalid ones are reported by name and never half work."""

import json
import os
from pathlib import Path

import pytest

from cscbench.content.cards import read_options
from cscbench.values import Frozen, ModelCard, UserError

MODULE = """
import msgspec
from cscbench.models.backend import Backend, LoadedAdapter
from cscbench.values import Reply
from cscbench.scoring.scorers.bleu import BleuScorer
from cscbench.content.tasks import find_task

NUMBER = 3

def task():
    return find_task("csconv_sample")

def twin():
    return msgspec.structs.replace(find_task("csconv_sample"), name="twin")

class Heard:
    async def generate(self, request):
        return Reply(f"[GT] {request.customer_text}")
    def close(self):
        pass

BACKEND = Backend(load=lambda context: LoadedAdapter(Heard()))
"""


@pytest.fixture
def offer(tmp_path, monkeypatch):
    """Puts a distribution with one entry point on the path of the command."""
    site = tmp_path / "site"
    (site / "theirs-1.0.dist-info").mkdir(parents=True)
    (site / "theirs-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n", "utf-8")
    (site / "theirs.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep))

    def put(group: str, name: str, value: str) -> None:
        text = f"[cscbench.{group}]\n{name} = {value}\n"
        (site / "theirs-1.0.dist-info/entry_points.txt").write_text(text, encoding="utf-8")

    return put


@pytest.fixture
def card(tmp_path):
    (tmp_path / "model_cards").mkdir()
    (tmp_path / "model_cards/theirs.md").write_text("---\nname: theirs\nadapter: heard\n---\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("group", "value", "message"),
    [
        ("tasks", "theirs:task", "a task named 'csconv_sample': its name must be 'x'"),
        ("tasks", "theirs:NUMBER", "theirs:NUMBER: no function `task() -> Task`"),
        ("tasks", "theirs:Heard", "returned a Heard, not a cscbench.content.tasks.Task"),
        ("tasks", "theirs:nothing", "plugin cscbench.tasks: x = theirs:nothing cannot be loaded"),
        ("tasks", "not_there:task", "No module named 'not_there'"),
        ("scorers", "theirs:NUMBER", "scorer 'x': its entry point is of type int, not a scorer factory"),
        ("scorers", "theirs:BleuScorer", "scorers 'bleu' and 'x' both define bleu_2: remove one"),
        ("adapters", "theirs:Heard", "adapter 'heard': its entry point is a type, not a Backend"),
    ],
)
def test_an_entry_point_that_names_the_wrong_thing_is_told(offer, card, cscbench, group, value, message):
    offer(group, "heard" if group == "adapters" else "x", value)
    chosen = {
        "tasks": ["--model", "gold", "--task", "x"],
        "scorers": ["--model", "gold", "--scorer", "x"],
        "adapters": ["--model", "theirs"],
    }
    done = cscbench("run", *chosen[group], "--limit", "1", "--encoder", "none")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_one_broken_task_does_not_hide_the_others(offer, cscbench):
    offer("tasks", "broken", "not_there:task")
    done = cscbench("tasks")
    assert done.returncode == 0
    assert "csconv_sample" in done.stdout
    assert "broken: plugin cscbench.tasks: broken = not_there:task" in done.stderr


def test_a_task_made_of_another_one_is_listed_and_found_under_its_own_name(offer, cscbench):
    offer("tasks", "twin", "theirs:twin")
    assert "twin" in cscbench("tasks").stdout
    done = cscbench("run", "--model", "gold", "--task", "twin", "--limit", "1", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "# task twin:" in done.stdout


@pytest.mark.parametrize("condition", ["joint", "two-step", "gold-strategy"])
def test_an_adapter_hears_the_customers_last_words_in_every_request(offer, card, cscbench, condition):
    offer("adapters", "heard", "theirs:BACKEND")
    command = ["run", "--model", "theirs", "--limit", "2", "--encoder", "none", "--context", "generated"]
    done = cscbench(*command, "--condition", condition)
    assert done.returncode == 0, done.stderr
    run = Path(done.stdout.splitlines()[-1])
    answers = {}
    for line in (run / "replies.jsonl").read_text(encoding="utf-8").splitlines():
        stored = json.loads(line)
        answers[stored["id"]] = stored["reply"]["text"].removeprefix("[GT] ")
    data = Path(__file__).parents[1] / "tasks/csconv_sample/data/test.jsonl"
    steps = {"joint": ["joint"], "two-step": ["strategy", "reply"], "gold-strategy": ["reply"]}[condition]
    expected = {}
    for record in [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()[:2]]:
        for index, turn in enumerate(record["dialogue"]):
            if turn["strategy"]:
                before = record["dialogue"][index - 1]["text"] if index else ""
                expected |= {f"{record['id']}/{index}/{step}": before for step in steps}
    assert answers == expected


def test_a_task_py_is_part_of_what_its_runs_are(tmp_path, cscbench):
    folder = tmp_path / "tasks/mine"
    folder.mkdir(parents=True)
    names = []
    for title in ("One", "Two"):
        (folder / "task.py").write_text(
            "import msgspec\nfrom cscbench.content.tasks import find_task\n\n\ndef task():\n"
            f"    return msgspec.structs.replace(find_task('csconv_sample'), name='mine', title='{title}')\n",
            encoding="utf-8",
        )
        done = cscbench("run", "--model", "gold", "--task", "mine", "--limit", "1", "--encoder", "none")
        assert done.returncode == 0, done.stderr
        assert f"gold on {title}" in done.stdout
        names.append(done.stdout.splitlines()[-1])
    assert names[0] != names[1]


def test_a_circle_of_tasks_that_extend_each_other_is_told(tmp_path, cscbench):
    for name, base in (("a", "b"), ("b", "a")):
        (tmp_path / "tasks" / name).mkdir(parents=True)
        text = f"name: {name}\ntitle: t\ndescription: d\ndata: {{}}\nextends: {base}\n"
        (tmp_path / "tasks" / name / "task.yaml").write_text(text, encoding="utf-8")
    done = cscbench("run", "--model", "gold", "--task", "a")
    assert done.returncode == 2
    assert "task.yaml:5: field `extends`: a task cannot extend itself: a extends b extends a" in done.stderr
    assert "csconv_sample" in cscbench("tasks").stdout


class Inner(Frozen, frozen=True):
    depth: int


class Options(Frozen, frozen=True):
    width: int
    layers: tuple[Inner, ...] = ()


def test_options_are_read_into_the_type_that_the_adapter_gives():
    card = ModelCard("m", "theirs", options={"width": 2, "layers": [{"depth": 1}]})
    assert read_options(card, Options) == Options(2, (Inner(1),))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "missing required field `width`"),
        ({"width": "2"}, "Expected `int`, got `str`"),
        ({"widht": 2, "width": 2}, "did you mean 'width'?"),
        ({"width": 2, "layers": [{"dept": 1}]}, "did you mean 'depth'?"),
    ],
)
def test_wrong_options_are_told_with_the_nearest_name_of_their_own_level(options, message):
    with pytest.raises(UserError) as caught:
        read_options(ModelCard("m", "theirs", options=options), Options)
    assert str(caught.value).startswith("m: `options` of its card: ")
    assert message in str(caught.value)
