"""The cost that whole runs report: after a kill, after failures, in results.json and on the terminal."""

import json
import os
import re
from pathlib import Path

import pytest
from helpers import only_run, replies_of, results_of
from jsonschema import Draft202012Validator

from cscbench.runs import results
from cscbench.runs.options import RunOptions
from cscbench.runs.plan import prepare

PLUGIN = """
import asyncio, os, signal
from cscbench.models.backend import Backend, LoadedAdapter
from cscbench.values import Reply

class Counting:
    asked = 0

    async def generate(self, request):
        Counting.asked += 1
        await asyncio.sleep(0.02)
        if Counting.asked == int(os.environ.get("DIES", 0)):
            os.kill(os.getpid(), signal.SIGKILL)
        if request.id == os.environ.get("FAILS"):
            raise TimeoutError("nobody there")
        return Reply("[GT] hi", tokens_in=100, tokens_out=4, tokens_reused=75, seconds=0.01, finish_reason="stop")

    def close(self):
        pass

facts = {"dtype": os.environ.get("DTYPE", "float32"), "chat_template": "0" * 64}
KIND = Backend(
    load=lambda setting: LoadedAdapter(Counting(), facts, devices=("cpu",)),
    packages=("counting-plugin",),
    concurrency=lambda card: 1,
)
"""
CARD = "---\nname: counting\nadapter: counting\nprice: {input: 1.0, output: 5.0, currency: CNY}\n---\n"
SMALL = ("--limit", "2", "--encoder", "none")


@pytest.fixture
def counting(tmp_path, monkeypatch):
    """The command for a card whose adapter counts tokens: 100 in, 75 of them reused, 4 out, for every reply."""
    site = tmp_path / "site"
    (site / "counting_plugin-1.0.dist-info").mkdir(parents=True)
    (site / "counting_plugin.py").write_text(PLUGIN, encoding="utf-8")
    meta = "Metadata-Version: 2.1\nName: counting-plugin\nVersion: 1.0\n"
    (site / "counting_plugin-1.0.dist-info/METADATA").write_text(meta, encoding="utf-8")
    points = "[cscbench.adapters]\ncounting = counting_plugin:KIND\n"
    (site / "counting_plugin-1.0.dist-info/entry_points.txt").write_text(points, encoding="utf-8")
    (tmp_path / "model_cards").mkdir()
    (tmp_path / "model_cards/counting.md").write_text(CARD, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
    return ("run", "--model", "counting", *SMALL)


def loaded(folder: Path) -> dict:
    data = results_of(folder)
    assert [error.message for error in Draft202012Validator(results.schema()).iter_errors(data)] == []
    return data


def test_a_run_killed_twice_adds_up_all_its_sessions(cscbench, cscbench_process, counting, tmp_path):
    for dies in ("5", "4"):
        assert cscbench_process(*counting, DIES=dies).returncode == -9
    done = cscbench(*counting)
    assert done.returncode == 0, done.stderr
    again = loaded(only_run(tmp_path / "reports"))
    cost, turns = again["timing"]["cost"], again["counts"]["turns"]
    assert (cost["requests"], cost["sessions"], cost["killed"]) == (turns, 3, 2)
    assert (cost["tokens_in"], cost["tokens_out"]) == (100 * turns, 4 * turns)
    assert (cost["tokens_reused"], cost["tokens_computed"]) == (75 * turns, 25 * turns)
    assert (cost["amount"], cost["currency"]) == (pytest.approx(turns * (100 + 20) / 1e6), "CNY")
    assert cost["model_seconds"] == pytest.approx(0.01 * turns)
    # One at a time, 20 ms each; of a killed session only what its last line had.
    assert 0.02 * (turns - 7) <= cost["wall_seconds"] < 30
    assert (cost["devices"], cost["device_seconds"]) == (1, cost["wall_seconds"])
    assert cost["peak_memory"] > 20e6
    assert (cost["peak_device_memory"], cost["energy_joules"]) == (None, None)
    assert "no energy counter for cpu" in cost["energy_note"]
    # An unkilled run says the same of everything but what it took.
    assert cscbench(*counting, "--out", "whole").returncode == 0
    whole = loaded(only_run(tmp_path / "whole"))
    assert {**again, "timing": {}} == {**whole, "timing": {}}
    assert whole["timing"]["cost"]["sessions"] == 1


def test_what_failed_and_was_asked_again_is_counted_once_in_usage_and_twice_in_cost(cscbench, counting, tmp_path):
    first = prepare(RunOptions(model="gold", limit=1)).dialogues[0].id
    assert cscbench(*counting, FAILS=f"{first}/2/joint").returncode == 3
    partial = loaded(only_run(tmp_path / "reports"))
    turns = partial["counts"]["turns"]
    assert (partial["usage"]["requests"], partial["usage"]["failed"]) == (turns, 1)
    assert partial["usage"]["tokens_in"] == 100 * (turns - 1)
    assert cscbench(*counting).returncode == 0
    resumed = loaded(only_run(tmp_path / "reports"))
    assert resumed["usage"] == {
        "requests": turns, "failed": 0, "tokens_in": 100 * turns, "tokens_out": 4 * turns, "cut": 0, "dropped": 0
    }  # fmt: skip
    cost = resumed["timing"]["cost"]
    assert (cost["requests"], cost["sessions"], cost["killed"]) == (turns + 1, 2, 0)


def test_the_terminal_shows_what_is_known_of_the_cost(cscbench, counting, tmp_path):
    done = cscbench(*counting)
    turns = loaded(only_run(tmp_path / "reports"))["counts"]["turns"]
    rows = dict(re.findall(r"^ (requests|\w+ tokens|time|peak memory|price|energy) +(.*?) *$", done.stdout, re.M))
    assert rows["requests"] == str(turns)
    assert rows["input tokens"] == f"{100 * turns:,}, of which {75 * turns:,} reused"
    assert re.fullmatch(rf"{4 * turns}, [\d.,]+ per second", rows["output tokens"])
    assert re.fullmatch(r"[\d.]+ s with requests in flight, devices: 1", rows["time"])
    assert re.fullmatch(r"[\d.]+ [MG]B", rows["peak memory"])
    assert rows["price"] == f"{turns * 120 / 1e6:.4g} CNY"
    assert "energy" not in rows
    gold = cscbench("run", "--model", "gold", *SMALL)
    assert "input tokens" not in gold.stdout
    side_by_side = cscbench("show", "reports").stdout
    (speed,) = re.findall(r"^ output tokens/s +([\d.,]+) *$", side_by_side, re.M)
    assert float(speed) > 0
    assert re.search(rf"^ price +{re.escape(rows['price'])} *$", side_by_side, re.M)
    assert re.search(r"^ peak memory +[\d.]+ [MG]B +[\d.]+ [MG]B *$", side_by_side, re.M)


def test_results_name_the_engine_and_every_reply_carries_its_key(cscbench, counting, tmp_path):
    assert cscbench(*counting).returncode == 0
    folder = only_run(tmp_path / "reports")
    engine = loaded(folder)["engine"]
    assert engine["facts"] == {"dtype": "float32", "chat_template": "0" * 64}
    assert engine["packages"] == {"counting-plugin": "1.0"}
    assert json.loads((folder / "run.json").read_bytes())["engine"]["facts"] == engine["facts"]
    lines = replies_of(folder)
    assert {line["engine"] for line in lines} == {engine["key"]}


def test_replies_carried_over_from_another_engine_are_asked_again(cscbench, cscbench_process, counting, tmp_path):
    assert cscbench(*counting, "--out", "half", DTYPE="float16").returncode == 0
    theirs = (only_run(tmp_path / "half") / "replies.jsonl").read_bytes()
    assert cscbench_process(*counting, DIES="4").returncode == -9
    folder = only_run(tmp_path / "reports")
    ours = (folder / "replies.jsonl").read_bytes()
    (folder / "replies.jsonl").write_bytes(ours + theirs)
    done = cscbench(*counting)
    assert done.returncode == 0, done.stderr
    assert f"ignoring {len(theirs.splitlines())} replies from another model or engine" in done.stderr
    scored = loaded(folder)
    assert scored["usage"]["requests"] == scored["timing"]["cost"]["requests"] == scored["counts"]["turns"]
    lines = replies_of(folder)
    ids = [line["id"] for line in lines if line["engine"] == scored["engine"]["key"]]
    assert len(ids) == len(set(ids)) == scored["counts"]["turns"]
