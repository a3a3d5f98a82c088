"""Model cards: Markdown whose YAML front matter says how to run a model; specs `base+variant+variant`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from cscbench.content import yaml_file as yamlfile
from cscbench.content.shipped import expanded, folders, inside
from cscbench.values import Frozen, Language, ModelCard, Price, UserError

T = TypeVar("T", bound=msgspec.Struct)


class Variant(Frozen, frozen=True):
    """What a variant may override of its card; `sampling` and `options` are merged key by key.

    One that names another adapter leaves the card's `options` behind: they were the first adapter's.
    """

    adapter: str | UnsetType = UNSET
    weights: str | UnsetType = UNSET
    revision: str | UnsetType = UNSET
    lora: str | UnsetType = UNSET
    parameters: float | UnsetType = UNSET
    license: str | UnsetType = UNSET
    languages: tuple[Language, ...] | UnsetType = UNSET
    prompts: str | UnsetType = UNSET
    sampling: dict[str, Any] | UnsetType = UNSET
    price: Price | UnsetType = UNSET
    options: dict[str, Any] | UnsetType = UNSET


class CardFile(ModelCard, frozen=True):
    """The front matter of a card, as written: a `ModelCard` with its variants still to be chosen."""

    variants: dict[str, dict[str, Any]] = {}


class FoundCard(Frozen, frozen=True):
    """A card as it lies in its file: `path`, checked front matter, the prose, and its raw data with line numbers."""

    path: Path
    card: CardFile
    prose: str
    raw: dict[str, Any]
    lines: dict[tuple[str, ...], int]


LORA_FROM_COMMAND_LINE = "(--lora)"


def read_card(path: Path) -> FoundCard:
    """One card file.

    Raises:
        UserError: no front matter, broken YAML, a missing, unknown or wrongly typed field, or a name unlike the file's.
    """
    text = yamlfile.read_text(path, "model card")
    lines = text.splitlines()
    if not lines or lines[0].strip() != "---":
        raise UserError(f"{path}:1: a model card begins with `---` and YAML front matter")
    end = next((i for i, line in enumerate(lines[1:], 1) if line.strip() == "---"), None)
    if end is None:
        raise UserError(f"{path}:1: the front matter has no closing `---`")
    raw, positions = yamlfile.parse(path, "\n".join(lines[1:end]), offset=1)
    card = yamlfile.convert(path, raw, positions, CardFile)
    if card.name != path.stem:
        line = positions[("name",)]
        raise UserError(f"{path}:{line}: field `name`: {card.name!r} must be the file's name, {path.stem!r}")
    found = FoundCard(path, card, "\n".join(lines[end + 1 :]).strip(), raw, positions)
    for variant in card.variants:
        _resolve(found, (variant,))
    return found


def card_files() -> dict[str, Path]:
    """Every card file by name; the working directory's hide shipped ones of the same name."""
    found: dict[str, Path] = {}
    for folder in folders("model_cards"):
        for path in sorted(folder.glob("*.md")):
            if path.name != "README.md":
                found.setdefault(path.stem, path)
    return found


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _resolve(found: FoundCard, variants: tuple[str, ...]) -> tuple[CardFile, yamlfile.Lines]:
    """The card under these variants, and the line that each of its fields comes from."""
    data: dict[str, Any] = dict(found.raw)
    lines = dict(found.lines)
    for variant in variants:
        over = found.raw["variants"][variant]
        yamlfile.convert(found.path, over, found.lines, Variant, ("variants", variant))
        if over.get("adapter", data["adapter"]) != data["adapter"]:
            data.pop("options", None)  # another adapter's, which knows no such options
        data = _merge(data, over)
        lines |= {
            keys[2:]: line for keys, line in found.lines.items() if keys[:2] == ("variants", variant) and keys[2:]
        }
    return yamlfile.convert(found.path, data, lines, CardFile), lines


def find_card(name: str) -> FoundCard:
    """The card of this name.

    Raises:
        UserError: there is none (with the nearest names), or it is broken.
    """
    files = card_files()
    if name not in files:
        raise UserError(f"no model card {name!r}{yamlfile.did_you_mean(name, list(files))}\nlist them: cscbench models")
    return read_card(files[name])


def read_options(card: ModelCard, into: type[T]) -> T:
    """The card's `options` as the value type of its adapter or scorer.

    Raises:
        UserError: one is missing, unknown (with the nearest name), or of the wrong type.
    """
    try:
        return msgspec.convert(dict(card.options), into, strict=True)
    except msgspec.ValidationError as error:
        hint = yamlfile.unknown_field_hint(str(error), into)
        raise UserError(f"{card.name}: `options` of its card: {error}{hint}") from None


def _local(found: FoundCard, lines: yamlfile.Lines, value: str, field: str) -> str:
    """A path written `./...` in a card is relative to the card and may not leave its folder."""
    if not value.startswith(("./", "../")):
        return value
    path = inside(found.path.parent, value)
    if path is None:
        line = lines[(field,)]
        raise UserError(f"{found.path}:{line}: field `{field}`: {value!r} leaves the card's folder: give a full path")
    return str(path)


def _lora_of(found: FoundCard, lines: yamlfile.Lines, card: CardFile, spec: str) -> str:
    if card.lora == LORA_FROM_COMMAND_LINE:
        raise UserError(
            f"{spec}: the LoRA weights of this variant are yours to give: add `--lora PATH`\n({found.path})"
        )
    return _local(found, lines, card.lora, "lora")


def resolve_card(spec: str, lora: str = "") -> ModelCard:
    """A model spec as a card with every default and variant applied.

    `spec` is `base` or `base+variant+...`; `lora`, a folder of peft weights, overrides the card's.

    Raises:
        UserError: an unknown base or variant (nearest names), a broken card, or a LoRA variant without weights.
    """
    base, *wanted = spec.split("+")
    found = find_card(base)
    for variant in wanted:
        if variant not in found.card.variants:
            hint = yamlfile.did_you_mean(variant, list(found.card.variants))
            raise UserError(f"{spec}: the card {base!r} has no variant {variant!r}{hint}\n({found.path})")
    card, lines = _resolve(found, tuple(wanted))
    name = spec if not lora or "lora" in wanted else f"{spec}+lora"
    fields = {field: getattr(card, field) for field in ModelCard.__struct_fields__}
    weights = _local(found, lines, card.weights, "weights")
    return ModelCard(**{**fields, "name": name, "weights": weights, "lora": lora or _lora_of(found, lines, card, spec)})


def resolve_cli_path(path: str) -> str:
    """A path from the command line, whole; empty stays empty."""
    return str(expanded(path).resolve()) if path else ""
