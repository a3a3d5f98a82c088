"""Choose the unit in which texts are compared: tokens of a local tokenizer, or characters."""

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
    """A way to split texts. `name` names the pieces; `note` says why they are not tokens of the model's tokenizer."""

    name: str
    split: Callable[[Sequence[str]], list[Sequence[object]]]
    note: str = ""


def characters(note: str = "") -> TextUnit:
    """Return the unit that splits texts into characters."""
    return TextUnit("characters", list, note)


def tokens(name: str, file: Path) -> TextUnit:
    """Return the unit that splits texts into tokens of a tokenizer.json, without special tokens.

    Raises:
        UserError: the file cannot be read.
    """
    require_extra("hf", ["tokenizers"], f"reading {file}")
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises nothing more precise
        raise UserError(f"{file} is not a tokenizer: {error}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def split(texts: Sequence[str]) -> list[Sequence[object]]:
        return [encoding.ids for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    return TextUnit(f"tokens of {name}", split)


def text_unit(chosen: str, a: RunRecord, b: RunRecord) -> TextUnit:
    """Return tokens of the tokenizer that `--tokenizer` names, else of a run's own model, else characters.

    `chosen` is a model card, a folder or tokenizer.json, a Hub id in the local cache, or `none` for characters. Nothing
    is downloaded.

    Raises:
        UserError: the named tokenizer was not found.
    """
    if chosen == NO_TOKENIZER:
        return characters()
    if chosen.startswith((".", "/", "~")):
        return tokens(Path(chosen).name, _in_folder(expanded(chosen)))
    if chosen and (chosen in card_files() or "/" not in chosen):
        card = resolve_card(chosen)
        return tokens(chosen, _of_weights(card.name, card.weights, card.revision))
    if chosen:
        return tokens(chosen, _of_weights("--tokenizer", chosen, ""))
    reasons = []
    for weights, model in {run.model.fingerprint.get("weights", ""): run.model for run in (a, b)}.items():
        try:
            return tokens(model.weights, _of_weights(model.label, model.weights, weights.rpartition("@")[2]))
        except UserError as error:
            reasons.append(str(error))
    return characters(f"{'; '.join(reasons)}. Add --tokenizer to compare by tokens")


def _of_weights(name: str, weights: str, revision: str) -> Path:
    """Return the local tokenizer.json of a card's weights; downloads nothing."""
    if not weights:
        raise UserError(f"{name} names no weights")
    if weights.startswith(("package:", "/", "~")):
        return _in_folder(fetch(name, weights, revision))
    if "/" not in weights:
        raise UserError(f"{name}: run.json does not record the folder of its weights ({weights})")
    require_extra("hf", ["huggingface_hub"], f"{name}: finding {weights} in the local Hugging Face cache")
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(weights, _FILE, revision=revision or None)
    except HFValidationError:
        raise UserError(f"{name}: {weights!r} is neither a card, a path nor a Hub id (owner/name)") from None
    if not isinstance(cached, str):
        raise UserError(
            f"{name}: {_FILE} of {weights} is not in the local Hugging Face cache. Run `hf download {weights}`"
        )
    return Path(cached)


def _in_folder(path: Path) -> Path:
    file = path / _FILE if path.is_dir() else path
    if file.suffix != ".json" or not file.is_file():
        raise UserError(f"{path}: no {_FILE} found")
    return file
