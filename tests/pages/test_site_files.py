"""The files of a site, without a browser: bytes, downloads, and what must not be overwritten."""

import csv
import json
import re

import msgspec
import pytest
from hostile import STRINGS
from hypothesis import given
from hypothesis import strategies as st
from site_help import BOARD, rank, renamed, run_entry

from cscbench.publishing.site import build_site
from cscbench.publishing.site.entry_summary import slug, web_address
from cscbench.publishing.site.folder import script
from cscbench.publishing.site.texts import HERE, read_texts
from cscbench.runs.results import read_pairs, write_pairs
from cscbench.values import UserError


def every_file(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def chunk(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(re.fullmatch(r'cscbench\.chunk\("[^"]+",(.*)\);\n', text, re.DOTALL)[1])


def test_the_same_inputs_give_the_same_bytes(site, entries, tmp_path):
    again = tmp_path / "again"
    built = build_site(BOARD, list(reversed(entries)), rank(BOARD, entries), again)
    assert every_file(again) == every_file(site)
    assert built.pages == len(list(site.rglob("*.html"))) == 5 + len(entries)
    assert built.bytes == sum(map(len, every_file(site).values()))


def test_no_page_is_heavy_and_plotly_is_there_once(site):
    assert max(path.stat().st_size for path in site.rglob("*") if path.name != "plotly.min.js") < 300_000
    assert len(list(site.rglob("plotly*.js"))) == 1
    assert [path.name for path in site.glob("*.html") if "plotly" in path.read_text(encoding="utf-8")] == ["plots.html"]


def test_no_page_has_a_script_or_an_address_of_its_own(site):
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert re.findall(r"<script(?! defer src=)", text) == []
        assert re.findall(r"\son\w+=", text) == []
        assert set(re.findall(r'(?:src|href)="(\w+:[^"]*)"', text)) <= {"https://arxiv.org/abs/2508.04423", "data:,"}
        assert "default-src 'none'" in text


def test_chunks_have_every_turn_of_every_run(site, entries):
    reference_sets = chunk(site / "data/dialogues.js")["shelves"]
    assert [len(reference_set["dialogues"]) for reference_set in reference_sets] == [40]
    assert reference_sets[0]["customers"] is True
    for listed in entries:
        if listed.folder:
            parts = [chunk(path) for path in sorted((site / "data/m" / slug(listed.entry.id)).iterdir())]
            replies = {(name, row[0]): tuple(row[1:3]) for part in parts for name, rows in part.items() for row in rows}
            pairs = read_pairs(listed.folder)
            assert replies == {(pair.dialogue, pair.turn): (pair.strategy, pair.text) for pair in pairs}
    lines = [
        line
        for path in (site / "data/t/reference-0").iterdir()
        for dialogue in chunk(path).values()
        for line in dialogue
    ]
    assert {line[1] for line in lines} == {"c", "s"}
    assert sum(line[1] == "s" for line in lines) == 419


def test_positions_are_the_shares_counted_by_hand(site, runs):
    folder = next(path for path in runs if "--gold--retrieval" in path.name)
    pairs = sorted(read_pairs(folder), key=lambda pair: (pair.dialogue, pair.turn))
    by_dialogue = {}
    for pair in pairs:
        by_dialogue.setdefault(pair.dialogue, []).append(pair.strategy == pair.reference_strategy)
    second = [hits[1] for hits in by_dialogue.values() if len(hits) > 1]
    text = (site / f"models/{slug(run_entry(folder).entry.id)}.html").read_text(encoding="utf-8")
    table = text[text.index('id="by-position"') :]
    row = re.search(
        r'<th scope="row">2</th><td class="num">(\d+)</td>\s*<td class="num"><span class="v">([\d.]+)', table
    )
    assert (int(row[1]), row[2]) == (len(second), f"{100 * sum(second) / len(second):.1f}")


def test_downloads_have_every_cell(site, entries):
    ranked = rank(BOARD, entries)
    cells = sum(cell is not None for track in ranked for b in track.blocks for row in b.rows for cell in row.cells)
    with (site / "data/board.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == cells
    assert {row["rank"] for row in rows if row["reported"] == "True"} == {""}
    data = json.loads((site / "data/board.json").read_text(encoding="utf-8"))
    assert (data["schema"], len(data["entries"])) == ("cscbench/board-data/1", len(entries))
    tex = (site / "data/board.tex").read_text(encoding="utf-8")
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") == 2
    bib = (site / "data/board.bib").read_text(encoding="utf-8")
    assert bib.count("@misc{") == 7  # six runs, one paper
    assert r"\url{https://arxiv.org/abs/2508.04423}" in bib


def test_hostile_strings_stay_inert_in_downloads(hostile_site):
    with (hostile_site / "data/board.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file):
            for cell in row:
                assert re.fullmatch(r"-?[\d.]+(e-?\d+)?", cell) or not re.match(r"\s*[=+\-@\t\r]", cell), cell
    bib = (hostile_site / "data/board.bib").read_text(encoding="utf-8")
    assert bib.count("{") == bib.count("}")
    tex = (hostile_site / "data/board.tex").read_text(encoding="utf-8")
    assert r"\input" not in tex
    assert r"\write18" not in tex
    assert {path.parent for path in hostile_site.rglob("*.html")} == {hostile_site, hostile_site / "models"}


def test_only_a_site_of_ours_is_replaced(entries, tmp_path):
    first = entries[:1]
    out = tmp_path / "site"
    build_site(BOARD, first, rank(BOARD, first), out)
    (out / "stale.html").write_text("x", encoding="utf-8")
    build_site(BOARD, first, rank(BOARD, first), out)
    assert not (out / "stale.html").exists()
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "index.html").write_text("my thesis", encoding="utf-8")
    with pytest.raises(UserError, match="not a cscbench site"):
        build_site(BOARD, first, rank(BOARD, first), other)
    assert (other / "index.html").read_text(encoding="utf-8") == "my thesis"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["site", "thesis"]


def test_other_data_is_a_separate_reference_set_without_customers(runs, tmp_path):
    """Turns of the same names with other references are never shown together."""
    plain = run_entry(runs[0])
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("run.json", "scores.parquet"):
        (folder / name).write_bytes((runs[1] / name).read_bytes())
    pairs = [msgspec.structs.replace(pair, reference=f"other {pair.turn}") for pair in read_pairs(runs[1])]
    write_pairs(folder, pairs)
    other = msgspec.structs.replace(renamed(run_entry(runs[1]), "other", "other"), folder=folder)
    data = msgspec.structs.replace(
        other.entry.results.data,
        files=tuple(msgspec.structs.replace(file, sha256="0" * 64) for file in other.entry.results.data.files),
    )
    entry = msgspec.structs.replace(other.entry, results=msgspec.structs.replace(other.entry.results, data=data))
    entries = [plain, msgspec.structs.replace(other, entry=entry)]
    build_site(BOARD, entries, rank(BOARD, entries), tmp_path / "site")
    reference_sets = chunk(tmp_path / "site/data/dialogues.js")["shelves"]
    assert [reference_set["customers"] for reference_set in reference_sets] == [True, False]
    assert [len(reference_set["entries"]) for reference_set in reference_sets] == [1, 1]


def test_an_empty_board_has_pages(tmp_path):
    empty = msgspec.structs.replace(BOARD, tracks=())
    assert build_site(empty, [], [], tmp_path / "site").pages == 5
    assert "no tracks yet" in (tmp_path / "site/index.html").read_text(encoding="utf-8")


def test_every_text_that_pages_and_scripts_ask_for_is_there():
    texts = read_texts()
    asked = set()
    for path in (HERE / "templates").iterdir():
        asked |= set(re.findall(r'\b(?:t|key)\([\'"]([a-z_.]+[a-z_])[\'"][,)]', path.read_text(encoding="utf-8")))
    for path in (HERE / "assets").glob("*.js"):
        asked |= set(re.findall(r'\b(?:say|text)\("([a-z_.]+[a-z_])"[,)]', path.read_text(encoding="utf-8")))
    assert len(asked) > 100
    assert asked <= set(texts)
    for key, wording in texts.items():
        assert wording.en.strip(), key
        assert re.search(r"[\u4e00-\u9fff]|BLEU|ROUGE|BERTScore", wording.zh), key
        assert set(re.findall(r"\{\w+\}", wording.en)) == set(re.findall(r"\{\w+\}", wording.zh)), key


@given(st.text())
def test_a_script_holds_any_text(text):
    content = script("k", {"x": text})
    assert b"<" not in content
    assert not re.search("[\u2028\u2029]", content.decode("utf-8"))
    assert content.count(b"\n") == 1
    assert json.loads(content.decode("utf-8")[len('cscbench.chunk("k",') : -3])["x"] == text


def test_a_lone_surrogate_does_not_stop_a_site():
    assert script("k", ["\ud800x"]) == b'cscbench.chunk("k",["?x"]);\n'


@given(st.one_of(st.text(), st.sampled_from(STRINGS)))
def test_a_slug_is_a_plain_file_name(name):
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,79}", slug(name))


@given(st.text(min_size=1), st.text(min_size=1))
def test_two_ids_never_share_a_file(left, right):
    assert (slug(left) == slug(right)) == (left == right) or "\ufffd" in left + right


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//evil", "https://a b", 'https://a"b', ""])
def test_only_plain_addresses_of_the_web_are_linked(url):
    assert web_address(url) == ""
