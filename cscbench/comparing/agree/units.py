"""What texts are counted in: the tokens of a tokenizer on this machine, or characters."""

from collections.abc import Callable, Sequence
from pathlib import Path

from cscbench.asking.record import RunRecord
from cscbench.content.cards import card_files, resolve_card
from cscbench.content.extras import require_extra
from cscbench.content.shipped import expanded
from cscbench.models.weights import fetch
from cscbench.values import Frozen, UserError

NO_TOKENIZER = "none"
_FILE = "tokenizer.json"


class TextUnit(Frozen, frozen=True):
    """A way to split texts. `name` says what the pieces are; `note` why it is not the models' own tokenizer."""

    name: str
    split: Callable[[Sequence[str]], list[Sequence[object]]]
    note: str = ""


def characters(note: str = "") -> TextUnit:
    """Texts by character."""
    return TextUnit("characters", list, note)


def tokens(name: str, file: Path) -> TextUnit:
    """Texts by the tokens of a tokenizer.json, without special tokens.

    Raises:
        UserError: it cannot be read.
    """
    require_extra("hf", ["tokenizers"], f"reading {file}")
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises nothing more precise
        raise UserError(f"{file}: no tokenizer can be read from it: {error}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def split(texts: Sequence[str]) -> list[Sequence[object]]:
        return [found.ids for found in tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    return TextUnit(f"tokens of {name}", split)


def text_unit(given: str, a: RunRecord, b: RunRecord) -> TextUnit:
    """The tokenizer that `--tokenizer` names; without it the tokenizer of one run's weights, else characters.

    `given` is a card, a folder or tokenizer.json, a hub id in the local cache, or `none` for characters. Nothing is
    downloaded.

    Raises:
        UserError: the one that was asked for is not there.
    """
    if given == NO_TOKENIZER:
        return characters()
    if given.startswith((".", "/", "~")):
        return tokens(Path(given).name, _in_folder(expanded(given)))
    if given and (given in card_files() or "/" not in given):
        card = resolve_card(given)
        return tokens(given, _of_weights(card.name, card.weights, card.revision))
    if given:
        return tokens(given, _of_weights("--tokenizer", given, ""))
    reasons = []
    for weights, model in {run.model.fingerprint.get("weights", ""): run.model for run in (a, b)}.items():
        try:
            return tokens(model.weights, _of_weights(model.label, model.weights, weights.rpartition("@")[2]))
        except UserError as error:
            reasons.append(str(error))
    return characters(f"{'; '.join(reasons)}: give --tokenizer to compare by tokens")


def _of_weights(name: str, weights: str, revision: str) -> Path:
    """tokenizer.json of a card's weights, as `weights.source` names them, without a network."""
    if not weights:
        raise UserError(f"{name} names no weights")
    if weights.startswith(("package:", "/", "~")):
        return _in_folder(fetch(name, weights, revision))
    if "/" not in weights:
        raise UserError(f"{name}: run.json does not say in which folder its weights, {weights}, lay")
    require_extra("hf", ["huggingface_hub"], f"{name}: finding {weights} in the local Hugging Face cache")
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(weights, _FILE, revision=revision or None)
    except HFValidationError:
        raise UserError(f"{name}: {weights!r} is no card, no path and no hub id (owner/name)") from None
    if not isinstance(found, str):
        raise UserError(f"{name}: {_FILE} of {weights} is not in the local Hugging Face cache (hf download {weights})")
    return Path(found)


def _in_folder(path: Path) -> Path:
    file = path / _FILE if path.is_dir() else path
    if file.suffix != ".json" or not file.is_file():
        raise UserError(f"{path}: no {_FILE} there")
    return file
