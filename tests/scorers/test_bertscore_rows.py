"""BERTScore's rows and what it refuses, with an encoder made on the spot in place of a network."""

import json
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from cscbench.scoring.scorer import ScoringContext
from cscbench.scoring.scorers import bertscore
from cscbench.scoring.scorers.bertscore import BertScoreMean, BertScorer
from cscbench.values import CSC, Condition, Language, ModelCard, ParseForm, ScoredPair, UserError

CARD = ModelCard("mine", "bertscore")


class Encoder:
    """F1 is the share of a reply's length in its reference's."""

    def __init__(self) -> None:
        self.chunks = []

    def embed(self, texts):
        assert all(text.strip() for text in texts)
        return {text: text for text in texts}

    def embed_cached(self, texts):
        self.chunks.append(len(texts))
        return {text: text for text in texts}

    def f1(self, replies, references):
        return [len(reply) / len(reference) for reply, reference in zip(replies, references, strict=True)]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"num_hidden_layers": 6}), encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"")
    return tmp_path


@pytest.fixture
def scorer(monkeypatch, folder):
    """Make a scorer; `loaded` has what the encoder was loaded with."""
    made = SimpleNamespace(loaded=[], encoder=Encoder())

    def load(*arguments):
        made.loaded.append(arguments)
        return made.encoder

    monkeypatch.setattr(bertscore, "fetch", lambda *card: folder)
    monkeypatch.setattr(bertscore, "identify", lambda *card: "org/model@0123456789abcdef")
    monkeypatch.setattr(bertscore, "load_encoder", load)

    def make(played=(Language.EN,), **fields) -> BertScorer:
        card = msgspec.structs.replace(CARD, **fields)
        return BertScorer(ScoringContext(played, Condition.JOINT, CSC, encoder=card))

    made.make = make
    return made


def pair(text: str, reference: str = "1234567890") -> ScoredPair:
    return ScoredPair("d", 0, Language.EN, "", "", reference, None, text, ParseForm.GIVEN)


def test_a_row_is_f1_and_one_and_an_empty_reply_scores_nothing(scorer):
    bertscore = scorer.make()
    rows = bertscore.measure([pair("12345"), pair(" "), pair("12"), pair(""), pair("123", "1234")])
    assert rows.tolist() == [[0.5, 1], [0, 1], [0.2, 1], [0, 1], [0.75, 1]]
    assert bertscore.summarise(rows.sum(axis=0, keepdims=True))[0] == pytest.approx([29.0])
    assert bertscore.summarise(rows).shape == (5, 1)
    assert np.isnan(BertScoreMean(None).summarise(np.zeros((1, 2)))).all()


def test_nothing_but_empty_replies_loads_no_encoder(scorer):
    assert scorer.make().measure([pair(""), pair(" ")]).tolist() == [[0, 1], [0, 1]]
    assert not scorer.loaded


def test_references_go_to_files_of_512(scorer):
    bertscore = scorer.make()
    pairs = [pair("1" * (1 + number % 10)) for number in range(1100)]
    rows = bertscore.measure(pairs)
    assert scorer.encoder.chunks == [512, 512, 76]
    assert rows[:, 0].tolist() == [(1 + number % 10) / 10 for number in range(1100)]


@pytest.mark.parametrize(
    ("options", "layer", "batch_size"),
    [({}, 6, 32), ({"layer": 0}, 6, 32), ({"layer": 1}, 1, 32), ({"layer": 6, "batch_size": 8}, 6, 8)],
)
def test_the_last_layer_is_used_unless_the_card_names_one(scorer, options, layer, batch_size):
    bertscore = scorer.make(options=options)
    bertscore.measure([pair("1")])
    assert [arguments[3:] for arguments in scorer.loaded] == [(layer, batch_size)]
    (spec,) = bertscore.metrics
    assert spec.signature.startswith(f"enc:mine@0123456789ab|layer:{layer}|")


@pytest.mark.parametrize("layer", [-1, 7])
def test_a_layer_that_is_not_there_is_refused(scorer, layer):
    with pytest.raises(UserError, match=f"{layer}.* 6"):
        scorer.make(options={"layer": layer})


@pytest.mark.parametrize(
    ("known", "played", "refused"),
    [
        ((), (Language.ZH, Language.EN), None),
        ((Language.EN,), (Language.EN,), None),
        ((Language.EN, Language.ZH), (Language.ZH,), None),
        ((Language.EN,), (Language.ZH, Language.EN), "zh"),
    ],
)
def test_an_encoder_scores_the_languages_that_it_reads(scorer, known, played, refused):
    if refused:
        with pytest.raises(UserError, match=refused):
            scorer.make(played, languages=known)
    else:
        assert scorer.make(played, languages=known).metrics[0].name == "bertscore_f1"


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_folder_without_weights_or_config_is_refused(scorer, folder, name):
    (folder / name).unlink()
    with pytest.raises(UserError, match=name.rpartition(".")[2]):
        scorer.make()


def test_without_an_encoder_there_is_no_bertscore():
    with pytest.raises(UserError, match="--encoder"):
        BertScorer(ScoringContext((Language.EN,), Condition.JOINT, CSC))
