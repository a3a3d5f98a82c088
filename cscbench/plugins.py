"""Third parties' tasks, adapters and scorers: found by entry point, loaded only when named.

A package offers one with, in its pyproject.toml, `[project.entry-points."cscbench.adapters"] echo = "my_package:KIND"`.
"""

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from cscbench.errors import UserError


def names(group: str) -> dict[str, EntryPoint]:
    """Entry points of `cscbench.<group>` by name."""
    return {point.name: point for point in entry_points(group=f"cscbench.{group}")}


def load(point: EntryPoint) -> Any:
    """What the entry point names.

    Raises:
        UserError: its package does not import, or lacks the name.
    """
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise UserError(f"plugin {point.group}: {point.name} = {point.value} cannot be loaded: {error}") from error
