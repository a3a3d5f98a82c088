"""A leaderboard's site with many models: build time, size, and time until its table is usable.

python tests/benchmarks/site.py [--models 200] [--dialogues 1855]

The entries are one real run of the retrieval baseline under many names, with its dialogues repeated until there are
enough. The table is usable when Chromium has drawn its last row; the time starts with the navigation.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1] / "pages"))
from site_help import BOARD, make_runs, renamed, run_entry

from cscbench.publishing.board.rank import rank
from cscbench.publishing.board.records import BoardEntry
from cscbench.publishing.site import Built, build_site
from cscbench.runs.results import read_pairs, write_pairs
from cscbench.scoring.bootstrap import Resampling

FAMILIES = ("alpha", "beta", "gamma", "delta")
USABLE = """() => new Promise((done) => {
  const look = () => document.querySelectorAll("tbody tr").length === MODELS
    ? requestAnimationFrame(() => setTimeout(() => done(performance.now()))) : setTimeout(look, 5);
  look();
})"""


def enlarge(run: Path, folder: Path, dialogues: int) -> None:
    """Write predictions and scores of so many dialogues, repeated from a run's."""
    import pyarrow
    import pyarrow.compute
    import pyarrow.parquet

    pairs = read_pairs(run)
    known = list(dict.fromkeys(pair.dialogue for pair in pairs))
    table = pyarrow.parquet.read_table(run / "scores.parquet")
    bigger, parts = [], []
    for start in range(0, dialogues, len(known)):
        keep = set(known[: dialogues - start])
        bigger += [
            msgspec.structs.replace(pair, dialogue=f"{pair.dialogue}-{start}", cluster="")
            for pair in pairs
            if pair.dialogue in keep
        ]
        rows = table.filter(pyarrow.compute.is_in(table["dialogue"], pyarrow.array(sorted(keep))))
        names = [f"{name}-{start}" for name in rows["dialogue"].to_pylist()]
        parts.append(rows.set_column(0, "dialogue", pyarrow.array(names)))
    write_pairs(folder, bigger)
    pyarrow.parquet.write_table(pyarrow.concat_tables(parts), folder / "scores.parquet")


def copies(original: BoardEntry, folder: Path, models: int) -> list[BoardEntry]:
    entries = []
    for number in range(models):
        family = FAMILIES[number % len(FAMILIES)]
        model = renamed(
            original, f"model-{number:03}", f"{family}-{number:03}", family=family, parameters=1e9 * (1 + number)
        )
        metrics = tuple(
            msgspec.structs.replace(metric, value=metric.value * (1 - number / 999))
            for metric in model.entry.results.metrics
        )
        entry = msgspec.structs.replace(
            model.entry, results=msgspec.structs.replace(model.entry.results, metrics=metrics)
        )
        entries.append(BoardEntry(entry, folder))
    return entries


def usable(site: Path, models: int, times: int = 5) -> list[float]:
    """Measure the seconds until the table has all rows, each time in a new browser context."""
    from playwright.sync_api import sync_playwright

    path = os.environ.get("CSCBENCH_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        taken = []
        for _ in range(times):
            page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
            page.goto((site / "index.html").as_uri(), wait_until="commit")
            taken.append(page.evaluate(USABLE.replace("MODELS", str(models))) / 1000)
            page.context.close()
        browser.close()
    return taken


def report(site: Path, built: Built, seconds: float, models: int) -> None:
    sizes = {path: path.stat().st_size for path in site.rglob("*") if path.is_file()}
    index = sum(sizes[site / name] for name in ("index.html", "data/board.js", "assets/table.js", "assets/core.js"))
    pages = max(size for path, size in sizes.items() if path.suffix == ".html")
    chunk = max(size for path, size in sizes.items() if path.parent.parent.parent.name == "data")
    print(f"built in {seconds:.0f} s: {built.pages} pages, {len(sizes)} files, {built.bytes / 1e6:.0f} MB")
    print(f"ranking with its data {index / 1e3:.0f} kB; heaviest page {pages / 1e3:.0f} kB, chunk {chunk / 1e3:.0f} kB")
    times = usable(site, models)
    print(f"table usable after {statistics.median(times):.2f} s (from {min(times):.2f} to {max(times):.2f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--dialogues", type=int, default=1855)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, big = Path(temporary), Path(temporary) / "big"
        big.mkdir()
        run = next(path for path in make_runs(folder / "runs", ["retrieval"]) if "--gold--" in path.name)
        shutil.copy(run / "run.json", big)
        enlarge(run, big, given.dialogues)
        placed = copies(run_entry(run), big, given.models)
        start = time.perf_counter()
        ranked = rank(BOARD, placed, Resampling())
        print(f"ranked in {time.perf_counter() - start:.0f} s")
        start = time.perf_counter()
        built = build_site(BOARD, placed, ranked, folder / "site")
        report(folder / "site", built, time.perf_counter() - start, given.models)


if __name__ == "__main__":
    main()
