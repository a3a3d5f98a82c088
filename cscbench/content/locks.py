"""Lock files that exclude other processes, threads and hosts, using filelock."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cscbench.values import UserError

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


@contextmanager
def hold(path: Path, busy: Callable[[], None], remove: bool = False) -> Iterator[None]:
    """Hold the lock file `path`. The operating system frees the lock when its holder ends, even if killed.

    If another process or thread holds the lock, `busy` is called once: it raises to give up, or returns to wait. A
    child process forked in the meantime does not hold the lock. The file is kept unless `remove` is set.

    Raises:
        UserError: the file system does not support locks.
        OSError: the file cannot be created.
    """
    from filelock import FileLock, Timeout

    # A soft lock (a file that merely exists) would remain after its holder is killed.
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
            f"{path.parent}: the file system does not support locks ({error.strerror}): use a folder on another disk"
        ) from None
    try:
        yield
    finally:
        # Before the release: a waiter then sees that the file is gone, and creates a new one.
        if remove and lock.is_locked:
            with suppress(OSError):
                path.unlink()
        lock.release()
