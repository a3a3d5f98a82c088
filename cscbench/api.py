"""The Python face: the functions behind the command line, with the same options."""

from collections.abc import Callable, Sequence
from functools import wraps
from os import PathLike, fspath
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import msgspec

from cscbench.comparing import compare as comparing
from cscbench.comparing.compare import Comparison
from cscbench.runs import finished
from cscbench.runs import run as running
from cscbench.runs.finished import FinishedRun
from cscbench.runs.options import RunOptions
from cscbench.runs.plan import prepare
from cscbench.scoring.bootstrap import Resampling
from cscbench.values import UserError

P = ParamSpec("P")
R = TypeVar("R")
Run = FinishedRun | str | PathLike[str]


def _takes(options: Callable[P, RunOptions]) -> Callable[[Callable[[RunOptions], R]], Callable[P, R]]:
    """Give a function the parameters of `RunOptions`, so that no option is written a third time."""

    def decorate(function: Callable[[RunOptions], R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            return function(_checked(options(*args, **kwargs)))

        call.__signature__ = _signature(function)  # type: ignore[attr-defined]
        return call

    return decorate


def _signature(function: Callable[..., Any]) -> Any:
    import inspect

    returned = inspect.signature(function).return_annotation
    return inspect.signature(RunOptions).replace(return_annotation=returned)


def _checked(options: RunOptions) -> RunOptions:
    """The options with names such as "generated" as values, and paths as text; msgspec does not check a call."""
    given = {name: _plain(getattr(options, name)) for name in RunOptions.__struct_fields__}
    try:
        return msgspec.convert(given, RunOptions)
    except msgspec.ValidationError as error:
        raise UserError(f"cscbench.run: {error}") from None


def _plain(value: Any) -> Any:
    return fspath(value) if isinstance(value, PathLike) else value


@_takes(RunOptions)
def run(options: RunOptions) -> FinishedRun:
    """Run a model on a task, score it, and return the finished run; `cscbench run` in Python.

    The parameters are those of `RunOptions`: `cscbench.run("majority", context="generated", limit=20)`. Names serve as
    enum values. Repeat the call to continue an interrupted run; a finished one is read, and the model is not asked. It
    works where an event loop runs already, as in a notebook.

    Raises:
        UserError: an option is wrong, or something cannot be loaded, asked or written; replies on disk stay good.
        BudgetSpent: `max_cost` does not allow the next request; call again with more to continue.
    """
    return running.run(prepare(options))


def load(folder: str | PathLike[str]) -> FinishedRun:
    """Return the run in a folder, finished or not.

    Raises:
        UserError: the folder holds no run, or its run.json or results.json is damaged or of a newer version.
    """
    return finished.load(Path(folder))


def rescore(run: Run, encoder: str = "", scorers: Sequence[str] = ()) -> FinishedRun:
    """Score a run again without its model, with another `encoder` or further `scorers`, and return it.

    Raises:
        UserError: the folder holds no run, or a scorer or encoder is missing.
    """
    folder = _loaded(run).folder
    running.rescore(folder, encoder, tuple(scorers))
    return finished.load(folder)


def compare(runs: Sequence[Run], baseline: Run | None = None, resampling: Resampling | None = None) -> Comparison:
    """Compare runs with a baseline (by default the first) over the turns that all of them answered.

    Raises:
        UserError: fewer than two runs; one is not scored, damaged or listed twice; or they share no turn.
    """
    loaded = [_loaded(run) for run in runs]
    if baseline is not None:
        first = _loaded(baseline)
        loaded = [first, *(run for run in loaded if run.folder.resolve() != first.folder.resolve())]
    return comparing.compare(loaded, resampling or Resampling())


def _loaded(run: Run) -> FinishedRun:
    return run if isinstance(run, FinishedRun) else load(run)
