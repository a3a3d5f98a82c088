"""Options of commands as values."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

import click
import msgspec

E = TypeVar("E", bound=StrEnum)
S = TypeVar("S", bound=msgspec.Struct)


class EnumChoice(click.Choice[E]):
    """The values of an enum as they are typed: `two-step`, not the member's name."""

    def normalize_choice(self, choice: object, ctx: click.Context | None) -> str:
        """The value of a member, or what was typed."""
        return choice.value if isinstance(choice, StrEnum) else str(choice)


def given(into: type[S], options: Mapping[str, Any]) -> S:
    """The options that are fields of a struct, as such a struct; what was not given keeps the struct's default."""
    fields = {name: options[name] for name in into.__struct_fields__ if options.get(name) is not None}
    return into(**fields)
