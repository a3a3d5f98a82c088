"""Model cards: Markdown files whose YAML front matter says how to run a model; specs `base+variant+variant`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from cscbench.content import yaml_file
from cscbench.content.overrides import Override, merged, nested
from cscbench.content.shipped import expanded, folders, inside
from cscbench.values import Frozen, Language, ModelCard, Price, UserError

T = TypeVar("T", bound=msgspec.Struct)


class Variant(Frozen, frozen=True):
    """The card fields that a variant may override; `sampling` and `options` are merged key by key.

    A variant with a different adapter drops the card's `options`, which belong to the card's adapter.
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
    """The front matter of a card as written: a `ModelCard` and its variants."""

    variants: dict[str, dict[str, Any]] = {}


class ParsedCard(Frozen, frozen=True):
    """A card file: its path, checked front matter, prose, and raw front matter with line numbers."""

    path: Path
    card: CardFile
    prose: str
    raw: dict[str, Any]
    lines: dict[tuple[str, ...], int]


LORA_FROM_COMMAND_LINE = "(--lora)"


def read_card(path: Path) -> ParsedCard:
    """Read a card file.

    Raises:
        UserError: the file has no front matter or invalid YAML, a field is missing, unknown or of the wrong type, or
            the card's name differs from the file's.
    """
    text = yaml_file.read_text(path, "model card")
    lines = text.splitlines()
    if not lines or lines[0].strip() != "---":
        raise UserError(f"{path}:1: a model card must start with `---` and YAML front matter")
    end = next((i for i, line in enumerate(lines[1:], 1) if line.strip() == "---"), None)
    if end is None:
        raise UserError(f"{path}:1: the front matter has no closing `---`")
    raw, positions = yaml_file.parse(path, "\n".join(lines[1:end]), offset=1)
    card = yaml_file.to_struct(path, raw, positions, CardFile)
    if card.name != path.stem:
        line = positions[("name",)]
        raise UserError(f"{path}:{line}: field `name`: {card.name!r} must match the file name, {path.stem!r}")
    parsed = ParsedCard(path, card, "\n".join(lines[end + 1 :]).strip(), raw, positions)
    for variant in card.variants:
        _resolve(parsed, (variant,))
    return parsed


def card_files() -> dict[str, Path]:
    """Return every card file by name; cards in the working directory hide shipped ones of the same name."""
    files: dict[str, Path] = {}
    for folder in folders("model_cards"):
        for path in sorted(folder.glob("*.md")):
            if path.name != "README.md":
                files.setdefault(path.stem, path)
    return files


def _resolve(parsed: ParsedCard, variants: tuple[str, ...]) -> tuple[CardFile, yaml_file.Lines]:
    """Apply the variants to the card; also return the line that each field comes from."""
    data: dict[str, Any] = dict(parsed.raw)
    lines = dict(parsed.lines)
    for variant in variants:
        over = parsed.raw["variants"][variant]
        yaml_file.to_struct(parsed.path, over, parsed.lines, Variant, ("variants", variant))
        if over.get("adapter", data["adapter"]) != data["adapter"]:
            data.pop("options", None)  # they belong to the previous adapter
        data = merged(data, over)
        lines |= {
            keys[2:]: line for keys, line in parsed.lines.items() if keys[:2] == ("variants", variant) and keys[2:]
        }
    return yaml_file.to_struct(parsed.path, data, lines, CardFile), lines


def find_card(name: str) -> ParsedCard:
    """Find and read a card by name.

    Raises:
        UserError: no card has this name (with the nearest names), or the card is invalid.
    """
    files = card_files()
    if name not in files:
        hint = yaml_file.did_you_mean(name, list(files))
        raise UserError(f"no model card {name!r}{hint}\nTo list all cards: cscbench models")
    return read_card(files[name])


def read_options(card: ModelCard, into: type[T]) -> T:
    """Convert the card's `options` to the options type of its adapter or scorer.

    Raises:
        UserError: an option is missing, unknown (with the nearest name), or of the wrong type.
    """
    try:
        return msgspec.convert(dict(card.options), into, strict=True)
    except msgspec.ValidationError as error:
        hint = yaml_file.unknown_field_hint(str(error), into)
        raise UserError(f"{card.name}: `options` of its card: {error}{hint}") from None


def _resolve_path(parsed: ParsedCard, lines: yaml_file.Lines, value: str, field: str) -> str:
    """Resolve a `./...` path relative to the card; it may not leave the card's folder."""
    if not value.startswith(("./", "../")):
        return value
    path = inside(parsed.path.parent, value)
    if path is None:
        line = lines[(field,)]
        raise UserError(
            f"{parsed.path}:{line}: field `{field}`: {value!r} is outside the card's folder: use an absolute path"
        )
    return str(path)


def _resolve_lora(parsed: ParsedCard, lines: yaml_file.Lines, card: CardFile, spec: str) -> str:
    if card.lora == LORA_FROM_COMMAND_LINE:
        raise UserError(f"{spec}: this variant needs LoRA weights: add `--lora PATH`\n({parsed.path})")
    return _resolve_path(parsed, lines, card.lora, "lora")


def resolve_card(spec: str, lora: str = "", overrides: Sequence[Override] = ()) -> ModelCard:
    """Resolve a model spec to a card with all defaults, variants and overrides applied.

    `spec` is `base` or `base+variant+...`. `lora`, a folder of peft weights, overrides the card's.

    Raises:
        UserError: the base or a variant is unknown (with the nearest names), the card is invalid, a LoRA variant has no
            weights, or a required field is missing after an override.
    """
    changed = nested(overrides, "card")
    lora = lora or resolve_cli_path(changed.pop("lora", ""))
    base, *variants = spec.split("+")
    parsed = find_card(base)
    for variant in variants:
        if variant not in parsed.card.variants:
            hint = yaml_file.did_you_mean(variant, list(parsed.card.variants))
            raise UserError(f"{spec}: the card {base!r} has no variant {variant!r}{hint}\n({parsed.path})")
    card, lines = _resolve(parsed, tuple(variants))
    name = spec if not lora or "lora" in variants else f"{spec}+lora"
    fields = {field: getattr(card, field) for field in ModelCard.__struct_fields__}
    weights = _resolve_path(parsed, lines, card.weights, "weights")
    lora = lora or _resolve_lora(parsed, lines, card, spec)
    return _overridden(ModelCard(**{**fields, "name": name, "weights": weights, "lora": lora}), changed)


def _overridden(card: ModelCard, changed: Mapping[str, Any]) -> ModelCard:
    """Apply overrides to a card; a path in them is relative to the working directory."""
    if not changed:
        return card
    weights = changed.get("weights", "")
    paths = {"weights": resolve_cli_path(weights)} if weights.startswith(("./", "../", "~")) else {}
    fields = msgspec.to_builtins(card)
    if changed.get("adapter", card.adapter) != card.adapter:
        fields["options"] = {}  # they belong to the previous adapter
    try:
        result = msgspec.convert(merged(fields, {**changed, **paths}), ModelCard)
    except msgspec.ValidationError as error:
        raise UserError(f"--set card: {error}") from None
    # Untouched fields keep their very values: 0 and 0.0 would give a run two hashes.
    return msgspec.structs.replace(card, **{name: getattr(result, name) for name in (*changed, "options")})


def resolve_cli_path(path: str) -> str:
    """Return a path from the command line as an absolute path; an empty one stays empty."""
    return str(expanded(path).resolve()) if path else ""
