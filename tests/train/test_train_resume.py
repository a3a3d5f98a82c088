"""kill -9 at any moment: the same command ends with the weights of a training that was never killed."""

import contextlib
import hashlib
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import refused
from test_resume import Forked

from cscbench.asking import store

GIVEN = ["--lr", "0.02", "--batch-size", "2", "--accumulate", "2", "--epochs", "5"]
STEPS = 10  # 5 dialogues are 3 batches, of which an epoch makes 2 steps, the second one short


def steps_saved(out: Path) -> int:
    complete = (out / ".checkpoints").glob("checkpoint-*/complete.json")
    return max((int(path.parent.name.rpartition("-")[2]) for path in complete), default=0)


def kill_at(going: Forked, out: Path, step: int, rest: float) -> int:
    """Kill once this step is saved (0: once training has begun) and a moment more has passed; the last step saved."""
    deadline = time.monotonic() + 120
    while not (out / ".checkpoints/begun.json").exists() or steps_saved(out) < step:
        assert going.running(), "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    time.sleep(rest)
    assert going.running(), "it ended before it could be killed"
    going.kill()
    assert not (out / "adapter_model.safetensors").exists()
    return steps_saved(out)


def record(out: Path) -> dict:
    """training.json without what differs between equal trainings."""
    content = json.loads((out / "training.json").read_text(encoding="utf-8"))
    del content["environment"], content["finished"]
    return content


@pytest.mark.slow
def test_killed_three_times_it_ends_with_the_weights_of_an_unkilled_training(tiny_card, short_task, tmp_path):
    command = ["train", "--base", tiny_card, "--task", short_task, *GIVEN]
    assert Forked([*command, "--out", "unkilled"], tmp_path).wait() == 0, (tmp_path / "said.txt").read_text()
    out, dice = tmp_path / "killed", random.Random(5)  # noqa: S311 - the same moments in every run of the test
    killed = [*command, "--out", "killed", "--save-every", "0"]
    seen = [kill_at(Forked(killed, tmp_path), out, step, dice.random() * 0.05) for step in (0, 3)]
    length = len((tmp_path / "said.txt").read_text())
    seen.append(kill_at(Forked(killed, tmp_path), out, 6, dice.random() * 0.05))
    assert seen[0] < seen[1] < seen[2] < STEPS
    # A kill inside a write is too rare to wait for: the last one leaves its newest checkpoint torn.
    torn = out / f".checkpoints/checkpoint-{seen[2]}"
    os.truncate(torn / "optimizer.pt", 100)
    assert Forked(killed, tmp_path).wait() == 0, (tmp_path / "said.txt").read_text()
    output = (tmp_path / "said.txt").read_text()[length:]
    assert f"checkpoint-{seen[2]} is incomplete and is removed" in output
    assert "before training" not in output  # it resumed: a training from the start would produce the same weights
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        unkilled, resumed = ((tmp_path / folder / name).read_bytes() for folder in ("unkilled", "killed"))
        assert hashlib.sha256(unkilled).hexdigest() == hashlib.sha256(resumed).hexdigest(), name
    assert record(out) == record(tmp_path / "unkilled")
    assert not (out / ".checkpoints").exists()


def test_a_folder_that_another_command_holds_is_refused(cscbench, tiny_card, short_task):
    with store.locked(Path("x")):
        done = cscbench("train", "--base", tiny_card, "--task", short_task, *GIVEN, "--out", "x")
    refused(done, "another cscbench command is using this folder")
    assert not Path("x/training.json").exists()


@pytest.mark.slow
def test_a_second_command_on_the_same_folder_is_refused_and_disturbs_nothing(tiny_card, short_task, tmp_path):
    command = ["train", "--base", tiny_card, "--task", short_task, *GIVEN, "--save-every", "0", "--out", "x"]
    first = Forked(command, tmp_path)
    with contextlib.ExitStack() as stack:
        stack.callback(first.kill)
        while steps_saved(tmp_path / "x") < 1:
            assert first.running()
            time.sleep(0.005)
        other = subprocess.run(
            [sys.executable, "-m", "cscbench", *command], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert other.returncode == 2
        assert "another cscbench command is using this folder" in other.stderr
        assert "Traceback" not in other.stderr
        assert first.wait() == 0
    assert record(tmp_path / "x")["losses"][-1]["epoch"] == 5
