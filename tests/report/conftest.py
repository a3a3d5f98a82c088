"""Finished runs for reports."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def folders(tmp_path_factory, shared_cache) -> dict[str, Path]:
    """Runs of baselines by name: 24 dialogues each; `generated` is retrieval with its own history, `short` has 3."""
    out = tmp_path_factory.mktemp("runs")
    env = {**os.environ, "CSCBENCH_CACHE": str(shared_cache)}
    printed = {}
    for name, model, *options in (
        ("retrieval", "retrieval", "--limit", "24"),
        ("majority", "majority", "--limit", "24"),
        ("generated", "retrieval", "--limit", "24", "--context", "generated"),
        ("short", "retrieval", "--limit", "3"),
    ):
        run = [sys.executable, "-m", "cscbench", "-q", "run", "--model", model, "--encoder", "none", *options]
        done = subprocess.run([*run, "--out", out], check=True, capture_output=True, text=True, cwd=out, env=env)
        printed[name] = Path(done.stdout.splitlines()[-1])
    return {name: out / path for name, path in printed.items()}
