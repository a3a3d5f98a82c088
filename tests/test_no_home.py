"""A machine without a home folder: HOME is unset and the user has no name, as in many containers."""

import json
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cscbench.cli import cli
from cscbench.content.cards import resolve_cli_path
from cscbench.content.shipped import cache_root, expanded
from cscbench.demo_weights import locate
from cscbench.values import UserError

COMMANDS = [
    ["models"],
    ["tasks"],
    ["-q", "run", "--model", "gold", "--limit", "1", "--encoder", "none", "--out", "out"],
    ["show", "out"],
]
NOBODY = 12345
# The interpreter may lie in a folder that only root may enter: the child may read all files, and write as nobody can.
AS_NOBODY = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
MAY_READ = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
CHILD = """
import sys, os, json
from pathlib import Path
from cscbench.cli import cli
try:
    Path.home()
except RuntimeError:
    print("no home of", os.getuid())
for args in json.loads(sys.argv[1]):
    try:
        cli(args, prog_name="cscbench")
    except SystemExit as end:
        print("ended", args[-1], end.code)
"""


@pytest.fixture
def homeless(monkeypatch):
    def nobody(_uid: int) -> pwd.struct_passwd:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for name in ("HOME", "CSCBENCH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


def refused(call) -> str:
    with pytest.raises(UserError) as caught:
        call()
    return str(caught.value)


@pytest.mark.usefixtures("homeless")
def test_the_cache_asks_for_a_folder_and_takes_no_other(monkeypatch, tmp_path):
    assert "set CSCBENCH_CACHE to a folder that this user can write to" in refused(cache_root)
    assert "set CSCBENCH_CACHE" in refused(lambda: locate("minilm-l6"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "cscbench"
    monkeypatch.setenv("CSCBENCH_CACHE", "~/cache")
    assert refused(cache_root).startswith("~/cache: cannot expand `~`")
    monkeypatch.setenv("CSCBENCH_CACHE", str(tmp_path))
    assert cache_root() == tmp_path


@pytest.mark.usefixtures("homeless")
@pytest.mark.parametrize("path", ["~", "~/data.json", "~nobody-of-this-name/x"])
def test_a_path_that_cannot_be_expanded_is_named(path):
    for call in (expanded, resolve_cli_path):
        error = refused(lambda call=call: call(path))
        assert error == f"{path}: cannot expand `~`: no home folder is known: use an absolute path"


def test_with_a_home_paths_are_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CSCBENCH_CACHE", "~/cache")
    assert cache_root() == tmp_path / "cache"
    assert expanded("~/x") == tmp_path / "x"
    assert expanded("a/~") == Path("a/~")


@pytest.mark.usefixtures("homeless")
def test_commands_name_the_path_that_they_cannot_expand():
    rules = Path("gate.yaml")
    rules.write_text("baseline: ~/run\nrules:\n- {metric: bleu_2, margin: 1}\n", encoding="utf-8")
    for args, error in (
        (["run", "--model", "gold", "--data", "~/x.jsonl"], "~/x.jsonl: cannot expand `~`"),
        (["run", "--model", "gold", "--lora", "~/x"], "~/x: cannot expand `~`"),
        (["gate", "run", "--rules", str(rules)], "~/run: cannot expand `~`"),
    ):
        done = CliRunner().invoke(cli, args)
        assert (done.exit_code, done.output.splitlines()[-1].startswith("cscbench: ")) == (2, True), done.output
        assert error in done.output


def test_a_real_user_without_name_and_home_can_run_and_look(tmp_path):
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("NOT TESTED: a real user without a name: needs root and setpriv (util-linux)")
    folder = tmp_path / "folder"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[1]), "HF_HUB_OFFLINE": "1"}
    command = [*AS_NOBODY, *MAY_READ, sys.executable, "-c", CHILD, json.dumps(COMMANDS)]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"no home of {NOBODY}"
    assert [line for line in lines if line.startswith("ended ")] == [f"ended {args[-1]} 0" for args in COMMANDS]
    assert (folder / "out").stat().st_uid == NOBODY
