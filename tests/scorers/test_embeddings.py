"""Token embeddings of a random BERT of two layers: batches, padding, the cache, and bert-score's bert numbers."""

import warnings

import pytest
import torch

from cscbench.scoring.scorers.embeddings import Embedded, Encoder, load_encoder

WORDS = ["your", "parcel", "left", "our", "warehouse", "today", "sorry", "for", "a", "delay", "refund", "soon"]
TEXTS = ["your parcel", "sorry", "your refund left our warehouse today", "a delay soon", "sorry for your delay"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("bert")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (place / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    BertTokenizerFast(vocab=str(place / "vocab.txt"), model_max_length=64).save_pretrained(place)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    BertModel(config).save_pretrained(place)
    return place


def encoder(folder, batch_size=2) -> Encoder:
    return load_encoder("tiny", folder, "tiny@0", 2, batch_size)


def test_a_text_has_a_vector_a_token_and_no_weight_at_its_ends(folder):
    for batch_size in (1, 2, 16):
        embedded = encoder(folder, batch_size).embed([*TEXTS, TEXTS[0]])
        assert set(embedded) == set(TEXTS)
        for text in TEXTS:
            words = len(text.split())
            assert embedded[text].tokens.shape == (words + 2, 16)
            assert embedded[text].weights.tolist() == [0.0, *[1.0] * words, 0.0]


def test_the_batch_changes_no_vector(folder):
    alone, together = encoder(folder, 1).embed(TEXTS), encoder(folder, 16).embed(TEXTS)
    for text in TEXTS:
        assert torch.allclose(alone[text].tokens, together[text].tokens, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 16])
def test_f1_is_that_of_bert_score_in_the_order_of_the_replies(folder, batch_size):
    from bert_score import score

    replies, references = [*TEXTS, TEXTS[0]], [*TEXTS[::-1], TEXTS[0]]
    bert = encoder(folder, batch_size)
    embedded = bert.embed(TEXTS)
    f1 = bert.f1([embedded[text] for text in replies], [embedded[text] for text in references])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bert-score pads with a tensor that torch 2 would rather copy
        _, _, expected = score(replies, references, model_type=str(folder), num_layers=2, idf=False, batch_size=1)
    assert f1 == pytest.approx(expected.tolist(), abs=1e-5)
    assert f1[-1] == pytest.approx(1.0, abs=1e-5)


def test_padding_is_never_a_match():
    """A vector like the padding's would match it best, were it not left out."""
    bert = Encoder(torch.nn.Linear(1, 1), None, "", 8)
    padding, aside = torch.tensor([[2.0, 2.0]]), torch.tensor([[1.0, 0.0]])
    short = Embedded(aside, torch.ones(1))
    long = Embedded(torch.cat([padding, padding, padding]), torch.ones(3))
    cosine = 0.5**0.5
    assert bert.f1([long, short, long], [short, long, long]) == pytest.approx([cosine, cosine, 1.0], abs=1e-6)
    ends_do_not_count = Embedded(torch.cat([aside, padding, aside]), torch.tensor([0.0, 1.0, 0.0]))
    assert bert.f1([ends_do_not_count], [long]) == pytest.approx([1.0])


def test_references_are_read_from_the_cache_the_second_time(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("CSCBENCH_CACHE", str(tmp_path / "cache"))
    bert = encoder(folder)
    first = bert.embed_cached(TEXTS)
    assert len(list((tmp_path / "cache/embeddings").iterdir())) == 1
    monkeypatch.setattr(Encoder, "embed", lambda self, texts: pytest.fail("embedded again"))
    again = bert.embed_cached(TEXTS[::-1])
    assert all(torch.equal(first[text].tokens, again[text].tokens) for text in TEXTS)
    assert all(torch.equal(first[text].weights, again[text].weights) for text in TEXTS)


def test_a_cache_that_cannot_be_written_is_warned_about_with_the_reason(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("CSCBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/embeddings").write_text("in the way", encoding="utf-8")
    with pytest.warns(UserWarning, match=r"cannot cache .*embeddings: .*/embeddings: cannot write") as warned:
        assert set(encoder(folder).embed_cached(TEXTS)) == set(TEXTS)
    assert "\n" not in str(warned[0].message)
    assert warned[0].filename.endswith("embeddings.py")
