"""Small changes of a module's code, each made on its syntax tree.

A mutant changes one operator, comparison, `not`, number or bool. Left alone are texts, annotations, class keywords,
`zip(strict=...)` (a check that the code makes of itself), and what only shapes an error or a line of the log.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mutation_equivalents import EQUIVALENTS

ROOT = Path(__file__).resolve().parents[1]

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
LOGGING = {"debug", "info", "warning", "error", "exception"}


@dataclass(frozen=True)
class Mutant:
    """One change of a module; `source` is the whole module with it."""

    file: str
    line: int
    function: str
    before: str
    after: str
    source: str

    @property
    def reason(self) -> str:
        """Why nobody can tell it from the original, if that is known."""
        return EQUIVALENTS.get(self.key, "")

    @property
    def key(self) -> tuple[str, str, str]:
        """What names it, whatever line it is on."""
        return self.file, self.function, f"{self.before} -> {self.after}"


def variants(node: ast.AST) -> Iterator[ast.AST]:
    """What a node may become."""
    match node:
        case ast.Compare(left, ops, rest):
            for number, operator in enumerate(ops):
                for other in COMPARISONS[type(operator)]:
                    yield ast.Compare(left, [*ops[:number], other(), *ops[number + 1 :]], rest)
        case ast.BoolOp(operator, values):
            yield ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values)
        case ast.BinOp(left, operator, right) if type(operator) in OPERATORS:
            yield ast.BinOp(left, OPERATORS[type(operator)](), right)
        case ast.AugAssign(target, operator, value) if type(operator) in OPERATORS:
            yield ast.AugAssign(target, OPERATORS[type(operator)](), value)
        case ast.UnaryOp(ast.Not() | ast.USub() | ast.Invert(), operand):
            yield operand
        case ast.Constant(bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(int() | float() as value):
            yield ast.Constant(value + 1)


def code_parts(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """The children of a node that hold logic, each with the name of its field."""
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "type_comment", "keywords"} and not isinstance(node, ast.Call):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not is_text(child):
                yield name, child


def is_text(node: ast.AST) -> bool:
    """Whether a node only shapes a message, or is a check that the code makes of itself."""
    match node:
        case ast.Raise() | ast.Expr(ast.Constant()):
            return True
        case ast.Call(ast.Attribute(ast.Name("log"), name)):
            return name in LOGGING
        case ast.keyword("strict"):
            return True
        case ast.If(ast.Name("TYPE_CHECKING")):
            return True
    return False


def shared_start(left: str, right: str) -> int:
    """How many characters two texts have in common at their start."""
    differ = (number for number, (a, b) in enumerate(zip(left, right, strict=False)) if a != b)
    return next(differ, min(len(left), len(right)))


def excerpts(before: str, after: str, margin: int = 24) -> tuple[str, str]:
    """Both texts, cut to where they differ and some characters around."""
    start = shared_start(before, after)
    end = shared_start(before[start:][::-1], after[start:][::-1])
    left, right = max(0, start - margin), max(0, end - margin)
    cut = [text[left : len(text) - right].strip() for text in (before, after)]
    lines = [text.partition("\n")[0] for text in cut]
    return (lines[0], lines[1]) if lines[0] != lines[1] else (cut[0], cut[1])


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Every mutant of a module, in the order of its text."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    file = path.relative_to(ROOT).as_posix()

    def walk(parents: tuple[ast.AST, ...], field: str, node: ast.AST) -> Iterator[Mutant]:
        for variant in variants(node):
            yield mutant((*parents, node), field, variant)
        for name, child in code_parts(node):
            yield from walk((*parents, node), name, child)

    def mutant(chain: tuple[ast.AST, ...], field: str, variant: ast.AST) -> Mutant:
        node, parent = chain[-1], chain[-2]
        shown = next(part for part in reversed(chain) if shows_change(part, node))
        before = ast.unparse(shown)
        old = getattr(parent, field)
        setattr(
            parent, field, [variant if part is node else part for part in old] if isinstance(old, list) else variant
        )
        after, source = ast.unparse(variant if shown is node else shown), ast.unparse(ast.fix_missing_locations(tree))
        setattr(parent, field, old)
        names = [part.name for part in chain if isinstance(part, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)]
        line = next(part.lineno for part in reversed(chain) if hasattr(part, "lineno"))
        return Mutant(file, line, ".".join(names), *excerpts(before, after), source)

    yield from walk((), "", tree)


def shows_change(part: ast.AST, node: ast.AST) -> bool:
    """Whether a part is enough to recognise a change of `node`: a bare number or `not` says little."""
    if part is node and isinstance(node, ast.Constant | ast.UnaryOp):
        return False
    return isinstance(part, ast.expr | ast.stmt | ast.arguments) and not isinstance(
        part, ast.Slice | ast.Tuple | ast.UnaryOp
    )
