"""Files of rated conversations that a person edited: what is wrong is said with its row."""

from pathlib import Path

import pytest

from cscbench.content.shipped import content_root
from cscbench.judging.ratings import read_csv
from cscbench.values import UserError

HEAD = "dialogue,language,conversation,reply,rating\n"
GOOD = 'a,en,"customer: My card, please.",Here it is.,5\n'
PATH = Path("ratings.csv")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            HEAD + GOOD + "b,en,customer: one, two,Yes.,4\n",
            "line 3: more cells than columns (1 too many): put text with commas",
        ),
        (HEAD + GOOD + "b,en\n", "line 3: `rating` is ''"),
        (HEAD + GOOD + "b,en,customer: Hi.,Hi.,nan\n", "line 3: `rating` is nan: use a number from 1 to 5"),
        (HEAD + GOOD + "b,en,customer: Hi.,Hi.,1e999\n", "line 3: `rating` is inf: use a number from 1 to 5"),
        (HEAD + GOOD + "b,en,customer: Hi.,Hi.,null\n", "line 3: `rating` is 'null'"),
        (HEAD + GOOD + "b,[],customer: Hi.,Hi.,3\n", "line 3: `language` is '[]'"),
        (HEAD + GOOD + 'b,en,"customer: ' + "x" * 200_000, "field larger than field limit"),
        (HEAD.replace("reply", "rating"), "column 'rating' is duplicated"),
        ("", "no column 'dialogue'"),
        ("{}", "no column 'dialogue'"),
    ],
)
def test_a_wrong_row_is_named(text, said):
    PATH.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_csv(PATH)
    assert str(caught.value).startswith(f"{PATH}: ")
    assert said in str(caught.value)


def test_the_shipped_anchors_read():
    assert len(read_csv(content_root() / "tasks" / "csconv_sample" / "anchors.csv").rows) > 10
