"""The `cscbench` command for tests: inside this process, in a fifth of the time, or as a process of its own."""

import io
import logging
import os
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

Completed = subprocess.CompletedProcess[str]
_READ_AT_START = ("HF_", "PYTHON", "OMP_", "CUDA_")


class _Stream:
    """A standard stream for every command of this process: handlers of libraries that keep it stay valid."""

    def __init__(self) -> None:
        self._bytes = io.BytesIO()
        self.text = io.TextIOWrapper(self._bytes, encoding="utf-8", write_through=True)

    def empty(self) -> None:
        self._bytes.seek(0)
        self._bytes.truncate()
        self.text.reconfigure(errors="strict")

    def written(self) -> str:
        """Everything since `empty`, with the line ends that `subprocess` gives."""
        self.text.flush()
        return self._bytes.getvalue().decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


_OUT, _ERR = _Stream(), _Stream()


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        for name, text in before.items():
            if os.environ.get(name) != text:
                os.environ[name] = text


@contextmanager
def _import_path() -> Iterator[None]:
    """Import from the working directory and PYTHONPATH, as `python -m` does, and forget what came from there."""
    path, modules = list(sys.path), set(sys.modules)
    given = [str(Path.cwd()), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    extra = [place for place in given if place not in path]
    sys.path[:0] = extra
    for place in extra:
        sys.path_importer_cache.pop(place, None)
    try:
        yield
    finally:
        sys.path[:] = path
        for name in sys.modules.keys() - modules:
            file = getattr(sys.modules[name], "__file__", None) or ""
            if any(Path(file).is_relative_to(place) for place in extra):
                del sys.modules[name]


@contextmanager
def _streams(args: list[str]) -> Iterator[None]:
    before = sys.argv, sys.stdin, sys.stdout, sys.stderr
    _OUT.empty()
    _ERR.empty()
    sys.argv, sys.stdin, sys.stdout, sys.stderr = ["cscbench", *args], io.StringIO(), _OUT.text, _ERR.text
    try:
        yield
    finally:
        sys.argv, sys.stdin, sys.stdout, sys.stderr = before


@contextmanager
def _warnings() -> Iterator[None]:
    """Show warnings as a new Python process does: in a real command they are lines on standard error."""

    def show(message, category, filename, lineno, file=None, line=None):
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))

    with warnings.catch_warnings():
        warnings.showwarning = show
        warnings.resetwarnings()
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        yield


@contextmanager
def _logging() -> Iterator[None]:
    """No handler is set up yet, as in a new process."""
    loggers = [logging.getLogger(name) for name in ("", "cscbench", "asyncio")]
    before = [(logger.level, list(logger.handlers)) for logger in loggers]
    logging.getLogger().handlers.clear()
    try:
        yield
    finally:
        for logger, (level, handlers) in zip(loggers, before, strict=True):
            logger.setLevel(level)
            logger.handlers[:] = handlers


@contextmanager
def _signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_here(*args: str | Path, timeout: float = 0, **env: str) -> Completed:
    """Run the command inside this process, in the test's working directory and environment.

    Variables apply to this call only. An exception that the command lets through is a traceback and code 1, as it is in
    a process. Time is limited by pytest-timeout; `timeout` is for `run_process`.
    """
    late = [name for name in env if name.startswith(_READ_AT_START) and name != "PYTHONPATH"]
    assert not late, f"{late}: only a new process reads them: use cscbench_process"
    words = list(map(str, args))
    with _environment(env), _import_path(), _warnings(), _logging(), _signals(), _streams(words):
        code = _exit_code()
        completed = Completed(["cscbench", *words], code, _OUT.written(), _ERR.written())
    if completed.returncode == 130:
        raise KeyboardInterrupt  # meant for pytest
    return completed


def _exit_code() -> int:
    from cscbench.cli import main

    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def run_process(*args: str | Path, timeout: float = 240, **env: str) -> Completed:
    """Run the command as a process, in the test's working directory and environment."""
    return subprocess.run(
        [sys.executable, "-m", "cscbench", *map(str, args)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=timeout,
        env={**os.environ, **env},
        check=False,
    )
