"""The benchmark commands: what they count is right, and those that need nothing but this machine run."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.workload import Batch, difference, unique_tokens
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[1]


def benchmark(name, *args):
    """Output of one of tests/benchmarks; fails where it does."""
    command = [sys.executable, ROOT / "tests" / "benchmarks" / f"{name}.py", *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@given(st.lists(st.lists(st.integers(0, 2), max_size=6).map(tuple), max_size=12))
def test_unique_tokens_are_the_distinct_prefixes(prompts):
    assert unique_tokens(prompts) == len({ids[:end] for ids in prompts for end in range(1, len(ids) + 1)})


def test_a_difference_between_two_records_is_named():
    first = Batch(((1, 2), (3,)), ((7, 8, 9), (7, 0, 0)))
    changed = Batch(first.prompts, ((7, 8, 9), (7, 5, 0)))
    assert difference([first, first], [first, first]) == ""
    assert difference([first, first], [first, changed]) == "batch 2 of 2, row 2: the replies diverge at token 2"
    assert "the batches differ in composition" in difference([first], [Batch(((1, 2), (4,)), first.written)])
    assert "the batches differ in composition" in difference([first], [first, first])


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "tests" / "benchmarks").glob("*.py")))
def test_each_script_finds_what_it_imports(name, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tests" / "benchmarks")
    monkeypatch.syspath_prepend(ROOT / "tests" / "pages")
    importlib.import_module(f"benchmarks.{name}")


@pytest.mark.slow
def test_reuse_changes_no_token_and_the_command_says_so(tiny_model):
    said = benchmark("lm_eval", "--identical", "--weights", tiny_model, "--dialogues", "2", "--max-tokens", "4")
    kept, anew, verdict = said.splitlines()
    computed = [int(line.split()[-4].replace(",", "")) for line in (kept, anew)]
    assert computed[0] < computed[1] / 3
    assert verdict.startswith("identical: the same batches, and all")


@pytest.mark.slow
def test_turns_a_second_are_measured_on_a_random_model(smollm2):
    said = benchmark("reuse", "--shape", "small", "--dialogues", "1", "--max-tokens", "4", "--rounds", "1")
    kept, anew, ratio = (float(cell) for cell in said.splitlines()[-1].split("|")[4:7])
    assert ratio == round(ratio, 2) > 0
    assert abs(kept / anew - ratio) < 0.02 * ratio


@pytest.mark.slow
def test_a_large_model_without_a_gpu_is_said_to_be_not_run():
    command = [sys.executable, ROOT / "tests" / "benchmarks" / "reuse.py"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=240, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    )
    assert "not run: no GPU" in done.stdout.splitlines()[-1]


def test_lm_eval_is_compared_with_the_same_versions_of_shared_packages():
    def pins(name):
        lines = (ROOT / "requirements" / name).read_text().splitlines()
        return {line.partition("==")[0].lower(): line for line in lines if not line.startswith("#")}

    ours, theirs = pins("constraints.txt"), pins("lm-eval.txt")
    assert {"torch", "transformers", "tokenizers", "numpy"} <= {*ours} & {*theirs}
    assert [theirs[name] for name in ours if name in theirs] == [ours[name] for name in ours if name in theirs]


@pytest.mark.slow
def test_the_simulation_runs_and_its_shares_are_shares():
    said = benchmark("simulation", "--simulations", "4")
    shares = [float(cell) for cell in re.findall(r"([\d.]+) %", said.partition("\n\n")[2])]
    assert len(shares) > 60
    assert all(0 <= share <= 100 for share in shares)


@pytest.mark.slow
def test_scoring_gives_the_packages_values_and_says_how_long_both_took():
    said = benchmark("scoring", "--turns", "60", "--dialogues", "6", "--resamples", "20", "--rounds", "1")
    first, *_, last = said.splitlines()
    assert first == "60 turns in 6 dialogues, 20 resamples; 5 metrics equal to 1e-9"
    assert float(last.split()[1]) > 0


@pytest.mark.slow
def test_a_second_model_is_scored_from_kept_references():
    said = benchmark("scoring", "bertscore", "--turns", "12", "--rounds", "1")
    assert "12 turns, the second model on these references; values equal to 1e-5" in said
