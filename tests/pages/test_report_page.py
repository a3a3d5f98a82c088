"""A report in Chromium: no script runs, nothing is requested, and it fits a phone."""

import pytest
from hostile import STRINGS

from cscbench.publishing.report import ReportFormat, report, study, write
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
from cscbench.scoring.bootstrap import Resampling

pytestmark = pytest.mark.pages


@pytest.fixture(scope="module")
def real(runs, tmp_path_factory):
    gold = [run for run in runs if "--gold--" in run.name]
    (path,) = write(report(study.of_runs(gold), Resampling()), [ReportFormat.HTML], tmp_path_factory.mktemp("report"))
    return path


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    sections = []
    for text in STRINGS:
        dots = (Dot(text, 1.0, (0.5, 2.0)), Dot(text, 3.0, None))
        blocks = (
            Text(text),
            Bullets((text,)),
            Table((text, text), ((text, text),), (1,)),
            Dots(text, dots, 0.0),
            TimeSeries(text, dots),
            Heat(text, (text,), (text,), ((3,),)),
            Exchange(text, (Utterance(text, text, text),)),
            Code(text),
        )
        sections.append(Section(text, blocks))
    (path,) = write(
        Document(STRINGS[0], tuple(sections)), [ReportFormat.HTML], tmp_path_factory.mktemp("hostile-report")
    )
    return path


def test_a_report_opens_from_its_file(watched, real):
    watched.open(real)
    page = watched.page
    assert page.locator("h2").first.text_content() == "Summary"
    page.get_by_role("link", name="How to read this report").click()
    assert page.locator("h2").last.is_visible()
    marks = page.locator(".track .point")
    assert marks.count() > 20
    for track in page.locator(".dots").first.locator(".track").all():
        box, point = track.bounding_box(), track.locator(".point").bounding_box()
        assert box["x"] - 6 <= point["x"] <= box["x"] + box["width"] + 6


def test_a_report_fits_a_phone(phone, real):
    phone.open(real)
    assert phone.page.evaluate("document.documentElement.scrollWidth") == 390


def test_hostile_strings_in_a_report_are_shown_and_never_run(watched, hostile):
    watched.open(hostile)
    page = watched.page
    assert page.evaluate("window.__hacked") is None
    assert page.locator("h2").count() == len(STRINGS)
    assert page.locator("script, img, iframe, object, form, input").count() == 0
    assert page.locator("a:not([href^='#'])").count() == 0


def test_hostile_strings_do_not_widen_a_phone(phone, hostile):
    phone.open(hostile)
    assert phone.page.evaluate("document.documentElement.scrollWidth") == 390
