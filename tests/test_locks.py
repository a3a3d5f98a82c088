"""Locks: between processes, threads and forks; what is left of them; a file system without any."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time

import filelock
import pytest

from cscbench.asking import store
from cscbench.content.locks import hold
from cscbench.values import UserError


class Busy(Exception):
    """Another holds the lock."""


def refuse() -> None:
    """Give up."""
    raise Busy


def is_free(path) -> bool:
    """Whether somebody who asks now gets it."""
    try:
        with hold(path, refuse):
            return True
    except Busy:
        return False


def test_one_thread_or_process_holds_it(tmp_path):
    path = tmp_path / "lock"
    answers = []
    with hold(path, refuse):
        assert not is_free(path)
        asker = threading.Thread(target=lambda: answers.append(is_free(path)))
        asker.start()
        asker.join(timeout=30)
    assert answers == [False]
    assert is_free(path)
    assert path.exists()


def test_another_thread_does_not_get_a_run_folder(tmp_path):
    refused = []

    def ask() -> None:
        try:
            with store.locked(tmp_path):
                pass
        except UserError as error:
            refused.append(str(error))

    with store.locked(tmp_path):
        asker = threading.Thread(target=ask)
        asker.start()
        asker.join(timeout=30)
    assert refused == [f"{tmp_path}: another cscbench command is using this folder: wait until it ends"]
    with store.locked(tmp_path):
        pass


def test_who_waits_is_told_once_and_then_holds_it(tmp_path):
    calls, got = [], threading.Event()

    def wait() -> None:
        with hold(tmp_path / "lock", lambda: calls.append("busy")):
            got.set()

    with hold(tmp_path / "lock", refuse):
        waiter = threading.Thread(target=wait)
        waiter.start()
        assert not got.wait(timeout=0.3)
    assert got.wait(timeout=30)
    waiter.join(timeout=30)
    assert calls == ["busy"]


HOLDER = """
import os, sys, time
from pathlib import Path
from cscbench.content.locks import hold

with hold(Path(sys.argv[1]), sys.exit):
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    print(child, flush=True)
    if sys.argv[2] == "stay":
        time.sleep(60)
print("free", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("then", ["stay", "go on"])
def test_a_child_forked_meanwhile_does_not_keep_it(tmp_path, then):
    holder = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", HOLDER, tmp_path / "lock", then], stdout=subprocess.PIPE
    )
    with holder:
        child = int(holder.stdout.readline())
        try:
            if then == "stay":
                assert not is_free(tmp_path / "lock")
            else:
                assert holder.stdout.readline() == b"free\n"
                assert is_free(tmp_path / "lock")
            holder.kill()
            holder.wait(timeout=30)
            # The child lets go as soon as it runs, which may be after its parent was killed.
            deadline = time.monotonic() + 30
            while not is_free(tmp_path / "lock") and time.monotonic() < deadline:
                time.sleep(0.01)
            assert is_free(tmp_path / "lock")
            os.kill(child, 0)  # it lives
        finally:
            os.kill(child, signal.SIGKILL)
            holder.kill()


COUNTER = """
import sys
from pathlib import Path
from cscbench.content.locks import hold

number = Path(sys.argv[1], "number")
for _ in range(100):
    with hold(Path(sys.argv[1], "lock"), lambda: None, remove=True):
        number.write_text(str(int(number.read_text()) + 1))
"""


def test_a_lock_file_that_goes_keeps_two_from_holding_it(tmp_path):
    (tmp_path / "number").write_text("0")
    counters = [subprocess.Popen([sys.executable, "-c", COUNTER, tmp_path]) for _ in range(3)]
    assert [counter.wait(timeout=120) for counter in counters] == [0, 0, 0]
    assert (tmp_path / "number").read_text() == "300"
    assert [path.name for path in tmp_path.iterdir()] == ["number"]


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def none(lock) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(filelock.FileLock, "_acquire", none)
    with (
        pytest.raises(UserError, match=r"does not support locks .*use a folder on another disk"),
        store.locked(tmp_path),
    ):
        pytest.fail("there are none")


def test_a_killed_holder_leaves_the_run_folder_free_at_once(tmp_path):
    hold_it = "import sys, time; from pathlib import Path; from cscbench.asking import store\n"
    hold_it += "with store.locked(Path(sys.argv[1])): print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", hold_it, tmp_path], stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        with pytest.raises(UserError, match="another cscbench command"), store.locked(tmp_path):
            pytest.fail("the lock was given twice")
        holder.kill()
    started = time.monotonic()
    with store.locked(tmp_path):
        assert time.monotonic() - started < 1
