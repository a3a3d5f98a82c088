"""The real command with vLLM's engine: killed, stopped, its engine dead, and no process left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default"), pytest.mark.timeout(900)]

RUN = ("run", "--context", "generated", "--language", "en", "--limit", "2", "--encoder", "none")


@pytest.fixture(scope="module")
def small_lora(small_llama, train_lora):
    return train_lora(small_llama, steps=4)


@pytest.fixture
def small_card(small_llama, tmp_path):
    """A card `small` with the hf adapter in the working directory; the tests run its variant `vllm`."""
    folder = tmp_path / "model_cards"
    folder.mkdir()
    (folder / "small.md").write_text(
        f"---\nname: small\nadapter: hf\nweights: {small_llama}\nlanguages: [en, zh]\nsampling: {{max_tokens: 12}}\n"
        "options: {dtype: float32, device: cpu}\nvariants:\n  lora:\n    lora: (--lora)\n  vllm:\n    adapter: vllm\n"
        "    options: {dtype: float32, kv_cache_gib: 0.5, enforce_eager: true, concurrency: 2}\n"
        "  wide:\n    options: {context_length: 100000}\n---\n",
        encoding="utf-8",
    )
    return "small+vllm"


class Command:
    """The real command in its own session, as a terminal would start it."""

    def __init__(self, *args: str | Path) -> None:
        self.output = Path("output.txt")
        self._out = self.output.open("ab")
        command = [sys.executable, "-m", "cscbench", *map(str, args)]
        self.process = subprocess.Popen(command, stdout=self._out, stderr=self._out, start_new_session=True)

    def wait(self) -> int:
        code = self.process.wait(timeout=400)
        self._out.close()
        return code

    def until(self, replies: int) -> None:
        """Wait for so many replies on disk."""
        deadline = time.monotonic() + 400
        while lines() < replies:
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.05)

    def children(self) -> list[int]:
        return list(descendants(self.process.pid))


def lines():
    return sum(path.read_bytes().count(b"\n") for path in Path("reports").glob("*/replies.jsonl"))


def descendants(pid):
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            yield child
            yield from descendants(child)


def has_children(pid):
    """vLLM's engine is the child that has one: its worker."""
    return any(descendants(pid))


def gone(pids, seconds):
    """Whether all of these processes end within `seconds`."""

    def alive():
        return [pid for pid in pids if Path(f"/proc/{pid}").exists() and _state(pid) not in "ZX"]

    deadline = time.monotonic() + seconds
    while alive() and time.monotonic() < deadline:
        time.sleep(0.2)
    return alive() == []


def _state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def the_run():
    (folder,) = Path("reports").iterdir()
    return folder


def ids():
    rows = [json.loads(line) for line in (the_run() / "replies.jsonl").read_text(encoding="utf-8").splitlines()]
    assert not any(row["reply"]["error"] for row in rows)
    return Counter(row["id"] for row in rows)


def test_killed_and_then_stopped_by_ctrl_c_it_goes_on_asks_nothing_twice_and_leaves_no_process(small_card, small_lora):
    command = (*RUN, "--model", small_card, "--lora", small_lora)
    first = Command(*command)
    first.until(3)
    started = first.children()
    assert len(started) >= 2, "vLLM's engine and its worker"
    os.kill(first.process.pid, signal.SIGKILL)
    first.wait()
    assert gone(started, 30)
    assert not list(Path("reports").glob("*/results.json"))

    second = Command(*command)
    second.until(lines() + 3)
    started = second.children()
    os.killpg(second.process.pid, signal.SIGINT)  # as a terminal sends it: to every process of the group
    assert second.wait() == 130
    assert gone(started, 5)
    output = second.output.read_text(encoding="utf-8")
    assert output.rstrip().endswith("cscbench: stopped; finished work is saved: repeat the command to continue")
    assert "Traceback" not in output
    before = ids()

    last = Command(*command)
    assert last.wait() == 0, last.output.read_text()
    assert set(ids().values()) == {1}
    assert before.keys() < ids().keys()
    results = json.loads((the_run() / "results.json").read_text(encoding="utf-8"))
    assert results["run"]["complete"] is True
    assert results["model"]["label"].startswith("small+vllm+lora@")
    assert any(note.startswith("LoRA is on") for note in results["notes"])


def test_an_engine_that_dies_ends_the_command_with_the_reason_and_keeps_the_replies(small_card):
    going = Command(*RUN, "--model", small_card)
    going.until(3)
    started = going.children()
    (engine,) = filter(has_children, started)
    os.kill(engine, signal.SIGKILL)
    assert going.wait() == 2
    assert "cscbench: vLLM's engine process has ended" in going.output.read_text(encoding="utf-8")
    assert gone(started, 30)
    assert lines() >= 3


def test_what_vllm_cannot_start_with_is_said_without_a_traceback(small_card, cscbench_process):
    done = cscbench_process(*RUN, "--model", f"{small_card}+wide")
    assert done.returncode == 2
    assert "small+vllm+wide: vLLM cannot start with" in done.stderr
    assert "max_model_len" in done.stderr
    assert "Traceback" not in done.stderr
