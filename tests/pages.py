"""Read documentation pages: the files that they show, their commands, tables and links."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]


def page(name: str) -> str:
    """Return the text of docs/NAME."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def shown_files(text: str) -> dict[str, str]:
    """Return the fenced blocks whose preceding line is a file name alone, by that name."""
    return dict(re.findall(r"^`([^`\n]+)`\n+```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


def commands(text: str) -> list[list[str]]:
    """Return the words of every line of every shell block, in order."""
    blocks = re.findall(r"^```(?:sh|shell|bash|console)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.strip()]
    return [shlex.split(line, comments=True) for line in lines]


def python_blocks(text: str) -> list[str]:
    """Return the Python blocks, without their comments."""
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [re.sub(r" *#.*$", "", block, flags=re.MULTILINE) for block in blocks]


def rows(text: str) -> list[list[str]]:
    """Return the cells, without code marks, of the first table in `text`, less the header."""
    lines = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert lines is not None, text[:80]
    cells = (re.split(r"(?<!\\)\|", line.strip().strip("|")) for line in lines[0].splitlines()[2:])
    return [[cell.strip().strip("`") for cell in row] for row in cells]


def table(text: str, heading: str) -> list[list[str]]:
    """Return the rows of the first table under `heading`."""
    return rows(re.split(rf"^#+ {re.escape(heading)}$", text, maxsplit=1, flags=re.MULTILINE)[1])


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(text: str) -> list[str]:
    """Return the links to files and headings of this repository."""
    return sorted(set(re.findall(r"\]\((?!https?:)([^)]+)\)", text)))
