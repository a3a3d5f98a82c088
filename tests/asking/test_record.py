"""What run.json says of the machine and the checkout, and the values that it refuses."""

import subprocess

import pytest

from cscbench.asking import record
from cscbench.asking.record import DataRecord, ProtocolRecord, environment
from cscbench.values import Condition, Context, Language


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder in which cscbench lies, as far as the record knows."""
    monkeypatch.setattr(record, "__file__", str(tmp_path / "cscbench/asking/record.py"))
    return tmp_path


def test_the_commit_is_that_of_the_checkout(checkout):
    git = ["git", "-C", str(checkout), "-c", "user.name=t", "-c", "user.email=t@t"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    (checkout / "cscbench").mkdir()
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert environment(()).commit == commit
    assert len(commit) == 40


def test_a_folder_that_is_no_checkout_has_no_commit(checkout):
    (checkout / "cscbench").mkdir()
    assert environment(()).commit == ""
    (checkout / ".git").mkdir()  # a broken one
    assert environment(()).commit == ""


def test_without_git_there_is_no_commit(checkout, monkeypatch):
    (checkout / ".git").mkdir()
    monkeypatch.setenv("PATH", str(checkout))
    assert environment(()).commit == ""


def test_prompts_and_their_hashes_are_of_the_same_languages():
    fields = (Context.GOLD, Condition.JOINT)
    ProtocolRecord(*fields, {Language.EN: "p"}, {Language.EN: "0"}, 0, None, 0)
    with pytest.raises(ValueError, match="different languages"):
        ProtocolRecord(*fields, {Language.EN: "p"}, {Language.ZH: "0"}, 0, None, 0)


def test_data_name_no_clusters_unless_they_say_so():
    assert DataRecord((), (), ()).clusters == 0
