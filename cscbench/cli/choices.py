"""Enums as options of commands."""

from enum import StrEnum
from typing import TypeVar

import click

E = TypeVar("E", bound=StrEnum)


class EnumChoice(click.Choice[E]):
    """The values of an enum as they are typed: `two-step`, not the member's name."""

    def normalize_choice(self, choice: object, ctx: click.Context | None) -> str:
        """The value of a member, or what was typed."""
        return choice.value if isinstance(choice, StrEnum) else str(choice)
