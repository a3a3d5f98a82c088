"""ROUGE-L against rouge-score called directly, with the stated tokenizer and with its default."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer as Published

from cscbench.scoring.scorer import ScoringContext
from cscbench.scoring.scorers.rouge import RougeScorer, characters
from cscbench.values import CSC, Condition, Language, ParseForm, ScoredPair

ZH, EN = Language.ZH, Language.EN
# Han from the basic plane, extension B and the compatibility block; marks, digits, Latin, kana, an emoji.
TEXTS = st.text(alphabet="您好请问订单𠮷豈〇々，。！A b9É_-'\n０ｘかな🙂", max_size=24)


class _Characters:
    def tokenize(self, text: str) -> list[str]:
        return characters(text)


def scorer(*languages: Language) -> RougeScorer:
    return RougeScorer(ScoringContext(languages, Condition.JOINT, CSC))


def scored_pair(reference: str, text: str, language: Language) -> ScoredPair:
    return ScoredPair("d", 0, language, "", "GT", reference, "GT", text, ParseForm.BRACKET)


def directly(pair: ScoredPair, tokenizer: object = None) -> float:
    published = Published(["rougeL"], use_stemmer=False, tokenizer=tokenizer)
    return published.score(pair.reference, pair.text)["rougeL"].fmeasure


def ours(pairs: list[ScoredPair]) -> list[float]:
    rouge = scorer(ZH, EN)
    return list(rouge.summarise(rouge.measure(pairs).sum(axis=0, keepdims=True))[0])


def test_a_run_scores_as_rouge_score_with_the_stated_tokenizer_and_with_its_default(zh_pairs, en_pairs):
    pairs = [*zh_pairs, *en_pairs]
    right = [directly(pair, _Characters() if pair.language is ZH else None) for pair in pairs]
    default = [directly(pair) for pair in pairs]
    expected = [100 * np.mean(right), 100 * np.mean(default)]
    assert expected[0] - expected[1] > 10  # the two differ, so that one cannot stand in for the other
    assert ours(pairs) == pytest.approx(expected, abs=1e-6)


@given(reference=TEXTS, text=TEXTS, language=st.sampled_from(Language))
def test_any_turn_scores_as_rouge_score_scores_it(reference, text, language):
    pair = scored_pair(reference, text, language)
    tokenizer = _Characters() if language is ZH else None
    expected = [100 * directly(pair, tokenizer), 100 * directly(pair)]
    assert ours([pair]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("请拨打 400-Abc，谢谢！", ["请", "拨", "打", "400", "abc", "谢", "谢"]),
        ("二〇二四年", ["二", "〇", "二", "四", "年"]),
        ("𠮷野家", ["𠮷", "野", "家"]),
        ("订单号AB12已发", ["订", "单", "号", "ab12", "已", "发"]),
        ("[手机号码]", ["手", "机", "号", "码"]),
        ("a_b", ["a", "b"]),
        ("，。！ \n", []),
        ("", []),
    ],
)
def test_chinese_is_read_character_by_character_and_other_words_whole(text, tokens):
    assert characters(text) == tokens


@given(TEXTS)
def test_tokens_are_the_texts_letters_and_digits_in_order(text):
    assert "".join(characters(text)) == "".join(mark for mark in text.lower() if mark.isalnum())


def test_only_latin_and_digits_count_for_the_packages_default():
    # What makes the published Chinese ROUGE-L an artefact: equal replies score 0, unlike ones with one number 100.
    assert ours([scored_pair("您的订单今天发货", "您的订单今天发货", ZH)]) == pytest.approx([100, 0])
    rouge_l, default = ours([scored_pair("请拨打400热线", "退款400元", ZH)])
    assert default == pytest.approx(100)
    assert 0 < rouge_l < 50


def test_an_empty_reply_scores_nothing_and_still_counts():
    pairs = [
        scored_pair("thank you for waiting", "thank you for waiting", EN),
        scored_pair("thank you for waiting", "", EN),
    ]
    assert ours(pairs) == pytest.approx([50, 50])


def test_no_turns_have_no_value():
    assert np.isnan(ours([])).all()


def test_signatures_name_the_tokenizers():
    for languages, said in (((ZH,), "char"), ((EN,), "word"), ((ZH, EN), "char+word")):
        rouge_l, default = scorer(*languages).metrics
        assert (rouge_l.name, default.name) == ("rouge_l", "rouge_l_ascii")
        assert rouge_l.signature.startswith(f"tok:{said}|stem:no|")
        assert default.signature.startswith("tok:rouge-score-default|stem:no|")
