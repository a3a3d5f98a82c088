"""Scoring time against the reference packages: a test set with 1,000 resamples, and a second model's BERTScore.

    python tests/benchmarks/scoring.py              # BLEU, ROUGE-L, accuracy, macro-F1 on 25,810 turns; a minute
    python tests/benchmarks/scoring.py bertscore    # a second model on the same references

The loops are what people usually write: sacrebleu gets each resample's texts and scikit-learn its codes; each turn's
ROUGE-L is computed once and averaged for each resample. A few resamples are timed, and the total is scaled from them.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from cscbench.content.cards import resolve_card
from cscbench.content.csconv import load_csconv
from cscbench.demo_weights import locate
from cscbench.scoring.bootstrap import Matrix, Resampling, cluster_numbers, resample_weights, sum_by_cluster
from cscbench.scoring.scorer import Scorer, ScoringContext
from cscbench.scoring.scorers.bertscore import BertScorer
from cscbench.scoring.scorers.bleu import TOKENIZERS, BleuScorer
from cscbench.scoring.scorers.rouge import RougeScorer, characters
from cscbench.scoring.scorers.strategy import StrategyScorer
from cscbench.values import CSC, Condition, Language, ParseForm, ScoredPair

TURNS, DIALOGUES, RESAMPLES = 25_810, 1_855, 1_000
SAMPLE = Path(__file__).parents[2] / "tasks" / "csconv_sample" / "data" / "test.jsonl"
CODES = [strategy.code for strategy in CSC.strategies]


def made_pairs(turns: int, dialogues: int, language: Language) -> list[ScoredPair]:
    """Turns with text from the shipped sample: all references differ, and replies share words with their references."""
    sample = load_csconv(SAMPLE).dialogues
    texts = [turn.text for dialogue in sample if dialogue.language is language for turn in dialogue.turns if turn.text]
    rng = np.random.default_rng(7)
    picks, strategies = rng.integers(len(texts), size=(turns, 4)), rng.integers(len(CODES), size=(turns, 2))
    right = rng.random(turns) < 0.5
    pairs = []
    for row in range(turns):
        first, second, third, fourth = (texts[pick] for pick in picks[row])
        reference = f"{first} {second[: len(second) // 2]} {row}"
        text = f"{first[: len(first) // 2]} {third} {fourth[: len(fourth) // 4]} {row}"
        gold = CODES[strategies[row, 0]]
        code = gold if right[row] else CODES[strategies[row, 1]]
        dialogue = f"d{row * dialogues // turns}"
        pairs.append(ScoredPair(dialogue, row, language, "", gold, reference, code, text, ParseForm.BRACKET))
    return pairs


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the wall time and the result of `work`."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def resampled(pairs: Sequence[ScoredPair], resampling: Resampling, scorers: Sequence[Scorer]) -> dict[str, Matrix]:
    """Return all resampled values of each metric from texts, as a run does before it writes its intervals."""
    numbers = cluster_numbers([pair.dialogue for pair in pairs])
    count = int(numbers.max()) + 1
    weights = resample_weights(count, resampling)
    results: dict[str, Matrix] = {}
    for scorer in scorers:
        values = scorer.summarise(weights @ sum_by_cluster(scorer.measure(pairs), numbers, count))
        results.update({spec.name: values[:, column] for column, spec in enumerate(scorer.metrics)})
    return results


def looped(
    pairs: Sequence[ScoredPair], resampling: Resampling, resamples: int
) -> tuple[dict[str, list[float]], float, float]:
    """Return the first resamples' values by the packages, the seconds of the shared part, and those per resample."""
    from rouge_score.rouge_scorer import RougeScorer as Reference

    language = pairs[0].language
    numbers = cluster_numbers([pair.dialogue for pair in pairs])
    by_dialogue = [np.flatnonzero(numbers == number) for number in range(int(numbers.max()) + 1)]
    weights = resample_weights(len(by_dialogue), resampling)[:resamples].astype(int)
    rouge = Reference(["rougeL"], tokenizer=_Characters() if language is Language.ZH else None)
    once, f1 = seconds(lambda: np.array([rouge.score(p.reference, p.text)["rougeL"].fmeasure for p in pairs]))
    values: dict[str, list[float]] = {}
    taken = []
    for counts in weights:
        rows = np.concatenate([np.tile(by_dialogue[number], times) for number, times in enumerate(counts) if times])
        spent, scores = seconds(lambda rows=rows: _packages([pairs[row] for row in rows], f1[rows]))  # type: ignore[misc]
        taken.append(spent)
        for name, value in scores.items():
            values.setdefault(name, []).append(value)
    return values, once, statistics.median(taken)


class _Characters:
    def tokenize(self, text: str) -> list[str]:
        return characters(text)


def _packages(pairs: Sequence[ScoredPair], f1: "np.ndarray[Any, Any]") -> dict[str, float]:
    """Return one resample's values by sacrebleu and scikit-learn."""
    from sacrebleu.metrics.bleu import BLEU
    from sklearn.metrics import accuracy_score, f1_score

    texts, references = [pair.text for pair in pairs], [[pair.reference for pair in pairs]]
    gold, codes = [pair.reference_strategy for pair in pairs], [pair.strategy for pair in pairs]
    tokenizer = TOKENIZERS[pairs[0].language]
    bleu = {f"bleu_{n}": BLEU(tokenize=tokenizer, max_ngram_order=n).corpus_score(texts, references) for n in (2, 4)}
    return {
        **{name: float(score.score) for name, score in bleu.items()},
        "rouge_l": 100 * float(f1.mean()),
        "strategy_accuracy": 100 * float(accuracy_score(gold, codes)),
        "strategy_macro_f1": 100 * float(f1_score(gold, codes, average="macro", labels=sorted({*gold}))),
    }


def corpus(turns: int, dialogues: int, resamples: int, looped_resamples: int, rounds: int) -> None:
    """Print seconds and ratio for all metrics but BERTScore."""
    pairs = made_pairs(turns, dialogues, Language.ZH)
    context = ScoringContext((Language.ZH,), Condition.JOINT, CSC)
    scorers: list[Scorer] = [StrategyScorer(context), BleuScorer(context), RougeScorer(context)]
    resampling = Resampling(resamples)
    spent_by_cscbench, loops = [], []
    for _ in range(rounds):
        spent, values = seconds(lambda: resampled(pairs, resampling, scorers))
        expected, once, each = looped(pairs, resampling, looped_resamples)
        spent_by_cscbench.append(spent)
        loops.append(once + each * resamples)
        for name, looped_values in expected.items():
            np.testing.assert_allclose(
                values[name][: len(looped_values)], looped_values, rtol=0, atol=1e-9, err_msg=name
            )
    ratios = [loop / mine for loop, mine in zip(loops, spent_by_cscbench, strict=True)]
    print(f"{turns:,} turns in {dialogues:,} dialogues, {resamples:,} resamples; {len(expected)} metrics equal to 1e-9")
    mine, loop = statistics.median(spent_by_cscbench), statistics.median(loops)
    print(f"cscbench {mine:.1f} s, loop {loop:,.0f} s (scaled from {looped_resamples} resamples)")
    print(f"ratio {statistics.median(ratios):.0f} ({min(ratios):.0f} to {max(ratios):.0f}, {rounds} rounds)")


def bertscore(turns: int, encoder: str, rounds: int) -> None:
    """Print seconds and ratio for a second model, whose references were already scored with a first one."""
    from bert_score import score

    card = resolve_card(encoder)
    first = made_pairs(turns, max(turns // 14, 1), Language.ZH)
    second = [msgspec.structs.replace(pair, text=f"好的。{pair.text}") for pair in first]
    scorer = BertScorer(ScoringContext((Language.ZH,), Condition.JOINT, CSC, card))
    scorer.measure(first)
    texts, references = [pair.text for pair in second], [pair.reference for pair in second]
    layer = int(scorer.metrics[0].signature.partition("|layer:")[2].partition("|")[0])
    spent_by_cscbench, spent_by_bert_score = [], []
    for _ in range(rounds):
        spent, scores = seconds(lambda: scorer.measure(second))
        spent_by_cscbench.append(spent)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # bert-score pads in a way that torch 2 warns about
            spent, (_, _, f1) = seconds(
                lambda: score(texts, references, model_type=str(locate(encoder)), num_layers=layer)
            )
        spent_by_bert_score.append(spent)
        np.testing.assert_allclose(scores[:, 0], f1.numpy(), rtol=0, atol=1e-5)
    ratios = [theirs / mine for theirs, mine in zip(spent_by_bert_score, spent_by_cscbench, strict=True)]
    print(f"BERTScore ({encoder}), {turns:,} turns, the second model on these references; values equal to 1e-5")
    mine, theirs = statistics.median(spent_by_cscbench), statistics.median(spent_by_bert_score)
    print(f"cscbench {mine:.1f} s, bert-score {theirs:.1f} s")
    print(f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}, {rounds} rounds)")


def main() -> None:
    """Run the benchmark named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("corpus", "bertscore"), default="corpus")
    parser.add_argument("--turns", type=int)
    parser.add_argument("--dialogues", type=int, default=DIALOGUES)
    parser.add_argument("--resamples", type=int, default=RESAMPLES)
    parser.add_argument("--looped", type=int, default=3, help="number of resamples that the loop runs")
    parser.add_argument("--encoder", default="e5-small")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if args.what == "corpus":
        corpus(args.turns or TURNS, args.dialogues, args.resamples, args.looped, args.rounds)
    else:
        bertscore(args.turns or 1_000, args.encoder, args.rounds)


if __name__ == "__main__":
    main()
