"""The built wheel carries its content: no checkout is needed to run the shipped task and cards."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The environment's editable install would answer `import cscbench` first: take its finder away.
FROM_WHEEL = """
import sys
sys.meta_path = [finder for finder in sys.meta_path if "Redirect" not in str(finder)]
sys.path.insert(0, sys.argv.pop(1))
import cscbench
assert cscbench.__file__.startswith(sys.path[0]), cscbench.__file__
from cscbench.cli import main
main()
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--wheel-dir", folder, ROOT], check=True, capture_output=True, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def test_a_wheel_has_no_importable_folder_but_the_package(unpacked):
    assert sorted(path.name for path in unpacked.iterdir() if path.suffix != ".dist-info") == ["cscbench"]
    shipped = {path.relative_to(unpacked / "cscbench/_content") for path in unpacked.rglob("_content/**/*.*")}
    for folder in ("tasks", "model_cards", "leaderboards"):
        here = {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.*") if "__pycache__" not in path.parts}
        assert here <= shipped


def test_a_wheel_has_the_templates_styles_and_words_of_the_site(unpacked):
    site = Path("cscbench/publishing/site")
    here = {path.relative_to(ROOT) for path in (ROOT / site).rglob("*.*") if "__pycache__" not in path.parts}
    assert {path.suffix for path in here} == {".py", ".j2", ".css", ".js", ".yaml"}
    assert here <= {path.relative_to(unpacked) for path in (unpacked / site).rglob("*.*")}


def test_the_command_runs_from_a_wheel(unpacked, tmp_path):
    command = ["run", "--model", "gold", "--limit", "2", "--encoder", "none"]
    done = subprocess.run(
        [sys.executable, "-c", FROM_WHEEL, unpacked, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "strategy_accuracy   100.00" in done.stdout
