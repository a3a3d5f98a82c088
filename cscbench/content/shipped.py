"""Locate content on this machine (the working directory first, then what ships with cscbench) and the user's cache.

`tasks/`, `model_cards/` and `leaderboards/` are at the top level of a checkout, and inside the package in a wheel. None
of them is importable.
"""

import os
from pathlib import Path

from cscbench.values import UserError


def content_root() -> Path:
    """Return the folder of the shipped content, in a wheel, a checkout or an editable install."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "_content"
    return inside if inside.is_dir() else package.parent


def folders(name: str) -> tuple[Path, ...]:
    """Return the existing folders called `name`: the working directory's, then the shipped one, without duplicates."""
    candidates = [Path.cwd() / name, content_root() / name]
    unique = dict.fromkeys(path.resolve() for path in candidates if path.is_dir())
    return tuple(unique)


def inside(folder: Path, relative: str) -> Path | None:
    """Return `folder / relative`, or None if it is outside the folder (through `..`, an absolute path or a link)."""
    path = (folder / relative).resolve()
    return path if path.is_relative_to(folder.resolve()) else None


def expanded(path: str) -> Path:
    """Expand a leading `~` or `~name` in a path.

    Raises:
        UserError: there is no home folder, as in a container where HOME is unset and the user has no name.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"{path}: cannot expand `~`: no home folder is known: use an absolute path") from None


def cache_root() -> Path:
    """Return CSCBENCH_CACHE, or else XDG_CACHE_HOME/cscbench, or else ~/.cache/cscbench; empty variables are ignored.

    Raises:
        UserError: none of them is known. There is no fallback, because the content of the cache is slow to rebuild.
    """
    if given := os.environ.get("CSCBENCH_CACHE"):
        return expanded(given)
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return expanded(xdg) / "cscbench"
    try:
        return Path.home() / ".cache" / "cscbench"
    except RuntimeError:
        raise UserError(
            "cannot choose a cache folder: HOME is unset and this user has no home folder: set CSCBENCH_CACHE to a "
            "folder that this user can write to"
        ) from None
