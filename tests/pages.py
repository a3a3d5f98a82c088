"""Reads documentation pages: the files that they show, the commands that they give, their tables."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]


def page(name: str) -> str:
    """The text of docs/NAME."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def shown_files(text: str) -> dict[str, str]:
    """The fenced blocks under a line that is nothing but a file's name, by that name."""
    return dict(re.findall(r"^`([^`\n]+)`\n+```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


def commands(text: str) -> list[list[str]]:
    """Every line of every shell block, in order."""
    blocks = re.findall(r"^```(?:sh|shell|bash|console)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.strip()]
    return [shlex.split(line, comments=True) for line in lines]


def table(text: str, heading: str) -> list[list[str]]:
    """The cells, without code marks, of the first table under a heading; the header row is left out."""
    section = re.split(rf"^#+ {re.escape(heading)}$", text, maxsplit=1, flags=re.MULTILINE)[1]
    rows = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert rows is not None, heading
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows[0].splitlines()[2:]]
