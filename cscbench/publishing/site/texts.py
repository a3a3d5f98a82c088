"""Read the texts of the pages, in English and Chinese, from texts.yaml."""

from pathlib import Path

import msgspec

from cscbench.content import yaml_file as yamlfile
from cscbench.publishing.board.records import Bilingual
from cscbench.values import UserError

HERE = Path(__file__).parent


def read_texts() -> dict[str, Bilingual]:
    """Return every text by its key.

    Raises:
        UserError: a text lacks a language.
    """
    path = HERE / "texts.yaml"
    data, _ = yamlfile.parse(path, yamlfile.read_text(path, "texts file"))
    try:
        return msgspec.convert(data, dict[str, Bilingual])
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: {error}") from None
