"""The command line as a person meets it: what it imports, what it says, and its exit codes."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cscbench.asking import progress as progress_module
from cscbench.asking.progress import progress
from cscbench.content.extras import require_extra, versions
from cscbench.content.plugins import load, names
from cscbench.values import UserError

SMALL = ("--limit", "2", "--encoder", "none")
HEAVY = ("torch", "transformers", "peft", "pandas", "plotly", "numpy", "sacrebleu", "bert_score", "pyarrow", "sklearn")


def imported(*args: str) -> tuple[set[str], str]:
    """The heavy packages that a command imports, and what it prints."""
    code = (
        "import sys\nfrom cscbench.cli import cli\n"
        "try:\n    cli(sys.argv[1:], prog_name='cscbench')\n"
        "except SystemExit as end:\n    assert end.code in (0, None), end.code\n"
        f"print('\\nIMPORTED', *(name for name in {HEAVY!r} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=True)
    said, _, imported_modules = done.stdout.rpartition("\nIMPORTED")
    return set(imported_modules.split()), said


def tree(folder: Path) -> dict[str, int]:
    """Every file below a folder and when it was written."""
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["run", "--help"], ["models"], ["tasks"]])
def test_help_and_lists_import_nothing_heavy(args):
    imported_modules, said = imported(*args)
    assert imported_modules == set()
    assert said.strip()


def test_importing_the_command_line_imports_nothing_heavy():
    code = f"import sys, cscbench.cli; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_help_names_every_command_and_each_has_its_own_help(cscbench):
    lines = cscbench("--help").stdout.partition("Commands:")[2].splitlines()
    commands = [line.split()[0] for line in lines if line.strip()]
    assert {"run", "score", "show", "models", "tasks"} <= set(commands)
    for command in commands:
        done = cscbench(command, "--help")
        assert (done.returncode, done.stderr) == (0, "")
        assert f"Usage: cscbench {command}" in done.stdout


CARDS = {
    "odd": "---\nname: odd\nadapter: hff\n---\n",
    "badopt": "---\nname: badopt\nadapter: hf\nweights: package:smollm2-135m\noptions: {batchsize: 3}\n---\n",
    "nowhere": "---\nname: nowhere\nadapter: hf\nweights: /no/such/folder\n---\n",
}


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["rnu", "--model", "gold"], ["rnu", "'run'"]),
        (["run", "--modell", "gold"], ["--modell", "--model"]),
        (["run"], ["--model"]),
        (["run", "--model", "glod"], ["glod", "'gold'", "cscbench models"]),
        (["run", "--model", "smollm2"], ["'smollm2-135m'"]),
        (["run", "--model", "gold", "--task", "csconv_smaple"], ["'csconv_sample'", "cscbench tasks"]),
        (["run", "--model", "smollm2-135m+lorra"], ["lorra", "'lora'", "smollm2-135m.md"]),
        (["run", "--model", "smollm2-135m+lora"], ["--lora PATH"]),
        (["run", "--model", "smollm2-135m", "--lora", "no/such"], ["no/such", "adapter_config.json"]),
        (["run", "--model", "gold", "--lora", "no/such"], ["does not accept `lora`"]),
        (["run", "--model", "odd"], ["hff", "'hf'"]),
        (["run", "--model", "badopt"], ["batchsize", "'batch_size'"]),
        (["run", "--model", "nowhere"], ["/no/such/folder/config.json"]),
        (["run", "--model", "gold", *SMALL, "--scorer", "blue"], ["blue", "'bleu'"]),
        (["run", "--model", "gold", "--limit", "2", "--encoder", "e5-smal"], ["'e5-small'"]),
        (["run", "--model", "gold", "--limit", "2", "--encoder", "gold"], ["not an encoder"]),
        (["run", "--model", "gold", "--limit", "2", "--encoder", "./none"], ["config.json"]),
        (["run", "--model", "gold", "--context", "golden"], ["--context", "gold", "generated"]),
        (["run", "--model", "gold", "--condition", "twostep"], ["--condition", "two-step"]),
        (["run", "--model", "gold", "--language", "de"], ["--language", "zh"]),
        (["run", "--model", "gold", "--limit", "0"], ["--limit"]),
        (["run", "--model", "gold", "--limit", "x"], ["--limit", "'x'"]),
        (["run", "--model", "gold", "--seed", "x"], ["--seed"]),
        (["run", "--model", "gold", "--data", "no.jsonl"], ["no.jsonl"]),
        (["run", "--model", "gold", "--data", "model_cards"], ["model_cards"]),
        (["run", "--model", "gold", "--task", "csconv"], ["--data"]),
        (["run", "--model", "gold", "--dry-run", "--scorer", "blue"], ["blue", "'bleu'"]),
        (["run", "--model", "gold", "--dry-run", "--encoder", "e5-smal"], ["'e5-small'"]),
        (["run", "--model", "badopt", "--dry-run"], ["batchsize", "'batch_size'"]),
        (["score", "no/such"], ["no/such/run.json"]),
        (["show", "no/such"], ["no/such", "results.json"]),
        (["show"], ["RUNS"]),
    ],
    ids=lambda value: " ".join(value[:5]) if isinstance(value, list) else None,
)
def test_a_mistake_gets_a_message_with_its_cure_and_exit_code_2(cscbench, tmp_path, args, says):
    (tmp_path / "model_cards").mkdir()
    for name, text in CARDS.items():
        (tmp_path / f"model_cards/{name}.md").write_text(text, encoding="utf-8")
    done = cscbench(*args)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    for part in says:
        assert part in done.stderr
    assert not list(tmp_path.rglob("results.json"))


def test_a_finished_run_repeated_loads_no_torch_and_changes_nothing(cscbench, tiny_card, tmp_path):
    command = ("run", "--model", tiny_card, "--limit", "1", "--encoder", "none")
    first = cscbench("--quiet", *command)
    assert (first.returncode, first.stderr) == (0, "")  # quiet: not a word on what went well
    before = tree(tmp_path / "reports")
    imported_modules, said = imported(*command)
    assert imported_modules.isdisjoint({"torch", "transformers", "peft", "bert_score"})
    assert said.strip() == first.stdout.strip()
    assert tree(tmp_path / "reports") == before


@pytest.mark.parametrize("model", ["qwen7b", "smollm2-135m", "gold"])
def test_a_dry_run_loads_and_writes_nothing(tmp_path, model):
    before = tree(tmp_path)
    imported_modules, said = imported("run", "--model", model, "--limit", "3", "--dry-run")
    assert imported_modules.isdisjoint({"torch", "transformers", "peft"})
    assert tree(tmp_path) == before
    for part in (f"name: {model}", "csconv_sample", "<system>", "tokens"):
        assert part in said


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["models"], 0),
        (["run", "--model", "glod"], 2),
        (["run", "--model", "gold", "--limit", "2", "--encoder", "none", "--scorer", "bleu"], 0),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_inside_the_test_process_a_command_prints_and_returns_what_it_does_as_a_process(
    cscbench, cscbench_process, tmp_path, monkeypatch, args, code
):
    outcomes = []
    for run in (cscbench, cscbench_process):
        folder = tmp_path / str(len(outcomes))
        folder.mkdir()
        monkeypatch.chdir(folder)
        done = run(*args)
        text = re.sub(
            r"[\d.,]+ (?:s\b|[MG]B|per second)", "N", done.stdout
        )  # costs are measured, and set columns' widths
        outcomes.append((done.returncode, re.sub(r"[ ─]+", " ", text), done.stderr))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0] == code


def test_a_dry_run_without_a_network_says_what_is_not_to_be_had(cscbench_process):
    # No proxy answers there; nothing is asked of the real Hub.
    dead = {"HF_HUB_OFFLINE": "0", "HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    done = cscbench_process("run", "--model", "qwen7b", "--limit", "1", "--dry-run", **dead, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "not available here: qwen7b: Qwen/Qwen2.5-7B-Instruct" in done.stdout
    assert "weights: Qwen/Qwen2.5-7B-Instruct" in done.stdout


def test_progress_is_plain_lines_where_there_is_no_terminal(caplog, monkeypatch):
    monkeypatch.setattr(progress_module, "_PLAIN_EVERY_S", 0.0)
    caplog.set_level("INFO", "cscbench")
    with progress("tiny", 4) as bar:
        bar.skip()
        bar.step()
        bar.step()
    lines = caplog.messages
    assert [line.split(",")[0] for line in lines] == ["tiny: 1/4", "tiny: 2/4", "tiny: 3/4"]
    assert "? left" in lines[0]  # a reply that was on disk says nothing about the speed of the rest
    assert "/s, 0:00:" in lines[2]
    assert not any("\x1b" in line or "\r" in line for line in lines)


def test_progress_keeps_quiet_between_its_lines(caplog):
    caplog.set_level("INFO", "cscbench")
    with progress("tiny", 1000) as bar:
        for _ in range(1000):
            bar.step()
    assert caplog.messages == []


def test_quiet_silences_progress(caplog, monkeypatch):
    monkeypatch.setattr(progress_module, "_PLAIN_EVERY_S", 0.0)
    caplog.set_level("WARNING", "cscbench")
    with progress("tiny", 4) as bar:
        bar.step()
    assert caplog.messages == []


def test_progress_is_a_bar_on_a_terminal():
    parent, child = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    command = [sys.executable, "-m", "cscbench", "run", "--model", "gold", "--encoder", "none"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=child, env=env, check=True)
    os.close(child)
    shown = os.read(parent, 1_000_000).decode()
    os.close(parent)
    assert "gold" in shown
    assert "━" in shown
    assert b"strategy_accuracy" in done.stdout


@pytest.mark.slow  # the quick ones are in test_run.py and test_openai_runs.py
def test_ctrl_c_ends_without_a_traceback_and_the_same_command_continues(cscbench, tiny_card, tmp_path):
    card = tmp_path / "model_cards/tiny.md"
    card.write_text(card.read_text().replace("max_tokens: 8", "max_tokens: 48"))
    command = ("run", "--model", tiny_card, "--limit", "2", "--encoder", "none")
    going = subprocess.Popen(
        [sys.executable, "-m", "cscbench", *command], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    with going:
        log = wait_for_replies(tmp_path / "reports", going)
        going.send_signal(signal.SIGINT)
        said = going.communicate(timeout=60)[1]
    assert going.returncode == 130, said
    assert "Traceback" not in said
    assert "repeat the command to continue" in said
    before = log.read_bytes()
    assert not (log.parent / "results.json").exists()
    assert cscbench(*command).returncode == 0
    assert log.read_bytes().startswith(before)
    assert len(log.read_bytes()) > len(before)
    assert json.loads((log.parent / "results.json").read_bytes())["run"]["complete"] is True


def wait_for_replies(out: Path, going: subprocess.Popen) -> Path:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and going.poll() is None:
        for log in out.glob("*/replies.jsonl"):
            if log.stat().st_size:
                return log
        time.sleep(0.01)
    raise AssertionError(f"no reply came: {going.poll()}")


# --- plugins and extras


def test_a_missing_extra_comes_with_its_pip_line():
    require_extra("hf", ["json", "torch"], "this test")
    with pytest.raises(UserError, match=r'needs no_such_one, no_such_two: pip install "cscbench\[hf\]"'):
        require_extra("hf", ["json", "no_such_one", "no_such_two"], "this test")
    assert versions(["click", "no-such-package"])["no-such-package"] == "absent"


@pytest.mark.parametrize("module", ["missing_dependency", "no_attribute"])
def test_a_plugin_that_does_not_load_is_named(tmp_path, monkeypatch, module):
    (tmp_path / "broken-1.dist-info").mkdir()
    (tmp_path / "broken-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (tmp_path / "broken-1.dist-info/entry_points.txt").write_text(f"[cscbench.scorers]\nbroken = {module}:FACTORY\n")
    (tmp_path / "missing_dependency.py").write_text("import no_such_module\n")
    (tmp_path / "no_attribute.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=f"broken = {module}:FACTORY cannot be loaded"):
        load(names("scorers")["broken"])


def test_a_terminal_without_chinese_still_shows_the_numbers(cscbench, tmp_path):
    (tmp_path / "model_cards").mkdir()
    (tmp_path / "model_cards/模型.md").write_text("---\nname: 模型\nadapter: gold\n---\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "cscbench", "run", "--model", "模型", "--limit", "1", "--encoder", "none"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"\\u6a21\\u578b" in done.stdout
    assert b"100.00" in done.stdout
