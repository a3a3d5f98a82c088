"""Sites from real runs, and a browser that notices every error and every request."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from site_help import BOARD, rank, reported, run_entry

from cscbench.publishing.site import build_site
from cscbench.values import Context

ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
QUIET = ("--disable-component-update", "--disable-sync")


@pytest.fixture(scope="session")
def runs(finished_runs) -> list[Path]:
    """The three baselines in both contexts."""
    models = ("gold", "majority", "retrieval")
    return sorted(finished_runs(model, context=context) for model in models for context in Context)


@pytest.fixture(scope="session")
def entries(runs):
    return [*map(run_entry, runs), *reported()]


@pytest.fixture(scope="session")
def site(entries, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("site") / "out"
    build_site(BOARD, entries, rank(BOARD, entries), out)
    return out


@pytest.fixture(scope="session")
def chromium() -> Iterator:
    from playwright.sync_api import sync_playwright

    path = os.environ.get("CSCBENCH_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*ARGUMENTS, *QUIET])
        yield browser
        browser.close()


class Watched:
    """A page, and what it must not do: errors, dialogs, and requests that leave the machine."""

    def __init__(self, page) -> None:
        self.page, self.wrong = page, []
        page.on("console", lambda message: message.type in ("error", "warning") and self.wrong.append(message.text))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("dialog", lambda dialog: (self.wrong.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", self._request)
        page.on("requestfailed", lambda request: self.wrong.append(f"failed {request.url}"))

    def _request(self, request) -> None:
        if not request.url.startswith(("file://", "data:")):
            self.wrong.append(f"request {request.url}")

    def open(self, path: Path, fragment: str = "") -> None:
        # From about:blank, so that a new fragment is a new page, too.
        self.page.goto("about:blank")
        self.page.goto(f"{path.as_uri()}{fragment}")


@pytest.fixture
def watched(chromium) -> Iterator[Watched]:
    """1440 px, light, English; nothing may go wrong."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, color_scheme="light", locale="en-US")
    context.set_default_timeout(10_000)
    page = Watched(context.new_page())
    yield page
    context.close()
    assert page.wrong == []


@pytest.fixture
def phone(chromium) -> Iterator[Watched]:
    context = chromium.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark", locale="zh-CN")
    context.set_default_timeout(10_000)
    page = Watched(context.new_page())
    yield page
    context.close()
    assert page.wrong == []


@pytest.fixture(scope="session")
def hostile_listed(finished_runs, tmp_path_factory):
    from site_help import hostile_entries

    return hostile_entries(finished_runs("retrieval", limit=4), tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="session")
def hostile_site(hostile_listed, tmp_path_factory) -> Path:
    """Each hostile string is a model's name, family and card, and part of its replies, topics and notes."""
    out = tmp_path_factory.mktemp("hostile-site") / "out"
    build_site(BOARD, hostile_listed, rank(BOARD, hostile_listed), out)
    return out
