"""Startup time: `cscbench --help`, and a finished run repeated, as whole processes, ten times each.

python tests/benchmarks/startup.py
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 10


def seconds(*command: str) -> float:
    """Wall time of one process."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    """Print minimum, median and maximum of each."""
    script = str(Path(sys.executable).with_name("cscbench"))
    with tempfile.TemporaryDirectory() as out:
        finished = (script, "run", "--model", "gold", "--encoder", "none", "--out", out)
        seconds(*finished)
        commands = {
            "bare python": (sys.executable, "-c", "pass"),
            "--help": (script, "--help"),
            "finished run": finished,
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(RUNS):
            for name, command in commands.items():  # interleaved, so that a slow minute affects all equally
                times[name].append(seconds(*command))
    print(f"{'seconds':<14}{'min':>8}{'median':>8}{'max':>8}")
    for name, taken in times.items():
        print(f"{name:<14}{min(taken):>8.3f}{statistics.median(taken):>8.3f}{max(taken):>8.3f}")


if __name__ == "__main__":
    main()
