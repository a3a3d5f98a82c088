"""A document as LaTeX, for XeLaTeX or LuaLaTeX with ctex and booktabs; drawings are left out."""

from collections.abc import Iterator

from cscbench.publishing.export.latex import latex_text
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
    Utterance,
    as_table,
    printable,
)

_HEAD = r"""% xelatex report.tex
\documentclass[a4paper]{article}
\usepackage[UTF8, scheme=plain]{ctex}
\usepackage[margin=22mm]{geometry}
\usepackage{booktabs, longtable, array}
\setlength{\parindent}{0pt}\setlength{\parskip}{6pt}
"""
_LEVELS = {2: "section", 3: "subsection"}
# What of a line's width a table's first column may take; the others share the rest.
_FIRST = 0.3
# More columns than these are counts, as narrow as they are.
_MANY = 10


def latex(document: Document) -> str:
    """The whole file; no text of others can be a command."""
    parts = [rf"\title{{{_inline(document.title)}}}", r"\date{}", r"\begin{document}", r"\maketitle"]
    parts += [part for section in document.sections for part in _section(section)]
    return _HEAD + "\n".join([*parts, r"\end{document}"]) + "\n"


def _section(section: Section) -> Iterator[str]:
    yield rf"\{_LEVELS[section.level]}*{{{_inline(section.title)}}}"
    for block in section.blocks:
        if text := _block(block):
            yield text


def _block(block: Block) -> str:
    match block:
        case Text(text=text, lead=lead):
            return rf"\textbf{{{_inline(text)}}}" + "\n" if lead else _inline(text) + "\n"
        case Bullets(items=items):
            return "\n".join([r"\begin{itemize}", *(rf"\item {{}}{_inline(item)}" for item in items), r"\end{itemize}"])
        case Table() | Heat():
            return _table(as_table(block))
        case Exchange(title=title, lines=said):
            return "\n".join([r"\begin{quote}", rf"\emph{{{_inline(title)}}}\par", *map(_said, said), r"\end{quote}"])
        case Code(text=text):
            return rf"\texttt{{{_inline(text)}}}" + "\n"
        case _:
            return ""


def _said(line: Utterance) -> str:
    note = f" ({_inline(line.note)})" if line.note else ""
    return rf"\textbf{{{_inline(line.speaker)}}}{note}: {_inline(line.text)}\par"


def _table(table: Table) -> str:
    columns = len(table.head)
    if columns > _MANY:
        spec, size = "l" + "r" * (columns - 1), r"{\footnotesize\setlength{\tabcolsep}{3pt}"
    else:
        widths = [_FIRST, *[(1 - _FIRST) / max(1, columns - 1)] * (columns - 1)]
        sides = [r"\raggedleft" if number in table.numbers else r"\raggedright" for number in range(columns)]
        cells = [
            rf">{{{side}\arraybackslash}}p{{{width - 0.03:.3f}\linewidth}}"
            for side, width in zip(sides, widths, strict=True)
        ]
        spec, size = "".join(cells), r"{\small"
    body = _rows(table.head, table.rows)
    return "\n".join([size, rf"\begin{{longtable}}{{{spec}}}", *body, r"\end{longtable}}"])


def _rows(head: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> list[str]:
    # {} after \\ and before each row: a cell that begins with [ would be the row's spacing.
    lines = [r" & ".join(_inline(cell) for cell in row) + r" \\" for row in (head, *rows)]
    return [r"\toprule", lines[0], r"\midrule", *(f"{{}}{line}" for line in lines[1:]), r"\bottomrule"]


def _inline(text: str) -> str:
    return latex_text(printable(text))
