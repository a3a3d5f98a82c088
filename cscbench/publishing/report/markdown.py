"""Render a document as GitHub Markdown, without plots."""

import re
from collections.abc import Iterator

from cscbench.publishing.formats import markdown_text
from cscbench.publishing.report.blocks import (
    Block,
    Bullets,
    Code,
    Document,
    Exchange,
    Heat,
    Section,
    Table,
    Text,
    as_table,
    printable,
)


def markdown(document: Document) -> str:
    """Return the Markdown; markup in texts is escaped."""
    parts = [f"# {_inline(document.title)}", *(part for section in document.sections for part in _section(section))]
    return "\n\n".join(parts) + "\n"


def _section(section: Section) -> Iterator[str]:
    yield f"{'#' * section.level} {_inline(section.title)}"
    for block in section.blocks:
        if text := _block(block):
            yield text


def _block(block: Block) -> str:
    match block:
        case Text(text=text, lead=lead):
            return f"**{_inline(text)}**" if lead else _start(_inline(text))
        case Bullets(items=items):
            return "\n".join(f"- {_start(_inline(item))}" for item in items)
        case Table() | Heat():
            return _table(as_table(block))
        case Exchange(title=title, lines=lines):
            utterances = [
                f"> **{_inline(line.speaker)}**{f' ({_inline(line.note)})' if line.note else ''}: {_inline(line.text)}"
                for line in lines
            ]
            return "\n>\n".join([f"> *{_inline(title)}*", *utterances])
        case Code(text=text):
            return "\n".join(f"    {line}" for line in printable(text).splitlines())
        case _:
            return ""


def _table(table: Table) -> str:
    rule = ["--:" if number in table.numbers else "---" for number in range(len(table.head))]
    lines = [[_inline(cell) for cell in row] for row in (table.head, *table.rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (lines[0], rule, *lines[1:]))


def _inline(text: str) -> str:
    """Return the text escaped on one line. The colon of a URL is escaped, so that no URL becomes a link."""
    return re.sub(r"\b(https?|ftp|mailto|xmpp):", r"\1\\:", markdown_text(printable(text)), flags=re.IGNORECASE)


def _start(text: str) -> str:
    """Return the line escaped so that it does not start a list or a rule."""
    return re.sub(r"^(?:([-+=])|(\d+)([.)])(?=\s|$))", lambda match: f"{match[2] or ''}\\{match[1] or match[3]}", text)
