"""Jinja templates for prompts and rubrics, with bounded time, memory and output length.

Templates run code: a loop or a repetition can take hours or all memory, possibly only for one customer's line. The
limits therefore apply to every rendering, in any thread, without signals or other processes: the template counts for
itself. Only the statements, operators, filters and methods listed below are allowed, because they can be bounded. The
syntax tree is rewritten before it is compiled, so that every loop iteration, and every operation that creates or
compares values, passes through the rendering context. The context checks the clock, adds up the sizes of new values,
rejects a value that is too large (a list counts with everything in it: lists of lists double quickly), and rejects an
operation that multiplies sizes, such as `replace`, before running it. Most templates have no loops or operations, and
pay almost nothing.
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

# Wall-clock limit; after it, the thread gets as much CPU time again, in case the machine slept or was busy.
_SECONDS = 1.0
# Characters of the rendered text and of any value in it; each list item adds `_PER_ITEM`.
MAX_CHARACTERS, _PER_ITEM = 1_000_000, 10
# Characters of all values that a rendering creates, plus loop iterations.
MAX_WORK = 2_000_000
# Characters of a template: compiling this many takes a second at worst.
MAX_SOURCE = 100_000
# Bits of a number.
MAX_BITS = 10_000
# Product of the sizes of two operands of `_MULTIPLY`: for strings (20 milliseconds), and if one is a list (a second).
_MAX_PRODUCT, _MAX_LIST_PRODUCT = 20_000_000, 1_000_000


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NODES = _words(
    "Template Output TemplateData If For Assign With Name Const List Tuple Dict Pair Getattr Getitem Slice CondExpr "
    "Compare Operand And Or Not Neg Pos Add Sub Mul Div FloorDiv Mod Concat Filter Test Call Keyword"
)
# Excluded: filters that take quadratic time (such as wordwrap) or pad to a width or format (such as center).
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
_CONTAINERS = (str, list, tuple, dict)
# Types without a known size; `loop` is also one of them.
_LAZY = (Iterator, KeysView, ValuesView, ItemsView)
# Internal filters, with names that no template can spell.
_EACH, _KEPT, _CONCAT = "for each", "kept value", "~"


class TooMuchError(TemplateRuntimeError):
    """A template that takes too long, creates too much, or uses a feature that is not allowed."""


class _Context(Context):
    """Counts the work of one rendering."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._left, self._end, self._second_start = MAX_WORK, monotonic() + _SECONDS, 0.0

    def spend(self, amount: int = 1) -> None:
        """Count some work, and check the clock."""
        self._left -= amount
        if self._left < 0:
            raise TooMuchError(f"its loops and values exceed {MAX_WORK:,} iterations and characters: loop less")
        if monotonic() > self._end:
            self._check_cpu_time()

    def _check_cpu_time(self) -> None:
        self._second_start = self._second_start or thread_time()
        left = _SECONDS - (thread_time() - self._second_start)
        if left < 0:
            raise TooMuchError(f"it runs for more than {2 * _SECONDS:g} s: loop less")
        self._end = monotonic() + left

    def each(self, values: Iterable[Any]) -> Iterator[Any]:
        """Yield the values of a loop and count them."""
        for value in values:
            self.spend()
            yield value

    def kept(self, value: Any) -> Any:
        """Return a new value if it is not too large; a lazy one is evaluated now, and counted."""
        if isinstance(value, _LAZY):
            value = list(self.each(value))
        size = 1 if isinstance(value, range) else _size(value)
        if size > MAX_CHARACTERS or (isinstance(value, int) and value.bit_length() > MAX_BITS):
            limit = f"{MAX_CHARACTERS:,} characters, or thousands of digits"
            raise TooMuchError(f"it creates a value of more than {limit}: make it smaller")
        self.spend(size)
        return value

    def concat(self, parts: list[Any]) -> str:
        """Concatenate the parts of a `~` if they are not too large."""
        return "".join(map(str, self.kept(parts)))

    def allow(self, name: str, operands: Sequence[Any]) -> None:
        """Reject a filter or method that multiplies sizes, before it creates a value that is too large."""
        numbers = [abs(operand) for operand in operands if isinstance(operand, int)]
        *_, second, first = sorted([1, 1, *numbers, *map(_size, operands)])
        plain = all(isinstance(operand, str | int) for operand in operands)
        if first * second > (_MAX_PRODUCT if plain else _MAX_LIST_PRODUCT):
            raise TooMuchError(f"`{name}` would create too much from its arguments: pass it less")


def _size(value: object) -> int:
    """Estimate the characters of a value with its contents, counting repeats each time; stop at the limit."""
    if isinstance(value, str):
        return len(value)
    total, waiting = 0, [value]
    while waiting and total <= MAX_CHARACTERS:
        part = waiting.pop()
        total += len(part) if isinstance(part, str) else 1
        if isinstance(part, list | tuple | dict | range):
            total += _PER_ITEM * len(part)
        if isinstance(part, list | tuple | dict):
            waiting += [*part, *part.values()] if isinstance(part, dict) else part
    return total


def _joined(pieces: Iterable[str]) -> str:
    """Join the output of a template."""
    texts: list[str] = []
    total, remaining = 0, iter(pieces)
    while batch := list(islice(remaining, 16)):
        total += sum(map(len, batch))
        if total > MAX_CHARACTERS:
            raise TooMuchError(f"it is longer than {MAX_CHARACTERS:,} characters: make it shorter")
        texts += batch
    return "".join(texts)


def _counting(name: str, function: Any) -> Callable[..., Any]:
    """Wrap a filter or test so that it counts."""
    first_argument = getattr(getattr(function, "jinja_pass_arg", None), "name", "")
    multiplies = name in _MULTIPLY

    @pass_context
    def counting(context: Any, *args: Any, **kwargs: Any) -> Any:
        if multiplies:
            args = tuple(context.kept(arg) if isinstance(arg, _LAZY) else arg for arg in args)
            context.allow(name, [*args, *kwargs.values()])
        passed = {"context": context, "eval_context": context.eval_ctx, "environment": context.environment}
        return context.kept(function(*([passed[first_argument]] if first_argument else []), *args, **kwargs))

    return counting


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox with operators, methods, filters and tests that count."""

    context_class = _Context
    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)
    concat = staticmethod(_joined)

    def __init__(self) -> None:
        # Prompts are plain text, not HTML: escaping would change what the model reads.
        super().__init__(undefined=StrictUndefined, keep_trailing_newline=False, autoescape=False)
        self.filters = {name: _counting(name, self.filters[name]) for name in _FILTERS}
        self.filters |= {_EACH: pass_context(_Context.each), _KEPT: pass_context(_Context.kept)}
        self.filters[_CONCAT] = pass_context(_Context.concat)
        self.tests = {name: _counting("", test) for name, test in self.tests.items()}
        self.globals = {"range": self.globals["range"]}

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Apply an operator; strings and lists support only `+`."""
        if operator != "+" and (isinstance(left, _CONTAINERS) or isinstance(right, _CONTAINERS)):
            raise TooMuchError(f"`{operator}` works on numbers, not on strings and lists: write it out or use a filter")
        return context.kept(super().call_binop(context, operator, left, right))

    def call_filter(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a filter that another filter received by name."""
        if name not in _FILTERS:
            raise TooMuchError(f"no filter `{name}`; known: {', '.join(sorted(_FILTERS))}")
        return super().call_filter(name, *args, **kwargs)

    def call(self, context: Any, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call `range`, a method of a string or mapping, or a method of `loop`."""
        name, owner = getattr(obj, "__name__", type(obj).__name__), getattr(obj, "__self__", None)
        method = isinstance(owner, str | dict) and name in _METHODS
        allowed = method or isinstance(owner, LoopContext) or obj is self.globals["range"]
        if not allowed and not isinstance(obj, StrictUndefined):  # an undefined name raises its own error
            raise TooMuchError(f"templates cannot use `{name}()`: see docs/tasks.md")
        if method and name in _MULTIPLY:
            args = tuple(context.kept(arg) if isinstance(arg, _LAZY) else arg for arg in args)
            context.allow(name, [owner, *args])
        return context.kept(super().call(context, obj, *args, **kwargs))


class _Counted(NodeTransformer):
    """Rejects nodes that are not listed, and makes the others count."""

    def visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> Any:
        """Return a node or its replacement; its children are visited first."""
        node_type = type(node).__name__
        if node_type not in _NODES or (isinstance(node, nodes.For) and node.recursive):
            feature = "recursive" if isinstance(node, nodes.For) else _NAMES.get(node_type, node_type.lower())
            raise TooMuchError(
                f"templates cannot use `{feature}` (line {node.lineno} of the template): see docs/tasks.md"
            )
        if isinstance(node, nodes.Filter) and node.name not in _FILTERS:
            raise TooMuchError(
                f"no filter `{node.name}` (line {node.lineno} of the template); known: {', '.join(sorted(_FILTERS))}"
            )
        node = self.generic_visit(node)
        if isinstance(node, nodes.For):
            node.iter = _filtered(_EACH, node.iter)
        elif isinstance(node, nodes.Concat):
            return _filtered(_CONCAT, nodes.List(node.nodes, lineno=node.lineno))
        elif isinstance(node, nodes.Compare | nodes.Dict) or (
            isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice)
        ):
            return _filtered(_KEPT, node)
        elif isinstance(node, nodes.List | nodes.Tuple) and getattr(node, "ctx", "load") == "load":
            plain = all(isinstance(item, nodes.Const) for item in node.items)
            return node if plain else _filtered(_KEPT, node)
        return node


def _filtered(name: str, node: Any) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


_ENVIRONMENT = _Environment()


def compiled(text: str) -> Template:
    """Compile a template.

    Raises:
        TooMuchError: the template is too long, or uses a feature that is not allowed; rendering can also raise this.
        TemplateSyntaxError: the text is not a valid template.
    """
    if len(text) > MAX_SOURCE:
        raise TooMuchError(f"it is longer than {MAX_SOURCE:,} characters: make it shorter")
    tree = _Counted().visit(_ENVIRONMENT.parse(text))
    return _ENVIRONMENT.from_string(tree)
