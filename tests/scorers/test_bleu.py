"""BLEU against sacrebleu called directly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU

from cscbench.scoring.scorer import ScoringContext
from cscbench.scoring.scorers.bleu import BleuScorer
from cscbench.values import CSC, Condition, Language, ParseForm, ScoredPair

ZH, EN = Language.ZH, Language.EN
TOKENIZERS = {ZH: "zh", EN: "13a"}


def scored_pair(reference: str, text: str, language: Language = EN) -> ScoredPair:
    return ScoredPair("d", 0, language, "", "GT", reference, "GT", text, ParseForm.BRACKET)


def scorer(*languages: Language) -> BleuScorer:
    return BleuScorer(ScoringContext(languages, Condition.JOINT, CSC))


def ours(pairs: list[ScoredPair]) -> list[float]:
    """BLEU-2 and BLEU-4 of a corpus."""
    languages = [language for language in Language if any(pair.language is language for pair in pairs)]
    bleu = scorer(*languages)
    return list(bleu.summarise(bleu.measure(pairs).sum(axis=0, keepdims=True))[0])


def directly(pairs: list[ScoredPair], order: int) -> float:
    metric = BLEU(tokenize=TOKENIZERS[pairs[0].language], max_ngram_order=order)
    return metric.corpus_score([pair.text for pair in pairs], [[pair.reference for pair in pairs]]).score


@pytest.mark.parametrize("name", ["zh_pairs", "en_pairs"])
def test_a_corpus_scores_as_sacrebleu_scores_it(name, request):
    pairs = request.getfixturevalue(name)
    expected = [directly(pairs, 2), directly(pairs, 4)]
    assert 5 < expected[1] < expected[0] < 95  # neither floor nor ceiling: the comparison says something
    assert ours(pairs) == pytest.approx(expected, abs=1e-6)


def test_a_mixed_corpus_is_the_sum_of_its_languages_counts(zh_pairs, en_pairs):
    mixed = [pair for two in zip(zh_pairs, en_pairs, strict=False) for pair in two]
    for column, order in enumerate((2, 4)):
        parts = [
            BLEU(tokenize=TOKENIZERS[language], max_ngram_order=order).corpus_score(
                [pair.text for pair in mixed if pair.language is language],
                [[pair.reference for pair in mixed if pair.language is language]],
            )
            for language in (ZH, EN)
        ]
        summed = BLEU.compute_bleu(
            correct=[sum(counts) for counts in zip(*(part.counts for part in parts), strict=True)],
            total=[sum(totals) for totals in zip(*(part.totals for part in parts), strict=True)],
            sys_len=sum(part.sys_len for part in parts),
            ref_len=sum(part.ref_len for part in parts),
            smooth_method="exp",
            max_ngram_order=order,
        )
        assert ours(mixed)[column] == pytest.approx(summed.score, abs=1e-6)


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ("your parcel left our warehouse this morning", "this is it"),  # one match: higher orders are smoothed
        ("your parcel left our warehouse this morning", "parcel"),  # no 2-grams at all
        ("your parcel left our warehouse this morning", "your parcel left our warehouse this morning, madam"),
        ("your parcel left our warehouse this morning", "your parcel left"),  # brevity penalty
        ("your parcel left our warehouse this morning", "we are sorry"),  # nothing in common
        ("It's $1,299.00 (tax incl.).", "It's $1,299.00\n(tax incl.) ."),
        ("thanks", "thanks"),  # shorter than every order above 1
        ("thanks", ""),
    ],
)
def test_short_and_odd_replies_score_as_sacrebleu_scores_them(reference, text):
    pair = scored_pair(reference, text)
    assert ours([pair]) == pytest.approx([directly([pair], 2), directly([pair], 4)], abs=1e-6)


def test_chinese_is_split_into_characters():
    pair = scored_pair("您的包裹今天上午已经发出", "您的包裹明天下午才能发出", ZH)
    assert ours([pair]) == pytest.approx([directly([pair], 2), directly([pair], 4)], abs=1e-6)
    # Characters in common: 您 的 包 裹 天 午 发 出 of 12; pairs of them: 您的 的包 包裹 发出 of 11.
    assert ours([pair])[0] == pytest.approx(100 * (8 / 12 * 4 / 11) ** 0.5, abs=1e-6)


def test_an_empty_reply_costs_brevity_and_sinks_nothing(en_pairs):
    silent = [scored_pair(pair.reference, "") for pair in en_pairs]
    assert ours(silent) == [0, 0]
    full = [scored_pair(pair.reference, pair.reference) for pair in en_pairs]
    half = full[::2] + silent[1::2]
    assert ours(half) == pytest.approx([directly(half, 2), directly(half, 4)], abs=1e-6)
    assert 0 < ours(half)[0] < ours(full)[0] == pytest.approx(100, abs=1e-9)


def test_no_turns_have_no_value():
    bleu = scorer(EN)
    assert bleu.measure([]).shape == (0, len(bleu.columns))
    assert np.isnan(bleu.summarise(np.zeros((1, len(bleu.columns))))).all()


@pytest.mark.parametrize("language", [ZH, EN])
def test_the_signature_is_sacrebleus_own(language):
    metric = BLEU(tokenize=TOKENIZERS[language])
    metric.corpus_score(["a"], [["a"]])
    said = metric.get_signature().info
    for order, spec in zip((2, 4), scorer(language).metrics, strict=True):
        assert spec.name == f"bleu_{order}"
        parts = dict(part.split(":", 1) for part in spec.signature.split("|"))
        assert parts["sacrebleu"] == said["version"]
        assert parts["order"] == str(order)
        for key in ("tok", "smooth", "case", "eff"):
            assert parts[key] == said[key]


def test_a_mixed_runs_signature_names_both_tokenizers(both):
    assert all("tok:zh+13a|" in spec.signature for spec in BleuScorer(both).metrics)


@given(rows=st.lists(st.lists(st.integers(0, 9), min_size=10, max_size=10), min_size=1, max_size=5))
def test_many_sums_at_once_are_sacrebleus_one_by_one(rows):
    """Counts as texts have them: no order has more matches than n-grams, nor more n-grams than the one before."""
    sums = np.array(rows, dtype=float)
    sums[:, 4:8] = np.minimum.accumulate(sums[:, 4:8], axis=1)
    sums[:, :4] = np.minimum(np.minimum.accumulate(sums[:, :4], axis=1), sums[:, 4:8])
    sums[:, 8] = sums[:, 4]
    for row, (two, four) in zip(sums.astype(int).tolist(), scorer(EN).summarise(sums), strict=True):
        for order, value in ((2, two), (4, four)):
            if row[9] == 0:
                assert np.isnan(value)
                continue
            counts = {"correct": row[:order], "total": row[4 : 4 + order], "sys_len": row[8], "ref_len": row[9]}
            expected = BLEU.compute_bleu(**counts, smooth_method="exp", max_ngram_order=order).score
            assert value == pytest.approx(expected, rel=1e-12, abs=1e-12)
