"""Mutants that no test can tell from the original, each with the reason: (file, function, change as it is printed)."""

EQUIVALENTS: dict[tuple[str, str, str], str] = {
    (
        "cscbench/asking/budget.py",
        "Budget.account",
        "eply]=(), requests: int=0 -> eply]=(), requests: int=1",
    ): "a forecast needs a reply, and after one reply of one request nothing is left, as of none",
    (
        "cscbench/asking/desk.py",
        "Desk._generate",
        "+ 1 if reply.error else 0 -> + 1 if reply.error else 1",
    ): "after one good reply a desk is never given up, however many failures follow",
    (
        "cscbench/asking/files.py",
        "_move",
        "et.parent.mkdir(parents=True, exist_ok=True) -> et.parent.mkdir(parents=False, exist_ok=True)",
    ): "the folder is there, and files of a set lie in it or one below",
    (
        "cscbench/asking/plays.py",
        "_model_message",
        "t.strategies.strategies[0] -> t.strategies.strategies[1]",
    ): "some code stands in where none was read, and then the model's own words are shown",
    (
        "cscbench/asking/store.py",
        "_repair",
        "not content or content.endswith(b'\\n') -> not content and content.endswith(b'\\n')",
    ): "a file that ends in a newline is then cut where it ends",
    (
        "cscbench/asking/store.py",
        "_int64",
        "len(text) > 20 -> len(text) > 21",
    ): "every number of 21 characters is over 64 bits",
    (
        "cscbench/asking/progress.py",
        "_rate",
        "per_second) if new else 0 -> per_second) if new else 1",
    ): "without new work the time left is printed as ?, whatever it is",
    (
        "cscbench/scoring/bootstrap.py",
        "_bca",
        "max(1, len(known)) -> max(2, len(known))",
    ): "a single draw is both ends of its interval, however it lies to the value",
    (
        "cscbench/scoring/metric_sums.py",
        "tie_groups",
        "-1 if metrics[0].spec.high -> -2 if metrics[0].spec.high",
    ): "a factor of any size but of the same sign sorts alike",
    (
        "cscbench/scoring/metric_sums.py",
        "tie_groups",
        "c.higher_is_better else 1 -> c.higher_is_better else 2",
    ): "a factor of any size but of the same sign sorts alike",
    (
        "cscbench/scoring/scorers/embeddings.py",
        "Encoder.embed",
        "lambda text: -len(ids[text]) -> lambda text: len(ids[text])",
    ): "shortest first or longest first, texts of like length share a batch",
    (
        "cscbench/scoring/scorers/embeddings.py",
        "Encoder.f1.padded",
        "rst=True, padding_value=2.0) -> rst=True, padding_value=3.0)",
    ): "the mask leaves the padding out",
    (
        "cscbench/scoring/scorers/embeddings.py",
        "Encoder.f1",
        "[0.0] -> [1.0]",
    ): "each place is filled",
    (
        "cscbench/scoring/scorers/embeddings.py",
        "load_encoder",
        "lru_cache(maxsize=1) -> lru_cache(maxsize=2)",
    ): "how much a cache holds changes no value",
    (
        "cscbench/scoring/scorers/embeddings.py",
        "_write",
        ': {reason}", stacklevel=2) -> : {reason}", stacklevel=3)',
    ): "the warning names another line of the same call",
    (
        "cscbench/scoring/metric_sums.py",
        "can_differ",
        "* smallest_p(clusters) < SIGNIFICANCE -> * smallest_p(clusters) <= SIGNIFICANCE",
    ): "pairs / 2**n and pairs / 10,001 are never 0.05",
    (
        "cscbench/scoring/metric_sums.py",
        "_differing_pairs",
        "1.0 if value is None else -> 2.0 if value is None else",
    ): "Holm's correction cuts p at 1",
    (
        "cscbench/scoring/metric_sums.py",
        "_differing_pairs",
        "value < SIGNIFICANCE -> value <= SIGNIFICANCE",
    ): "whole numbers of 2**n or 10,001 swaps are never 0.05, times whole numbers of pairs neither",
    (
        "cscbench/scoring/paired.py",
        "permutation_test",
        "np.abs(values) < np.abs(observed) - _ROU -> np.abs(values) <= np.abs(observed) - _ROU",
    ): "no two differences of floats are apart by exactly the bound on rounding",
    (
        "cscbench/runs/cost_rows.py",
        "_size",
        "count / 1000000000.0 -> count / 1000000001.0",
    ): "a billionth does not show in one decimal",
    (
        "cscbench/runs/summary.py",
        "text_table",
        "width=width, highlight=False, color_system=None, fo -> width=width, highlight=True, color_system=None, fo",
    ): "nothing is highlighted without colors",
    (
        "cscbench/scoring/scorer.py",
        "ratio",
        "np.where(empty, 1, denominator) -> np.where(empty, 2, denominator)",
    ): "where the denominator is empty the quotient is replaced by NaN",
    (
        "cscbench/scoring/scorers/stars.py",
        "StarsScorer._rated_turn",
        "-1 if self._judging.level -> -2 if self._judging.level",
    ): "any negative number stands for the whole conversation",
    (
        "cscbench/runs/turns.py",
        "_positions",
        "slice(2) -> slice(3)",
    ): "only the first of the values that come of it is used, and that stays the same",
    (
        "cscbench/runs/turns.py",
        "_positions",
        "slice(2, 4) -> slice(2, 5)",
    ): "there are four columns",
    (
        "cscbench/runs/turns.py",
        "_share",
        "part[:, :1] -> part[:, :2]",
    ): "only the first of the values that come of it is used, and that stays the same",
    (
        "cscbench/scoring/bootstrap.py",
        "_weights",
        "lru_cache(maxsize=4) -> lru_cache(maxsize=5)",
    ): "how much a cache holds changes no value",
    (
        "cscbench/scoring/scorers/text.py",
        "LengthScorer.measure",
        "pe=np.float64).reshape(-1, 2) -> pe=np.float64).reshape(-2, 2)",
    ): "numpy takes any negative number for the one to be found",
    (
        "cscbench/scoring/scorers/bleu.py",
        "BleuScorer.summarise",
        "2 * _MAX_ORDER -> 3 * _MAX_ORDER",
    ): "of the totals the first four are used, and no later column",
    (
        "cscbench/scoring/score.py",
        "_Estimator.__init__",
        "+ 1 if len(pairs) else 0 -> + 1 if len(pairs) else 1",
    ): "without a turn no sum has a value, however many clusters there are",
    (
        "cscbench/scoring/paired.py",
        "_is_exact",
        "1 << clusters <= PERMUTATIONS -> 1 << clusters < PERMUTATIONS",
    ): "no power of 2 is 10,000",
    (
        "cscbench/scoring/paired.py",
        "_swaps",
        "1 << clusters -> 2 << clusters",
    ): "each swap comes twice, and the share of extreme ones stays the same",
    (
        "cscbench/scoring/paired.py",
        "_wins",
        "np.abs(change) < _ROUNDING -> np.abs(change) <= _ROUNDING",
    ): "no change of floats is exactly the bound on rounding",
    ("cscbench/scoring/paired.py", "holm", "[0.0] -> [1.0]"): "each place is filled",
    (
        "cscbench/asking/meter.py",
        "Meter.__init__",
        "since, self._wall = (0, 0.0, 0.0) -> since, self._wall = (0, 1.0, 0.0)",
    ): "the first request sets it before it is read",
    (
        "cscbench/runs/finished.py",
        "FinishedRun",
        "class(frozen=True, repr=False) -> class(frozen=True, repr=True)",
    ): "a dataclass leaves a __repr__ of the class alone",
}
