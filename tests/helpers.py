"""What tests of several packages ask of a run folder or of a command that ended."""

import json
from pathlib import Path
from typing import Any

from command import Completed


def only_run(out: Path) -> Path:
    """The one run folder in `out`."""
    (folder,) = out.iterdir()
    return folder


def results_of(run: Path) -> dict[str, Any]:
    """results.json as it is stored."""
    results: dict[str, Any] = json.loads((run / "results.json").read_bytes())
    return results


def metrics_of(run: Path) -> dict[str, dict[str, Any]]:
    """The metrics of results.json by name."""
    return {metric["name"]: metric for metric in results_of(run)["metrics"]}


def replies_of(run: Path) -> list[dict[str, Any]]:
    """The lines of replies.jsonl."""
    return [json.loads(line) for line in (run / "replies.jsonl").read_bytes().splitlines()]


def refused(done: Completed, *parts: object) -> None:
    """The command ended as after a user's mistake, and its message has these parts."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    for part in parts:
        assert str(part) in done.stderr
