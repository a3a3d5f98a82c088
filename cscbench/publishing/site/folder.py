"""Write a site to a temporary folder next to its destination, and move it there when it is complete."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from cscbench.asking.files import write_error
from cscbench.content.locks import hold
from cscbench.values import UserError

_MARK = '<meta name="generator" content="cscbench">'


class Folder:
    """A folder to write files to; counts pages and bytes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.pages, self.bytes = 0, 0

    def write(self, name: str, content: bytes) -> None:
        """Write a file, and create its folders.

        Raises:
            UserError: the file cannot be written.
        """
        path = self._path / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as error:
            raise write_error(path, error) from None
        self.pages += name.endswith(".html")
        self.bytes += len(content)

    def page(self, name: str, text: str) -> None:
        """Write a text file; characters that UTF-8 cannot encode are replaced."""
        self.write(name, text.encode("utf-8", "replace"))

    def chunk(self, key: str, value: Any) -> None:
        """Write `data/KEY.js`, which a page loads with a script tag: this also works from file://."""
        self.write(f"data/{key}.js", script(key, value))


def script(key: str, value: Any) -> bytes:
    """Return a script that passes a value to the page. No text in it can end the script element or a line."""
    try:
        text = msgspec.json.encode(value)
    except UnicodeEncodeError:  # a lone surrogate in a submitted JSON file
        text = msgspec.json.encode(_clean(msgspec.to_builtins(value)))
    for mark, escaped in ((b"<", rb"\u003c"), (b"\xe2\x80\xa8", rb"\u2028"), (b"\xe2\x80\xa9", rb"\u2029")):
        text = text.replace(mark, escaped)
    return b"cscbench.chunk(" + msgspec.json.encode(key) + b"," + text + b");\n"


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_clean(key): _clean(child) for key, child in value.items()}
    return [_clean(child) for child in value] if isinstance(value, list | tuple) else value


@contextmanager
def staged(out: Path) -> Iterator[Folder]:
    """Yield a folder to fill; on success it replaces `out`, including an older site.

    The new and the old site are kept next to `out` under names that only the holder of a lock uses. Leftovers of a
    killed process are removed first, and an older site that it had moved away is restored.

    Raises:
        UserError: `out` exists and is not a cscbench site, another process builds it, or it cannot be written.
    """
    out = out.resolve()
    lock, fresh, old = (out.with_name(f".{out.name}.cscbench-{role}") for role in ("lock", "staged", "old"))

    def refuse() -> None:
        raise UserError(f"{out}: another cscbench command is building this site. Wait until it has finished") from None

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with hold(lock, refuse, remove=True):
            _clean_up(out, fresh, old)
            if out.exists() and not _is_site(out):
                raise UserError(f"{out} is not empty and not a cscbench site. Choose another --out")
            try:
                fresh.mkdir()
                yield Folder(fresh)
                if out.exists():
                    out.replace(old)
                fresh.replace(out)
            finally:
                _clean_up(out, fresh, old)
    except OSError as error:
        raise write_error(out, error) from None


def _clean_up(out: Path, fresh: Path, old: Path) -> None:
    if old.exists() and not out.exists():
        old.replace(out)
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _is_site(out: Path) -> bool:
    if not out.is_dir():
        return False
    index = out / "index.html"
    content = list(out.iterdir())
    return not content or (index in content and _MARK in index.read_text(encoding="utf-8", errors="replace")[:4000])
