"""kill -9 at any moment: the same command ends as if nothing had happened, and asks nothing twice."""

import contextlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
from helpers import only_run, refused
from kills import killed

from cscbench.asking import store

KILLS = 3


class Going(Protocol):
    """A command under way."""

    def kill(self) -> None: ...
    def wait(self) -> int: ...
    def signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def running(self) -> bool: ...


class Command:
    """The real command as a subprocess in a session of its own."""

    def __init__(self, args: list[str], folder: Path) -> None:
        self._log = (folder / "said.txt").open("ab")
        command = [sys.executable, "-m", "cscbench", *args]
        self._process = subprocess.Popen(
            command, cwd=folder, stdout=self._log, stderr=self._log, start_new_session=True
        )

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    def wait(self) -> int:
        code = self._process.wait(timeout=1200)
        self._log.close()
        return code

    def signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def running(self) -> bool:
        return self._process.poll() is None


def _forked(args: list[str], folder: str, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    os.chdir(folder)
    said = os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    from cscbench.cli import cli

    cli(args, prog_name="cscbench")


class Forked:
    """The same command forked from a process that has imported torch, peft and Trainer: 10 starts in the time of 3.

    Each still loads the model, holds the lock and writes the files as a process of its own, and SIGKILL ends it as
    it ends any other.
    """

    def __init__(self, args: list[str], folder: Path) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(
            ["cscbench.runs.run", "cscbench.train.tune", "transformers.models.llama.modeling_llama"]
        )
        self._process = context.Process(target=_forked, args=(args, str(folder), dict(os.environ)))
        self._process.start()

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def wait(self) -> int:
        self._process.join(timeout=120)
        assert self._process.exitcode is not None
        return self._process.exitcode

    def signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def running(self) -> bool:
        return self._process.is_alive()


def lines(out: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in out.glob("*/replies.jsonl"))


def kill_at(going: Going, out: Path, target: int, rest: float) -> int:
    """Kill once `target` replies are on disk and a moment more has passed; how many there were."""
    deadline = time.monotonic() + 600
    while lines(out) < target and going.running():
        assert time.monotonic() < deadline
        time.sleep(0.002)
    time.sleep(rest)
    assert going.running(), "it finished before it could be killed: give it more to do"
    going.kill()
    assert not list(out.glob("*/results.json"))
    return lines(out)


def check(start: Callable[[list[str], Path], Going], folder: Path, args: list[str], seed: int, wait: float) -> None:
    """Run once unkilled and once killed three times; the two must agree. `wait`: about the seconds of one batch."""
    command = ["run", "--context", "generated", "--limit", "4", "--encoder", "none", *args]
    assert start([*command, "--out", "unkilled"], folder).wait() == 0, (folder / "said.txt").read_text()
    dice = random.Random(seed)  # noqa: S311 - the same moments in every run of the test
    out = folder / "killed"
    whole = lines(folder / "unkilled")
    # Somewhere in each quarter of the run, with room left for a batch to end before the kill comes.
    targets = [whole * kill // (KILLS + 1) + dice.randint(1, whole // 6) for kill in range(KILLS)]
    seen = []
    for target in targets:
        going = start([*command, "--out", "killed"], folder)
        seen.append(kill_at(going, out, max(target, *seen[-1:], 0) + 1, dice.random() * wait))
    assert 0 < seen[0] < seen[1] < seen[2] < whole
    (run,) = out.iterdir()
    # A kill inside write(2) itself is too rare to wait for: the last kill leaves its line torn.
    log = run / "replies.jsonl"
    os.truncate(log, log.stat().st_size - 20)
    assert start([*command, "--out", "killed"], folder).wait() == 0, (folder / "said.txt").read_text()
    compare(folder / "unkilled" / run.name, run)


def compare(unkilled: Path, killed: Path) -> None:
    def results(folder: Path) -> dict:
        data = json.loads((folder / "results.json").read_bytes())
        del data["timing"]
        return data

    def replies(folder: Path) -> list[dict]:
        lines = [json.loads(line) for line in (folder / "replies.jsonl").read_bytes().splitlines()]
        for line in lines:
            del line["reply"]["seconds"]
            del line["reply"]["tokens_reused"]  # a new process begins with an empty cache
        return sorted(lines, key=lambda line: line["id"])

    assert results(killed) == results(unkilled)
    assert set(Counter(line["id"] for line in replies(killed)).values()) == {1}
    assert replies(killed) == replies(unkilled)
    assert (killed / "predictions.parquet").read_bytes() == (unkilled / "predictions.parquet").read_bytes()
    assert json.loads((killed / "results.json").read_bytes())["run"]["complete"] is True


def test_a_baseline_killed_at_some_steps_ends_as_if_unkilled(cscbench, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # a kill, unlike a power cut, loses nothing written
    command = ("run", "--model", "retrieval", "--context", "generated", "--limit", "2", "--encoder", "none")
    assert cscbench(*command, "--out", "unkilled").returncode == 0
    whole = only_run(tmp_path / "unkilled")
    for step in (5, 14, 23):
        shutil.rmtree(tmp_path / "killed", ignore_errors=True)
        assert killed(lambda: cscbench(*command, "--out", "killed"), step, tmp_path / "killed"), step
        assert not list((tmp_path / "killed").glob("*/results.json"))
        assert cscbench(*command, "--out", "killed").returncode == 0
        compare(whole, tmp_path / "killed" / whole.name)


def test_a_run_that_another_command_holds_is_refused(cscbench):
    command = ("run", "--model", "gold", "--limit", "1", "--encoder", "none")
    assert cscbench(*command).returncode == 0
    run = only_run(Path("reports"))
    (run / "results.json").unlink()
    with store.locked(run):
        refused(cscbench(*command), "another cscbench command is using this folder")
    assert cscbench(*command).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "condition", "tokens"),
    [("tiny", "joint", 24), ("tiny+sampled", "two-step", 10)],
    ids=["joint", "two-step"],
)
def test_killed_three_times_it_ends_as_if_unkilled(tiny_card, tmp_path, model, condition, tokens):
    card = tmp_path / f"model_cards/{tiny_card}.md"
    card.write_text(card.read_text().replace("max_tokens: 8", f"max_tokens: {tokens}"))
    check(Forked, tmp_path, ["--model", model, "--condition", condition], seed=1, wait=0.05)


@pytest.mark.slow
def test_a_second_command_on_the_same_run_is_refused_and_disturbs_nothing(tiny_card, tmp_path):
    card = tmp_path / f"model_cards/{tiny_card}.md"
    card.write_text(card.read_text().replace("max_tokens: 8", "max_tokens: 24"))
    command = ["run", "--model", "tiny", "--limit", "3", "--encoder", "none"]
    first = Forked(command, tmp_path)
    with contextlib.ExitStack() as stack:
        stack.callback(first.kill)
        while lines(tmp_path / "reports") < 2:
            assert first.running()
            time.sleep(0.01)
        first.signal(signal.SIGSTOP)  # else it may end before the other has begun
        other = subprocess.run(
            [sys.executable, "-m", "cscbench", *command], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        first.signal(signal.SIGCONT)
        assert other.returncode == 2
        assert "another cscbench command is using this folder" in other.stderr
        assert "Traceback" not in other.stderr
        assert first.wait() == 0
    (run,) = (tmp_path / "reports").iterdir()
    ids = Counter(json.loads(line)["id"] for line in (run / "replies.jsonl").read_bytes().splitlines())
    assert set(ids.values()) == {1}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_real_model_killed_three_times_ends_as_if_unkilled(smollm2, tmp_path):
    assert smollm2.is_dir()
    check(Command, tmp_path, ["--model", "smollm2-135m"], seed=11, wait=3.0)
