"""The house: rooms, floors, and no import that runs upward."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import cscbench

PACKAGE = Path(cscbench.__file__).parent
MOST_ROOMS, MOST_FLOORS = 18, 12
# From the ground up; a room may import those before it. Rooms in one tuple do not know each other.
LAYERS = (
    ("values",),
    ("content",),
    ("models",),
    ("asking",),
    ("scoring",),
    ("judging", "evaluate_metrics"),
    ("runs", "demo_weights"),
    ("train", "comparing"),
    ("publishing",),
    ("api",),
    ("cli",),
    ("__main__",),
)


def rooms(package: Path) -> dict[str, list[Path]]:
    """The top-level folders and modules of a package, each with its files."""
    entries = [path for path in package.iterdir() if path.suffix == ".py" or any(path.glob("**/*.py"))]
    return {path.stem: [path] if path.is_file() else sorted(path.glob("**/*.py")) for path in entries}


def imports(file: Path, package: str) -> Iterator[str]:
    """The rooms that a file imports, anywhere in it, whether the import runs or is for types alone."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [f"{node.module}.{name.name}" for name in node.names]
        for name in names:
            if name.startswith(f"{package}."):
                yield name.split(".")[1]


def arrows(package: Path) -> dict[str, set[str]]:
    """For each room the rooms that it imports."""
    files_by_room = rooms(package)
    return {
        room: {other for file in files for other in imports(file, package.name) if other in files_by_room} - {room}
        for room, files in files_by_room.items()
    }


def upward(of: Mapping[str, set[str]]) -> list[str]:
    """Arrows to a room that is not below."""
    height = {room: number for number, layer in enumerate(LAYERS) for room in layer}
    return [
        f"{room} imports {other}"
        for room, others in sorted(of.items())
        for other in sorted(others)
        if room != "__init__" and height[other] >= height[room]
    ]


def floors(of: Mapping[str, set[str]]) -> int:
    """The longest way down, in rooms."""

    def depth(room: str, above: tuple[str, ...]) -> int:
        assert room not in above, f"a circle: {' -> '.join((*above, room))}"
        return 1 + max((depth(other, (*above, room)) for other in of[room]), default=0)

    return max(depth(room, ()) for room in of)


def test_the_house_has_few_rooms_and_floors_and_no_import_runs_upward():
    of = arrows(PACKAGE)
    assert {room for layer in LAYERS for room in layer} | {"__init__"} == set(of)
    assert len(of) <= MOST_ROOMS
    assert floors(of) <= MOST_FLOORS
    assert upward(of) == []


def test_nothing_in_the_core_imports_the_demo_weights():
    assert [room for room, others in arrows(PACKAGE).items() if "demo_weights" in others] == []


@pytest.mark.parametrize(
    "line",
    [
        "from cscbench.runs.finished import load",
        "import cscbench.runs.finished",
        "from cscbench import runs",
        "def late():\n    from cscbench.runs import plan",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from cscbench.runs.plan import Plan",
    ],
)
def test_a_planted_upward_import_is_found(tmp_path, line):
    for room, text in (("runs", ""), ("content", line), ("values", "")):
        (tmp_path / "cscbench" / room).mkdir(parents=True)
        (tmp_path / "cscbench" / room / "module.py").write_text(text, encoding="utf-8")
    assert upward(arrows(tmp_path / "cscbench")) == ["content imports runs"]


def test_a_planted_circle_and_a_tall_tower_are_found(tmp_path):
    with pytest.raises(AssertionError, match="a circle: a -> b -> a"):
        floors({"a": {"b"}, "b": {"a"}})
    assert floors({str(number): {str(number - 1)} if number else set() for number in range(13)}) == 13


def test_no_class_name_stands_twice():
    places: dict[str, list[str]] = {}
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(file.relative_to(PACKAGE)))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_one_room_resamples_and_one_reads_runs():
    """`scoring` alone draws, and `runs` alone reads the files of a run: whatever else wants them asks these."""
    drawers, readers = set(), set()
    for file in PACKAGE.rglob("*.py"):
        text, room = file.read_text(encoding="utf-8"), file.relative_to(PACKAGE).parts[0]
        drawers |= {room} if any(word in text for word in ("resample_weights", "permutation_test")) else set()
        readers |= {room} if any(word in text for word in ("read_pairs", "read_scores", "results.read(")) else set()
    assert (drawers, readers) == ({"scoring"}, {"runs"})


def names_in(file: Path) -> Iterator[str]:
    """Everything that a file gives a name to or takes one from, except keyword arguments of other libraries."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name


def test_no_name_is_one_that_says_nothing():
    """The issue that removed them left fewer than 60; there are none, and none comes back unnoticed."""
    empty = {"own", "found", "one", "how"}
    files = [*PACKAGE.rglob("*.py"), *Path(__file__).parent.rglob("*.py")]
    assert {str(file): names for file in files if (names := empty & set(names_in(file)))} == {}
