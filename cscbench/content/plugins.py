"""Third parties' tasks, adapters and scorers: found by entry point, loaded only when named.

A package offers one with, in its pyproject.toml, `[project.entry-points."cscbench.adapters"] echo = "my_package:KIND"`.
"""

import importlib
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from cscbench.content.yaml_file import did_you_mean
from cscbench.values import UserError


def names(group: str) -> dict[str, EntryPoint]:
    """Entry points of `cscbench.<group>` by name."""
    return {point.name: point for point in entry_points(group=f"cscbench.{group}")}


def load(point: EntryPoint) -> Any:
    """What the entry point names.

    Raises:
        UserError: its package does not import, whatever it raises, or lacks the name.
    """
    try:
        return point.load()
    except Exception as error:  # a third party's module: one that is broken must not hide the others
        what = f"{type(error).__name__}: {error}"
        raise UserError(f"plugin {point.group}: {point.name} = {point.value} cannot be loaded: {what}") from error


def find(kind: str, name: str, built_in: Mapping[str, str]) -> Any:
    """The adapter or scorer (`kind`) of this name: ours, imported now from its `module:attribute`, or a package's.

    Raises:
        UserError: there is none (with the nearest names), or its package does not load.
    """
    if name in built_in:
        module, _, attribute = built_in[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
    points = names(f"{kind}s")
    if name not in points:
        raise UserError(f"no {kind} {name!r}{did_you_mean(name, [*built_in, *points])}")
    return load(points[name])
