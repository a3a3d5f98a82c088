"""What the terminal shows: aligned tables of results, cards, tasks and dry runs."""

import shutil
import sys
from collections.abc import Sequence

import msgspec

from cscbench.asking.plays import play_gold
from cscbench.content.cards import ParsedCard
from cscbench.content.csconv import Fault
from cscbench.content.tasks import Task
from cscbench.runs.cost_rows import amount, cost_rows, memory, speed
from cscbench.runs.plan import Plan
from cscbench.runs.results import Results
from cscbench.runs.summary import COLUMNS, FILE_WIDTH, NUMBERS, counts_line, headline, metric_rows, text_table
from cscbench.values import Estimate, Metric, estimate_tokens

_MOST_FAULTS = 20


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> None:
    """Print an aligned table; the columns in `numbers` are flush right."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else FILE_WIDTH
    text = text_table(columns, rows, numbers, width)
    if not (sys.stdout.encoding or "").lower().startswith("utf"):
        text = text.replace("─", "-")
    print(f"{title}\n{text}" if title else text, end="")  # noqa: T201 - standard output is this module's purpose


def show_results(results: Results) -> None:
    """Print the metrics of a run with their intervals, its cost, and notes for the reader."""
    table(headline(results), COLUMNS, metric_rows(results), NUMBERS)
    if results.timing.cost is not None:
        table("", ("cost", ""), cost_rows(results.timing.cost))
    if results.known_tables.judges:
        _show_judges(results)
    lines = [counts_line(results), *(f"note: {note}" for note in results.notes)]
    print("\n".join(lines))  # noqa: T201 - standard output is this function's purpose


def _show_judges(results: Results) -> None:
    """Print each judge's stars, what they may depend on and their cost; then how far the panel agrees."""
    rows = []
    tables = results.known_tables
    for row in tables.judges:
        cost = results.timing.judges.get(row.judge)
        spread = "" if row.repeat_deviation is None else f"{row.repeat_deviation:.2f}"
        time = f"{cost.wall_seconds:,.1f} s" if cost and cost.wall_seconds is not None else ""
        cells = (_estimate(row.stars), _estimate(row.length_correlation), spread)
        rows.append((row.judge, str(row.n), str(row.missing), *cells, time, amount(cost) if cost else ""))
    head = ("judge", "ratings", "missing", "stars", "with length", "repeats differ by", "time", "price")
    table("", head, rows, numbers=range(1, len(head)))
    if tables.judge_agreement is not None:
        agreement = tables.judge_agreement
        pairs = [(f"{pair.a} and {pair.b}", "weighted kappa", _estimate(pair.kappa)) for pair in agreement.kappas]
        table("", ("judges", "agreement", ""), [("all", "ordinal alpha", _estimate(agreement.alpha)), *pairs])


def _estimate(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    return f"{estimate.value:.2f}" + ("" if estimate.low is None else f" [{estimate.low:.2f}, {estimate.high:.2f}]")


def show_comparison(all_results: Sequence[Results]) -> None:
    """Print finished runs side by side: a column for each run, a row for each metric, then costs."""
    names = list(dict.fromkeys(metric.name for results in all_results for metric in results.metrics))
    by_name = [{metric.name: metric for metric in results.metrics} for results in all_results]
    rows = [(name, *(_cell(metrics.get(name)) for metrics in by_name)) for name in names]
    costs = [results.timing.cost for results in all_results]
    for name, text_of in (("output tokens/s", speed), ("peak memory", memory), ("price", amount)):
        cells = [text_of(cost) if cost else "" for cost in costs]
        rows += [(name, *cells)] if any(cells) else []
    columns = ("metric, 95% CI", *(_heading(results) for results in all_results))
    table("", columns, rows, numbers=range(1, len(columns)))


def _heading(results: Results) -> str:
    task, protocol = results.task, results.protocol
    partial = "" if results.run.complete else "\nPARTIAL"
    return (
        f"{results.model.label}\n{task.name}\n{protocol.context}, {protocol.condition}\n"
        f"{'+'.join(task.languages)}, {results.counts.turns} turns{partial}"
    )


def _cell(metric: Metric | None) -> str:
    if metric is None:
        return ""
    return f"{metric.value:.1f}" + ("" if metric.low is None else f" [{metric.low:.1f}, {metric.high:.1f}]")


def show_faults(faults: Sequence[Fault], listed_in: str = "run.json") -> None:
    """Print unreadable records on standard error; `listed_in` is the file that lists them all."""
    if not faults:
        return
    lines = [f"{len(faults)} records could not be read and are left out ({listed_in} lists all):"]
    lines += [f"  {fault.file}, record {fault.index}, {fault.field}: {fault.reason}" for fault in faults[:_MOST_FAULTS]]
    if len(faults) > _MOST_FAULTS:
        lines.append(f"  ... and {len(faults) - _MOST_FAULTS} more")
    print("\n".join(lines), file=sys.stderr)  # noqa: T201 - a message for the person


def show_cards(cards: Sequence[ParsedCard], broken: Sequence[str]) -> None:
    """Print every model card, and the errors of unreadable ones."""
    rows = []
    for card in (parsed.card for parsed in cards):
        size = f"{card.parameters / 1e9:.3g} B" if card.parameters else ""
        variants = " ".join(f"+{variant}" for variant in card.variants)
        languages = " ".join(card.languages)
        rows.append((card.name, card.adapter, size, languages, card.weights, variants, card.license))
    table("", ("model", "adapter", "size", "languages", "weights", "variants", "license"), rows, numbers=(2,))
    for message in broken:
        print(f"broken: {message}", file=sys.stderr)  # noqa: T201 - a message for the person


def show_tasks(tasks: Sequence[Task], broken: Sequence[str]) -> None:
    """Print every task, and the errors of unreadable ones."""
    rows = [(task.name, task.title, " ".join(task.scorers), " ".join(task.description.split())) for task in tasks]
    table("", ("task", "title", "scorers", "description"), rows)
    for message in broken:
        print(f"broken: {message}", file=sys.stderr)  # noqa: T201 - a message for the person


def show_dry_run(plan: Plan, weights: str) -> None:
    """Print the resolved card and task, the first prompts, and a token estimate."""
    card = msgspec.yaml.encode(msgspec.to_builtins(plan.card)).decode().rstrip()
    # The references stand in for the replies of a model.
    requests = [
        request.messages
        for dialogue in plan.dialogues
        for request, _ in play_gold(dialogue, plan.prompts[dialogue.language])
    ]
    tokens_in = sum(estimate_tokens(message.content) for messages in requests for message in messages)
    lines = [f"# model\n{card}", f"fingerprint: {weights}", f"\n# task {plan.task.name}: {plan.task.title}"]
    lines.append(f"{len(plan.dialogues)} of {len(plan.data.test)} dialogues, {len(plan.data.train)} for training")
    lines += [f"note: {note}" for note in plan.data.notes]
    lines.append(f"context {plan.options.context}, condition {plan.options.condition}, seed {plan.options.seed}")
    lines += [f"prompt {prompt.name} sha256 {prompt.sha256[:12]}" for prompt in plan.prompts.values()]
    for language, prompt in plan.prompts.items():
        first = next(dialogue for dialogue in plan.dialogues if dialogue.language is language)
        # The first request of the second supporter turn: it contains the first turn.
        shown = [request.messages for request, _ in play_gold(first, prompt)][: len(prompt.prompt.steps) + 1][-1]
        lines.append(f"\n# prompt ({language}): dialogue {first.id}, second supporter turn")
        lines += [f"<{m.role}>\n{m.content}" for m in shown]
    most = plan.sampling.max_tokens * len(requests)
    lines.append(
        f"\n# estimate\n{len(requests):,} requests, about {tokens_in:,} input tokens (estimated without a tokenizer, "
        f"within a factor of two), at most {most:,} output tokens"
    )
    print("\n".join(lines))  # noqa: T201 - standard output is this function's purpose
