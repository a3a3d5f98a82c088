"""Weights as a card names them: `package:NAME`, a folder or GGUF file (a full path), or a hub id at a commit.

A package offers weights under an entry point `cscbench.weights` that names a `PackagedWeights`; `cscbench.demo_weights`
is such a package.
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
# Pickles are never loaded, and other frameworks' copies never needed.
_NOT_FETCHED = ["*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.ot", "original/*", "onnx/*", "openvino/*"]


class PackagedWeights(Frozen, frozen=True):
    """Weights that arrive in a package: what they depend on, and how to get their folder, converted on first use."""

    fingerprint: str
    locate: Callable[[], Path]


def identify(name: str, weights: str, revision: str = "") -> str:
    """What makes these weights these: a content hash, or a hub id with its commit. Nothing is loaded or fetched.

    `name` is the card's, for messages.

    Raises:
        UserError: nothing is there; the message says what was looked for.
    """
    if weights.startswith(_PACKAGE):
        return _packaged(name, weights.removeprefix(_PACKAGE)).fingerprint
    if _is_path(weights):
        path = _local(name, weights)
        return file_sha256(path) if path.is_file() else folder_sha256(path)
    return f"{weights}@{_commit(name, weights, revision)}"


def fetch(name: str, weights: str, revision: str = "") -> Path:
    """The folder, or the GGUF file, on this machine: converted or downloaded on first use.

    Raises:
        UserError: nothing is there, or the Hub does not give it.
    """
    if weights.startswith(_PACKAGE):
        return _packaged(name, weights.removeprefix(_PACKAGE)).locate()
    if _is_path(weights):
        return _local(name, weights)
    commit = _commit(name, weights, revision)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(weights, revision=commit, ignore_patterns=_NOT_FETCHED))
    except Exception as error:  # no network: an error of the hub's HTTP library, which changes with its version
        raise _not_given(name, weights, error) from error


def _packaged(name: str, package: str) -> PackagedWeights:
    points = plugins.names("weights")
    if package not in points:
        raise UserError(f"{name}: no weights `package:{package}` are installed{did_you_mean(package, list(points))}")
    found = plugins.load(points[package])
    if not isinstance(found, PackagedWeights):
        raise UserError(f"{name}: the entry point of `package:{package}` names no PackagedWeights")
    return found


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
    """The commit of a hub model: the one named, the one in the local cache, or the Hub's newest."""
    if not repo:
        raise UserError(f"{name}: its card names no `weights`")
    if _COMMIT.fullmatch(revision):
        return revision
    require_extra("hf", ["huggingface_hub"], f"{name}: finding {repo} on the Hugging Face Hub")
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repo, revision=revision or None, local_files_only=True)).name
    except HFValidationError:
        raise UserError(
            f"{name}: {repo!r} is no hub id (owner/name), and no path: a path begins with / or ./"
        ) from None
    except LocalEntryNotFoundError:
        pass  # not fetched yet: ask the Hub
    try:
        return str(HfApi().model_info(repo, revision=revision or None).sha)
    except Exception as error:  # no network: an error of the hub's HTTP library, which changes with its version
        raise _not_given(name, repo, error) from error


def _not_given(name: str, repo: str, error: Exception) -> UserError:
    """Says the hub's own reason too: a licence to accept, a wrong revision or a full disk each has another fix."""
    reason = next(iter(str(error).strip().splitlines()), "")
    return UserError(
        f"{name}: {repo} is not in the local Hugging Face cache, and the Hub does not give it "
        f"({type(error).__name__}: {reason}).\n"
        f"With a network: hf download {repo}. Without: put its folder on this machine and set `weights` to that path "
        "in a card of your own"
    )
