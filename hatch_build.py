"""Include tasks/, model_cards/ and leaderboards/ in the package, in wheels only.

In a checkout they are at the top level, where an editable install finds them; cscbench/content/shipped.py knows both
locations.
"""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ContentHook(BuildHookInterface):  # type: ignore[type-arg]
    """Map the content folders to `cscbench/_content/`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Set up the build; hatchling calls this with `version` "standard" or "editable"."""
        if version == "standard":
            for folder in ("tasks", "model_cards", "leaderboards"):
                build_data["force_include"][folder] = f"cscbench/_content/{folder}"
