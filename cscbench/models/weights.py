"""The weights in a card: `package:NAME`, a folder or GGUF file (an absolute path), or a Hub id at a commit.

A package provides weights through an entry point `cscbench.weights` that refers to a `PackagedWeights`;
`cscbench.demo_weights` does so.
"""

import re
from collections.abc import Callable
from pathlib import Path

from cscbench.content import plugins
from cscbench.content.extras import require_extra
from cscbench.content.hashes import file_sha256, folder_sha256
from cscbench.content.shipped import expanded
from cscbench.content.yaml_file import did_you_mean
from cscbench.values import Frozen, UserError

_PACKAGE = "package:"
_COMMIT = re.compile(r"[0-9a-f]{40}")
# Pickles are never loaded, and copies for other frameworks are not needed.
_NOT_FETCHED = ["*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.ot", "original/*", "onnx/*", "openvino/*"]


class PackagedWeights(Frozen, frozen=True):
    """Weights from a package: a hash of all they depend on, and a function that converts them once and locates them."""

    fingerprint: str
    locate: Callable[[], Path]


def identify(name: str, weights: str, revision: str = "") -> str:
    """Return what identifies weights: a content hash, or a Hub id with its commit. Load and download nothing.

    `name` is the card's name, for messages.

    Raises:
        UserError: the weights cannot be found.
    """
    if weights.startswith(_PACKAGE):
        return _packaged(name, weights.removeprefix(_PACKAGE)).fingerprint
    if _is_path(weights):
        path = _local(name, weights)
        return file_sha256(path) if path.is_file() else folder_sha256(path)
    return f"{weights}@{_commit(name, weights, revision)}"


def fetch(name: str, weights: str, revision: str = "") -> Path:
    """Return the local folder or GGUF file, converted or downloaded on first use.

    Raises:
        UserError: the weights cannot be found or downloaded.
    """
    if weights.startswith(_PACKAGE):
        return _packaged(name, weights.removeprefix(_PACKAGE)).locate()
    if _is_path(weights):
        return _local(name, weights)
    commit = _commit(name, weights, revision)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(weights, revision=commit, ignore_patterns=_NOT_FETCHED))
    except Exception as error:  # without a network, whatever the Hub client's HTTP library raises in this version
        raise _hub_error(name, weights, error) from error


def _packaged(name: str, package: str) -> PackagedWeights:
    points = plugins.names("weights")
    if package not in points:
        raise UserError(f"{name}: `package:{package}` is not installed{did_you_mean(package, list(points))}")
    weights = plugins.load(points[package])
    if not isinstance(weights, PackagedWeights):
        raise UserError(f"{name}: the entry point of `package:{package}` is not a PackagedWeights")
    return weights


def _is_path(weights: str) -> bool:
    return weights.startswith(("/", "~"))


def _local(name: str, weights: str) -> Path:
    path = expanded(weights)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise UserError(f"{name}: no GGUF file at {path}")
        return path
    if not (path / "config.json").is_file():
        raise UserError(f"{name}: no model at {path}: looked for {path / 'config.json'}")
    return path


def _commit(name: str, repo: str, revision: str) -> str:
    """Return the commit of a Hub model: the given one, the one in the local cache, or the latest on the Hub."""
    if not repo:
        raise UserError(f"{name}: its card has no `weights`: add them")
    if _COMMIT.fullmatch(revision):
        return revision
    require_extra("hf", ["huggingface_hub"], f"{name}: finding {repo} on the Hugging Face Hub")
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repo, revision=revision or None, local_files_only=True)).name
    except HFValidationError:
        raise UserError(
            f"{name}: {repo!r} is neither a Hub id (owner/name) nor a path (paths start with / or ./)"
        ) from None
    except LocalEntryNotFoundError:
        pass  # not downloaded yet: ask the Hub
    try:
        return str(HfApi().model_info(repo, revision=revision or None).sha)
    except Exception as error:  # without a network, whatever the Hub client's HTTP library raises in this version
        raise _hub_error(name, repo, error) from error


def _hub_error(name: str, repo: str, error: Exception) -> UserError:
    """An error with the Hub's own reason: an unaccepted license, a wrong revision or a full disk."""
    reason = next(iter(str(error).strip().splitlines()), "")
    return UserError(
        f"{name}: {repo} is not in the local Hugging Face cache, and downloading it from the Hub failed "
        f"({type(error).__name__}: {reason}).\n"
        f"With network access: hf download {repo}. Without: copy its folder to this machine and set `weights` to that "
        "path in a card of your own"
    )
