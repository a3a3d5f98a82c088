"""Do intervals cover the truth, do gates pass if nothing changed, and do they catch the drops that they promise to?

    python tests/benchmarks/simulation.py [--simulations 2000]

There are two kinds of truth. `drawn`: each dialogue has its own ability (beta, intraclass correlation 0.2) and 4 to 14
turns, each right or wrong; the second system shares most of the first one's luck. `real`: the dialogues of the
`retrieval` baseline on csconv_sample are the population from which tests are drawn, so that the true corpus BLEU,
ROUGE-L and macro-F1 are known too.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from cscbench.comparing.gate.decide import decide
from cscbench.comparing.gate.evidence import paired_evidence
from cscbench.comparing.gate.verdict import Outcome, Rule, RuleKind
from cscbench.runs.options import RunOptions
from cscbench.runs.plan import prepare
from cscbench.runs.run import run
from cscbench.scoring.bootstrap import IntervalMethod, Resampling, intervals, resample_weights, t_quantile
from cscbench.scoring.metric_sums import MetricSums
from cscbench.scoring.paired import SIGNIFICANCE, permutation_test, standard_error
from cscbench.scoring.scorer import MetricSpec, ratio

Matrix = NDArray[np.float64]
Summarise = Callable[[Matrix], Matrix]

SIZES = (30, 100, 400)
MEAN, CORRELATION, SHARED = 0.6, 0.2, 0.7
DROP = 3.0
ACCURACY = MetricSpec("strategy_accuracy", "")


class World(NamedTuple):
    """The population of tests: a metric, its true value, and a function that draws the sums of one test."""

    name: str
    truth: float
    draw: Callable[[np.random.Generator, int], Matrix]
    summarise: Summarise


def accuracy(sums: Matrix) -> Matrix:
    """Convert right turns and turns to percent."""
    return ratio(sums[:, :1], sums[:, 1:])


def two_systems(generator: np.random.Generator, dialogues: int, drop: float = 0.0) -> tuple[Matrix, Matrix]:
    """Draw sums of two systems over the same dialogues; the second is truly worse by `drop` points."""
    strength = 1 / CORRELATION - 1
    ability = generator.beta(MEAN * strength, (1 - MEAN) * strength, size=dialogues)
    turns = generator.integers(4, 15, size=dialogues)
    dialogue = np.repeat(np.arange(dialogues), turns)
    luck = generator.random((2, turns.sum()))
    shared = generator.random(turns.sum()) < SHARED
    luck[1] = np.where(shared, luck[0], luck[1])
    right = luck < ability[dialogue]
    right[1] &= generator.random(turns.sum()) >= drop / 100 / MEAN
    first, second = (np.bincount(dialogue, weights=hits, minlength=dialogues) for hits in right.astype(float))
    return np.stack([first, turns], axis=1), np.stack([second, turns], axis=1)


def drawn_world() -> World:
    """One system's accuracy."""
    return World("strategy_accuracy, drawn", 100 * MEAN, lambda rng, size: two_systems(rng, size)[0], accuracy)


def real_worlds() -> Iterator[World]:
    """The metrics of a real run over its dialogues."""
    with tempfile.TemporaryDirectory() as folder:
        finished = run(prepare(RunOptions(model="retrieval", encoder="none", out=folder))).read_all()
    for metric in (metric for scorer in finished.scorers for metric in finished.metric_sums(scorer)):
        if metric.spec.name in ("strategy_macro_f1", "bleu_2", "bleu_4", "rouge_l"):

            def draw(rng: np.random.Generator, size: int, sums: Matrix = metric.cluster_sums) -> Matrix:
                return sums[rng.integers(0, len(sums), size=size)]

            yield World(f"{metric.spec.name}, real", metric.value(), draw, metric.summarise)


def coverage(world: World, dialogues: int, method: IntervalMethod, simulations: int) -> float:
    """Return the percentage of 95 % intervals that contain the true value."""
    held = 0
    for seed in range(simulations):
        sums = world.draw(np.random.default_rng([1, dialogues, seed]), dialogues)
        total = sums.sum(axis=0)
        drawn = world.summarise(resample_weights(dialogues, Resampling(seed=seed)) @ sums)
        point, without = world.summarise(total[None])[0], world.summarise(total - sums)
        (interval,) = intervals(point, drawn, without, method)
        held += interval is not None and interval[0] <= world.truth <= interval[1]
    return 100 * held / simulations


class Gated(NamedTuple):
    """Percentages of gates that regressed and passed, and the mean power that they promised for this drop."""

    regressed: float
    passed: float
    promised: float


def gates(dialogues: int, margin: float, drop: float, simulations: int) -> Gated:
    """Simulate gates over pairs of runs."""
    rule = Rule(ACCURACY.name, RuleKind.MARGIN, margin, 95.0, 2)
    outcomes, promised = [], []
    for seed in range(simulations):
        old, new = two_systems(np.random.default_rng([2, dialogues, seed]), dialogues, drop)
        both = (MetricSums("", ACCURACY, "", sums, accuracy) for sums in (new, old))
        evidence = paired_evidence(rule, *both, Resampling(seed=seed))
        outcomes.append(decide(rule, evidence))
        reach = evidence.error * t_quantile(rule.confidence / 100, dialogues)
        promised.append(t(dialogues - 1).cdf((drop - max(reach, margin - reach)) / evidence.error))
    share = [100 * outcomes.count(outcome) / simulations for outcome in (Outcome.REGRESSED, Outcome.PASSED)]
    return Gated(*share, 100 * fmean(promised))


def tests(dialogues: int, drop: float, simulations: int) -> tuple[float, float]:
    """Return the percentage of permutation tests below 5 %, and the mean power that the MDE promised for this drop."""
    significant, promised = 0, []
    for seed in range(simulations):
        old, new = two_systems(np.random.default_rng([3, dialogues, seed]), dialogues, drop)
        (p,) = permutation_test(old, new, accuracy, seed)
        significant += p < SIGNIFICANCE
        weights = resample_weights(dialogues, Resampling(seed=seed))
        error = standard_error((accuracy(weights @ new) - accuracy(weights @ old))[:, 0], dialogues)
        promised.append(t(dialogues - 1).cdf(drop / error - t_quantile(1 - SIGNIFICANCE / 2, dialogues)))
    return 100 * significant / simulations, 100 * fmean(promised)


def main() -> None:
    """Print three tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=2000)
    count = parser.parse_args().simulations
    print(f"{count} simulations of each; standard error of 95 %: {100 * (0.95 * 0.05 / count) ** 0.5:.1f} points\n")
    sizes = " | ".join(f"{size} dialogues" for size in SIZES)
    print(f"| 95 % intervals that contain the truth | {sizes} |\n|---|{'---|' * len(SIZES)}")
    for world in (drawn_world(), *real_worlds()):
        for method in IntervalMethod:
            held = [coverage(world, size, method, count) for size in SIZES]
            print(f"| {world.name}, {method} | {' | '.join(f'{share:.1f} %' for share in held)} |", flush=True)
    print(f"\n| gates at 95 % | {sizes} |\n|---|{'---|' * len(SIZES)}")
    for margin in (0.0, 2.0, 5.0):
        same = [gates(size, margin, 0.0, count) for size in SIZES]
        print(f"| nothing changed, margin {margin:g}: regressed | {' | '.join(f'{g.regressed:.1f} %' for g in same)} |")
        print(f"| ... passed | {' | '.join(f'{g.passed:.1f} %' for g in same)} |", flush=True)
    for margin in (0.0, 2.0):
        worse = [gates(size, margin, DROP, count) for size in SIZES]
        cells = " | ".join(f"{gated.regressed:.1f} % ({gated.promised:.1f} %)" for gated in worse)
        print(f"| true drop of {DROP:g} points, margin {margin:g}: regressed (promised) | {cells} |", flush=True)
    print(f"\n| permutation tests, p < {SIGNIFICANCE:g} | {sizes} |\n|---|{'---|' * len(SIZES)}")
    for drop in (0.0, DROP):
        cells = " | ".join("{:.1f} % ({:.1f} %)".format(*tests(size, drop, count)) for size in SIZES)
        print(f"| true drop of {drop:g} points (promised by MDE) | {cells} |", flush=True)


if __name__ == "__main__":
    main()
