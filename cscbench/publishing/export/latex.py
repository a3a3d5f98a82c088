"""Write LaTeX tables (booktabs); names and texts in them are escaped."""

from collections.abc import Collection, Sequence

_ESCAPES = {
    "\\": r"\textbackslash{}",
    **{char: "\\" + char for char in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "[": "{[}",  # at the start of a row it would be the option of the preceding \\
}


def latex_table(
    head: Sequence[str], groups: Sequence[tuple[str, Sequence[Sequence[str]]]], numbers: Collection[int]
) -> str:
    """Return a tabular of titled groups of rows (a title may be empty); columns in `numbers` are right-aligned."""
    columns = "".join("r" if number in numbers else "l" for number in range(len(head)))
    parts = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _line(head)]
    for title, rows in groups:
        parts.append(r"\midrule")
        if title:
            parts.append(rf"\multicolumn{{{len(head)}}}{{l}}{{\emph{{{latex_text(title)}}}}} \\")
        parts += map(_line, rows)
    return "\n".join([*parts, r"\bottomrule", r"\end{tabular}"]) + "\n"


def latex_text(text: str) -> str:
    """Return the text escaped for LaTeX, on one line."""
    return "".join(_ESCAPES.get(char, char) for char in " ".join(text.split()))


def _line(cells: Sequence[str]) -> str:
    return " & ".join(latex_text(cell) for cell in cells) + r" \\"
