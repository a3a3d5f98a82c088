"""Templates of prompts and rubrics: the Jinja features they may use, and that none runs away for any words."""

import re
import resource
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscbench.content import templates
from cscbench.content.prompts import ask_message, read_prompt, render
from cscbench.content.rubrics import ask, read_rubric
from cscbench.content.shipped import content_root
from cscbench.values import CSC, Condition, Item, Language, TranscriptLine, UserError

WORDS = {"customer": "My parcel is lost. " * 5, "reply": "ok", "strategies": CSC.strategies, "stages": CSC.stages}


def rendered(template: str, **words: object) -> str:
    return render(template, {**WORDS, **words}, "here")


def refused(template: str, **words: object) -> str:
    """The error, which takes less than two seconds of work."""
    begun = time.process_time()
    with pytest.raises(UserError) as caught:
        rendered(template, **words)
    assert time.process_time() - begun < 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (
            "{% for s in strategies[:2] %}{{ loop.index }}/{{ loop.length }} {{ s.code }}{{ ', ' if not loop.last }}"
            "{% endfor %}",
            "1/2 GT, 2/2 IV",
        ),
        ("{{ strategies | map(attribute='code') | join(' ') }}", " ".join(s.code for s in CSC.strategies)),
        ("{{ strategies | selectattr('code', 'in', ['EM', 'GT']) | map(attribute='en') | list | length }}", "2"),
        ("{% for s in strategies if s.code != 'GT' %}{{ s.number }}{% else %}none{% endfor %}", "23456789101112"),
        ("{% for i in range(3) %}{{ loop.cycle('a', 'b') }}{% endfor %}", "aba"),
        ("{% for k, v in {'a': 1, 'b': customer[:2]}.items() %}{{ k }}{{ v }}{% endfor %}", "a1bMy"),
        (
            "{% set n = 3 %}{% with m = n * 2 %}{{ m + 1 }} {{ 7 // 2 }} {{ 7 % 4 }} {{ 1 / 4 }} {{ -n }}{% endwith %}",
            "7 3 3 0.25 -3",
        ),
        ("{{ customer.strip().upper()[:9] ~ '!' }}", "MY PARCEL!"),
        ("{{ customer.split('. ')[0] | replace('lost', 'here') }}", "My parcel is here"),
        ("{{ ('a' + 'b', [1, 2]) | tojson }} {{ 'x' in customer }} {{ 1 < 2 <= 2 }}", '["ab", [1, 2]] False True'),
        ("{{ nothing | default('none') }} {{ nothing is defined }} {{ 4 is divisibleby 2 }}", "none False True"),
        ("{% raw %}{{ 7 }}{% endraw %} {{ '<b>' }} {{ '<b>' | e }}", "{{ 7 }} <b> &lt;b&gt;"),
        (
            "{{ 'a\nb' | indent(2) }}{% for a in [1, 2] %}{% for b in [1, 2] %}{{ a * b }}{% endfor %}{% endfor %}",
            "a\n  b1224",
        ),
    ],
)
def test_ordinary_jinja_works(template, text):
    assert rendered(template) == text


LONG = "{% set s = range(99999) | join %}"
SOME = "{% set s = range(9999) | join %}"
LIST = "{% set l = range(80000) | list %}"
TURNS, SHORTER, VALUE = "iterations and characters: loop less", "characters: make it shorter", "make it smaller"


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{% for i in range(1000000000) %}x{% endfor %}", "Range too big"),
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", TURNS),
        ("{% for i in range(99999) %}{% for j in range(99999) %}{{ customer }}{% endfor %}{% endfor %}", SHORTER),
        (
            "{% for i in range(99999) %}{{ loop.length }}"
            "{% for j in range(99999) %}{{ customer }}{% endfor %}{% endfor %}",
            SHORTER,
        ),
        ("{% for i in range(99999) if range(99999) | list %}{% endfor %}", VALUE),
        (LONG + "{% for i in range(99999) %}{% set t = s[1:] %}{% endfor %}", TURNS),
        (LONG + "{% for i in range(99999) %}{{ s | upper | length }}{% endfor %}", TURNS),
        ("{% set x = customer %}" + "{% set x = x ~ x %}" * 60, VALUE),
        ("{% set x = customer %}" + "{% set x = x + x %}" * 60, VALUE),
        ("{% set x = [1] %}" + "{% set x = [x, x] %}" * 60, VALUE),
        ("{% set x = (customer,) %}" + "{% set x = (x, x) %}" * 60, VALUE),
        ("{% set x = {'a': customer} %}" + "{% set x = {'a': x, 'b': x} %}" * 60, VALUE),
        ("{% set x = 99 %}" + "{% set x = x * x %}" * 60, VALUE),
        ("{% set x = 'ab' %}" + "{% set x = x | join(x) %}" * 60, "`join` would create too much"),
        ("{% set x = 'aaaaaaaa' %}" + "{% set x = x.replace('a', x ~ x) %}" * 60, "`replace` would create too much"),
        (LONG + "{{ " + "s ~ " * 2000 + "s }}", VALUE),
        (LONG + "{{ s.join(s) }}", "`join` would create too much"),
        (LIST + "{{ l | select('in', l) | list }}", "`select` would create too much"),
        (LIST + "{{ l | sort(attribute='" + "real." * 9000 + "real') }}", "`sort` would create too much"),
        (LIST + "{{ l }}{{ l }}{{ l }}", SHORTER),
        ("{{ customer | indent(1000000000) }}", "`indent` would create too much"),
        ("{{ '' | indent(1000000000, true) }}", "`indent` would create too much"),
        ("{{ [[[1]]] | tojson(indent=100000000) }}", "`tojson` would create too much"),
        ("{{ 'x' * 1000000000 }}", "`*` works on numbers"),
        ("{{ 1000000000 * [1] }}", "`*` works on numbers"),
        ("{{ '%1000000000d' % 1 }}", "`%` works on numbers"),
        ("{{ 10**10**8 }}", "`**` (line 1 of the template)"),
        ("{{ '%1000000000d' | format(1) }}", "no filter `format` (line 1 of the template); known: abs, "),
        ("{{ customer | center(1000000000) }}", "no filter `center`"),
        ("{{ range(99999) | map('center', 9999) | join }}", "`map` would create too much"),
        ("{{ [1, 2] | map('center', 9) | join }}", "no filter `center`; known: abs, "),
        (SOME + "{{ [range(999)] | map('for each') | map('join', s) | list }}", "no filter `for each`"),
        (SOME + "{% for i in range(999) %}{{ loop | join(s) }}{% endfor %}", "`join` would create too much"),
        (SOME + "{% for i in range(999) %}{{ s.join(loop) }}{% endfor %}", "`join` would create too much"),
        (SOME + "{% for x in [1, 2] %}{{ {'a': s, 'b': s}.values() | join(s) }}{% endfor %}", "`join` would create"),
        (LONG + "{{ s | trim(s) }}", "`trim` would create too much"),
        (LONG + "{{ s.strip(s) }}", "`strip` would create too much"),
        ('{{ "\\ud800" }}', "surrogates not allowed"),
        ("{{ customer.ljust(1000000000) }}", "cannot use `ljust()`"),
        ("{{ '{:1000000000}'.format(1) }}", "cannot use `format()`"),
        ("{{ (1).to_bytes(1000000000, 'big') }}", "cannot use `to_bytes()`"),
        ("{{ lipsum(1000000) }}", "'lipsum' is undefined"),
        ("\n{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}", "`macro` (line 2 of the template)"),
        ("{% for x in [1] recursive %}{{ loop([1, 1]) }}{% endfor %}", "`recursive` (line 1 of the template)"),
        ("{% for x in [1] %}{{ loop([1, 1]) }}{% endfor %}", "templates cannot use"),
        ("{% block a %}{{ self.a() }}{{ self.a() }}{% endblock %}", "`block` (line 1 of the template)"),
        ("{% set x %}{{ customer }}{% endset %}", "`endset` (line 1 of the template)"),
        ("{% include '/dev/zero' %}", "`include` (line 1 of the template)"),
        ("x" * (templates.MAX_SOURCE + 1), "it is longer than 100,000 characters"),
        ("{% if 1 %}" * 3000 + "{% endif %}" * 3000, "recursion"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "recursion"),
        ("{{ customer.__class__.__mro__ }}", "unsafe"),
    ],
)
def test_no_template_runs_away(template, problem, monkeypatch):
    if template.startswith("{% for"):
        monkeypatch.setattr(templates, "MAX_WORK", 200_000)  # the same with less waiting
    message = refused(template)
    assert message.startswith("here: a template does not render: ")
    assert problem in message


@pytest.mark.parametrize("length", [10, 40, 100, 10_000])
def test_loops_over_a_customers_line_are_bounded_when_they_are_rendered(length, monkeypatch):
    monkeypatch.setattr(templates, "MAX_WORK", 100_000)
    nested = (
        "{% for a in customer %}{% for b in customer %}{% for c in customer %}{% endfor %}{% endfor %}{% endfor %}."
    )
    if length**3 < 100_000:
        assert rendered(nested, customer="x" * length) == "."
    else:
        assert "100,000 iterations" in refused(nested, customer="x" * length)


def test_words_of_a_customer_that_are_too_long_are_refused():
    assert SHORTER in refused("{{ customer }}", customer="x" * 1_000_001)
    assert len(rendered("{{ customer }}", customer="x" * 1_000_000)) == 1_000_000


def test_bounds_hold_in_other_threads_and_each_rendering_has_its_own(monkeypatch):
    monkeypatch.setattr(templates, "MAX_WORK", 100_000)
    texts: list[str] = []
    endless = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"

    def work(template: str) -> None:
        try:
            texts.append(rendered(template))
        except UserError as error:
            texts.append(str(error))

    threads = [threading.Thread(target=work, args=[text]) for text in (endless, "{{ reply }}") for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sum(TURNS in text for text in texts) == 2
    assert texts.count("ok") == 2


def test_the_clock_stops_what_counts_do_not(monkeypatch):
    monkeypatch.setattr(templates, "_SECONDS", 0.02)
    slow = LIST + "{% if 'x' in l %}{% endif %}" * 300
    assert "it runs for more than 0.04 s" in refused(slow)


def test_a_machine_that_sleeps_in_a_rendering_does_no_harm(monkeypatch):
    clock = iter(range(0, 10**6, 100))
    monkeypatch.setattr(templates, "monotonic", lambda: next(clock))
    assert rendered("{% for i in range(5) %}{{ i }}{% endfor %}") == "01234"


def test_memory_is_bounded_too():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    texts = "".join(f"{{% set t{number} = s[1:] %}}" for number in range(1000))
    assert TURNS in refused(LONG + texts)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


GOOD = """\
system: S
opening: O
steps:
  - step: joint
    user: "{{ customer }}"
    assistant: "{{ reply }}"
"""
BOMB = "{{ 'x' * 1000000000 }}"
PROBLEM = "`*` works on numbers"


def prompt_file(text: str) -> Path:
    path = Path("task/prompts/default/en/joint.yaml")
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "location"),
    [
        ("system: S", f'system: "{BOMB}"', "1: field `system`"),
        ("opening: O", f'opening: "{BOMB}"', "2: field `opening`"),
        ("{{ customer }}", BOMB, "5: field `steps.0.user`"),
        ("{{ reply }}", BOMB, "6: field `steps.0.assistant`"),
    ],
)
def test_a_bomb_in_a_prompt_is_refused_when_it_is_read_with_its_file_line_and_field(old, new, location):
    path = prompt_file(GOOD.replace(old, new))
    with pytest.raises(UserError, match=re.escape(f"{path}:{location}: a template does not render: {PROBLEM}")):
        read_prompt(Path("task/prompts"), "default", Language.EN, Condition.JOINT, CSC)


def test_a_prompt_that_does_not_render_with_a_customers_line_says_so_without_a_traceback():
    prompt_file(GOOD.replace("{{ customer }}", "{{ 1 / (customer | length - 4) }}"))
    with pytest.raises(UserError, match=r"task/prompts/default/en/joint.yaml:5"):  # tried with the words `text`
        read_prompt(Path("task/prompts"), "default", Language.EN, Condition.JOINT, CSC)
    Path("task/prompts/default/en/joint.yaml").write_text(
        GOOD.replace("{{ customer }}", "{{ 1 / (customer | length - 5) }}")
    )
    prompt = read_prompt(Path("task/prompts"), "default", Language.EN, Condition.JOINT, CSC)
    with pytest.raises(UserError, match=r"^task/default/en/joint: field `steps.0.user`: .* division by zero$"):
        ask_message(prompt, 0, {"customer": "hello"})


@pytest.mark.parametrize("field", ["system", "turn", "dialogue", "retry"])
def test_a_bomb_in_a_rubric_is_refused_with_its_file_line_and_field(field):
    text = (content_root() / "tasks" / "csconv" / "rubrics" / "default" / "en.yaml").read_text(encoding="utf-8")
    path = Path("task/rubrics/default/en.yaml")
    path.parent.mkdir(parents=True)
    path.write_text(
        text.replace(f"{field}: |\n", f"{field}: |\n  {BOMB}\n").replace(f"{field}: Now", BOMB), encoding="utf-8"
    )
    line = text.splitlines().index(f"{field}: |") + 1
    with pytest.raises(UserError, match=re.escape(f"{path}:{line}: field `{field}`: a template does not render: ")):
        read_rubric(Path("task/rubrics"), "default", Language.EN)


def test_the_shipped_rubric_takes_a_long_conversation():
    rubric = read_rubric(content_root() / "tasks" / "csconv" / "rubrics", "default", Language.EN)
    lines = tuple(TranscriptLine("Customer", "word " * 40) for _ in range(500))
    _, asked = ask(rubric, Item("d", 0, Language.EN, lines, "text"))
    assert asked.content.count("Customer: word") == 500


PARTS = st.sampled_from(
    [
        *(
            "customer",
            "strategies",
            "s",
            "7",
            "1000000",
            "'ab'",
            "[s, s]",
            "(s ~ s)",
            "(s + s)",
            "(7 * 7)",
            "range(99999)",
        ),
        *(
            "s | list",
            "s | join(s)",
            "s | replace('a', s)",
            "s.split('a')",
            "s | upper",
            "s[1:]",
            "(s == s)",
            "s | tojson",
        ),
    ]
)


@settings(max_examples=30)
@given(st.lists(PARTS, min_size=1, max_size=12), st.integers(0, 2))
def test_any_mixture_ends_soon(parts, loops):
    """Values made of values, in nested loops: they end by themselves, or are refused."""
    body = "".join(f"{{% set s = {part} %}}" for part in parts) + "{{ s }}"
    template = "{% set s = 'aaa' %}" + "{% for i in range(9) %}" * loops + body + "{% endfor %}" * loops
    begun = time.process_time()
    try:
        text = rendered(template)
    except UserError as error:
        text = str(error)
    assert len(text) <= templates.MAX_CHARACTERS
    assert time.process_time() - begun < 3
