"""Optional packages: present, or a message with the pip line that brings them."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from cscbench.values import UserError


def require_extra(extra: str, modules: Iterable[str], purpose: str) -> None:
    """Make sure that an extra's modules can be imported, without importing them.

    Raises:
        UserError: one is missing; the message has the pip line.
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise UserError(f'{purpose} needs {", ".join(missing)}: pip install "cscbench[{extra}]"')


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Installed version of each distribution, "absent" where there is none; nothing is imported."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found
