"""Third-party tasks, adapters and scorers: found by entry point, loaded only when a command names them.

A package registers an adapter in its pyproject.toml: `[project.entry-points."cscbench.adapters"]` with
`echo = "my_package:BACKEND"`.
"""

import importlib
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from cscbench.content.yaml_file import did_you_mean
from cscbench.values import UserError


def names(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of `cscbench.<group>` by name."""
    return {point.name: point for point in entry_points(group=f"cscbench.{group}")}


def load(point: EntryPoint) -> Any:
    """Load the object that an entry point names.

    Raises:
        UserError: the package fails to import, or does not define the object.
    """
    try:
        return point.load()
    except Exception as error:  # third-party code: a broken package must not hide the others
        cause = f"{type(error).__name__}: {error}"
        raise UserError(f"plugin {point.group}: {point.name} = {point.value} cannot be loaded: {cause}") from error


def find(category: str, name: str, built_in: Mapping[str, str]) -> Any:
    """Find an adapter or scorer (`category`) by name: import a built-in one (`module:attribute`), or load a plugin.

    Raises:
        UserError: no adapter or scorer has this name (with the nearest names), or its package fails to load.
    """
    if name in built_in:
        module, _, attribute = built_in[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
    points = names(f"{category}s")
    if name not in points:
        raise UserError(f"no {category} {name!r}{did_you_mean(name, [*built_in, *points])}")
    return load(points[name])
