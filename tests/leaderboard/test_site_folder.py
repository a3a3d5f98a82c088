"""The site's folder is complete and has no leftovers, whenever its builder was killed or failed."""

import os
import shutil
import threading

import pytest
from kills import each_kill, tree

from cscbench.publishing.site import folder as folders
from cscbench.publishing.site.folder import staged
from cscbench.values import UserError


@pytest.fixture
def out(tmp_path):
    return tmp_path / "public" / "site"


def build(out, word: str) -> None:
    """A site of two files."""
    with staged(out) as folder:
        folder.page("index.html", f"{folders._MARK} {word}")
        folder.write("data/a.js", word.encode())


def words(out) -> set[str]:
    """Return the words in the site's files."""
    return {(out / name).read_text().split()[-1] for name in ("index.html", "data/a.js")}


def test_a_site_is_built_and_replaced(out):
    for word in ("old", "new"):
        build(out, word)
        assert words(out) == {word}
        assert set(tree(out.parent)) == {"site", "site/index.html", "site/data", "site/data/a.js"}


def test_killed_at_any_step_the_next_build_finds_a_whole_site_and_leaves_nothing(out):
    def before() -> None:
        shutil.rmtree(out.parent, ignore_errors=True)
        build(out, "old")

    outcomes = []
    for step in each_kill(out.parent, before, lambda: build(out, "new")):
        # The next build fails; what it restores first counts.
        with pytest.raises(UserError, match="there is no encoding"), staged(out):
            raise UserError("there is no encoding")
        assert len(words(out)) == 1, step
        outcomes.extend(words(out))
        assert set(tree(out.parent)) == {"site", "site/index.html", "site/data", "site/data/a.js"}, step
    assert {*outcomes} == {"old", "new"}


def test_a_site_that_cannot_be_put_in_its_place_leaves_the_older_one(out, monkeypatch):
    build(out, "old")
    replace = os.replace

    def fail(source, target) -> None:
        if str(source).endswith("staged"):
            raise OSError(5, "Input/output error")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(UserError, match="site: cannot write: Input/output error"):
        build(out, "new")
    assert words(out) == {"old"}
    assert set(tree(out.parent)) == {"site", "site/index.html", "site/data", "site/data/a.js"}


def test_two_do_not_build_one_site_at_the_same_time(out):
    refused = []

    def second() -> None:
        try:
            build(out, "second")
        except UserError as error:
            refused.append(str(error))

    with staged(out) as folder:
        folder.page("index.html", f"{folders._MARK} first")
        folder.write("data/a.js", b"first")
        other = threading.Thread(target=second)
        other.start()
        other.join(timeout=30)
    assert refused == [f"{out}: another cscbench command is building this site. Wait until it has finished"]
    assert words(out) == {"first"}


def test_what_is_no_site_is_left_alone(out):
    out.mkdir(parents=True)
    (out / "mine.txt").write_text("mine")
    before = tree(out.parent)
    with pytest.raises(UserError, match=r"is not empty and not a cscbench site"):
        build(out, "new")
    assert tree(out.parent) == before
