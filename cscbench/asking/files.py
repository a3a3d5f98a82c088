"""Atomic writes: one whole file, or a set of files that belong together.

A process that writes in a folder holds its `.cscbench-lock` and stages unfinished files in `.cscbench-staged`. The next
holder of the lock can therefore remove any staged files it sees: their process, on whatever host, is dead.

A set is published in two steps: renaming the staged folder to `.cscbench-ready` commits the set; then each file is
renamed into place. A kill before the first step leaves the old files, a kill after it the new ones: `read` prefers a
file in `.cscbench-ready`, which requires neither the lock nor write permission, and the next process that writes in the
folder moves the remaining files. Otherwise none of the three names exists.
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
    """Return a failed write as an error for the user; files already on disk stay valid."""
    return UserError(
        f"{path}: cannot write: {error.strerror}.\n"
        "Fix this (or choose another --out) and repeat the command: saved replies are kept, incomplete files ignored"
    )


def write_set(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files, given by their path in a folder, all or none, for readers that use `read`. Create the folder.

    Files are in the folder or one level below it: `read` does not look deeper. Other files are not touched.

    Raises:
        UserError: the disk is full, or a file cannot be moved into place.
    """
    with _as_user_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _write(folder, contents)


def write_atomic(path: Path, content: bytes) -> None:
    """Write a whole file, or nothing, into an existing folder.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    with _as_user_error(path):
        path.parent.stat()
    _write(path.parent, {path.name: content})


def write_json(path: Path, value: Any) -> None:
    """`write_atomic` of `json_bytes`."""
    write_atomic(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """Encode a JSON value, indented, with keys in their given order and Chinese unescaped."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def read(path: Path) -> bytes:
    """Return a file's content, even if a killed process committed its set without moving it into place.

    Raises:
        OSError: there is no such file, or it cannot be read.
    """
    for committed in _committed(path):
        with suppress(FileNotFoundError, NotADirectoryError):
            return committed.read_bytes()
    return path.read_bytes()


def exists(path: Path) -> bool:
    """Whether `read` finds the file."""
    return any(candidate.exists() for candidate in (*_committed(path), path))


def settle(folder: Path) -> None:
    """Finish or remove the writes that a killed process left in a folder.

    Raises:
        UserError: the folder cannot be written.
    """
    if any((folder / name).exists() for name in (LOCK, STAGED, READY)):
        with _sole_writer(folder):
            pass


def _committed(path: Path) -> list[Path]:
    """Paths of a file that is committed but not yet in place: its set belongs to its folder or to the parent."""
    folder = path.parent
    above = [folder.parent / READY / folder.name / path.name] if folder.name not in {"", ".."} else []
    return [folder / READY / path.name, *above]


def _write(folder: Path, contents: Mapping[str, bytes]) -> None:
    with _sole_writer(folder):
        for name, content in contents.items():
            with _as_user_error(folder / name):
                _stage(folder / STAGED / name, content)
                _check_target(folder / name, folder)
        if len(contents) < 2:  # its rename is atomic by itself
            _move(folder / STAGED, folder)
            return
        for staged in [folder / STAGED, *(path for path in (folder / STAGED).rglob("*") if path.is_dir())]:
            _sync(staged)
        (folder / STAGED).rename(folder / READY)
        _sync(folder)
        _move(folder / READY, folder)


@contextmanager
def _sole_writer(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, after settling what a dead process left there; remove staged files at the end."""
    report_waiting = partial(log.info, "%s: waiting for another cscbench command that writes here", folder)
    with _as_user_error(folder), hold(folder / LOCK, report_waiting, remove=True):
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


def _check_target(target: Path, folder: Path) -> None:
    """Raise if a file could not be moved to its target, while the old files are still in place."""
    parent = next(parent for parent in target.parents if parent.exists())
    reason = 0
    if target.is_dir():
        reason = errno.EISDIR
    elif not parent.is_dir():
        reason = errno.ENOTDIR
    elif not os.access(parent, os.W_OK | os.X_OK):
        reason = errno.EACCES
    elif parent.stat().st_dev != folder.stat().st_dev:
        reason = errno.EXDEV
    if reason:
        raise OSError(reason, os.strerror(reason))


def _move(source: Path, folder: Path) -> None:
    """Move the files below `source` into place in `folder`, and remove `source`."""
    for path in sorted(path for path in source.rglob("*") if not path.is_dir()):
        target = folder / path.relative_to(source)
        with _as_user_error(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    _remove(source)


def _remove(folder: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)


def _sync(folder: Path) -> None:
    """Sync a folder's entries to disk, if the system supports it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _as_user_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise write_error(path, error) from None
