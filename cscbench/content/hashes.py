"""Hashes of everything that changes an answer: weights, files, and the identity of a run."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from cscbench.content.shipped import cache_root
from cscbench.values import Dialogue, UserError

# Hashes of weights are cached by path, size, times and inode, so that a run does not read 140 GB again.
_REMEMBER_FROM_BYTES = 16 * 1024 * 1024
_SHA256 = re.compile(rb"[0-9a-f]{64}")
_WEIGHT_FILES = ("*.safetensors", "*.json", "*.gguf", "*.model", "*.txt", "*.jinja", "*.py")


def digest(value: Any) -> str:
    """Return the sha256 of a JSON value in canonical form (sorted keys, no spaces, UTF-8)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def plain_dialogues(dialogues: Sequence[Dialogue]) -> list[dict[str, Any]]:
    """Return dialogues as JSON values for `digest`. Empty clusters are omitted, so older hashes stay valid."""
    plain: list[dict[str, Any]] = msgspec.to_builtins(dialogues)
    return [{name: value for name, value in fields.items() if name != "cluster" or value} for fields in plain]


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's content.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        stat = path.stat()
        if stat.st_size < _REMEMBER_FROM_BYTES:
            return hash_file(path)
        key = digest([str(path.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino])
        memo = cache_root() / "sha256" / key
        if memo.is_file() and _SHA256.fullmatch(known := memo.read_bytes()):
            return known.decode()
        sha256 = hash_file(path)
        memo.parent.mkdir(parents=True, exist_ok=True)
        # No temporary file is needed: all writers write the same bytes, and a partial write is not a valid sha256.
        memo.write_bytes(sha256.encode())
    except OSError as error:
        raise UserError(f"{path}: cannot hash this file: {error.strerror}") from None
    return sha256


def hash_file(path: Path) -> str:
    """Return the sha256 of a file's content without using the cache of hashes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_sha256(folder: Path) -> str:
    """Return one sha256 over the names and contents of a folder's model files (weights, configs, tokenizer, code).

    Raises:
        UserError: the folder has no model files, or one cannot be read.
    """
    files = sorted({path for pattern in _WEIGHT_FILES for path in folder.glob(pattern) if path.is_file()})
    if not files:
        raise UserError(f"{folder}: this folder contains no model files ({', '.join(_WEIGHT_FILES)})")
    return digest({path.name: file_sha256(path) for path in files})


def hash8(identity: Mapping[str, Any]) -> str:
    """Return the eight hex digits that name a run folder."""
    return digest(identity)[:8]
