"""Files that are written whole: one, or several that belong together as a set.

Who writes in a folder holds its `.cscbench-lock`, and keeps what is not finished in its `.cscbench-staged`. So what the
next holder of the lock sees there is of a dead process, on whatever host that ran, and is removed.

A set goes from there to its places in two steps: one rename of the staged folder to `.cscbench-ready`, by which the set
counts; then a rename for each file. A kill before the first step leaves the old files, a kill after it the new ones:
`read` takes a file from `.cscbench-ready` as long as it is there, which needs no lock and no permission to write; and
the next process that writes in the folder moves what is left. Else none of the three names is there.
"""

import errno
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from cscbench.content.locks import hold
from cscbench.values import UserError

log = logging.getLogger("cscbench")

LOCK, STAGED, READY = ".cscbench-lock", ".cscbench-staged", ".cscbench-ready"


def write_error(path: Path, error: OSError) -> UserError:
    """A failed write as a message for the person; what is already on disk stays good."""
    return UserError(
        f"{path}: cannot write: {error.strerror}.\n"
        "Nothing half-written counts as finished: mend that (or choose another --out) and run the same command again; "
        "replies already on disk are kept"
    )


def write_set(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files by their path below a folder, all or none, for readers that use `read`. Makes the folder.

    Files lie in the folder or in one below it: deeper ones `read` does not look for. Other files there are not touched.

    Raises:
        UserError: the disk is full, or a file cannot be put in its place.
    """
    with _troubles_of(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _write(folder, contents)


def write_atomic(path: Path, content: bytes) -> None:
    """Write a whole file, or nothing, into a folder that is there.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    with _troubles_of(path):
        path.parent.stat()
    _write(path.parent, {path.name: content})


def write_json(path: Path, value: Any) -> None:
    """`write_atomic` of `json_bytes`."""
    write_atomic(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """A JSON value, indented, in its own key order, with Chinese as it is."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def read(path: Path) -> bytes:
    """A file's content; of a set that a killed process left on its way, as of one that is in its place.

    Raises:
        OSError: there is no such file, or it cannot be read.
    """
    for waiting in _waiting(path):
        with suppress(FileNotFoundError, NotADirectoryError):
            return waiting.read_bytes()
    return path.read_bytes()


def exists(path: Path) -> bool:
    """Whether `read` has something to read."""
    return any(place.exists() for place in (*_waiting(path), path))


def settle(folder: Path) -> None:
    """Finish or remove what a killed process left in a folder.

    Raises:
        UserError: the folder cannot be written.
    """
    if any((folder / name).exists() for name in (LOCK, STAGED, READY)):
        with _sole_writer(folder):
            pass


def _waiting(path: Path) -> list[Path]:
    """Where a file would lie that is not yet in its place: its set is of its folder, or of the one above."""
    folder = path.parent
    above = [folder.parent / READY / folder.name / path.name] if folder.name not in {"", ".."} else []
    return [folder / READY / path.name, *above]


def _write(folder: Path, contents: Mapping[str, bytes]) -> None:
    with _sole_writer(folder):
        for name, content in contents.items():
            with _troubles_of(folder / name):
                _stage(folder / STAGED / name, content)
                _check_place(folder / name, folder)
        if len(contents) < 2:  # whose rename decides by itself
            _move(folder / STAGED, folder)
            return
        for staged in [folder / STAGED, *(path for path in (folder / STAGED).rglob("*") if path.is_dir())]:
            _sync(staged)
        (folder / STAGED).rename(folder / READY)
        _sync(folder)
        _move(folder / READY, folder)


@contextmanager
def _sole_writer(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, with nothing of a dead process in the folder; what is staged and not published goes."""
    say = partial(log.info, "%s: waiting for another cscbench command that writes here", folder)
    with _troubles_of(folder), hold(folder / LOCK, say, remove=True):
        if (folder / READY).exists():
            _move(folder / READY, folder)
        _remove(folder / STAGED)
        try:
            yield
        finally:
            _remove(folder / STAGED)


def _stage(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _check_place(target: Path, folder: Path) -> None:
    """Find out what would keep a file from its place while the old files still count."""
    above = next(parent for parent in target.parents if parent.exists())
    reason = 0
    if target.is_dir():
        reason = errno.EISDIR
    elif not above.is_dir():
        reason = errno.ENOTDIR
    elif not os.access(above, os.W_OK | os.X_OK):
        reason = errno.EACCES
    elif above.stat().st_dev != folder.stat().st_dev:
        reason = errno.EXDEV
    if reason:
        raise OSError(reason, os.strerror(reason))


def _move(source: Path, folder: Path) -> None:
    """Put the files below `source` in their places in `folder`, and remove `source`."""
    for path in sorted(path for path in source.rglob("*") if not path.is_dir()):
        target = folder / path.relative_to(source)
        with _troubles_of(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    _remove(source)


def _remove(folder: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)


def _sync(folder: Path) -> None:
    """Put a folder's names on disk, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _troubles_of(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise write_error(path, error) from None
