"""The site's folder: written beside its place, and moved there when it is whole."""

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
    """Writes files below one folder and counts them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.pages, self.bytes = 0, 0

    def write(self, name: str, content: bytes) -> None:
        """A file at `name`, its folders made.

        Raises:
            UserError: the disk is full or the folder cannot be written.
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
        """A page or a table; what no UTF-8 can hold is replaced."""
        self.write(name, text.encode("utf-8", "replace"))

    def chunk(self, key: str, value: Any) -> None:
        """Data that a page loads on demand with a script tag, which works from file:// too: `data/KEY.js`."""
        self.write(f"data/{key}.js", script(key, value))


def script(key: str, value: Any) -> bytes:
    """A script that hands over a value. Whatever stands in it cannot end the script or a line of it."""
    try:
        text = msgspec.json.encode(value)
    except UnicodeEncodeError:  # a lone surrogate in a JSON file that somebody sent
        text = msgspec.json.encode(_clean(msgspec.to_builtins(value)))
    for mark, escaped in ((b"<", rb"\u003c"), (b"\xe2\x80\xa8", rb"\u2028"), (b"\xe2\x80\xa9", rb"\u2029")):
        text = text.replace(mark, escaped)
    return b"cscbench.chunk(" + msgspec.json.encode(key) + b"," + text + b");\n"


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_clean(key): _clean(own) for key, own in value.items()}
    return [_clean(own) for own in value] if isinstance(value, list | tuple) else value


@contextmanager
def staged(out: Path) -> Iterator[Folder]:
    """A folder to fill; it takes the place of `out` when all went well. An older site there is replaced.

    Both lie beside `out` meanwhile, under names that only the holder of a lock uses: what is there before is of a dead
    process, and is removed; an older site that it had moved away goes back.

    Raises:
        UserError: `out` holds something else than a site of ours, another process builds it, or it cannot be written.
    """
    out = out.resolve()
    lock, fresh, old = (out.with_name(f".{out.name}.cscbench-{what}") for what in ("lock", "staged", "old"))

    def refuse() -> None:
        raise UserError(f"{out}: another cscbench command builds this site: wait for it") from None

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with hold(lock, refuse, remove=True):
            _settle(out, fresh, old)
            if out.exists() and not _ours(out):
                raise UserError(f"{out}: not empty, and no site of cscbench: choose another --out")
            try:
                fresh.mkdir()
                yield Folder(fresh)
                if out.exists():
                    out.replace(old)
                fresh.replace(out)
            finally:
                _settle(out, fresh, old)
    except OSError as error:
        raise write_error(out, error) from None


def _settle(out: Path, fresh: Path, old: Path) -> None:
    if old.exists() and not out.exists():
        old.replace(out)
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _ours(out: Path) -> bool:
    if not out.is_dir():
        return False
    index = out / "index.html"
    found = list(out.iterdir())
    return not found or (index in found and _MARK in index.read_text(encoding="utf-8", errors="replace")[:4000])
