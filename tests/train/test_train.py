"""The command `cscbench train`: its printed next command runs the trained weights; errors name their fix."""

import json
import shlex
import shutil
from pathlib import Path

import pytest

from cscbench.content.tasks import find_task
from cscbench.models.chat import Chat
from cscbench.train.options import Recipe, TrainOptions
from cscbench.train.plan import prepare
from cscbench.train.sequences import encode
from cscbench.train.train import train as train_plan
from cscbench.values import Condition, UserError

OUT = Path("adapters/x")
NO_ENCODER = ("--encoder", "none")
QUICK = ("--out", OUT, "--lr", "0.05", "--batch-size", "2", "--accumulate", "1")


@pytest.fixture
def train(cscbench, tiny_card, short_task):
    """The command with a small model and task; later options win over earlier ones."""

    def run(*args):
        return cscbench("train", "--base", tiny_card, "--task", short_task, *QUICK, *args)

    return run


def refused(done):
    assert done.returncode == 2, done.stdout
    assert "Traceback" not in done.stderr
    assert not (OUT / "adapter_model.safetensors").exists()
    return done.stderr


def test_the_next_line_runs_what_was_trained(train, cscbench, smol_tokenizer, tmp_path):
    rows = (tmp_path / "tasks/short/train.jsonl").read_text()
    Path("RoleCS.jsonl").write_text(f'{rows}\n{{"dialogue": "Hello!"}}')
    given = ("--data", "RoleCS.jsonl")
    done = train(*given)
    assert done.returncode == 0, done.stderr
    assert {"Traceback", "Warning"}.isdisjoint(done.stderr.split())
    assert "1 records could not be read and are left out (training.json lists all)" in done.stderr
    assert sorted(path.name for path in OUT.iterdir()) == [
        ".lock",
        "adapter_config.json",
        "adapter_model.safetensors",
        "training.json",
    ]
    record = json.loads((OUT / "training.json").read_text(encoding="utf-8"))
    losses = record["losses"]
    assert [loss["epoch"] for loss in losses] == [0, 1, 2, 3]
    assert losses[-1]["held_out"] < losses[0]["held_out"] - 0.5
    assert losses[-1]["train"] < losses[1]["train"]
    for loss in losses:
        assert f"{loss['held_out']:.4f}" in done.stdout
    assert (record["train"]["dialogues"], record["train"]["answers"], record["held_out"]["dialogues"]) == (5, 10, 1)
    assert [file["name"] for file in record["data"]["files"]] == ["RoleCS.jsonl"]
    assert len(record["data"]["faults"]) == 1
    config = json.loads((OUT / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny-llama"  # no path of this machine

    program, *line = shlex.split(done.stdout.splitlines()[-1])
    assert (program, line) == ("cscbench", ["run", "--model", "tiny", "--lora", str(OUT)])
    ran = cscbench(*line, "--task", "short", *NO_ENCODER)
    assert ran.returncode == 0, ran.stderr
    folder = Path(ran.stdout.splitlines()[-1])
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert results["model"]["label"] == f"tiny+lora@{record['lora'][:8]}"
    assert results["model"]["label"] in done.stdout
    assert any(note.startswith("LoRA is on") for note in results["notes"])
    # The run's prompts are as long as those that training puts before the answers.
    task = find_task("short")
    (dialogue,) = task.load(None).test
    (example,) = encode(
        dialogue, task.prompt("default", "en", Condition.JOINT), Chat(smol_tokenizer, 4096), 4096
    ).examples
    replies = [json.loads(line)["reply"] for line in (folder / "replies.jsonl").read_text("utf-8").splitlines()]
    assert sorted(reply["tokens_in"] for reply in replies) == [start for start, _ in example.answers]

    weights = (OUT / "adapter_model.safetensors").stat().st_mtime_ns
    again = train(*given)
    assert (again.returncode, again.stdout) == (0, done.stdout)
    assert (OUT / "adapter_model.safetensors").stat().st_mtime_ns == weights
    changed = train(*given, "--lr", "0.01")
    assert changed.returncode == 2
    assert "(recipe.learning_rate was 0.05, is 0.01): choose another --out" in changed.stderr
    with (OUT / "adapter_model.safetensors").open("ab") as file:
        file.write(b" ")
    damaged = train(*given)
    assert damaged.returncode == 2
    assert "not the weights that training.json describes" in damaged.stderr


class TestBroken:
    def test_records_that_cannot_be_read_are_shown_as_a_run_shows_them(self, train, tmp_path):
        rows = (tmp_path / "tasks/short/train.jsonl").read_text().splitlines()
        Path("data.jsonl").write_text("\n".join([*rows[:3], '{"dialogue": "Hello!"}']))
        OUT.parent.mkdir()
        OUT.write_text("")
        done = train("--data", "data.jsonl")
        assert "data.jsonl, record 3, dialogue: expected a list of turns, got a string" in done.stderr
        assert (done.returncode, "adapters/x: cannot write: File exists" in done.stderr) == (2, True)

    def test_a_file_without_a_dialogue_is_refused(self, train):
        Path("data.json").write_text("[]")
        assert "none of its 0 records is a readable dialogue" in refused(train("--data", "data.json"))

    def test_an_unknown_base_is_refused_with_the_nearest_name(self, train):
        assert "did you mean 'tiny'" in refused(train("--base", "tinny"))

    def test_weights_of_another_hand_are_not_written_over(self, train):
        OUT.mkdir(parents=True)
        (OUT / "adapter_model.safetensors").write_bytes(b"mine")
        done = train()
        assert done.returncode == 2
        assert "contains LoRA weights that this command did not write: choose another --out" in done.stderr
        assert (OUT / "adapter_model.safetensors").read_bytes() == b"mine"

    def test_ranked_is_no_shape_to_train_in(self, train):
        assert "'ranked' is not one of 'joint', 'two-step', 'gold-strategy'" in refused(train("--condition", "ranked"))

    @pytest.mark.parametrize(
        ("recipe", "reason"),
        [
            ({"max_length": 5000}, "--max-length 5000: the window of tiny is 4096 tokens"),
            ({"max_length": 20}, "none of the training answers can be used; the first, d0: the answer, its question"),
            ({"targets": ("c_attn",)}, "--target c_attn: .*\nIt has: down_proj, gate_proj, k_proj, o_proj, q_proj"),
        ],
    )
    def test_what_the_model_cannot_do_is_refused_and_leaves_no_weights(self, tiny_card, short_task, recipe, reason):
        with pytest.raises(UserError, match=f"(?s){reason}"):
            train_plan(prepare(TrainOptions(tiny_card, str(OUT), short_task, recipe=Recipe(**recipe))))
        assert not (OUT / "adapter_model.safetensors").exists()

    def test_base_weights_that_do_not_load_are_refused(self, tiny_card, short_task, tiny_model, tmp_path):
        broken = tmp_path / "broken"
        shutil.copytree(tiny_model, broken)
        (broken / "model.safetensors").write_bytes(b"nothing")
        card = tmp_path / "model_cards/tiny.md"
        card.write_text(card.read_text().replace(str(tiny_model), str(broken)))
        with pytest.raises(UserError, match=f"transformers cannot load {broken}"):
            train_plan(prepare(TrainOptions(tiny_card, str(OUT), short_task)))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_real_model_learns_and_runs_with_what_it_learned(cscbench, smollm2):
    assert smollm2.is_dir()
    given = (
        "--language",
        "en",
        "--limit",
        "4",
        "--epochs",
        "1",
        "--batch-size",
        "1",
        "--accumulate",
        "1",
        "--lr",
        "5e-4",
    )
    done = cscbench("train", "--base", "smollm2-135m", "--out", OUT, *given, timeout=1200)
    assert done.returncode == 0, done.stderr
    before, after = (loss["held_out"] for loss in json.loads((OUT / "training.json").read_text())["losses"])
    assert after < before
    ran = cscbench(
        "run", "--model", "smollm2-135m", "--lora", OUT, "--language", "en", "--limit", "1", *NO_ENCODER, timeout=1200
    )
    assert ran.returncode == 0, ran.stderr
    assert "LoRA is on" in ran.stdout
