"""Whole runs through the real command: what names a run, what a broken adapter or disk leaves, what is done again."""

import asyncio
import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import only_run, replies_of, results_of
from msgspec import structs

from cscbench.runs.options import RunOptions
from cscbench.runs.plan import prepare, run_record
from cscbench.runs.run import run
from cscbench.values import Condition, Context, Language

ROOT = Path(__file__).parents[1]
SMALL = ("--limit", "2", "--encoder", "none")


def timeless(folder: Path) -> str:
    """results.json byte for byte, less its `timing`."""
    scored = results_of(folder)
    assert set(scored.pop("timing")) == {"started", "finished", "cost", "judges"}
    return json.dumps(scored, ensure_ascii=False)


# --- what names a run


def hash_of(**options) -> str:
    return run_record(prepare(RunOptions(**options))).hash


def write_lora(folder: Path, content: bytes) -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}", encoding="utf-8")
    (folder / "adapter_model.safetensors").write_bytes(content)
    return folder


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_every_option_that_changes_a_reply_changes_the_hash(tiny_card, tmp_path):
    first, second = write_lora(tmp_path / "one", b"1"), write_lora(tmp_path / "two", b"2")
    data = tmp_path / "other.jsonl"
    shutil.copy(ROOT / "tasks/csconv_sample/data/train.jsonl", data)
    changes = [
        {},
        {"seed": 1},
        {"limit": 3},
        {"limit": 4},
        {"language": Language.EN},
        {"context": Context.GENERATED},
        {"condition": Condition.TWO_STEP},
        {"condition": Condition.GOLD_STRATEGY},
        {"model": "tiny+sampled"},
        {"lora": str(first)},
        {"lora": str(second)},
        {"data": str(data)},
        {"model": "gold"},
    ]
    hashes = [hash_of(**{"model": tiny_card, **change}) for change in changes]
    assert len(set(hashes)) == len(changes)
    assert hash_of(model=tiny_card) == hashes[0]


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja", "x.py"])
def test_a_changed_model_file_changes_the_hash(tiny_card, tiny_model, tmp_path, file):
    copy = shutil.copytree(tiny_model, tmp_path / "copy")
    edit(tmp_path / "model_cards/tiny.md", str(tiny_model), str(copy))
    before = hash_of(model=tiny_card)
    with (copy / file).open("ab") as changed:
        changed.write(b" ")
    assert hash_of(model=tiny_card) != before


def test_a_changed_prompt_changes_the_hash_and_the_same_content_elsewhere_does_not(tmp_path):
    for folder in ("tasks/csconv", "tasks/csconv_sample"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    with contextlib.chdir(ROOT):
        shipped, chinese = hash_of(model="gold"), hash_of(model="gold", language=Language.ZH)
    assert hash_of(model="gold") == shipped
    edit(tmp_path / "tasks/csconv/prompts/default/en/joint.yaml", "professional", "patient")
    assert hash_of(model="gold") != shipped
    assert hash_of(model="gold", language=Language.ZH) == chinese  # the English prompt is none of its


def test_weights_lora_and_data_at_another_path_are_the_same_run(tiny_card, tiny_model, tmp_path):
    lora = write_lora(tmp_path / "one", b"1")
    data = tmp_path / "data.jsonl"
    shutil.copy(ROOT / "tasks/csconv_sample/data/test.jsonl", data)
    before = hash_of(model=tiny_card, lora=str(lora), data=str(data))
    edit(tmp_path / "model_cards/tiny.md", str(tiny_model), str(shutil.copytree(tiny_model, tmp_path / "elsewhere")))
    moved = lora.rename(tmp_path / "moved")
    assert hash_of(model=tiny_card, lora=str(moved), data=str(data.rename(tmp_path / "renamed.jsonl"))) == before


def test_the_same_inputs_give_the_same_bytes(cscbench, tmp_path):
    for out in ("a", "b"):
        assert cscbench("run", "--model", "retrieval", *SMALL, "--out", out).returncode == 0
    first, second = only_run(tmp_path / "a"), only_run(tmp_path / "b")
    assert first.name == second.name
    assert timeless(first) == timeless(second)
    for table in ("predictions.parquet", "scores.parquet"):
        assert (first / table).read_bytes() == (second / table).read_bytes()


# --- a third party's adapter that breaks

PLUGIN = """
import os, time
from cscbench.models.backend import Backend, LoadedAdapter
from cscbench.content.prompts import answer_message
from cscbench.values import Reply

class Flaky:
    async def generate(self, request):
        with open("asked.txt", "a") as log:
            log.write(request.id + "\\n")
        if os.environ["FAILS"] in ("all", request.id):
            raise ValueError("the dog ate " + request.id)
        return Reply("[Greeting] hello", tokens_out=3)

    def close(self):
        pass

def load(context):
    if "LOADS_LONG" in os.environ:
        open("loading", "w").close()
        time.sleep(120)
    return LoadedAdapter(Flaky(), {"device": os.environ.get("DEVICE", "cpu")})

KIND = Backend(load=load)
"""


@pytest.fixture
def flaky(tmp_path, monkeypatch):
    """A card `flaky` whose adapter an installed package offers; FAILS says which request it raises on."""
    site = tmp_path / "site"
    (site / "flaky-1.0.dist-info").mkdir(parents=True)
    (site / "flaky.py").write_text(PLUGIN, encoding="utf-8")
    (site / "flaky-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: flaky\nVersion: 1.0\n")
    (site / "flaky-1.0.dist-info/entry_points.txt").write_text("[cscbench.adapters]\nflaky = flaky:KIND\n")
    (tmp_path / "model_cards").mkdir()
    (tmp_path / "model_cards/flaky.md").write_text("---\nname: flaky\nadapter: flaky\n---\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(site))
    return ("run", "--model", "flaky", *SMALL)


def test_an_adapter_that_raises_on_one_request_sinks_nothing(cscbench, flaky, tmp_path):
    first_dialogue = prepare(RunOptions(model="gold", limit=2)).dialogues[0].id
    bad = f"{first_dialogue}/2/joint"
    done = cscbench(*flaky, FAILS=bad)
    assert done.returncode == 3, done.stderr
    assert "repeat the command" in done.stderr
    folder = only_run(tmp_path / "reports")
    partial = results_of(folder)
    counts = partial["counts"]
    assert partial["run"]["complete"] is False
    assert (counts["failed"], counts["answered"]) == (1, counts["turns"] - 1)
    assert {metric["n"] for metric in partial["metrics"]} == {counts["turns"] - 1}
    (failed,) = [row for row in _rows(folder / "predictions.parquet") if row["error"]]
    assert (failed["dialogue"], failed["turn"], failed["form"]) == (first_dialogue, 2, "failed")
    assert "ValueError: the dog ate" in failed["error"]

    (tmp_path / "asked.txt").unlink()
    again = cscbench(*flaky, FAILS="none")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "asked.txt").read_text().split() == [bad]
    assert results_of(folder)["run"]["complete"] is True
    assert cscbench(*flaky, "--out", "clean", FAILS="none").returncode == 0
    assert timeless(folder) == timeless(only_run(tmp_path / "clean"))


def _rows(path: Path) -> list[dict]:
    import pyarrow.parquet

    return pyarrow.parquet.read_table(path).to_pylist()


def test_an_adapter_that_always_fails_stops_early(cscbench, flaky, tmp_path):
    done = cscbench(*flaky[:-4], "--encoder", "none", FAILS="all")
    assert done.returncode == 2, done.stderr
    assert "the dog ate" in done.stderr.splitlines()[-1]
    assert len((tmp_path / "asked.txt").read_text().split()) < 40  # of about 460 turns
    assert not (only_run(tmp_path / "reports") / "results.json").exists()


def test_a_run_too_short_to_be_given_up_ends_without_a_single_reply(cscbench, flaky, tmp_path):
    done = cscbench(*flaky, "--context", "generated", FAILS="all")
    assert done.returncode == 3, done.stderr
    scored = results_of(only_run(tmp_path / "reports"))
    assert (scored["run"]["complete"], scored["counts"]["answered"], scored["metrics"]) == (False, 0, [])
    assert len((tmp_path / "asked.txt").read_text().split()) == 2  # one a dialogue: later turns lack their history


def test_replies_of_another_device_are_not_mixed(cscbench, flaky, tmp_path):
    first_dialogue = prepare(RunOptions(model="gold", limit=1)).dialogues[0].id
    assert cscbench(*flaky, FAILS=f"{first_dialogue}/0/joint").returncode == 3
    done = cscbench(*flaky, FAILS="none", DEVICE="cuda")
    assert done.returncode == 2
    assert "device: cpu then, cuda now" in done.stderr
    assert "Traceback" not in done.stderr
    assert cscbench(*flaky, FAILS="none").returncode == 0


def test_an_impatient_ctrl_c_while_a_model_loads_prints_no_traceback(flaky, tmp_path):
    # The first waits for the model to be loaded, the second does not.
    env = {**os.environ, "LOADS_LONG": "1", "FAILS": "none"}
    command = [sys.executable, "-m", "cscbench", *flaky]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env, start_new_session=True) as going:
        while not (tmp_path / "loading").exists():
            assert going.poll() is None
            time.sleep(0.01)
        for _ in range(2):
            time.sleep(0.2)
            going.send_signal(signal.SIGINT)
        said = going.communicate(timeout=60)[1]
    # The second may come when Python is about to end and no longer handles it: to a shell that is 130, too.
    assert going.returncode in (130, -signal.SIGINT), said
    assert "Traceback" not in said
    assert "repeat the command to continue" in said


def test_a_damaged_reply_is_said_and_asked_again(cscbench, flaky, tmp_path):
    assert cscbench(*flaky, FAILS="none").returncode == 0
    folder = only_run(tmp_path / "reports")
    before, lines = timeless(folder), (folder / "replies.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "replies.jsonl").write_bytes(b"".join([*lines[:3], b"\xff\n", *lines[4:]]))
    (folder / "results.json").unlink()
    (tmp_path / "asked.txt").unlink()
    done = cscbench(*flaky, FAILS="none")
    assert "1 damaged line" in done.stderr
    assert (tmp_path / "asked.txt").read_text().split() == [json.loads(lines[3])["id"]]
    assert timeless(folder) == before


# --- disks


def limited(size: int, *args: str) -> subprocess.CompletedProcess:
    """The command where no file may grow past `size` bytes (Python ignores SIGXFSZ: the write fails with EFBIG)."""
    return subprocess.run(
        [sys.executable, "-m", "cscbench", *args],
        capture_output=True,
        text=True,
        encoding="utf-8",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
        check=False,
    )


def test_a_full_disk_finishes_nothing_and_the_same_command_completes(cscbench, tmp_path):
    command = ("run", "--model", "gold", *SMALL)
    assert cscbench(*command, "--out", "roomy").returncode == 0
    roomy = only_run(tmp_path / "roomy")
    sizes = {path.name: path.stat().st_size for path in roomy.iterdir()}
    stopped_at = set()
    for name in ("run.json", "replies.jsonl", "predictions.parquet", "scores.parquet", "results.json"):
        # One byte too little for this file; which file hits the limit first depends on their sizes.
        done = limited(sizes[name] - 1, *command)
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        assert "repeat the command" in done.stderr
        assert not list((tmp_path / "reports").rglob("results.json"))
        assert not [path.name for path in (tmp_path / "reports").rglob(".*") if path.name != ".lock"]
        stopped_at |= {name for name in sizes if f"/{name}: cannot write" in done.stderr}
        if name != "results.json":
            shutil.rmtree(tmp_path / "reports")
    assert {"run.json", "scores.parquet"} <= stopped_at
    assert len(stopped_at) >= 3, stopped_at
    assert cscbench(*command).returncode == 0
    assert timeless(only_run(tmp_path / "reports")) == timeless(roomy)


def test_a_disk_full_among_the_replies_keeps_those_before(cscbench, tmp_path):
    command = ("run", "--model", "gold", "--limit", "6", "--encoder", "none")
    assert cscbench(*command, "--out", "roomy").returncode == 0
    roomy = only_run(tmp_path / "roomy")
    size = (roomy / "replies.jsonl").stat().st_size
    assert size > 1.5 * (roomy / "run.json").stat().st_size
    done = limited(size * 3 // 4, *command)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "replies.jsonl: cannot write" in done.stderr
    folder = only_run(tmp_path / "reports")
    kept = (folder / "replies.jsonl").read_bytes().split(b"\n")[:-1]
    assert len(kept) > 10
    assert cscbench(*command).returncode == 0
    assert (folder / "replies.jsonl").read_bytes().split(b"\n")[: len(kept)] == kept
    assert sorted([line["id"] for line in replies_of(folder)]) == sorted([line["id"] for line in replies_of(roomy)])
    assert timeless(folder) == timeless(roomy)


def test_an_out_below_a_file_is_refused(cscbench, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    done = cscbench("run", "--model", "gold", *SMALL, "--out", "file/reports")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "cannot write: Not a directory" in done.stderr


# --- what is not done again


def test_scores_of_another_encoder_of_the_same_name_are_not_taken_for_these(tmp_path, monkeypatch):
    # Two folders called `enc`: the second's scores must not be read from the first's results.
    from cscbench.scoring import plan as scoring_plan
    from cscbench.scoring.plan import ScoringPlan

    def fingerprint_in(folder: str) -> object:
        path = tmp_path / folder / "enc"
        path.mkdir(parents=True)
        (path / "config.json").write_text(json.dumps({"from": folder}), encoding="utf-8")
        record = run_record(prepare(RunOptions(model="gold", limit=1)))
        plan = scoring_plan.plan_scoring(record, str(path), ())
        assert isinstance(plan, ScoringPlan)
        return scoring_plan.scoring_record(plan)

    first, second = fingerprint_in("a"), fingerprint_in("b")
    assert first.encoder.startswith("enc@")
    assert first != second


def test_a_finished_run_is_only_read_and_a_lost_results_file_is_written_anew(tmp_path):
    options = {"model": "gold", "limit": 2, "encoder": "none"}
    finished = run(prepare(RunOptions(**options)))
    folder, first = finished.folder, finished.results
    stamp = (folder / "results.json").stat().st_mtime_ns
    assert run(prepare(RunOptions(**options))).results == first  # its times too
    assert (folder / "results.json").stat().st_mtime_ns == stamp
    (folder / "results.json").unlink()
    again = run(prepare(RunOptions(**options)))
    assert again.folder == folder
    assert structs.replace(again.results, timing=first.timing) == first
    ids = [line["id"] for line in replies_of(folder)]
    assert len(ids) == len(set(ids))


def test_a_run_works_in_a_notebook_where_an_event_loop_runs_already(tiny_card, tmp_path):
    options = {"limit": 2, "encoder": "none", "language": "en"}

    async def notebook():
        return run(prepare(RunOptions(model=tiny_card, out=str(tmp_path / "notebook"), **options)))

    inside = asyncio.run(notebook())
    outside = run(prepare(RunOptions(model=tiny_card, out=str(tmp_path / "script"), **options)))
    assert inside.results.metrics == outside.results.metrics
    assert inside.folder.name == outside.folder.name
