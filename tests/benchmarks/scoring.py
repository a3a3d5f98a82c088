"""How long scoring takes, against the reference packages: a test set with 1,000 resamples, and a second BERTScore.

    python tests/benchmarks/scoring.py              # BLEU, ROUGE-L, accuracy, macro-F1 on 25,810 turns; a minute
    python tests/benchmarks/scoring.py bertscore    # a second model on the same references

The loops stand for what people write: each resample's texts are given to sacrebleu and its codes to scikit-learn; each
turn's ROUGE-L is computed once and only averaged anew. A few resamples are run and timed; the table scales them.
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
    """Turns with words of the shipped sample: no two references are equal, and replies share words with theirs."""
    sample = load_csconv(SAMPLE).dialogues
    said = [turn.text for one in sample if one.language is language for turn in one.turns if turn.text]
    rng = np.random.default_rng(7)
    picks, strategies = rng.integers(len(said), size=(turns, 4)), rng.integers(len(CODES), size=(turns, 2))
    right = rng.random(turns) < 0.5
    pairs = []
    for row in range(turns):
        first, second, third, fourth = (said[pick] for pick in picks[row])
        reference = f"{first} {second[: len(second) // 2]} {row}"
        text = f"{first[: len(first) // 2]} {third} {fourth[: len(fourth) // 4]} {row}"
        gold = CODES[strategies[row, 0]]
        code = gold if right[row] else CODES[strategies[row, 1]]
        dialogue = f"d{row * dialogues // turns}"
        pairs.append(ScoredPair(dialogue, row, language, "", gold, reference, code, text, ParseForm.BRACKET))
    return pairs


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Wall time, and what the work gives."""
    started = time.perf_counter()
    found = work()
    return time.perf_counter() - started, found


def ours(pairs: Sequence[ScoredPair], resampling: Resampling, scorers: Sequence[Scorer]) -> dict[str, Matrix]:
    """Every resample's value of every metric, from texts: what a run does before it writes its intervals."""
    numbers = cluster_numbers([pair.dialogue for pair in pairs])
    count = int(numbers.max()) + 1
    weights = resample_weights(count, resampling)
    found: dict[str, Matrix] = {}
    for scorer in scorers:
        values = scorer.summarise(weights @ sum_by_cluster(scorer.measure(pairs), numbers, count))
        found.update({spec.name: values[:, column] for column, spec in enumerate(scorer.metrics)})
    return found


def looped(
    pairs: Sequence[ScoredPair], resampling: Resampling, resamples: int
) -> tuple[dict[str, list[float]], float, float]:
    """The first resamples with the packages: their values, the seconds spent once, and those a resample took."""
    from rouge_score.rouge_scorer import RougeScorer as Reference

    language = pairs[0].language
    numbers = cluster_numbers([pair.dialogue for pair in pairs])
    by_dialogue = [np.flatnonzero(numbers == number) for number in range(int(numbers.max()) + 1)]
    weights = resample_weights(len(by_dialogue), resampling)[:resamples].astype(int)
    rouge = Reference(["rougeL"], tokenizer=_Characters() if language is Language.ZH else None)
    once, f1 = seconds(lambda: np.array([rouge.score(p.reference, p.text)["rougeL"].fmeasure for p in pairs]))
    values: dict[str, list[float]] = {}
    taken = []
    for own in weights:
        rows = np.concatenate([np.tile(by_dialogue[number], times) for number, times in enumerate(own) if times])
        spent, found = seconds(lambda rows=rows: _packages([pairs[row] for row in rows], f1[rows]))  # type: ignore[misc]
        taken.append(spent)
        for name, value in found.items():
            values.setdefault(name, []).append(value)
    return values, once, statistics.median(taken)


class _Characters:
    def tokenize(self, text: str) -> list[str]:
        return characters(text)


def _packages(pairs: Sequence[ScoredPair], f1: "np.ndarray[Any, Any]") -> dict[str, float]:
    """One resample's values by sacrebleu and scikit-learn."""
    from sacrebleu.metrics.bleu import BLEU
    from sklearn.metrics import accuracy_score, f1_score

    said, references = [pair.text for pair in pairs], [[pair.reference for pair in pairs]]
    gold, codes = [pair.reference_strategy for pair in pairs], [pair.strategy for pair in pairs]
    tokenizer = TOKENIZERS[pairs[0].language]
    found = {f"bleu_{n}": BLEU(tokenize=tokenizer, max_ngram_order=n).corpus_score(said, references) for n in (2, 4)}
    return {
        **{name: float(score.score) for name, score in found.items()},
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
    own, loops = [], []
    for _ in range(rounds):
        spent, found = seconds(lambda: ours(pairs, resampling, scorers))
        expected, once, each = looped(pairs, resampling, looped_resamples)
        own.append(spent)
        loops.append(once + each * resamples)
        for name, values in expected.items():
            np.testing.assert_allclose(found[name][: len(values)], values, rtol=0, atol=1e-9, err_msg=name)
    ratios = [loop / mine for loop, mine in zip(loops, own, strict=True)]
    print(f"{turns:,} turns in {dialogues:,} dialogues, {resamples:,} resamples; {len(expected)} metrics equal to 1e-9")
    mine, loop = statistics.median(own), statistics.median(loops)
    print(f"cscbench {mine:.1f} s, loop {loop:,.0f} s (scaled from {looped_resamples} resamples)")
    print(f"ratio {statistics.median(ratios):.0f} ({min(ratios):.0f} to {max(ratios):.0f}, {rounds} rounds)")


def bertscore(turns: int, encoder: str, rounds: int) -> None:
    """Print seconds and ratio for a second model on references that a first one was scored on."""
    from bert_score import score

    card = resolve_card(encoder)
    first = made_pairs(turns, max(turns // 14, 1), Language.ZH)
    second = [msgspec.structs.replace(pair, text=f"好的。{pair.text}") for pair in first]
    scorer = BertScorer(ScoringContext((Language.ZH,), Condition.JOINT, CSC, card))
    scorer.measure(first)
    said, references = [pair.text for pair in second], [pair.reference for pair in second]
    layer = int(scorer.metrics[0].signature.partition("|layer:")[2].partition("|")[0])
    own, theirs = [], []
    for _ in range(rounds):
        spent, found = seconds(lambda: scorer.measure(second))
        own.append(spent)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # bert-score pads with a tensor that torch 2 would rather copy
            spent, (_, _, f1) = seconds(
                lambda: score(said, references, model_type=str(locate(encoder)), num_layers=layer)
            )
        theirs.append(spent)
        np.testing.assert_allclose(found[:, 0], f1.numpy(), rtol=0, atol=1e-5)
    ratios = [their / mine for their, mine in zip(theirs, own, strict=True)]
    print(f"BERTScore ({encoder}), {turns:,} turns, the second model on these references; values equal to 1e-5")
    print(f"cscbench {statistics.median(own):.1f} s, bert-score {statistics.median(theirs):.1f} s")
    print(f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}, {rounds} rounds)")


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("corpus", "bertscore"), default="corpus")
    parser.add_argument("--turns", type=int)
    parser.add_argument("--dialogues", type=int, default=DIALOGUES)
    parser.add_argument("--resamples", type=int, default=RESAMPLES)
    parser.add_argument("--looped", type=int, default=3, help="resamples that the loop runs")
    parser.add_argument("--encoder", default="e5-small")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if args.what == "corpus":
        corpus(args.turns or TURNS, args.dialogues, args.resamples, args.looped, args.rounds)
    else:
        bertscore(args.turns or 1_000, args.encoder, args.rounds)


if __name__ == "__main__":
    main()
