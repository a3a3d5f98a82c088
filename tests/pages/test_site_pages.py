"""The pages in Chromium, from file://: tables sort and filter, links work, nothing fails or uses the network."""

import re

import pytest
from hostile import STRINGS

from cscbench.publishing.site.entry_summary import slug

pytestmark = pytest.mark.pages


def names(page, block=0):
    return page.locator(f"#block-{block} ~ .scroll tbody th a").all_inner_texts()


def until(page, expression):
    """Wait until an expression is true; polled from outside, because the pages' policy forbids eval."""
    for _ in range(200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never: {expression}")


def flat(text):
    """Return the text as a browser shows it: white space collapsed, without control characters and U+FFFD."""
    return re.sub(r"\s+", " ", re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd]", "", text)).strip()


def test_the_table_shows_and_sorts(watched, site):
    page = watched.page
    watched.open(site / "index.html")
    assert names(page) == ["gold", "retrieval", "majority"]
    accuracy = page.locator("th[aria-sort=descending]").first
    assert accuracy.inner_text().startswith("Accuracy")
    accuracy.locator("button").click()
    assert names(page) == ["majority", "retrieval", "gold"]
    assert page.locator("th[aria-sort=ascending]").first.inner_text().startswith("Accuracy")
    page.locator("#block-0 ~ .scroll").get_by_role("button", name="Model").click()
    assert names(page) == ["gold", "majority", "retrieval"]
    assert page.locator(".bar .band").count() == 15


def test_reported_rows_are_under_their_label_and_unranked(watched, site):
    page = watched.page
    watched.open(site / "index.html")
    block = page.locator(".block.reported")
    assert "reported, not run here" in block.locator("h2").inner_text()
    assert set(block.locator("td.rank").all_inner_texts()) == {"–"}
    assert block.locator("tbody tr").count() == 5


def test_filters_leave_what_fits(watched, site):
    page = watched.page
    watched.open(site / "index.html")
    page.get_by_label("Name").fill("RETR")
    assert (names(page), page.locator("#count").inner_text()) == (["retrieval"], "1 of 8 rows")
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("Size").select_option(label="over 40 B")
    assert page.locator("tbody tr").count() == 2
    page.get_by_label("Size").select_option(label="unknown")
    assert names(page) == ["gold", "retrieval", "majority"]
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("Family").select_option("=qwen2.5")
    assert page.locator("tbody tr").count() == 1
    assert "No rows in this block" in page.locator(".block").first.inner_text()
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("Adapter").select_option("=majority")
    assert names(page) == ["majority"]
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("Language").select_option("zh")
    assert names(page) == ["gold", "retrieval", "majority"]


def test_a_keyboard_reaches_tracks_sorting_and_signatures(watched, site):
    page = watched.page
    watched.open(site / "index.html")
    page.get_by_role("tab", name="Gold context").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("tab", name="Generated context").get_attribute("aria-selected") == "true"
    page.keyboard.press("Enter")
    page.locator("th button[data-by=name]").first.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.dataset.by") == "name"
    assert page.locator("th[aria-sort=ascending]").first.inner_text().startswith("Model")
    page.locator("td[tabindex='0']").first.focus()
    tip = page.get_by_role("tooltip")
    assert "ctx:generated" in tip.inner_text()
    page.keyboard.press("ArrowRight")
    assert "average:macro" in tip.inner_text()
    assert page.evaluate("document.activeElement.getAttribute('aria-describedby')") == "tip"
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    page.locator("td.value").first.hover()
    assert "Signature" in tip.inner_text()


def test_the_table_leads_to_a_model_a_dialogue_and_a_diff(watched, site):
    page = watched.page
    watched.open(site / "index.html")
    page.get_by_role("link", name="retrieval", exact=True).click()
    assert page.locator("h1").inner_text() == "retrieval"
    text = page.locator("main").inner_text()
    assert "30.79" in text
    assert "cscbench run --model retrieval --context gold --encoder none" in text
    for heading in (
        "By reference strategy",
        "By stage",
        "By topic",
        "By language",
        "By turn of",
        "Worst turns",
        "Best turns",
    ):
        assert page.get_by_role("heading", name=heading).count() == 1, heading
    worst = page.locator(".turns li a").first
    dialogue = worst.inner_text()
    worst.click()
    assert page.locator("#dialogue h2").inner_text() == dialogue
    assert page.locator(".card.gold").count() >= 2
    assert page.locator(".customer").count() >= 2
    assert page.locator(".chip.hit, .chip.miss").count() >= 2
    page.go_back()
    page.get_by_role("link", name="Compare with another").click()
    assert "retrieval" in page.locator("#left option:checked").inner_text()
    page.locator("#right").select_option(label="majority · gold context")
    row = page.locator("#metrics tr", has_text="Strategy accuracy")
    assert "−8.35" in row.inner_text()
    assert page.locator("#turns del").count() > 0
    assert page.locator("#turns ins").count() > 0


def test_a_diff_marks_what_changed_and_leaves_out_what_did_not(watched, site):
    page = watched.page
    watched.open(site / "diff.html")
    page.locator("#left").select_option(label="gold · gold context")
    page.locator("#right").select_option(label="retrieval · gold context")
    page.wait_for_selector("#turns .cards")
    for side, tag in ((0, "del"), (1, "ins")):
        card = page.locator("#turns .cards").first.locator(".card").nth(side)
        assert card.locator(tag).count() > 0
        assert card.locator("p.said").inner_text() != "".join(card.locator(tag).all_inner_texts())
    page.locator("#right").select_option(label="gold · generated context")
    page.get_by_label("only turns that differ").check()
    page.wait_for_selector("text=No turn of this dialogue differs.")
    assert "measured differently" in page.locator("#metrics").inner_text()


def test_the_browser_searches_texts_and_chooses_models(watched, site):
    page = watched.page
    watched.open(site / "dialogues.html")
    assert page.locator("#list li").count() == 40
    page.get_by_label("Find dialogues").fill("ZH-TEST-0")
    assert page.locator("#list li").count() == 9
    page.get_by_label("Find dialogues").fill("kitchen appliance")
    assert page.locator("#list li").count() == 1  # none by name
    page.get_by_role("button", name="Search the texts").click()
    page.wait_for_selector("#dialogue mark")
    assert "en-test-01" in page.locator("#list").inner_text()
    assert page.locator("#dialogue mark").first.inner_text().lower() == "kitchen appliance"
    page.get_by_label("majority · gold context").check()
    until(page, "document.querySelector('.supporter').dataset.cards === '4'")
    assert "majority" in page.url


def test_an_address_with_what_the_site_does_not_know_is_passed_over(watched, site):
    watched.open(site / "dialogues.html", "#m=../../../etc/passwd,<b>&d=nothing")
    assert watched.page.locator("#dialogue h2").inner_text() == "en-test-01"
    watched.open(site / "diff.html", "#a=../x&b=y&d=z")
    watched.page.wait_for_selector("#turns .card")


def test_plots_are_drawn_or_say_why_not(watched, site):
    page = watched.page
    watched.open(site / "plots.html")
    page.wait_for_selector("#plot-drift .main-svg")
    for name in ("size", "time", "stages", "sizes", "confusion", "drift"):
        assert page.locator(f"#plot-{name} .main-svg").count() > 0, name
        assert not page.locator(f"#none-{name}").is_visible()
    for name in ("cost", "stars"):
        assert page.locator(f"#none-{name}").inner_text().startswith("No plot:")
    assert page.locator("#plot-sizes .annotation-arrow-g").count() == 2
    assert "Connecting" in page.locator("#plot-stages").text_content()
    page.set_viewport_size({"width": 700, "height": 900})
    until(page, "document.querySelector('#plot-size .main-svg').getBoundingClientRect().width < 700")
    assert page.locator("#plot-size").bounding_box()["height"] > 400
    page.get_by_role("button", name="中文").click()
    until(page, "document.querySelector('#plot-stages').textContent.includes('欢迎和建立联系')")
    page.locator("#confusion-model").select_option(label="retrieval · 自生成上文")
    until(page, "document.querySelector('#plot-confusion').textContent.includes('无法识别')")


@pytest.mark.parametrize("name", ["index", "plots", "dialogues", "diff", "method"])
def test_both_languages_on_every_page(watched, site, name):
    page = watched.page
    watched.open(site / f"{name}.html")
    english = page.locator("main").inner_text()
    page.get_by_role("button", name="中文").click()
    chinese = page.locator("main").inner_text()
    assert page.locator("html").get_attribute("lang") == "zh-Hans"
    assert page.locator("nav a").first.inner_text() == "排行"
    assert len(re.findall("[\u4e00-\u9fff]", chinese)) > len(re.findall("[\u4e00-\u9fff]", english)) + 5
    # The next page keeps it, and an address can set it.
    watched.open(site / "method.html")
    assert page.locator("h1").inner_text() == "方法与不确定性"
    watched.open(site / "method.html", "#lang=en")
    assert page.locator("h1").inner_text() == "Method and uncertainty"


def test_light_and_dark(watched, site):
    page = watched.page
    watched.open(site / "index.html")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.get_by_role("button", name="Light or dark").click()
    dark = page.evaluate(background)
    assert dark != light
    page.reload()
    assert page.evaluate(background) == dark
    page.emulate_media(color_scheme="dark")
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate(background) == light


def test_a_phone_has_it_all_without_scrolling_sideways(phone, site, entries):
    page = phone.page
    for path in [*site.glob("*.html"), site / f"models/{slug(entries[0].entry.id)}.html"]:
        phone.open(path)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path.name
        assert page.locator("html").get_attribute("lang") == "zh-Hans"
    phone.open(site / "index.html")
    page.locator("td.value").first.click()
    assert "签名" in page.get_by_role("tooltip").inner_text()


def test_no_storage_is_no_trouble(chromium, site):
    """Without browser storage, the address carries the language."""
    context = chromium.new_context(locale="en-US")
    context.add_init_script(
        "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError'); }})"
    )
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.goto((site / "index.html").as_uri())
    page.get_by_role("button", name="中文").click()
    page.get_by_role("link", name="方法与不确定性").first.click()
    assert page.locator("h1").inner_text() == "方法与不确定性"
    context.close()


# Elements that no page may contain, whatever the data.
FOREIGN = (
    "main :is(img, iframe, script, link, base, style, template, math, marquee, input[autofocus], [onload], [onerror])"
)


def inert(page):
    assert page.evaluate("window.__hacked") is None
    foreign = page.locator(FOREIGN)
    injected = [
        node.evaluate("node => node.closest('.js-plotly-plot') ? '' : node.outerHTML") for node in foreign.all()
    ]
    assert [text for text in injected if text] == []
    assert page.locator("header.top").is_visible()
    assert page.locator("a[href^='javascript:'], a[href^='data:text']").count() == 0


@pytest.mark.timeout(300)
def test_hostile_strings_are_shown_and_never_run(watched, hostile_site, hostile_listed):
    page = watched.page
    watched.open(hostile_site / "index.html")
    assert page.locator("tbody tr").count() == 2 * len(STRINGS)
    shown = {flat(text) for text in page.locator("tbody th a").all_text_contents()}
    assert {flat(text) for text in STRINGS} <= shown
    page.locator("td.value").first.hover()
    inert(page)
    for listed in hostile_listed:
        watched.open(hostile_site / f"models/{slug(listed.entry.id)}.html")
        label = listed.entry.results.model.label if listed.folder else listed.entry.label
        assert flat(page.locator("h1").text_content()) == flat(label)
        inert(page)


@pytest.mark.timeout(300)
def test_hostile_strings_in_dialogues_diffs_and_plots(watched, hostile_site, hostile_listed):
    page = watched.page
    runs = [listed for listed in hostile_listed if listed.folder]
    for text, run in zip(STRINGS, runs, strict=True):
        watched.open(hostile_site / "dialogues.html", f"#m={slug(run.entry.id)}")
        page.wait_for_selector("#dialogue .card .scores")
        assert flat(page.locator("#dialogue .card:not(.gold) .said").first.text_content()) == flat(text)
        inert(page)
    watched.open(hostile_site / "diff.html")
    page.wait_for_selector("#metrics table")
    inert(page)
    watched.open(hostile_site / "plots.html")
    page.wait_for_selector("#plot-confusion .main-svg")
    for run in runs[:5]:
        page.locator("#confusion-model").select_option(slug(run.entry.id))
    for point in page.locator("#plot-time .points path").all()[:5]:
        point.hover(force=True)
    inert(page)
    assert page.locator("#plot-stages a, #plot-time a, #plot-drift a").count() == 0
