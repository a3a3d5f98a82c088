"""Check for optional packages; the error for a missing one has the pip command that installs it."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from cscbench.values import UserError


def require_extra(extra: str, modules: Iterable[str], purpose: str) -> None:
    """Check that an extra's modules can be imported, without importing them.

    Raises:
        UserError: a module is missing; the message has the pip command.
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise UserError(f'{purpose} needs {", ".join(missing)}: pip install "cscbench[{extra}]"')


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the installed version of each distribution, or "absent", without importing anything."""
    installed = {}
    for package in packages:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            installed[package] = "absent"
    return installed
