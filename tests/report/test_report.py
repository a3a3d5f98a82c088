"""Reports: their statements match the runs."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pages
import pytest
from markdown_it import MarkdownIt
from pages import page

from cscbench.cli import cli
from cscbench.comparing.compare import Verdict, compare
from cscbench.publishing.report import ReportFormat, html, markdown, report, single, study, words, write
from cscbench.publishing.report.blocks import (
    Bullets,
    Code,
    Document,
    Dot,
    Dots,
    Exchange,
    Heat,
    Section,
    Table,
    Text,
    TimeSeries,
    Utterance,
)
from cscbench.publishing.report.findings import Finding, findings
from cscbench.publishing.report.html import axis_ends, axis_position
from cscbench.runs import results
from cscbench.runs.finished import load
from cscbench.scoring.bootstrap import Resampling
from cscbench.scoring.paired import Paired, holm
from cscbench.values import UserError

RESAMPLING = Resampling()
# Texts that HTML or Markdown would interpret.
HOSTILE = [
    "<script>window.hit=1</script>",
    '"><img src=x onerror="window.hit=1">',
    "</style><style>body{display:none}</style>",
    "[x](javascript:window.hit=1)",
    "![x](http://example.invalid/x.png)",
    "http://example.invalid/",
    "| a | b |\n|---|---|",
    "- item",
    "1. item",
    "# heading",
    "***bold*** `code` ~~gone~~",
    "$x^2$ \\(y\\)",
    "\\input{/etc/passwd} \\write18{ls} %",
    "100 % & #1 _ ^ ~ {}",
    "[star]",
    "a\u202eb\u0000c\ud800",
    "换\n行，“引号”",
    "x" * 300,
]


def texts(document: Document) -> list[str]:
    """Return the sentences of a document."""
    out = []
    for section in document.sections:
        for block in section.blocks:
            if isinstance(block, Text):
                out.append(block.text)
            if isinstance(block, Bullets):
                out += block.items
    return out


def test_a_comparison_says_who_is_better_by_how_much_and_how_sure(folders):
    both = [folders["majority"], folders["retrieval"]]
    document = report(study.of_runs(both), RESAMPLING)
    (bullets,) = {
        block.items
        for section in document.sections
        if section.title == "retrieval against majority"
        for block in section.blocks
        if isinstance(block, Bullets)
    }
    compared = {table.name: table for table in compare([load(run) for run in both], RESAMPLING).metrics}
    for name, table in compared.items():
        row = next(row for row in table.rows if row.verdict is not Verdict.BASELINE)
        sentence = next(text for text in bullets if text.lower().startswith(f"{words.metric_name(name).lower()}: "))
        if row.verdict in {Verdict.BETTER, Verdict.WORSE}:
            better = "retrieval" if row.verdict is Verdict.BETTER else "majority"
            low, high = sorted(abs(end) for end in row.paired.interval)
            assert f"{better} is better by {abs(row.paired.difference):.1f} points" in sentence
            assert f"(95% interval {low:.1f} to {high:.1f})" in sentence
        else:
            assert "no significant difference" in sentence
    short = document.sections[0]
    assert short.title == "Summary"
    assert "retrieval is better than majority on" in short.blocks[0].text
    assert any("chance would produce a difference this large" in text for text in texts(Document("", (short,))))
    assert any(text.startswith("majority is weakest in") for text in texts(Document("", (short,))))


def finding(verdict, difference=-2.0, p=0.2, interval=(-5.0, 1.0), higher=True) -> Finding:
    old, new = 10.0, 10.0 + difference
    paired = Paired(old, new, difference, interval, 1.5, p, p, 0.4)
    return Finding("bleu_2", higher, old, new, paired, p, 3.0, verdict)


@pytest.mark.parametrize(
    ("tested", "expected"),
    [
        (
            finding(Verdict.NOT_SHOWN),
            "BLEU-2: no significant difference (new 8.0, old 10.0). The smallest difference these dialogues "
            "can reliably detect is about 3.0 points.",
        ),
        (
            finding(Verdict.WORSE, -4.0, 0.01, (-6.0, -1.0)),
            "BLEU-2: old is better by 4.0 points (95% interval 1.0 to 6.0): new 6.0, old 10.0.",
        ),
        (
            finding(Verdict.BETTER, -4.0, 0.01, (-6.0, -1.0), higher=False),
            "BLEU-2: new is better by 4.0 points (95% interval 1.0 to 6.0): new 6.0, old 10.0; lower is better.",
        ),
        (finding(Verdict.TOO_FEW), "BLEU-2: new 8.0, old 10.0; too few dialogues to tell."),
        (
            finding(Verdict.MEASURED_DIFFERENTLY),
            "BLEU-2: the two runs were measured differently, so their values cannot be compared.",
        ),
    ],
)
def test_sentences(tested, expected):
    assert words.sentence(tested, "old", "new") == expected


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (0.0, "fewer than 1 time in 1,000"),
        (0.001, "about 1 time in 1,000"),
        (0.012, "about 12 times in 1,000"),
        (0.25, "about 25 times in 100"),
    ],
)
def test_luck_in_words(p, expected):
    assert words.chance(p) == expected


def test_zero_has_no_sign():
    assert [words.format_number(value) for value in (-0.04, 0.0, -0.06, 12.34)] == ["0.0", "0.0", "-0.1", "12.3"]
    assert words.format_number(-0.001, "stars") == "0.00"


def test_p_is_corrected_over_the_pairs_of_a_report(folders):
    three = study.of_runs([folders[name] for name in ("majority", "retrieval", "generated")])
    pairs = findings(three, RESAMPLING)
    for number, metric in enumerate(pairs[0].metrics):
        raw = [pair.metrics[number].paired.p for pair in pairs]
        assert [pair.metrics[number].p for pair in pairs] == holm(raw), metric.metric


def test_a_group_without_a_hit_is_weak_only_where_it_is_large_enough(folders):
    """16 turns without a hit say little about a run with 2% accuracy, but much about one with 40%."""
    assert single._side_of(0.0, 0.0, 0.0, 2.4, 16) == 0
    assert single._side_of(0.0, 0.0, 0.0, 40.0, 16) == -1
    assert single._side_of(100.0, 100.0, 100.0, 40.0, 16) == 1
    assert single._side_of(9.0, 8.0, 10.0, 12.0, 0) == -1
    assert single._side_of(9.0, None, None, 12.0, 16) == 0


def test_one_run_against_naming_one_strategy_always(folders):
    """The majority baseline always chooses one strategy: its accuracy is the share in the text."""
    document = report(study.of_runs([folders["majority"]]), RESAMPLING)
    accuracy = next(
        metric for metric in results.read(folders["majority"]).metrics if metric.name == "strategy_accuracy"
    )
    text = " ".join(texts(document))
    expected = float(re.search(r"would be right in ([\d.]+)%", text)[1])
    # It learned the most frequent strategy on the training split, which need not be the test split's.
    assert accuracy.value <= expected + 0.05
    assert f"in {accuracy.value:.1f}% of turns" in text


def test_confusions_are_the_tables_largest(folders):
    member = study.of_runs([folders["retrieval"]]).members[0]
    mistakes, heat = single.confusion(member)
    table = member.results.tables["confusion"]
    largest = max(
        n
        for row, counts in zip(table["rows"], table["counts"], strict=True)
        for column, n in zip(table["columns"], counts, strict=True)
        if row != column
    )
    assert f"in {largest:.0f} of " in mistakes.items[0]
    assert sum(map(sum, heat.counts)) == member.results.counts.answered


def test_examples_have_the_customers_words_of_this_data_only(folders, tmp_path):
    document = report(study.of_runs([folders["retrieval"]]), RESAMPLING)
    shown = [block for section in document.sections for block in section.blocks if isinstance(block, Exchange)]
    assert len(shown) == 4
    assert any(line.speaker == "Customer" for excerpt in shown for line in excerpt.lines)
    other = tmp_path / "run"
    shutil.copytree(folders["retrieval"], other)
    for name in ("results.json",):
        content = json.loads((other / name).read_text())
        content["data"]["files"][0]["sha256"] = "0" * 64
        (other / name).write_text(json.dumps(content))
    document = report(study.of_runs([other]), RESAMPLING)
    shown = [block for section in document.sections for block in section.blocks if isinstance(block, Exchange)]
    assert shown
    assert not any(line.speaker == "Customer" for excerpt in shown for line in excerpt.lines)


def test_a_ladder_and_sizes_from_their_files(folders, tmp_path):
    names = {name: str(folder) for name, folder in folders.items()}
    ladder = tmp_path / "ladder.yaml"
    steps = [{"name": name, "run": names[name]} for name in ("majority", "generated", "retrieval")]
    ladder.write_bytes(msgspec.yaml.encode({"title": "Steps", "steps": steps}))
    selected = study.ladder(ladder)
    assert [(pair.old, pair.new) for pair in selected.pairings] == [(0, 1), (1, 2), (0, 2)]
    written = report(selected, RESAMPLING)
    titles = [section.title for section in written.sections]
    assert {"generated against majority", "retrieval against generated", "retrieval against majority"} <= set(titles)

    sizes = tmp_path / "sizes.yaml"
    rows = [
        {"name": "7B", "base": names["majority"], "tuned": names["generated"]},
        {"name": "70B", "base": names["retrieval"]},
    ]
    sizes.write_bytes(msgspec.yaml.encode({"title": "Sizes", "sizes": rows}))
    selected = study.sizes(sizes)
    assert [member.name for member in selected.members] == ["7B base", "7B tuned", "70B"]
    assert [(pair.old, pair.new) for pair in selected.pairings] == [(0, 1), (0, 2), (2, 1)]


def test_a_trend_is_by_date_and_of_one_model(folders, tmp_path):
    runs = []
    for day in (20, 18, 19):
        run = tmp_path / f"run-{day}"
        shutil.copytree(folders["retrieval"], run)
        content = json.loads((run / "results.json").read_text())
        content["timing"]["started"] = f"2026-11-{day}T08:00:00+00:00"
        (run / "results.json").write_text(json.dumps(content))
        record = json.loads((run / "run.json").read_text())
        record["name"] = f"{record['name']}-{day}"
        (run / "run.json").write_text(json.dumps(record))
        runs.append(run)
    selected = study.trend(runs)
    assert [member.name for member in selected.members] == ["2026-11-18", "2026-11-19", "2026-11-20"]
    written = report(selected, RESAMPLING)
    lines = [block for section in written.sections for block in section.blocks if isinstance(block, TimeSeries)]
    assert len(lines) == len(selected.members[0].results.metrics)
    assert all([dot.name for dot in line.dots] == [member.name for member in selected.members] for line in lines)
    with pytest.raises(UserError, match="one model; these are from majority, retrieval"):
        study.trend([folders["majority"], folders["retrieval"]])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("title: x\nsteps: [{name: a, run: none}]\n", "`steps` needs at least two steps"),
        ("title: x\nsteps: [{name: a, ran: none}]\n", r"unknown field `ran`; did you mean 'run'"),
        ("title: x\nsteps: [{name: a, run: none}, {name: b, run: none}]\n", "no such"),
    ],
)
def test_a_wrong_ladder_says_where(text, expected, tmp_path):
    (tmp_path / "ladder.yaml").write_text(text)
    with pytest.raises(UserError, match=expected):
        study.ladder(tmp_path / "ladder.yaml")


class Outline(HTMLParser):
    """Tags, attributes and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


def everything(text: str) -> Document:
    """Return a document with this text in every part."""
    dots = (Dot(text, 1.0, (0.5, 2.0)), Dot(text, 3.0, None))
    blocks = (
        Text(text),
        Text(text, lead=True),
        Bullets((text, text)),
        Table((text, text), ((text, text),), (1,)),
        Dots(text, dots, 0.0),
        TimeSeries(text, dots),
        Heat(text, (text,), (text,), ((3,),)),
        Exchange(text, (Utterance(text, text, text),)),
        Code(text),
    )
    return Document(text, (Section(text, blocks), Section(text, blocks, 3)))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_inert_in_html(text):
    plain, hostile = Outline(html(everything("plain"))), Outline(html(everything(text)))
    assert hostile.tags == plain.tags
    assert {name for name, _ in hostile.attributes} == {name for name, _ in plain.attributes}
    assert not any(char in hostile.text for char in "\u202e\u0000\ud800")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_inert_in_markdown(text):
    reader = MarkdownIt("gfm-like", {"linkify": False, "html": True})

    def kinds(content: str) -> set[str]:
        tokens = reader.parse(content)
        return {part.type for token in tokens for part in (token, *(token.children or ()))}

    assert kinds(markdown(everything(text))) <= kinds(markdown(everything("plain"))) | {"text_special"}
    lines = [line for line in markdown(everything(text)).splitlines() if not line.startswith("    ")]
    assert not re.search(r"https?://", "\n".join(lines))


def test_drawings_keep_all_in_sight():
    drawing = Dots("", (Dot("a", 3.0, (1.0, 9.0)), Dot("b", -2.0, None)), 0.0)
    ends = axis_ends(drawing)
    positions = [float(axis_position(value, ends)) for value in (3.0, 1.0, 9.0, -2.0, 0.0)]
    assert all(0 < position < 100 for position in positions)
    assert axis_ends(Dots("", (Dot("a", 5.0, None),))) == (4.0, 6.0)


def test_the_same_runs_give_the_same_bytes(folders, tmp_path):
    runs = [folders["majority"], folders["retrieval"]]
    first = write(report(study.of_runs(runs), RESAMPLING), tuple(ReportFormat), tmp_path / "a")
    again = write(report(study.of_runs(runs), RESAMPLING), tuple(ReportFormat), tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]


def test_the_page_holds_all_of_itself(folders, tmp_path):
    (path,) = write(report(study.of_runs([folders["retrieval"]]), RESAMPLING), [ReportFormat.HTML], tmp_path)
    outline = Outline(path.read_text(encoding="utf-8"))
    assert outline.tags.isdisjoint({"script", "img", "iframe", "object", "embed"})
    assert {value for name, value in outline.attributes if name in {"src", "href"} and value and value[0] != "#"} == {
        "data:,"
    }
    assert path.stat().st_size < 200_000


def test_the_command_line(cscbench, folders, tmp_path):
    done = cscbench("report", folders["retrieval"], folders["majority"], "--baseline", folders["majority"])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["report/report.html", "report/report.md"]
    assert (tmp_path / "report" / "report.md").read_text(encoding="utf-8").startswith("# retrieval against majority\n")
    only = cscbench("report", folders["retrieval"], "--format", "html", "--out", "one")
    assert only.stdout.split() == ["one/report.html"]


@pytest.mark.parametrize(
    ("words_of", "expected"),
    [
        (["--trend"], "give at least one run folder"),
        (["--ladder", "a.yaml", "--sizes", "b.yaml"], "give one of --ladder and --sizes"),
        (["--ladder", "a.yaml", "run"], "--ladder names its runs in the file"),
        (["nowhere"], "nowhere"),
        (["--trend", "run", "--baseline", "run"], "leave --baseline out"),
    ],
)
def test_mistakes_are_told(cscbench, words_of, expected):
    done = cscbench("report", *words_of)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_in_a_report_finds_its_run(cscbench, folders):
    """Run in the same folder, the command finds its finished run."""
    document = report(study.of_runs([folders["retrieval"]]), RESAMPLING)
    (command,) = [block.text for section in document.sections for block in section.blocks if isinstance(block, Code)]
    folder = folders["retrieval"]
    done = cscbench(*command.split()[1:], "--out", folder.parent)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].endswith(folder.name)


def test_a_run_of_five_dialogues_or_fewer_shows_nothing(folders):
    """With five dialogues, the smallest possible p-value is 0.06."""
    (pair,) = findings(study.of_runs([folders["retrieval"], folders["short"]]), RESAMPLING)
    verdicts = {finding.verdict for finding in pair.metrics}
    assert verdicts <= {Verdict.TOO_FEW, Verdict.MEASURED_DIFFERENTLY}


def test_the_page_names_every_option_and_no_other(cscbench):
    told = page("reports.md")
    known = {option for parameter in cli.get_command(None, "report").params for option in parameter.opts}
    for command in pages.commands(told):
        assert command[:2] == ["cscbench", "report"]
        assert {word for word in command if word.startswith("--")} <= known
    shown = cscbench("report", "--help").stdout
    for option in re.findall(r"--[a-z]+", shown):
        assert option in {"--help", "--encoder"} or option in told, option


@pytest.mark.parametrize(("name", "into"), [("ladder.yaml", study.LadderFile), ("sizes.yaml", study.SizesFile)])
def test_the_example_files_are_of_the_right_form(name, into):
    path = Path(__file__).parents[2] / "docs" / "examples" / name
    msgspec.yaml.decode(path.read_bytes(), type=into, strict=True)
