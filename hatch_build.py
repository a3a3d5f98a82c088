"""Puts tasks/, model_cards/ and leaderboards/ inside the package, in wheels only.

They live at the top of a checkout, where an editable install finds them; cscbench/shipped.py knows both places.
"""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ContentHook(BuildHookInterface):  # type: ignore[type-arg]
    """Maps the content folders to `cscbench/_content/`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds; `version` is "standard" or "editable"."""
        if version == "standard":
            for folder in ("tasks", "model_cards", "leaderboards"):
                build_data["force_include"][folder] = f"cscbench/_content/{folder}"
