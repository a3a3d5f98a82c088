"""BERTScore against bert-score called directly, and encoders that cannot be used."""

import json
import shutil
import warnings
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from kills import each_kill

from cscbench.content.cards import resolve_card
from cscbench.demo_weights import locate
from cscbench.scoring.plan import encoder_card
from cscbench.scoring.scorer import ScoringContext
from cscbench.scoring.scorers import embeddings
from cscbench.scoring.scorers.bertscore import BertScorer
from cscbench.scoring.scorers.embeddings import Embedded, Encoder, load_encoder
from cscbench.values import CSC, Condition, Language, ModelCard, ParseForm, ScoredPair, UserError

ZH, EN = Language.ZH, Language.EN


def scorer(card: ModelCard | None, *languages: Language) -> BertScorer:
    return BertScorer(ScoringContext(languages, Condition.JOINT, CSC, card))


def scored_pair(reference: str, text: str, language: Language = EN) -> ScoredPair:
    return ScoredPair("d", 0, language, "", "GT", reference, "GT", text, ParseForm.BRACKET)


def directly(pairs: list[ScoredPair], weights: Path, layer: int) -> np.ndarray:
    from bert_score import score

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bert-score pads with a tensor that torch 2 would rather copy
        _, _, f1 = score(
            [pair.text for pair in pairs],
            [pair.reference for pair in pairs],
            model_type=str(weights),
            num_layers=layer,
            idf=False,
            rescale_with_baseline=False,
            batch_size=5,  # another than ours: padding must not matter
        )
    return f1.numpy()


def value(scorer: BertScorer, pairs: list[ScoredPair]) -> float:
    return float(scorer.summarise(scorer.measure(pairs).sum(axis=0, keepdims=True))[0, 0])


def spoken(pairs: list[ScoredPair]) -> list[ScoredPair]:
    """A few turns that are not empty."""
    return [pair for pair in pairs if pair.text][:8]


@pytest.mark.parametrize(
    ("encoder", "name", "layer"),
    [("minilm-l6", "en_pairs", 6), pytest.param("e5-small", "zh_pairs", 9, marks=pytest.mark.slow)],
)
def test_a_run_scores_as_bert_score_scores_it(encoder, name, layer, request):
    pairs = spoken(request.getfixturevalue(name))
    expected = directly(pairs, locate(encoder), layer)
    assert expected.min() < 0.9 < expected.max()
    bertscore = scorer(resolve_card(encoder), pairs[0].language)
    assert bertscore.measure(pairs)[:, 0] == pytest.approx(expected, abs=1e-6)
    assert value(bertscore, pairs) == pytest.approx(100 * expected.mean(), abs=1e-4)
    (spec,) = bertscore.metrics
    assert spec.name == "bertscore_f1"
    assert spec.signature.startswith(f"enc:{encoder}@")
    assert f"|layer:{layer}|idf:no|rescale:no|" in spec.signature


def test_a_cards_layer_is_the_one_used(en_pairs):
    pairs = spoken(en_pairs)
    weights = locate("minilm-l6")
    card = ModelCard("mine", "bertscore", weights=str(weights), options={"layer": 3})
    bertscore = scorer(card, EN)
    assert "|layer:3|" in bertscore.metrics[0].signature
    third, last = directly(pairs, weights, 3), directly(pairs, weights, 6)
    assert abs(third - last).max() > 0.01
    assert bertscore.measure(pairs)[:, 0] == pytest.approx(third, abs=1e-6)
    assert "|layer:6|" in scorer(encoder_card(str(weights)), EN).metrics[0].signature  # 0, the default, is the last


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """An empty cache for this test."""
    monkeypatch.setenv("CSCBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "embeddings"


@pytest.fixture
def embedded(monkeypatch):
    """The texts that the encoder read, call by call."""
    calls = []
    embed = Encoder.embed
    monkeypatch.setattr(Encoder, "embed", lambda self, texts: calls.append(list(texts)) or embed(self, texts))
    return calls


def test_references_are_read_once_for_all_models_and_runs(en_pairs, own_cache, embedded):
    pairs = spoken(en_pairs)
    card = resolve_card("minilm-l6")
    cold = scorer(card, EN).measure(pairs)
    assert {pair.reference for pair in pairs} == {*embedded[0]}
    assert len([*own_cache.iterdir()]) == 1
    embedded.clear()
    warm = scorer(card, EN).measure(pairs)
    assert warm.tobytes() == cold.tobytes()
    other = [msgspec.structs.replace(pair, text="thanks for calling") for pair in pairs]
    scorer(card, EN).measure(other)
    assert embedded == [[pair.text for pair in pairs], ["thanks for calling"] * len(pairs)]


def test_a_torn_file_of_embeddings_is_made_anew(en_pairs, own_cache, embedded):
    pairs = spoken(en_pairs)
    bertscore = scorer(resolve_card("minilm-l6"), EN)
    first = bertscore.measure(pairs)
    (kept,) = own_cache.iterdir()
    whole = kept.read_bytes()
    for torn in (b"", whole[:50], whole[:-1]):
        kept.write_bytes(torn)
        assert bertscore.measure(pairs).tobytes() == first.tobytes()
        assert kept.read_bytes() == whole


def test_a_kill_while_embeddings_are_kept_leaves_them_whole_or_none(own_cache):
    held = {"a": Embedded(torch.ones(3, 2), torch.ones(3)), "b": Embedded(torch.zeros(1, 2), torch.zeros(1))}
    path = own_cache / "held.safetensors"
    for _ in each_kill(own_cache, lambda: None, lambda: embeddings._write(path, [*held], held)):
        there = embeddings._read(path, [*held])
        assert there is None or all(torch.equal(there[text].tokens, held[text].tokens) for text in held)
        embeddings._write(path.with_name("other.safetensors"), [*held], held)
        assert {kept.name for kept in own_cache.iterdir()} <= {"held.safetensors", "other.safetensors"}


def test_a_folder_that_takes_no_embeddings_costs_time_alone(en_pairs, own_cache):
    pairs = spoken(en_pairs)[:2]
    bertscore = scorer(resolve_card("minilm-l6"), EN)
    first = bertscore.measure(pairs)
    shutil.rmtree(own_cache)
    own_cache.write_text("in the way", encoding="utf-8")
    with pytest.warns(UserWarning, match="cannot cache the references' embeddings"):
        assert bertscore.measure(pairs).tobytes() == first.tobytes()


def test_another_encoder_layer_or_reference_is_another_file(en_pairs, own_cache):
    pairs = spoken(en_pairs)[:2]
    weights = str(locate("minilm-l6"))
    for layer in (3, 6):
        scorer(ModelCard("mine", "bertscore", weights=weights, options={"layer": layer}), EN).measure(pairs)
    scorer(ModelCard("mine", "bertscore", weights=weights, options={"layer": 6}), EN).measure(pairs[:1])
    assert len([*own_cache.iterdir()]) == 3


def test_the_encoder_is_loaded_once(en_pairs):
    card = resolve_card("minilm-l6")
    before = load_encoder.cache_info().misses
    for _ in range(3):
        scorer(card, EN).measure(spoken(en_pairs)[:2])
    assert load_encoder.cache_info().misses - before <= 1


def test_empty_replies_score_0_and_change_no_other(en_pairs):
    pairs = spoken(en_pairs)
    bertscore = scorer(resolve_card("minilm-l6"), EN)
    rows = bertscore.measure([scored_pair("thanks", ""), *pairs, scored_pair("thanks", " \n")])
    assert rows[[0, -1]].tolist() == [[0, 1], [0, 1]]
    assert rows[1:-1] == pytest.approx(bertscore.measure(pairs), abs=1e-6)
    assert bertscore.measure([scored_pair("thanks", "")]).tolist() == [[0, 1]]  # nothing but silence loads no encoder


def test_the_references_themselves_score_100(en_pairs):
    gold = [scored_pair(pair.reference, pair.reference) for pair in en_pairs[:6]]
    assert value(scorer(resolve_card("minilm-l6"), EN), gold) == pytest.approx(100, abs=1e-3)


def test_replies_longer_than_the_encoder_reads_and_of_odd_marks_have_a_score():
    bertscore = scorer(resolve_card("minilm-l6"), EN)
    rows = bertscore.measure(
        [
            scored_pair("hello", "hello " * 900),
            scored_pair("hello", "\u200b"),
            scored_pair("hello", "🙂"),
            scored_pair("hello", "…"),
        ]
    )
    assert np.isfinite(rows).all()
    assert ((rows[:, 0] >= 0) & (rows[:, 0] < 0.9)).all()


def test_no_turns_have_no_value():
    bertscore = scorer(resolve_card("minilm-l6"), EN)
    assert bertscore.measure([]).shape == (0, 2)
    assert np.isnan(value(bertscore, []))


@pytest.mark.parametrize("languages", [(ZH,), (ZH, EN)])
def test_an_encoder_that_knows_no_chinese_is_refused_on_it(languages):
    with pytest.raises(UserError, match=r"minilm-l6 does not support zh .*lists en.*--encoder.*--language"):
        scorer(resolve_card("minilm-l6"), *languages)


def test_an_unknown_encoder_is_answered_with_the_nearest_name():
    with pytest.raises(UserError, match=r"no model card 'e5-smal'.*e5-small"):
        encoder_card("e5-smal")


def test_a_model_that_writes_replies_is_no_encoder():
    with pytest.raises(UserError, match=r"--encoder smollm2-135m.*adapter hf\), not an encoder"):
        encoder_card("smollm2-135m")


def test_bertscore_without_an_encoder_says_how_to_give_one():
    with pytest.raises(UserError, match=r"--encoder CARD\|PATH"):
        scorer(None, EN)


@pytest.mark.parametrize("path", ["./nowhere", "nested/nowhere", "/nowhere/at/all"])
def test_a_path_with_nothing_there_says_what_was_looked_for(path, tmp_path):
    with pytest.raises(UserError) as raised:
        scorer(encoder_card(path), EN)
    assert f"looked for {(tmp_path / path).resolve() / 'config.json'}" in str(raised.value)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("{}", "num_hidden_layers"),
        ("[]", "num_hidden_layers"),
        ("{", "num_hidden_layers"),
        ('{"num_hidden_layers": "many"}', "num_hidden_layers"),
        ('{"num_hidden_layers": 2}', "*.safetensors"),
    ],
)
def test_a_folder_that_is_no_encoder_says_what_is_missing(config, said, tmp_path):
    (tmp_path / "config.json").write_text(config, encoding="utf-8")
    with pytest.raises(UserError) as raised:
        scorer(encoder_card(str(tmp_path)), EN)
    assert str(tmp_path) in str(raised.value)
    assert said in str(raised.value)


def test_a_pickle_is_never_loaded(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"num_hidden_layers": 2}), encoding="utf-8")
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(UserError, match="pickles are never loaded"):
        scorer(encoder_card(str(tmp_path)), EN)


@pytest.mark.parametrize("options", [{"layer": 7}, {"layer": -1}])
def test_a_layer_that_the_encoder_lacks_is_refused(options):
    card = ModelCard("mine", "bertscore", weights="package:minilm-l6", options=options)
    with pytest.raises(UserError, match=r"`options.layer` is -?\d: choose a layer from 1 to 6"):
        scorer(card, EN)


@pytest.mark.parametrize("options", [{"layer": "six"}, {"layers": 6}])
def test_an_encoder_cards_wrong_options_are_named(options):
    card = ModelCard("mine", "bertscore", weights="package:minilm-l6", options=options)
    with pytest.raises(UserError, match=r"mine: `options` of its card: .*layer"):
        scorer(card, EN)


def test_weights_cut_short_are_reported_and_raise_nothing_else(tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(locate("minilm-l6"), broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    bertscore = scorer(encoder_card(str(broken)), EN)
    with pytest.raises(UserError, match=r"encoder broken: transformers cannot load .*broken.*\n.*--encoder"):
        bertscore.measure([scored_pair("hello", "hi")])
