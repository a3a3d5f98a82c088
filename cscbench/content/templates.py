"""Jinja that cannot run away: templates of prompts and rubrics, in bounded time, memory and length.

A template computes: a loop or a repetition in one can take hours or all memory, and may do so with one customer's line
only. So bounds hold whenever one is rendered, in any thread, without signals or other processes: the template itself
counts. Only what can be bounded is let in: the statements, operators, filters and methods listed below. The syntax tree
is then changed before it is compiled: each turn of a loop, and each operation that makes or compares values, goes
through the context of the rendering. That looks at the clock, adds up what was made, refuses a value that is too large
(a list is as large as all that it holds: lists of lists double quickly), and refuses an operation that multiplies, such
as `replace`, by its operands, before it is done. A template without loops and operations, as most are, pays nearly
nothing.
"""

from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Sequence, ValuesView
from itertools import islice
from time import monotonic, thread_time
from typing import Any

from jinja2 import StrictUndefined, Template, nodes, pass_context
from jinja2.exceptions import TemplateRuntimeError
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

# So long on the clock, and then as long again of the thread's own time: a machine that sleeps or is busy does no harm.
_SECONDS = 1.0
# Characters of a rendered text, and of any value in it; an item of a list counts as so many more.
MOST_CHARACTERS, _PER_ITEM = 1_000_000, 10
# Characters of all values that a rendering makes, and turns of loops.
MOST_WORK = 2_000_000
# Characters of a template: to compile so many takes a second at worst.
MOST_SOURCE = 100_000
# Bits of a number.
MOST_BITS = 10_000
# The product of two operands of `_MULTIPLY`: of texts (20 milliseconds), and where one is a list (a second).
_MOST_PRODUCT, _MOST_LIST_PRODUCT = 20_000_000, 1_000_000


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NODES = _words(
    "Template Output TemplateData If For Assign With Name Const List Tuple Dict Pair Getattr Getitem Slice CondExpr "
    "Compare Operand And Or Not Neg Pos Add Sub Mul Div FloorDiv Mod Concat Filter Test Call Keyword"
)
# Not among them: what takes quadratic time (such as wordwrap), and what writes to a width or form (such as center).
_FILTERS = _words(
    "abs capitalize count d default e escape first float indent int items join last length list lower map max min "
    "reject rejectattr replace reverse safe select selectattr sort string title tojson trim truncate unique upper "
    "wordcount"
)
_METHODS = _words(
    "capitalize count endswith find items join keys lower lstrip removeprefix removesuffix replace rstrip split "
    "splitlines startswith strip title upper values"
)
_MULTIPLY = _words(
    "indent join lstrip map max min reject rejectattr replace rstrip select selectattr sort strip tojson trim unique"
)
_NAMES = {"Pow": "**", "CallBlock": "call", "FilterBlock": "filter", "AssignBlock": "endset", "NSRef": "namespace"}
_HOLDS = (str, list, tuple, dict)
# What does not say how much it holds; `loop` is one, too.
_LAZY = (Iterator, KeysView, ValuesView, ItemsView)
# No template can spell these filters.
_EACH, _KEPT, _CONCAT = "for each", "kept value", "~"


class TooMuchError(TemplateRuntimeError):
    """A template that takes too long, makes too much, or uses what is not let in."""


class _Context(Context):
    """Counts what one rendering does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._left, self._end, self._second_start = MOST_WORK, monotonic() + _SECONDS, 0.0

    def spend(self, amount: int = 1) -> None:
        """Count something that was made, and look at the clock."""
        self._left -= amount
        if self._left < 0:
            raise TooMuchError(f"its loops and values come to more than {MOST_WORK:,} turns and characters: loop less")
        if monotonic() > self._end:
            self._look_again()

    def _look_again(self) -> None:
        self._second_start = self._second_start or thread_time()
        left = _SECONDS - (thread_time() - self._second_start)
        if left < 0:
            raise TooMuchError(f"it computes for more than {2 * _SECONDS:g} s: loop less")
        self._end = monotonic() + left

    def each(self, values: Iterable[Any]) -> Iterator[Any]:
        """The values of a loop, counted as they are taken."""
        for value in values:
            self.spend()
            yield value

    def kept(self, value: Any) -> Any:
        """A value that was made, if it is not too large; what is made lazily is made now, and counted."""
        if isinstance(value, _LAZY):
            value = list(self.each(value))
        size = 1 if isinstance(value, range) else _size(value)
        if size > MOST_CHARACTERS or (isinstance(value, int) and value.bit_length() > MOST_BITS):
            most = f"{MOST_CHARACTERS:,} characters, or thousands of digits"
            raise TooMuchError(f"it makes a value of more than {most}: make it smaller")
        self.spend(size)
        return value

    def concat(self, parts: list[Any]) -> str:
        """The parts of a `~`, put together if they are not too large."""
        return "".join(map(str, self.kept(parts)))

    def allow(self, name: str, operands: Sequence[Any]) -> None:
        """Refuse a filter or method that multiplies, before it makes what is too large."""
        numbers = [abs(operand) for operand in operands if isinstance(operand, int)]
        *_, second, first = sorted([1, 1, *numbers, *map(_size, operands)])
        plain = all(isinstance(operand, str | int) for operand in operands)
        if first * second > (_MOST_PRODUCT if plain else _MOST_LIST_PRODUCT):
            raise TooMuchError(f"`{name}` would make too much of what it is given: give it less")


def _size(value: object) -> int:
    """About how many characters a value has, what it holds counted wherever it occurs; no further than is allowed."""
    if isinstance(value, str):
        return len(value)
    total, waiting = 0, [value]
    while waiting and total <= MOST_CHARACTERS:
        part = waiting.pop()
        total += len(part) if isinstance(part, str) else 1
        if isinstance(part, list | tuple | dict | range):
            total += _PER_ITEM * len(part)
        if isinstance(part, list | tuple | dict):
            waiting += [*part, *part.values()] if isinstance(part, dict) else part
    return total


def _joined(pieces: Iterable[str]) -> str:
    """What a template puts out."""
    texts: list[str] = []
    total, coming = 0, iter(pieces)
    while some := list(islice(coming, 16)):
        total += sum(map(len, some))
        if total > MOST_CHARACTERS:
            raise TooMuchError(f"it is longer than {MOST_CHARACTERS:,} characters: make it shorter")
        texts += some
    return "".join(texts)


def _counting(name: str, function: Any) -> Callable[..., Any]:
    """A filter or test that counts."""
    wants = getattr(getattr(function, "jinja_pass_arg", None), "name", "")
    multiplies = name in _MULTIPLY

    @pass_context
    def counting(context: Any, *args: Any, **kwargs: Any) -> Any:
        if multiplies:
            args = tuple(context.kept(arg) if isinstance(arg, _LAZY) else arg for arg in args)
            context.allow(name, [*args, *kwargs.values()])
        passed = {"context": context, "eval_context": context.eval_ctx, "environment": context.environment}
        return context.kept(function(*([passed[wants]] if wants else []), *args, **kwargs))

    return counting


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox with operators, methods, filters and tests that count."""

    context_class = _Context
    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)
    concat = staticmethod(_joined)

    def __init__(self) -> None:
        # Prompts are plain text for a model, never HTML: escaping would change what the model reads.
        super().__init__(undefined=StrictUndefined, keep_trailing_newline=False, autoescape=False)
        self.filters = {name: _counting(name, self.filters[name]) for name in _FILTERS}
        self.filters |= {_EACH: pass_context(_Context.each), _KEPT: pass_context(_Context.kept)}
        self.filters[_CONCAT] = pass_context(_Context.concat)
        self.tests = {name: _counting("", test) for name, test in self.tests.items()}
        self.globals = {"range": self.globals["range"]}

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """`left` and `right` under an operator; texts and lists can be added, and nothing else done with them."""
        if operator != "+" and (isinstance(left, _HOLDS) or isinstance(right, _HOLDS)):
            raise TooMuchError(f"`{operator}` is for numbers, not for texts and lists: write it out, or use a filter")
        return context.kept(super().call_binop(context, operator, left, right))

    def call_filter(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """A filter that another one was given by its name."""
        if name not in _FILTERS:
            raise TooMuchError(f"no filter `{name}`; known: {', '.join(sorted(_FILTERS))}")
        return super().call_filter(name, *args, **kwargs)

    def call(self, context: Any, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """`range`, a method of a text or mapping, or one of `loop`."""
        name, owner = getattr(obj, "__name__", type(obj).__name__), getattr(obj, "__self__", None)
        method = isinstance(owner, str | dict) and name in _METHODS
        known = method or isinstance(owner, LoopContext) or obj is self.globals["range"]
        if not known and not isinstance(obj, StrictUndefined):  # which says itself what it is
            raise TooMuchError(f"`{name}()` is not to be had in a template: see docs/tasks.md")
        if method and name in _MULTIPLY:
            args = tuple(context.kept(arg) if isinstance(arg, _LAZY) else arg for arg in args)
            context.allow(name, [owner, *args])
        return context.kept(super().call(context, obj, *args, **kwargs))


class _Counted(NodeTransformer):
    """Lets in what is listed, and makes it count."""

    def visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> Any:
        """A node of the tree, or what stands in its place; its parts are done first."""
        kind = type(node).__name__
        if kind not in _NODES or (isinstance(node, nodes.For) and node.recursive):
            said = "recursive" if isinstance(node, nodes.For) else _NAMES.get(kind, kind.lower())
            raise TooMuchError(f"`{said}` in its line {node.lineno} is not to be had: see docs/tasks.md")
        if isinstance(node, nodes.Filter) and node.name not in _FILTERS:
            raise TooMuchError(
                f"no filter `{node.name}`, in its line {node.lineno}; known: {', '.join(sorted(_FILTERS))}"
            )
        node = self.generic_visit(node)
        if isinstance(node, nodes.For):
            node.iter = _through(_EACH, node.iter)
        elif isinstance(node, nodes.Concat):
            return _through(_CONCAT, nodes.List(node.nodes, lineno=node.lineno))
        elif isinstance(node, nodes.Compare | nodes.Dict) or (
            isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice)
        ):
            return _through(_KEPT, node)
        elif isinstance(node, nodes.List | nodes.Tuple) and getattr(node, "ctx", "load") == "load":
            plain = all(isinstance(item, nodes.Const) for item in node.items)
            return node if plain else _through(_KEPT, node)
        return node


def _through(name: str, node: Any) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


_ENVIRONMENT = _Environment()


def compiled(text: str) -> Template:
    """A template, ready to be rendered.

    Raises:
        TooMuchError: it is too long, or uses what is not let in; rendering raises it, too.
        TemplateSyntaxError: it is no template.
    """
    if len(text) > MOST_SOURCE:
        raise TooMuchError(f"it is longer than {MOST_SOURCE:,} characters: make it shorter")
    tree = _Counted().visit(_ENVIRONMENT.parse(text))
    return _ENVIRONMENT.from_string(tree)
