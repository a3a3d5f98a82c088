"""Kill a process at each step that it takes on disk: an open for writing, a sync, rename, removal or lock.

An open that empties a file is two steps: before it, and with part of the content in the file. `each_kill` reproduces a
folder as a kill at each step leaves it, all from a single run; `killed` really kills a fork of this process. With the
arguments `STEP FOLDER` and those of cscbench, this is a program that runs the command and kills itself at that step,
counted from its first one in the folder; for step 0 it prints the number of steps.
"""

import atexit
import os
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_STEPS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "fcntl.flock"}

# Called at each step with a description, and the file that a kill would tear, if any.
Listener = Callable[[str, Path | None], None]
_listeners: list[Listener] = []


def _see(event: str, args: tuple) -> None:
    if not _listeners:
        return
    writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
    if event in _STEPS or writes:
        _notify(str(args))
        if writes and args[2] & os.O_TRUNC:
            _notify(str(args), Path(args[0]).absolute())


@cache
def _install() -> None:
    sys.addaudithook(_see)  # for good, so once


def _notify(about: str, torn: Path | None = None) -> None:
    if _listeners:
        listener = _listeners.pop()  # what it does on disk itself is no step
        try:
            listener(about, torn)
        finally:
            _listeners.append(listener)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call the listener at each step."""
    _install()
    sync = os.fsync
    os.fsync = lambda descriptor: (_notify(""), sync(descriptor))[1]
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.clear()
        os.fsync = sync


def each_kill(folder: Path, before: Callable[[], object], action: Callable[[], object]) -> Iterator[int]:
    """For each step of an action, which `before` prepares: restore the folder as a kill at this step leaves it."""
    with tempfile.TemporaryDirectory() as scratch:
        copies: list[Path] = []

        def keep(_about: str, torn: Path | None) -> None:
            copies.append(Path(scratch, str(len(copies))))
            copies[-1].mkdir()
            if folder.exists():
                shutil.copytree(folder, copies[-1] / "folder")
            if torn is not None and torn.is_relative_to(folder):
                (copies[-1] / "folder" / torn.relative_to(folder)).write_bytes(b"torn")

        before()
        with listening(keep):
            action()
        for step, copy in enumerate(copies, 1):
            shutil.rmtree(folder, ignore_errors=True)
            if (copy / "folder").exists():
                shutil.move(copy / "folder", folder)
            yield step


@contextmanager
def killing(step: int, folder: Path | None = None) -> Iterator[list[str]]:
    """Kill this process at a step, counted from the first one in the folder. Yield the steps so far."""
    taken: list[str] = []

    def count(about: str, torn: Path | None) -> None:
        if taken or folder is None or str(folder) in about:
            taken.append(about)
        if len(taken) == step:
            if torn is not None:
                torn.write_bytes(b"torn")
            os.kill(os.getpid(), signal.SIGKILL)

    with listening(count):
        yield taken


def killed(action: Callable[[], object], step: int, folder: Path | None = None) -> bool:
    """Whether a fork of this process is killed at this step of the action; otherwise it ended before, without error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork with threads: the child uses none
        child = os.fork()
    if child == 0:
        try:
            with killing(step, folder):
                action()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return everything in a folder, hidden or not, by path; None for folders."""
    return {str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes() for path in folder.rglob("*")}


def main() -> None:
    """Run cscbench, and kill it."""
    from cscbench.cli import main as cscbench

    step, folder, *sys.argv[1:] = sys.argv[1:]
    with killing(int(step), Path(folder)) as taken:
        atexit.register(lambda: print(len(taken), file=sys.stderr))
        cscbench()


if __name__ == "__main__":
    main()
