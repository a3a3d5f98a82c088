"""Locks between processes, threads and hosts: a lock file, by filelock."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cscbench.values import UserError

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


@contextmanager
def hold(path: Path, busy: Callable[[], None], remove: bool = False) -> Iterator[None]:
    """Hold the lock file `path`. The system frees it when the holder ends, by whatever signal.

    Where another process or another thread holds it, `busy` is called once: it raises to give up, or returns to wait. A
    child that is forked meanwhile does not hold it. The file stays where it is, unless `remove` says to take it away.

    Raises:
        UserError: the file system has no locks.
        OSError: the file cannot be made.
    """
    from filelock import FileLock, Timeout

    # A soft lock, the mere existence of a file, would stay behind when its holder is killed.
    lock = FileLock(path, thread_local=False, fallback_to_soft=False)
    try:
        try:
            lock.acquire(blocking=False)
        except Timeout:
            busy()
            lock.acquire()
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise UserError(
            f"{path.parent}: its file system has no file locks ({error.strerror}): choose a folder on another disk"
        ) from None
    try:
        yield
    finally:
        # While it is held: who waits for this file sees that it has no name any more, and makes another.
        if remove and lock.is_locked:
            with suppress(OSError):
                path.unlink()
        lock.release()
