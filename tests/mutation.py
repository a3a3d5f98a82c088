"""Break cscbench on purpose, one small change at a time, and see whether the tests notice.

    python tests/mutation.py --seed 13                 # 40 mutants of asking, scoring and runs (mutants.py)
    python tests/mutation.py --seed 13 --jobs 2 --json mutants.json
    python tests/mutation.py --only asking/budget.py --count 0     # every mutant of a module

Each mutant lives in a copy of the tree, in a temporary folder. The test files of its module (`TESTS`) run against it
until one fails; one that takes far longer than without the mutant counts as failed. Mutants that nobody can tell from
the original are in mutation_equivalents.py, each with its reason: they are listed, and replaced by another draw.
Exits 1 where more than one mutant in ten survives.
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from mutants import ROOT, Mutant, mutants_of
from mutation_equivalents import EQUIVALENTS

PACKAGES = ("asking", "scoring", "runs")
# A run against a mutant may take so many times as long as one without, and at least so long.
SLACK, LEAST_S = 5.0, 60.0
# Imported once, and not for each mutant again; nothing of cscbench, which is another for each.
SHARED = ("pytest", "hypothesis", "msgspec", "numpy", "scipy.special", "pyarrow.parquet", "sacrebleu", "jinja2", "rich")
ALREADY_IMPORTED = ("-W", "ignore::pytest.PytestAssertRewriteWarning")

# The test files of each module, without `test_` and `.py`, the quickest first.
TESTS = {
    "asking/budget": "accounts desk budget",
    "asking/cost": "cost",
    "asking/desk": "desk engine",
    "asking/engine": "desk engine",
    "asking/files": "files",
    "asking/judge_plays": "judge_plays",
    "asking/meter": "meter_clock meter",
    "asking/parse": "parse",
    "asking/plays": "requests play",
    "asking/progress": "progress",
    "asking/record": "record",
    "asking/store": "store_edges store",
    "scoring/bootstrap": "bootstrap",
    "scoring/kappa": "kappa",
    "scoring/metric_sums": "metric_sums",
    "scoring/paired": "paired_edges metric_sums",
    "scoring/plan": "scoring_plan",
    "scoring/registry": "scoring_plan",
    "scoring/score": "score_rows scoring",
    "scoring/scorer": "scoring_plan",
    "scoring/scorers/bertscore": "bertscore_rows",
    "scoring/scorers/bleu": "bleu",
    "scoring/scorers/embeddings": "embeddings",
    "scoring/scorers/evaluate_library": "evaluate_values",
    "scoring/scorers/rouge": "rouge",
    "scoring/scorers/stars": "stars",
    "scoring/scorers/strategy": "strategy",
    "scoring/scorers/text": "text",
    "scoring/scorers/transitions": "text",
    "runs/cost_rows": "cost_rows",
    "runs/finished": "finished summary",
    "runs/frames": "summary",
    "runs/options": "run_plan",
    "runs/plan": "run_plan",
    "runs/reproduce": "reproduce",
    "runs/results": "results_rows",
    "runs/run": "run_small",
    "runs/summary": "summary",
    "runs/turns": "turns",
}


class Tree:
    """A copy of the tree, with an import path of its own, in which tests run against one mutant at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".*", "__pycache__", "site", "build", "dist"))
        weights = ROOT / ".cache" / "test-weights"
        if weights.exists():
            (folder / ".cache").mkdir()
            (folder / ".cache" / "test-weights").symlink_to(weights.resolve(), target_is_directory=True)
        # The commands that tests start import the copy too.
        self._env = {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        where = [sys.executable, "-c", "import cscbench; print(cscbench.__file__)"]
        env = {**os.environ, **self._env}
        imported = subprocess.run(where, cwd="/", env=env, capture_output=True, text=True, check=True).stdout.strip()
        if Path(imported).parent != folder / "cscbench":
            raise SystemExit(f"{folder}: its tests would import {imported}")

    def run(self, test: Path, limit_s: float) -> tuple[str, float]:
        """Run a test file: "passed", "failed", or "timeout"; and the seconds that it took."""
        started = time.monotonic()
        child = os.fork()
        if not child:
            self._run_here(test)
        status = None
        while status is None and time.monotonic() - started < limit_s:
            time.sleep(0.02)
            ended, code = os.waitpid(child, os.WNOHANG)
            status = code if ended else None
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # and the commands that the tests have started
        if status is None:
            os.waitpid(child, 0)
            return "timeout", time.monotonic() - started
        return "failed" if status else "passed", time.monotonic() - started

    def _run_here(self, test: Path) -> NoReturn:
        """In a forked process: run a test file, and end."""
        code = 3
        try:
            os.setsid()
            os.chdir(self.folder)
            os.environ.update(self._env)
            sys.path[0] = str(self.folder)
            sys.dont_write_bytecode = True
            with open(os.devnull, "r+b") as nothing:  # noqa: PTH123
                for stream in (0, 1, 2):
                    os.dup2(nothing.fileno(), stream)
            options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *ALREADY_IMPORTED]
            code = int(import_module("pytest").main([*options, str(test)]))
        finally:
            os._exit(code)

    def judge(self, mutant: Mutant, limits: Mapping[Path, float]) -> str:
        """The test file that notices a mutant, or nothing."""
        path = self.folder / mutant.file
        original = path.read_bytes()
        path.write_text(mutant.source, encoding="utf-8")
        try:
            for test in tests_of(mutant.file):
                outcome, _ = self.run(test, limits[test])
                if outcome != "passed":
                    return test.stem + (" (timeout)" if outcome == "timeout" else "")
            return ""
        finally:
            path.write_bytes(original)


def tests_of(file: str) -> list[Path]:
    """The test files of a module, by their paths below the tree."""
    module = file.removeprefix("cscbench/").removesuffix(".py")
    if module not in TESTS:
        raise SystemExit(f"{file}: no test files are named for it in TESTS")
    names = TESTS[module].split()
    return [next((ROOT / "tests").rglob(f"test_{name}.py")).relative_to(ROOT) for name in names]


def draw(seed: int, count: int, only: str) -> tuple[list[Mutant], list[Mutant]]:
    """`count` mutants (0: all) by chance, none of them equivalent; and the equivalents that were drawn on the way."""
    files = sorted(path for package in PACKAGES for path in (ROOT / "cscbench" / package).rglob("*.py"))
    every = [mutant for path in files for mutant in mutants_of(path)]
    for key in EQUIVALENTS.keys() - {mutant.key for mutant in every}:
        print("mutation_equivalents.py: there is no such mutant any more:", *key)
    pool = [mutant for mutant in every if only in mutant.file]
    if count:
        random.Random(seed).shuffle(pool)  # noqa: S311
    chosen: list[Mutant] = []
    equivalent: list[Mutant] = []
    for mutant in pool:
        if count and len(chosen) == count:
            break
        (equivalent if mutant.reason else chosen).append(mutant)
    return chosen, equivalent


def time_limits(tree: Tree, mutants: Sequence[Mutant]) -> dict[Path, float]:
    """How long each test file may take: a multiple of its time on the unchanged tree, where it must pass."""
    limits = {}
    for test in sorted({test for mutant in mutants for test in tests_of(mutant.file)}):
        outcome, seconds = tree.run(test, 900)
        if outcome != "passed":
            raise SystemExit(f"{test}: {outcome} without any mutant: mend that first")
        limits[test] = max(LEAST_S, SLACK * seconds)
    return limits


_TREE: Tree


def _prepare(scratch: Path) -> None:
    """Give a worker process its tree, and what all tests import."""
    global _TREE  # noqa: PLW0603
    for name in SHARED:
        import_module(name)
    _TREE = Tree(scratch / str(os.getpid()))


def _limits(mutants: Sequence[Mutant]) -> dict[Path, float]:
    return time_limits(_TREE, mutants)


def _judge(mutant: Mutant, limits: Mapping[Path, float]) -> str:
    return _TREE.judge(mutant, limits)


def shown(mutant: Mutant, outcome: str, why: str) -> dict[str, str | int]:
    """What a mutant came to, as a row; `why` is the test file that failed, or the reason for an equivalent."""
    row = {field: value for field, value in asdict(mutant).items() if field != "source"}
    return {**row, "outcome": outcome, "why": why}


def line_of(row: Mapping[str, str | int]) -> str:
    """A row as text."""
    place = f"{row['file']}:{row['line']}".removeprefix("cscbench/")
    return f"{row['outcome']:10s} {place:30s} {row['function']}: {row['before']} -> {row['after']}  [{row['why']}]"


def main() -> int:
    """Draw, run, and print a line a mutant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=40, help="0: every mutant")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", default="", help="a part of the module's path")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    mutants, equivalent = draw(options.seed, options.count, options.only)
    print(f"seed {options.seed}: {len(mutants)} mutants; {len(equivalent)} equivalent ones are replaced:", flush=True)
    rows = [shown(mutant, "equivalent", mutant.reason) for mutant in equivalent]
    for row in rows:
        print("    ", line_of(row), flush=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    fork = multiprocessing.get_context("fork")
    with (
        tempfile.TemporaryDirectory(prefix="mutants-") as scratch,
        ProcessPoolExecutor(options.jobs, fork, _prepare, (Path(scratch),)) as workers,
    ):
        limits = workers.submit(_limits, mutants).result()
        outcomes = workers.map(partial(_judge, limits=limits), mutants)
        for number, (mutant, why) in enumerate(zip(mutants, outcomes, strict=True), 1):
            rows.append(shown(mutant, "killed" if why else "SURVIVED", why))
            print(f"{number:3d} ", line_of(rows[-1]), flush=True)
    killed = sum(row["outcome"] == "killed" for row in rows)
    print(f"seed {options.seed}: {killed} of {len(mutants)} killed; {len(equivalent)} equivalent ones were replaced")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return int(killed < 0.9 * len(mutants))


if __name__ == "__main__":
    sys.exit(main())
