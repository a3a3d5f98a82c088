"""Finished runs of the baselines without an encoder, each made once a test process. Tests that write copy them."""

import shutil
from pathlib import Path

import pytest

from cscbench.runs.options import RunOptions
from cscbench.runs.plan import prepare
from cscbench.runs.run import run


class FinishedRuns:
    """The folder of a finished run by its model and `RunOptions`: `finished_runs("gold", limit=4)`."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._folders: dict[tuple[object, ...], Path] = {}
        self._stamps: dict[Path, int] = {}

    def __call__(self, model: str, **options: object) -> Path:
        key = (model, *sorted(options.items()))
        if key not in self._folders:
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(self._place)  # none of the test's own cards and tasks
                plan = prepare(RunOptions(model=model, encoder="none", out=str(self._place / "reports"), **options))
                self._folders[key] = run(plan).folder
            self._stamps |= _stamps(self._folders[key])
        return self._folders[key]

    def copies(self, into: Path, *runs: Path) -> list[Path]:
        """Copies of runs in a folder of the test's own, which may be written to."""
        return [Path(shutil.copytree(run, into / run.name)) for run in runs]

    def check(self) -> None:
        """Fail if a test has changed a run that others read."""
        changed = [
            str(path) for path, stamp in self._stamps.items() if not path.exists() or path.stat().st_mtime_ns != stamp
        ]
        assert not changed, f"a test changed a shared run: {changed}"


def _stamps(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.iterdir() if not path.name.startswith(".")}
