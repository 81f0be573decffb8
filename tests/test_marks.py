"Each section of a lesson is marked core, proof or machinery: a way through on a first reading."
import re

import pytest
from conftest import LESSONS, prose

FIXED = {"Recap", "Questions", "Exercises", "The way on", "Your own digit"}


def sections(nb):
    "A lesson's sections as (heading, the line under it)."
    text = re.sub(r"^```.*?^```", "", prose(nb), flags=re.M | re.S)
    found = re.findall(r"^## (.+)\n+([^\n]*)", text, re.M)
    return [(heading, below) for heading, below in found if heading not in FIXED]


@pytest.mark.parametrize("nb", LESSONS, ids=lambda nb: nb.stem)
def test_every_section_is_marked(nb):
    marks = {heading: re.fullmatch(r"<small>(core|proof|machinery)</small>", below)
             for heading, below in sections(nb)}
    assert all(marks.values()), [heading for heading, mark in marks.items() if not mark]
    words = [mark[1] for mark in marks.values()]
    assert words.count("core") >= 2 and words.count("core") >= len(words)/3, "a way through"
