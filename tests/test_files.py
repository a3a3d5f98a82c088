"""Whole files and sets of files: killed at every step, on a full disk, beside others, and where nothing can go."""

import errno
import os
import shutil
import threading
from functools import partial
from itertools import groupby
from pathlib import Path

import pytest
from kills import each_kill, tree

from cscbench.asking import files, store
from cscbench.content.locks import hold
from cscbench.values import UserError

NAMES = ("a.json", "b.parquet", "sub/c.txt")
OLD = {name: f"old {name}".encode() for name in NAMES}
NEW = {name: f"new {name}, longer".encode() for name in NAMES}
THEIRS = {"mine.txt": b"the person's", "sub/mine.txt": b"the person's too", ".lock": b"of another tool"}


@pytest.fixture(autouse=True)
def _no_sync(monkeypatch):
    """A kill, unlike a power cut, takes nothing from the system's memory."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def made(folder, contents) -> None:
    """The folder with these files and the person's own, and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in {**contents, **THEIRS}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def afresh(folder, source) -> None:
    """The folder as a copy of the source."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)


def seen(folder) -> dict[str, bytes]:
    """What a reader sees of the set."""
    return {name: files.read(folder / name) for name in NAMES if files.exists(folder / name)}


@pytest.mark.parametrize("old", [OLD, {}, {"a.json": OLD["a.json"]}], ids=["replaced", "first", "one was there"])
def test_a_set_killed_at_any_step_is_all_old_or_all_new_and_leaves_nothing(tmp_path, old):
    folder = tmp_path / "out"
    made(folder, NEW)
    whole = tree(folder)
    made(folder, old)
    untouched = tree(folder)
    views = []
    for step in each_kill(folder, lambda: made(folder, old), lambda: files.write_set(folder, NEW)):
        views.append(seen(folder))
        assert views[-1] in (old, NEW), step
        assert {name: (folder / name).read_bytes() for name in THEIRS} == THEIRS, step
        assert seen(folder) == views[-1]  # to read changes nothing
        files.settle(folder)  # whatever command comes next
        assert tree(folder) == (untouched if views[-1] == old else whole), step
        files.write_set(folder, NEW)
        assert tree(folder) == whole, step
    assert [view == NEW for view, _ in groupby(views)] == [False, True]
    assert len(views) > 20


def test_one_file_killed_at_any_step_is_old_or_new_and_leaves_nothing(tmp_path):
    path = tmp_path / "run" / "run.json"

    def before() -> None:
        shutil.rmtree(path.parent, ignore_errors=True)
        path.parent.mkdir()
        path.write_bytes(b"old")

    for step in each_kill(path.parent, before, lambda: files.write_atomic(path, b"new, longer")):
        assert path.read_bytes() == files.read(path)
        assert path.read_bytes() in (b"old", b"new, longer"), step
        with store.locked(path.parent):  # another command in the folder, which does not write this file
            assert {file.name for file in path.parent.iterdir()} == {"run.json", ".lock"}


def test_a_kill_while_a_killed_set_is_finished_loses_nothing(tmp_path):
    folder = tmp_path / "out"
    for _ in each_kill(folder, lambda: made(folder, OLD), lambda: files.write_set(folder, NEW)):
        if (folder / files.READY).exists():
            shutil.rmtree(tmp_path / "decided", ignore_errors=True)
            shutil.copytree(folder, tmp_path / "decided")
            again = each_kill(folder, partial(afresh, folder, tmp_path / "decided"), lambda: files.settle(folder))
            assert [seen(folder) == NEW for _ in again].count(False) == 0
            files.settle(folder)
            assert not [name for name in tree(folder) if name.startswith(".cscbench")]


def test_what_was_staged_and_never_counted_is_not_published_later(tmp_path):
    folder = tmp_path / "out"
    for step in each_kill(folder, lambda: made(folder, {}), lambda: files.write_set(folder, NEW)):
        killed_as = seen(folder)
        files.write_set(folder, {"other.txt": b"one file"})
        assert seen(folder) == killed_as, step
        assert set(tree(folder)) == {*killed_as, *THEIRS, "sub", "other.txt"}, step


def test_all_is_on_disk_before_the_set_counts(tmp_path, monkeypatch):
    synced, renamed = [], []
    rename = Path.rename

    def watched(path: Path, target: Path) -> None:
        renamed.append((path.name, target.name, [*synced]))
        rename(path, target)

    monkeypatch.setattr(os, "fsync", lambda number: synced.append(str(Path(f"/proc/self/fd/{number}").readlink())))
    monkeypatch.setattr(Path, "rename", watched)
    files.write_set(tmp_path, NEW)
    ((staged, ready, before),) = renamed
    assert (staged, ready) == (files.STAGED, files.READY)
    assert {*before} == {str(tmp_path / files.STAGED / name) for name in (*NAMES, "sub", ".")}
    assert synced[len(before) :] == [str(tmp_path)]


def test_a_set_of_another_folder_is_not_taken_for_this_ones(tmp_path):
    (tmp_path / files.READY).mkdir()
    (tmp_path / files.READY / "a.json").write_bytes(b"of the folder above")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.json").write_bytes(b"here")
    assert files.read(tmp_path / "out" / "a.json") == b"here"
    os.chdir(tmp_path / "out")
    assert files.read(tmp_path / "out" / ".." / "out" / "a.json") == b"here"
    (tmp_path / "out" / "sub").mkdir()
    assert not files.exists(tmp_path / "out" / "b.json")
    with pytest.raises(FileNotFoundError):
        files.read(tmp_path / "out" / "b.json")


def test_the_lock_is_waited_for_and_said(tmp_path, caplog):
    caplog.set_level("INFO", "cscbench")
    writer = threading.Thread(target=files.write_set, args=(tmp_path, NEW))
    with hold(tmp_path / files.LOCK, pytest.fail, remove=True):
        # What lies there is of a living process: the other must not touch it.
        (tmp_path / files.STAGED).mkdir()
        (tmp_path / files.STAGED / "a.json").write_bytes(b"half")
        writer.start()
        writer.join(timeout=0.3)
        assert writer.is_alive()
        assert (tmp_path / files.STAGED / "a.json").read_bytes() == b"half"
    writer.join(timeout=30)
    assert seen(tmp_path) == NEW
    assert caplog.messages == [f"{tmp_path}: waiting for another cscbench command that writes here"]
    assert set(tree(tmp_path)) == {*NAMES, "sub"}


def test_writers_at_the_same_time_do_not_mix(tmp_path):
    sets = [{name: f"{number} {name}".encode() for name in NAMES} for number in range(8)]
    writers = [threading.Thread(target=files.write_set, args=(tmp_path, contents)) for contents in sets]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=60)
    assert seen(tmp_path) in sets
    assert set(tree(tmp_path)) == {*NAMES, "sub"}


def test_what_cannot_go_to_its_place_is_refused_while_the_old_files_count(tmp_path):
    made(tmp_path, {})
    before = tree(tmp_path)
    for name, reason in (("sub", errno.EISDIR), ("mine.txt/x", errno.ENOTDIR)):
        with pytest.raises(UserError, match=f"{name}: cannot write: {os.strerror(reason)}"):
            files.write_set(tmp_path, {**NEW, name: b"x"})
        assert tree(tmp_path) == before


def test_a_full_disk_leaves_the_old_files_alone(tmp_path, monkeypatch):
    made(tmp_path, OLD)
    before = tree(tmp_path)
    synced = []

    def full(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"b\.parquet: cannot write: No space left on device"):
        files.write_set(tmp_path, NEW)
    assert tree(tmp_path) == before


def test_a_single_file_makes_no_folder(tmp_path):
    with pytest.raises(UserError, match="none/x: cannot write: No such file or directory"):
        files.write_atomic(tmp_path / "none" / "x", b"")
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("names", [("below/first", "second"), ("below/alone",), ("first", "below/second")])
def test_a_file_of_a_set_may_lie_in_a_folder_below(tmp_path, names):
    contents = {name: name.encode() for name in names}
    files.write_set(tmp_path / "deep" / "set", contents)
    assert {name: files.read(tmp_path / "deep" / "set" / name) for name in names} == contents
    files.write_set(tmp_path / "deep" / "set", contents)


def test_json_is_indented_by_one_in_its_own_order_with_chinese_as_it_is():
    assert files.json_bytes({"b": 1, "a": ["退款"]}) == '{\n "b": 1,\n "a": [\n  "退款"\n ]\n}\n'.encode()
    with pytest.raises(ValueError, match="JSON"):
        files.json_bytes({"a": float("nan")})


def test_a_set_of_two_is_all_old_or_all_new_too(tmp_path):
    folder, old, new = tmp_path / "out", dict(list(OLD.items())[:2]), dict(list(NEW.items())[:2])
    views = []
    for step in each_kill(folder, lambda: made(folder, old), lambda: files.write_set(folder, new)):
        views.append(seen(folder))
        assert views[-1] in (old, new), step
    assert old in views
    assert new in views


def test_a_folder_that_may_not_be_written_is_told_before_anything_changes(tmp_path, monkeypatch):
    made(tmp_path / "out", OLD)
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    with pytest.raises(UserError, match=os.strerror(errno.EACCES)):
        files.write_set(tmp_path / "out", NEW)
    assert seen(tmp_path / "out") == OLD
