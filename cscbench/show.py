"""What the terminal shows: aligned tables of results, cards, tasks and dry runs."""

import math
import re
import sys
from collections.abc import Mapping, Sequence

import msgspec

from cscbench.cards import FoundCard
from cscbench.data import Fault
from cscbench.plan import Plan
from cscbench.play import Protocol, play
from cscbench.prompts import NamedPrompt
from cscbench.records import Dialogue, Language, Message, Metric, Reply, Step
from cscbench.results import Results
from cscbench.tasks import Task

_MOST_FAULTS = 20
# A wide console where the output goes to a file: nothing is cut or wrapped there.
_FILE_WIDTH = 240


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> None:
    """Print an aligned table; the columns in `numbers` are set flush right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else _FILE_WIDTH, highlight=False)
    if title:
        console.print(Text(title), soft_wrap=True)
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        grid.add_column(Text(column), justify="right" if number in numbers else "left")
    for row in rows:
        grid.add_row(*(Text(cell) for cell in row))
    console.print(grid)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def show_results(results: Results) -> None:
    """The metrics of a run with their intervals, and what a reader must know beside them."""
    protocol, counts = results.protocol, results.counts
    title = f"{results.model.label} on {results.task.title}: {protocol.context} context, {protocol.condition}"
    rows = [
        (m.name, _number(m.value), _number(m.low), _number(m.high), str(m.n), "" if m.higher_is_better else "lower")
        for m in results.metrics
    ]
    table(title, ("metric", "value", "95 % low", "high", "turns", "better"), rows, numbers=(1, 2, 3, 4))
    said = (
        f"{counts.dialogues} dialogues, {counts.turns} turns: {counts.answered} answered, "
        f"{counts.failed} failed, {counts.unparsed} without a readable strategy; "
        f"{counts.faults} records of the data could not be read"
    )
    lines = [said, *(f"note: {note}" for note in results.notes)]
    print("\n".join(lines))  # noqa: T201 - standard output is this function's purpose


def show_comparison(all_results: Sequence[Results]) -> None:
    """Several finished runs side by side: a column a run, a row a metric, each value with its interval."""
    names = list(dict.fromkeys(metric.name for results in all_results for metric in results.metrics))
    found = [{metric.name: metric for metric in results.metrics} for results in all_results]
    rows = [(name, *(_cell(metrics.get(name)) for metrics in found)) for name in names]
    columns = ("values, 95 % intervals", *(_heading(results) for results in all_results))
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


def show_faults(faults: Sequence[Fault]) -> None:
    """Records that were left out, on standard error."""
    if not faults:
        return
    lines = [f"{len(faults)} records could not be read and are left out (all are listed in run.json):"]
    lines += [f"  {fault.file}, record {fault.index}, {fault.field}: {fault.reason}" for fault in faults[:_MOST_FAULTS]]
    if len(faults) > _MOST_FAULTS:
        lines.append(f"  ... and {len(faults) - _MOST_FAULTS} more")
    print("\n".join(lines), file=sys.stderr)  # noqa: T201 - a message for the person


def show_cards(cards: Sequence[FoundCard], broken: Sequence[str]) -> None:
    """Every model card, and what is wrong with those that cannot be read."""
    rows = []
    for found in cards:
        card = found.card
        size = f"{card.parameters / 1e9:.3g} B" if card.parameters else ""
        variants = " ".join(f"+{variant}" for variant in card.variants)
        languages = " ".join(card.languages)
        rows.append((card.name, card.adapter, size, languages, card.weights, variants, card.license))
    table("", ("model", "adapter", "size", "languages", "weights", "variants", "licence"), rows, numbers=(2,))
    for message in broken:
        print(f"broken: {message}", file=sys.stderr)  # noqa: T201 - a message for the person


def show_tasks(tasks: Sequence[Task], broken: Sequence[str]) -> None:
    """Every task, and what is wrong with those that cannot be read."""
    rows = [(task.name, task.title, " ".join(task.scorers), " ".join(task.description.split())) for task in tasks]
    table("", ("task", "title", "scorers", "description"), rows)
    for message in broken:
        print(f"broken: {message}", file=sys.stderr)  # noqa: T201 - a message for the person


def estimate_tokens(text: str) -> int:
    """A rough count without a tokenizer: three tokens for four Chinese characters, one for four others."""
    han = len(re.findall(r"[㐀-鿿]", text))
    return math.ceil(0.75 * han + (len(text) - han) / 4)


def _gold_requests(
    dialogues: Sequence[Dialogue], prompts: Mapping[Language, NamedPrompt], plan: Plan
) -> list[tuple[Message, ...]]:
    """The messages of all requests, with the reference standing in for what a model will say."""
    asked = []
    protocol = Protocol(plan.options.context, plan.sampling)
    for dialogue in dialogues:
        walk = play(dialogue, prompts[dialogue.language], protocol)
        request = next(walk)
        while True:
            asked.append(request.messages)
            turn = dialogue.turns[request.turn]
            said = turn.text if request.step is Step.REPLY else f"[{turn.strategy}] {turn.text}"
            try:
                request = walk.send(Reply(said))
            except StopIteration:
                break
    return asked


def show_dry_run(plan: Plan, weights: str) -> None:
    """The resolved card and task, the first prompts, and the token estimate; nothing is loaded."""
    card = msgspec.yaml.encode(msgspec.to_builtins(plan.card)).decode().rstrip()
    requests = _gold_requests(plan.dialogues, plan.prompts, plan)
    tokens_in = sum(estimate_tokens(message.content) for messages in requests for message in messages)
    lines = [f"# model\n{card}", f"fingerprint: {weights}", f"\n# task {plan.task.name}: {plan.task.title}"]
    lines.append(f"{len(plan.dialogues)} of {len(plan.data.test)} dialogues, {len(plan.data.train)} for training")
    lines += [f"note: {note}" for note in plan.data.notes]
    lines.append(f"context {plan.options.context}, condition {plan.options.condition}, seed {plan.options.seed}")
    lines += [f"prompt {prompt.name} sha256 {prompt.sha256[:12]}" for prompt in plan.prompts.values()]
    for language, prompt in plan.prompts.items():
        first = next(dialogue for dialogue in plan.dialogues if dialogue.language is language)
        # The second supporter turn's first request: it begins with all of the first turn's.
        shown = _gold_requests([first], {language: prompt}, plan)[: len(prompt.prompt.steps) + 1][-1]
        lines.append(f"\n# prompt ({language}): dialogue {first.id}, second supporter turn")
        lines += [f"<{m.role}>\n{m.content}" for m in shown]
    most = plan.sampling.max_tokens * len(requests)
    lines.append(
        f"\n# estimate\n{len(requests):,} requests, about {tokens_in:,} tokens in (without a tokenizer: right to "
        f"a factor of two), at most {most:,} tokens out"
    )
    print("\n".join(lines))  # noqa: T201 - standard output is this function's purpose
