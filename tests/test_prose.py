"Every result quoted in prose is the ledger's, or a published one with its source."
import re

import pytest
from conftest import NOTEBOOKS, PROJECT, prose
from mnist_course.lab import ledger, published
from mnist_course.lab.experiments import EXPERIMENTS

KNOWN = ledger.load()
# what looks like a result: a percentage, or a fraction with three or more decimals
RESULT = re.compile(r"(?<![\w.])\d+(?:\.\d+)?\s?%|(?<![\w.])0\.\d{3,}")
QUOTED = re.compile(r"(\d+(?:\.\d+)?\s?%?)<!-- ([\w.]+) -->")
# not results: a probability in an explanation, a definition of noise
SETTINGS = {"0.0357", "98%", "99.9%", "50%", "100%"}


def plain(text):
    "Prose without code, formulas and quoted figures."
    text = QUOTED.sub("", text)
    text = re.sub(r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|<code>.*?</code>", "", text, flags=re.S)
    return text


@pytest.mark.parametrize("nb", NOTEBOOKS, ids=lambda nb: nb.stem)
def test_quoted_figures_are_the_ledgers(nb):
    text = prose(nb)
    assert ledger.requote(text, KNOWN) == text, f"{nb.name}: requote it (CONTRIBUTING.md)"


@pytest.mark.parametrize("nb", [*NOTEBOOKS, PROJECT/"README.md"], ids=lambda nb: nb.stem)
def test_no_result_without_its_source(nb):
    text = nb.read_text(encoding="utf-8") if nb.suffix == ".md" else prose(nb)
    if nb.suffix == ".md": text = re.sub(r"^\|.*$", "", text, flags=re.M)  # the printed results
    loose = [found for found in RESULT.findall(plain(text)) if found not in SETTINGS]
    assert not loose, f"{nb.name}: {loose} come from nowhere; quote them by <!-- key -->"


def test_a_wrong_figure_is_noticed():
    wrong = "about 12.34%<!-- sgd.linear.accuracy --> and"
    assert ledger.requote(wrong, KNOWN) != wrong
    assert RESULT.findall(plain("It reaches 97.1% after 0.1234 s.")) == ["97.1%", "0.1234"]
    assert RESULT.findall(plain(wrong)) == []


def test_every_experiment_is_measured_on_both_datasets():
    every = EXPERIMENTS
    for dataset in ledger.DATASETS:
        records = ledger.load(dataset).records
        assert list(records) == list(every), f"run `make ledger` ({dataset})"
        for key, exp in every.items():
            record = records[key]
            assert all(f["n_seeds"] == exp.seeds for f in record["figures"].values()), key
            assert exp.seeds == 1 or exp.seeds >= 3, f"{key}: one seed says little"
            assert exp.seeds > 1 or all(f["std"] == 0 for f in record["figures"].values())
            assert (record["dataset"].startswith("stand-in")) == (dataset == "standin")
            assert not exp.published or exp.published in published.load()


@pytest.mark.parametrize("key, bar", [
    ("pixel_similarity.l1_37.accuracy", .9514), ("sgd.linear.accuracy", .98),
    ("learner.linear.accuracy", .979), ("relu_net.relu.accuracy", .982),
    ("ten_digits.mlp.accuracy", .978), ("numpy_net.mlp.accuracy", .978),
    ("conv.cnn.accuracy", .99),
    ("speed.resnet_long.accuracy", .9946), ("speed.small.accuracy", .99),
    ("speed.fine.accuracy", .995)])
def test_the_bars_the_course_set_itself(key, bar):
    assert round(KNOWN[key].mean, 4) >= bar


def test_a_check_that_nothing_could_fail_is_refused():
    "The lessons' own runs hold each check to a third of what its fault would cost."
    wide = [key for key in KNOWN if KNOWN[key].mean <= 1 and not key.startswith("speed.compile")
            and KNOWN[key].bounds()[1] - KNOWN[key].bounds()[0] > .02]
    assert wide, "every figure is known to a point: then this test can go"
    for key in wide:
        with pytest.raises(ValueError, match="measure more seeds"):
            ledger.check(key, KNOWN[key].mean, KNOWN)
