"""The unit of text: a tokenizer by any of its names, the model's own, or characters with the reason."""

import json
import shutil
from pathlib import Path

import pytest
from msgspec import structs
from transformers import AutoTokenizer

from cscbench.comparing.agree.units import characters, text_unit
from cscbench.runs.options import RunOptions
from cscbench.runs.plan import prepare, run_record
from cscbench.values import UserError

TEXTS = ["[Greeting] Hello, how can I help?", "您好，退款三天内到账。", ""]


@pytest.fixture(scope="module")
def gold():
    return run_record(prepare(RunOptions(model="gold", limit=1)))


@pytest.fixture
def of(gold):
    """run.json of a model with these weights, fingerprint and all."""

    def make(weights: str, fingerprint: str = ""):
        known = {"weights": fingerprint} if fingerprint else {}
        return structs.replace(gold, model=structs.replace(gold.model, label="m", weights=weights, fingerprint=known))

    return make


@pytest.fixture
def cached(tmp_path, monkeypatch, smollm2):
    """A tokenizer in a local Hugging Face cache, at commit 1111...; the hub is out of reach."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    repo = tmp_path / "hub/models--org--model"
    (repo / "snapshots" / ("1" * 40)).mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs/main").write_text("1" * 40)
    shutil.copy(smollm2 / "tokenizer.json", repo / "snapshots" / ("1" * 40))
    return "org/model"


def test_characters_are_unicode_characters():
    unit = characters()
    assert (unit.name, [len(pieces) for pieces in unit.split(TEXTS)]) == ("characters", [33, 11, 0])


def test_a_tokenizer_splits_as_transformers_does_without_special_tokens(smollm2, gold):
    for given in (str(smollm2), str(smollm2 / "tokenizer.json"), "smollm2-135m"):
        unit = text_unit(given, gold, gold)
        expected = AutoTokenizer.from_pretrained(smollm2)(TEXTS, add_special_tokens=False)["input_ids"]
        assert unit.split(TEXTS) == expected
        assert unit.name == f"tokens of {Path(given).name}"
        assert unit.note == ""


def test_a_tokenizer_that_pads_and_cuts_does_neither_here(smollm2, gold, tmp_path):
    settings = json.loads((smollm2 / "tokenizer.json").read_bytes())
    settings["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    settings["padding"] = {
        "strategy": {"Fixed": 50}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
        "pad_token": "<|endoftext|>",
    }  # fmt: skip
    (tmp_path / "tokenizer.json").write_text(json.dumps(settings), encoding="utf-8")
    unit = text_unit(str(tmp_path), gold, gold)
    assert unit.split(TEXTS) == text_unit(str(smollm2), gold, gold).split(TEXTS)


def test_the_models_own_tokenizer_is_found_without_being_named(of, cached):
    assert text_unit("", of("package:smollm2-135m", "x"), of("")).name == "tokens of package:smollm2-135m"
    # Either run's will do, and the commit that was run is the one that is looked for.
    assert text_unit("", of(""), of(cached, f"{cached}@{'1' * 40}")).name == f"tokens of {cached}"
    other = text_unit("", of(cached, f"{cached}@{'2' * 40}"), of(""))
    assert other.name == "characters"
    assert f"hf download {cached}" in other.note


def test_a_hub_id_is_taken_from_the_local_cache(gold, cached):
    assert text_unit(cached, gold, gold).name == f"tokens of {cached}"


def test_where_no_tokenizer_is_at_hand_characters_are_taken_and_the_reason_is_said(gold, of):
    unit = text_unit("", gold, of("my-model", "0" * 64))
    assert unit.name == "characters"
    for words in ("gold names no weights", "does not record the folder of its weights (my-model)", "--tokenizer"):
        assert words in unit.note
    asked = text_unit("none", gold, gold)
    assert (asked.name, asked.note) == ("characters", "")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("./nowhere", "no tokenizer.json found"),
        ("smollm-135m", "smollm2-135m"),
        ("gold", "gold names no weights"),
        ("org/absent", "hf download org/absent"),
        ("a/b/c", "nor a Hub id"),
    ],
)
def test_a_tokenizer_that_is_not_there_is_refused_with_the_reason(gold, given, message):
    with pytest.raises(UserError, match=message):
        text_unit(given, gold, gold)


def test_a_file_that_is_no_tokenizer_is_named(gold, tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"model": 3}', encoding="utf-8")
    with pytest.raises(UserError, match=r"tokenizer\.json is not a tokenizer"):
        text_unit(str(tmp_path), gold, gold)
