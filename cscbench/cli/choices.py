"""Options of commands as values."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

import click
import msgspec

from cscbench.values import UserError

E = TypeVar("E", bound=StrEnum)
S = TypeVar("S", bound=msgspec.Struct)


class EnumChoice(click.Choice[E]):
    """The values of an enum as a user types them: `two-step`, not the member's name."""

    def __init__(self, choices: type[E] | Sequence[E], moved: Mapping[str, str] | None = None) -> None:
        """`moved` names, for values of earlier versions, the command that took their place."""
        super().__init__(choices)
        self._moved = moved or {}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> E:
        """The member of what was typed."""
        if value in self._moved:
            raise UserError(f"{value!r} is now {self._moved[value]}")
        return super().convert(value, param, ctx)

    def normalize_choice(self, choice: object, ctx: click.Context | None) -> str:
        """The value of a member, or what was typed."""
        return choice.value if isinstance(choice, StrEnum) else str(choice)


def given(into: type[S], options: Mapping[str, Any]) -> S:
    """The options that are fields of a struct, as such a struct; what was not given keeps the struct's default."""
    fields = {name: options[name] for name in into.__struct_fields__ if options.get(name) is not None}
    return into(**fields)


def _overrides(_ctx: click.Context, _option: click.Parameter, texts: tuple[str, ...]) -> dict[str, Any]:
    from cscbench.content.overrides import read_overrides

    return read_overrides(texts)


Command = TypeVar("Command", bound=Callable[..., Any])


def set_option(roots: str) -> Callable[[Command], Command]:
    """Add `--set PATH=VALUE`, repeatable; the command gets `overrides`, the values by path."""
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        callback=_overrides,
        metavar="PATH=VALUE",
        help=f"Set a field of {roots} for this command, e.g. --set card.sampling.max_tokens=64; repeatable.",
    )


def renamed_option(old: str, new: str) -> Callable[[Command], Command]:
    """Add an option of earlier versions that only names its successor."""

    def refuse(_ctx: click.Context, _option: click.Parameter, value: str | None) -> None:
        if value is not None:
            raise UserError(f"{old} is now {new}")

    return click.option(old, expose_value=False, hidden=True, callback=refuse)
