"""Where things lie on this machine: content in the working directory, then what ships with cscbench; the user's cache.

`tasks/`, `model_cards/` and `leaderboards/` stand at the top of a checkout and inside the package in a wheel; none is
importable.
"""

import os
from pathlib import Path

from cscbench.values import UserError


def content_root() -> Path:
    """The folder that holds the shipped content, in a wheel, a checkout or an editable install."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "_content"
    return inside if inside.is_dir() else package.parent


def folders(kind: str) -> tuple[Path, ...]:
    """The existing folders named `kind`: the working directory's, then the shipped one, never one twice."""
    found = [Path.cwd() / kind, content_root() / kind]
    unique = dict.fromkeys(path.resolve() for path in found if path.is_dir())
    return tuple(unique)


def inside(folder: Path, relative: str) -> Path | None:
    """`folder / relative`, or None when that would leave the folder (through `..`, an absolute path or a link)."""
    path = (folder / relative).resolve()
    return path if path.is_relative_to(folder.resolve()) else None


def expanded(path: str) -> Path:
    """A path that a person wrote, with the home folder in the place of a leading `~` or `~name`.

    Raises:
        UserError: no home folder is known: in a container, HOME may be unset and the user have no name.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"{path}: no home folder is known to put in the place of `~`: write the full path") from None


def cache_root() -> Path:
    """CSCBENCH_CACHE, else XDG_CACHE_HOME/cscbench, else ~/.cache/cscbench; an empty variable is unset.

    Raises:
        UserError: none of them is known. No other folder takes their place unasked: what it keeps is slow to make.
    """
    if given := os.environ.get("CSCBENCH_CACHE"):
        return expanded(given)
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return expanded(xdg) / "cscbench"
    try:
        return Path.home() / ".cache" / "cscbench"
    except RuntimeError:
        raise UserError(
            "no home folder is known for the cache (HOME is unset, and this user has no name): set CSCBENCH_CACHE to a "
            "folder that this user can write to"
        ) from None
