"""Load YAML as plain data in bounded time and memory.

An alias is cheap to read, but code that walks the data visits everything that it expands to: nine lines of nine aliases
each are a billion values ("billion laughs"). The loader therefore measures each node when it composes it, and counts
every alias as what it expands to. A node's measure is the sum over its parts, which are already measured, so this takes
linear time. A node that is too large is rejected at its line, before any code walks it.
"""

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import yaml

# Far above the shipped files: at most 1,200 values, 5 levels and no aliases. Composing takes 20 microseconds per value.
MAX_NODES = 10_000
MAX_DEPTH = 40
MAX_ALIASES = 1_000
MAX_DIGITS = 40
# Half a character; a string in double quotes can spell it, as "\\ud800".
_HALF = re.compile(r"[\ud800-\udfff]")
_TAG = "tag:yaml.org,2002:"


class _Measure(NamedTuple):
    """The number of nodes that a node expands to, including itself, and the number of levels."""

    size: int
    height: int


class RefusedError(yaml.MarkedYAMLError):
    """Valid YAML that exceeds a limit."""


class BoundedLoader(yaml.SafeLoader):
    """A SafeLoader that rejects data that is too large, too deep or contains itself, and numbers out of range."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._measures: dict[int, _Measure] = {}  # by id: the document keeps all of its nodes alive
        self._level = 0
        self._aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose and measure a node below `parent`; called for each node of the text and each alias."""
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        is_alias = self.check_event(yaml.AliasEvent)
        self._aliases += is_alias
        self._level += 1
        if self._level > MAX_DEPTH:
            raise _refused(f"more than {MAX_DEPTH} levels: reduce the nesting", mark)
        node = super().compose_node(parent, index)
        if node is not None:
            self._check(self._measure(node, is_alias, mark), mark)
        if isinstance(node, yaml.ScalarNode) and (half := _HALF.search(node.value)):
            raise _refused(f"half a character ({half[0]!r}): no file can store it", mark)
        self._level -= 1
        return node

    def _measure(self, node: yaml.Node, is_alias: bool, mark: Any) -> _Measure:
        known = self._measures.get(id(node))
        if known is None:
            if is_alias:  # the alias is inside its own node, which is not finished yet
                raise _refused("a value contains itself (`&name`, `*name`): write it out", mark)
            parts = [self._measures[id(part)] for part in _parts(node)]
            known = _Measure(1 + sum(part.size for part in parts), 1 + max((part.height for part in parts), default=0))
            self._measures[id(node)] = known
        return known

    def _check(self, measure: _Measure, mark: Any) -> None:
        if self._aliases > MAX_ALIASES:
            raise _refused(f"more than {MAX_ALIASES:,} aliases: write the values out, or use fewer", mark)
        if self._level + measure.height > MAX_DEPTH + 1:
            raise _refused(f"more than {MAX_DEPTH} levels, including expanded aliases: reduce the nesting", mark)
        if max(measure.size, len(self._measures)) > MAX_NODES:
            raise _refused(f"more than {MAX_NODES:,} values, including expanded aliases: shorten it", mark)


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _refused(problem: str, mark: Any) -> RefusedError:
    return RefusedError(None, None, problem, mark)


Construct = Callable[[Any, yaml.ScalarNode], Any]


def _bounded_number(construct: Construct, requirement: str) -> Construct:
    """Wrap a constructor of numbers to reject values that break arithmetic or JSON."""

    def constructed(loader: BoundedLoader, node: yaml.ScalarNode) -> Any:
        value = math.inf if len(node.value) > MAX_DIGITS else construct(loader, node)
        if not math.isfinite(value) or (isinstance(value, int) and abs(value) >= 2**63):
            raise _refused(f"{node.value[:MAX_DIGITS]} is not a usable {requirement}", node.start_mark)
        return value

    return constructed


def _with_line(construct: Construct, problem: str) -> Construct:
    """Wrap a constructor so that its errors give the line; yaml's own errors are of many types and lack it."""

    def constructed(loader: BoundedLoader, node: yaml.ScalarNode) -> Any:
        try:
            return construct(loader, node)
        except (ValueError, LookupError, AttributeError, TypeError):
            raise _refused(f"{node.value[:MAX_DIGITS]!r} is {problem}", node.start_mark) from None

    return constructed


for _name, _constructor in {
    "int": _with_line(
        _bounded_number(yaml.SafeLoader.construct_yaml_int, "integer: it must fit in 64 bits"), "not a number"
    ),
    "float": _with_line(
        _bounded_number(yaml.SafeLoader.construct_yaml_float, "number: it must be finite"), "not a number"
    ),
    "bool": _with_line(yaml.SafeLoader.construct_yaml_bool, "neither true nor false"),
    "timestamp": _with_line(
        yaml.SafeLoader.construct_yaml_timestamp, "not a date: if it is a string, put it in quotes"
    ),
}.items():
    BoundedLoader.add_constructor(_TAG + _name, _constructor)
