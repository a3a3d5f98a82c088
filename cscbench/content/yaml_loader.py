"""YAML into plain data in bounded time and memory.

An alias costs nothing to read, but whoever walks the data meets all that it stands for: nine lines of nine aliases
each are a thousand million values ("billion laughs"). So each node is measured when it is composed, with every alias
counted as what it stands for. A measure is a sum over parts that are measured already, so this is linear. What is too
large is refused at its line, before anything walks it.
"""

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import yaml

# Far above what ships: at most 1,200 values, 5 levels and no alias. Composing takes 20 microseconds a value.
MOST_NODES = 10_000
MOST_DEPTH = 40
MOST_ALIASES = 1_000
MOST_DIGITS = 40
# A text in double quotes can spell one, as "\\ud800".
_HALF = re.compile(r"[\ud800-\udfff]")
_TAG = "tag:yaml.org,2002:"


class _Measure(NamedTuple):
    """How many nodes a node stands for, itself among them, and how many levels."""

    size: int
    height: int


class RefusedError(yaml.MarkedYAMLError):
    """YAML that is valid, and too much."""


class BoundedLoader(yaml.SafeLoader):
    """A SafeLoader that refuses what is too large, too deep or contains itself, and numbers that no field can hold."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._measures: dict[int, _Measure] = {}  # by id: the document keeps all of its nodes alive
        self._level = 0
        self._aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """A node below `parent`, measured; called for each node of the text, and for each alias."""
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        is_alias = self.check_event(yaml.AliasEvent)
        self._aliases += is_alias
        self._level += 1
        if self._level > MOST_DEPTH:
            raise _refused(f"more than {MOST_DEPTH} levels: write it flatter", mark)
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
            if is_alias:  # of a node that is not finished: the alias stands in it
                raise _refused("a value that contains itself (`&name`, `*name`): write it out", mark)
            parts = [self._measures[id(part)] for part in _parts(node)]
            known = _Measure(1 + sum(part.size for part in parts), 1 + max((part.height for part in parts), default=0))
            self._measures[id(node)] = known
        return known

    def _check(self, measure: _Measure, mark: Any) -> None:
        if self._aliases > MOST_ALIASES:
            raise _refused(f"more than {MOST_ALIASES:,} aliases: write the values out, or use fewer", mark)
        if self._level + measure.height > MOST_DEPTH + 1:
            raise _refused(f"more than {MOST_DEPTH} levels, with what aliases stand for: write it flatter", mark)
        if max(measure.size, len(self._measures)) > MOST_NODES:
            raise _refused(f"more than {MOST_NODES:,} values, with what aliases stand for: make it shorter", mark)


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _refused(problem: str, mark: Any) -> RefusedError:
    return RefusedError(None, None, problem, mark)


Construct = Callable[[Any, yaml.ScalarNode], Any]


def _number(construct: Construct, kind: str) -> Construct:
    """A constructor of numbers that refuses those which break whoever computes with them or writes them as JSON."""

    def constructed(loader: BoundedLoader, node: yaml.ScalarNode) -> Any:
        value = math.inf if len(node.value) > MOST_DIGITS else construct(loader, node)
        if not math.isfinite(value) or (isinstance(value, int) and abs(value) >= 2**63):
            raise _refused(f"{node.value[:MOST_DIGITS]} is no usable {kind}", node.start_mark)
        return value

    return constructed


def _plain(construct: Construct, what: str) -> Construct:
    """A constructor whose errors name the line; yaml's are of any kind, and come from the middle of its parsing."""

    def constructed(loader: BoundedLoader, node: yaml.ScalarNode) -> Any:
        try:
            return construct(loader, node)
        except (ValueError, LookupError, AttributeError, TypeError):
            raise _refused(f"{node.value[:MOST_DIGITS]!r} is {what}", node.start_mark) from None

    return constructed


for _name, _constructor in {
    "int": _plain(_number(yaml.SafeLoader.construct_yaml_int, "whole number: it has 64 bits at most"), "no number"),
    "float": _plain(_number(yaml.SafeLoader.construct_yaml_float, "number: it must be finite"), "no number"),
    "bool": _plain(yaml.SafeLoader.construct_yaml_bool, "neither true nor false"),
    "timestamp": _plain(yaml.SafeLoader.construct_yaml_timestamp, "no date: put the date in quotes if it is a text"),
}.items():
    BoundedLoader.add_constructor(_TAG + _name, _constructor)
