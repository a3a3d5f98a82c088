"""YAML that would take minutes or all memory is refused at its line, in every file that people write."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscbench.comparing.gate.rules import read_rules
from cscbench.content.cards import read_card
from cscbench.content.prompts import read_prompt
from cscbench.content.rubrics import read_rubric
from cscbench.content.tasks import find_task
from cscbench.content.yaml_file import MAX_TEXT, parse, read_text
from cscbench.content.yaml_loader import MAX_ALIASES, MAX_DEPTH, MAX_NODES
from cscbench.publishing.board.boards import read_board
from cscbench.publishing.report.study import ladder, sizes
from cscbench.values import CSC, Condition, Language, UserError

HERE = Path("file.yaml")


def laughs(first: str, line: Callable[[int], str], levels: int = 9) -> str:
    """`first` has the anchor a0; each further line has nine aliases of the one before."""
    return "\n".join([first, *(f"a{level}: &a{level} {line(level - 1)}" for level in range(1, levels))])


LAUGHS = laughs("a0: &a0 [x]", lambda above: f"[{', '.join([f'*a{above}'] * 9)}]")
MERGED = laughs("a0: &a0 {k: v}", lambda above: f"{{<<: [{', '.join([f'*a{above}'] * 9)}]}}")
NESTED = laughs("a0: &a0 {k: v}", lambda above: "{" + ", ".join(f"k{n}: *a{above}" for n in range(9)) + "}")
CHAIN = laughs("a0: &a0 [x]", lambda above: f"[*a{above}]", levels=500)


def refused(text: str) -> str:
    """The error, which takes less than two seconds of work."""
    begun = time.process_time()
    with pytest.raises(UserError) as caught:
        parse(HERE, text)
    assert time.process_time() - begun < 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        (LAUGHS, 5, f"more than {MAX_NODES:,} values, including expanded aliases"),
        (MERGED, 5, f"more than {MAX_NODES:,} values"),
        (NESTED, 5, f"more than {MAX_NODES:,} values"),
        (LAUGHS + "\n? *a8\n: 1", 5, f"more than {MAX_NODES:,} values"),
        (CHAIN, MAX_DEPTH - 1, f"more than {MAX_DEPTH} levels, including expanded aliases"),
        ("a: &a [1, {b: *a}]", 1, "a value contains itself"),
        ("a: 1\nb: &b {? *b : 1}", 2, "a value contains itself"),
        ("a: &a x\nb: [" + "*a, " * (MAX_ALIASES + 1) + "]", 2, f"more than {MAX_ALIASES:,} aliases"),
        ("a: " + "[" * 100_000, 1, f"more than {MAX_DEPTH} levels"),
        ("- " * 100_000, 1, f"more than {MAX_DEPTH} levels"),
        ("? " * 100_000, 1, f"more than {MAX_DEPTH} levels"),
        ("a: [" + "1," * MAX_NODES + "]", 1, f"more than {MAX_NODES:,} values"),
    ],
    ids=["laughs", "merged", "nested", "key", "chain", "self", "self key", "aliases", "[", "-", "?", "list"],
)
def test_what_is_too_large_or_too_deep_is_refused_at_its_line(text, line, problem):
    message = refused(text)
    assert message.startswith(f"{HERE}:{line}: not usable YAML: ")
    assert problem in message


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (".nan", "it must be finite"),
        ("-.inf", "it must be finite"),
        ("1.0e+999", "it must be finite"),
        ("9" * 20, "it must fit in 64 bits"),
        ("0x" + "f" * 5000, "it must fit in 64 bits"),
        ("1" * 5000, "it must fit in 64 bits"),
        ("1:" * 5000 + "1", "it must fit in 64 bits"),
        ("1:" * 5000 + "1.5", "it must be finite"),
        ("!!float abc", "'abc' is not a number"),
        ('!!int ""', "'' is not a number"),
        ("!!bool maybe", "'maybe' is neither true nor false"),
        ("2024-13-45", "put it in quotes"),
        ("!!timestamp soon", "'soon' is not a date"),
    ],
)
def test_a_number_or_date_that_nothing_can_hold_is_refused_at_its_line(value, problem):
    message = refused(f"a: 1\nb: [1, {value}]")
    assert message.startswith(f"{HERE}:2: not usable YAML: ")
    assert problem in message
    assert len(message) < 200


def test_half_a_character_is_refused_at_its_line():
    problem = "half a character ('\\ud800'): no file can store it"
    assert refused('a: 1\nb: ["\\ud800"]') == f"{HERE}:2: not usable YAML: {problem}"
    assert parse(HERE, 'a: "\\U0001F642"')[0] == {"a": "🙂"}


def test_a_key_that_is_a_list_is_refused_at_its_line():
    assert refused("a: 1\n? [b]\n: 1") == f"{HERE}:2: not usable YAML: a key is a list or a mapping: use a string"


@pytest.mark.parametrize("more", [0, 1])
def test_aliases_count_as_what_they_stand_for(more):
    # The root, two keys, a list of 99, and a list of 98 aliases of it and 96 values: 10,000 in all.
    assert MAX_NODES == 10_000
    text = f"a: &a [{'x, ' * 99}]\nb: [{'*a, ' * 98}{'x, ' * (96 + more)}]"
    if more:
        assert refused(text).startswith(f"{HERE}:1: not usable YAML: more than 10,000 values")
    else:
        assert len(parse(HERE, text)[0]["b"]) == 98 + 96


def test_ordinary_aliases_and_merge_keys_work_and_positions_know_them():
    text = "base: &base {a: 1, b: &b [1, 2]}\nmore:\n  <<: *base\n  b: [3]\n  c: *b\nsame: *base\n"
    data, lines = parse(HERE, text, offset=10)
    assert data == {
        "base": {"a": 1, "b": [1, 2]},
        "more": {"a": 1, "b": [3], "c": [1, 2]},
        "same": {"a": 1, "b": [1, 2]},
    }
    assert (lines["more", "b"], lines["more", "c"], lines["same",]) == (14, 15, 16)


TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.text("ab: #&*-[{'\"\n", max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=4),
    max_leaves=20,
)


@given(TREES)
@settings(max_examples=40)
def test_what_pyyaml_writes_reads_as_it_was(tree):
    import yaml

    assert parse(HERE, yaml.safe_dump(tree))[0] == tree


def test_a_file_without_end_is_not_read_to_its_end(tmp_path):
    with pytest.raises(UserError, match=r"^/dev/zero: longer than 1,000,000 characters: is this the right card\?"):
        read_text(Path("/dev/zero"), "card")
    path = tmp_path / "long.md"
    path.write_text("é" * MAX_TEXT, encoding="utf-8")
    assert len(read_text(path, "card")) == MAX_TEXT
    assert refused("#" * (MAX_TEXT + 1)).startswith(f"{HERE}: longer than 1,000,000 characters")


def _task() -> None:
    find_task("mine")


READERS: dict[str, Callable[[], object]] = {
    "model_cards/mine.md": lambda: read_card(Path("model_cards/mine.md")),
    "tasks/mine/task.yaml": _task,
    "task/prompts/default/en/joint.yaml": lambda: read_prompt(
        Path("task/prompts"), "default", Language.EN, Condition.JOINT, CSC
    ),
    "task/rubrics/default/en.yaml": lambda: read_rubric(Path("task/rubrics"), "default", Language.EN),
    "gate.yaml": lambda: read_rules(Path("gate.yaml")),
    "leaderboards/mine/board.yaml": lambda: read_board(Path("leaderboards/mine")),
    "ladder.yaml": lambda: ladder(Path("ladder.yaml")),
    "sizes.yaml": lambda: sizes(Path("sizes.yaml")),
}


@pytest.mark.parametrize("name", READERS)
def test_no_file_that_people_write_is_read_without_bounds(name):
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    for text, problem in ((LAUGHS, "10,000 values"), ("#" * (MAX_TEXT + 1), "1,000,000 characters")):
        path.write_text(f"---\n{text}\n---\n" if path.suffix == ".md" else text, encoding="utf-8")
        with pytest.raises(UserError, match=rf"{name}:.*{problem}"):
            READERS[name]()
