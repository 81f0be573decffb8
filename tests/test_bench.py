"The benchmarks: what differs is refused, the arithmetic is right, the page is the results'."
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from benchmarks import conv, imports, limits, linear, loading, mlp, plain, records, rivals, timing
from benchmarks.__main__ import LIMIT, PLAN
from benchmarks.timing import Comparison, Disagreement, Job, Target, Way
from conftest import PROJECT, cells
from mnist_course.lab import benchmarks as page
from mnist_course.lab.results import as_markdown

RESULTS = records.HERE/"results.json"
NOTEBOOK = PROJECT/"nbs"/"lab"/"benchmarks.ipynb"


class Clock:
    "Says the times it was given, one after another."
    def __init__(self, *durations): self.now, self.left, self.running = 0., list(durations), False

    def __call__(self):
        if self.running: self.now += self.left.pop(0)
        self.running = not self.running
        return self.now


def equal(outputs):
    if len(set(outputs.values())) > 1: raise Disagreement("They differ.")


def comparison(*ways, check=equal, **about):
    return Comparison("key", "some work", ways, check, "equal", **about)


def test_medians_ratios_and_spread():
    # warm-up of both, then three rounds in turn: ours first, rival first, ours first
    clock = Clock(9, 9, 1, 4, 6, 2, 3, 9)
    pair = comparison(Way("ours", lambda: 7), Way("rival", lambda: 7), rounds=3,
                      targets=(Target("rival", 3, "three times"),))
    result = timing.measure(pair, clock)
    ours, rival = result["ways"]
    assert ours["seconds"] == [1, 2, 3] and ours["median"] == 2
    assert rival["seconds"] == [4, 6, 9] and rival["median"] == 6
    assert (rival["ratio"], rival["low"], rival["high"]) == (3, 3, 4)
    assert result["targets"] == [{"rival": "rival", "at_least": 3, "text": "three times",
                                  "found": 3, "met": True}]


def test_a_target_just_missed_is_missed():
    rows = [{"name": "rival", "ratio": 2.999}]
    assert not timing.verdict(Target("rival", 3, ""), rows)["met"]
    assert timing.verdict(Target("rival", 2.999, ""), rows)["met"]
    with pytest.raises(KeyError): timing.verdict(Target("nobody", 3, ""), rows)


def test_seconds_are_for_one_piece_and_a_way_may_know_its_own():
    own = Way("rival", lambda: 7, seconds=lambda output: 70.)
    pair = comparison(Way("ours", lambda: 7), own, rounds=1, per=10)
    result = timing.measure(pair, Clock(9, 9, 10, 40))
    assert [w["median"] for w in result["ways"]] == [1, 7]


@pytest.mark.parametrize("about", [{}, {"warm": False}])
def test_ways_that_differ_are_refused(about):
    ours, rival = Way("ours", lambda: 1), Way("rival", lambda: 2)
    with pytest.raises(Disagreement, match="They differ"):
        timing.measure(comparison(ours, rival, **about))


def test_a_refusal_is_shown_without_times():
    pair = comparison(Way("ours", lambda: 1), Way("rival", lambda: 2),
                      targets=(Target("rival", 1, "b"),))
    refused = timing.measure_or_refuse(pair)
    assert refused["ways"] == [] and not refused["targets"][0]["met"]
    results = {"linear": {"comparisons": [refused]}}
    assert page.way_table(refused) == [] and page.front_table(results) == []
    assert page.target_table(results)[0]["met"] == "**missed**"
    shown = records.as_text(results["linear"])
    assert "REFUSED: They differ." in shown and "**missed**" in shown


def test_a_proof_is_what_is_checked():
    rival = Way("rival", lambda: 1, proof=lambda: 2)
    with pytest.raises(Disagreement): timing.measure(comparison(Way("ours", lambda: 1), rival))


def test_rounds_take_turns_with_fresh_arguments_and_no_collector():
    import gc
    ran = []
    def way(name, **about):
        def run(fresh):
            ran.append(name)
            assert fresh == [] and not gc.isenabled()
            fresh.append(1)
        return Way(name, run, prepare=lambda: ([],), **about)
    timing.measure(comparison(way("a"), way("b"), way("c", rounds=1), rounds=3, warm=False,
                              check=lambda outputs: None), Clock(*[1]*7))
    assert "".join(ran) == "abc" + "ba" + "ab" and gc.isenabled()


def test_two_ways_of_one_name_are_refused():
    with pytest.raises(ValueError, match="share a name"):
        timing.measure(comparison(Way("a", lambda: 1), Way("a", lambda: 1)))


def changed(output):
    "The output of a way, with one number a little off."
    import torch
    if isinstance(output, tuple): return output[0].clone().index_fill_(
        0, torch.tensor([0]), 3), output[1]
    if isinstance(output, list) and hasattr(output[0], "copy"):
        return [output[0] + .01, *output[1:]]
    if isinstance(output, list): return [output[0] + 1e-6, *output[1:]]
    if hasattr(output, "clone"): return output + .01
    return output.copy() + 1


@pytest.mark.parametrize("module", [loading, linear, plain, mlp], ids=lambda m: m.__name__)
def test_each_check_notices_a_small_difference(module, home, monkeypatch):
    monkeypatch.setenv("MNIST_COURSE_DATA", "standin")
    first = module.comparisons(True, "cpu")[0]
    way = first.ways[0]
    output = way.proof() if way.proof else way.run(*way.prepare())
    first.check({"ours": output, "the same": output})
    with pytest.raises(Disagreement): first.check({"ours": output, "other": changed(output)})


def test_faster_by_reading_less_is_refused(monkeypatch):
    monkeypatch.setattr(conv, "digits", lambda part: (None, range(10_000)))
    good, slightly, worse = (conv.Outcome(a, 1.) for a in (.99, .988, .97))
    conv.at_least_as_accurate({"ours": good, "rival": worse})
    conv.at_least_as_accurate({"ours": slightly, "rival": good}) # within what 10,000 can tell
    with pytest.raises(Disagreement, match="97.00%"):
        conv.at_least_as_accurate({"ours": worse, "rival": good})
    with pytest.raises(Disagreement, match="not 99.5%"):
        conv.reaches(.995)({"ours": conv.Outcome(.99, 1.)})
    conv.reaches(.99)({"ours": conv.Outcome(.99, 1.), "rival": worse}) # only ours must
    assert conv.describe(worse, .99) == "97.00%, short of 99.0%"
    assert conv.describe(good, .99) == "99.00%"


def test_the_power_of_growth():
    def points(f): return [{"bs": n, "seconds": f(n)} for n in (1, 2, 4, 8)]
    assert math.isclose(page.power(points(lambda n: 3*n), "bs"), 1)
    assert math.isclose(page.power(points(lambda n: 5/n), "bs"), -1)
    assert math.isclose(page.power(points(lambda n: n*n), "bs"), 2)


def test_the_limit_is_the_larger_of_two():
    top = {"flops": 100., "bytes": 10., "flops_one_thread": 50.}
    job = limits.compare(top, "w", seconds=6, flops=200, moved=10)
    assert (job["limit"], job["bound"], job["times"]) == (2, "arithmetic", 3)
    job = limits.compare(top, "w", seconds=6, flops=200, moved=30)
    assert (job["limit"], job["bound"], job["times"]) == (3, "bytes", 2)
    assert limits.compare(top, "w", 6, 200, 10, "flops_one_thread")["limit"] == 4


def test_a_job_alone_tells_its_own_memory():
    small, large = (timing.run_alone(Job(fill, {"mb": mb})) for mb in (1, 200))
    assert 190 < large["peak_mb"] - small["peak_mb"] < 260


def test_a_job_alone_gives_what_it_came_to():
    job = Job(conv.Outcome, {"accuracy": .5, "seconds": 2.})
    assert timing.run_alone(job)["output"].accuracy == .5


def fill(mb):
    "A job that takes so many megabytes."
    return float(len(b"x"*(mb*2**20)) > 0)


def test_units():
    assert [page.duration(s) for s in (123.4, 12.34, 1.234, .0123, 5e-6)] == \
        ["123 s", "12.3 s", "1.23 s", "12.3 ms", "5.00 µs"]
    assert [page.times(r) for r in (1/1.2, 2.5, 5, 31.4)] == ["0.83×", "2.50×", "5.0×", "31×"]


def test_a_group_is_replaced_and_the_others_stay(tmp_path):
    file = tmp_path/"results.json"
    records.merge(file, "mlp", {"n": 1}, tuple(PLAN))
    records.merge(file, "linear", {"n": 2}, tuple(PLAN))
    records.merge(file, "mlp", {"n": 3}, tuple(PLAN))
    assert json.loads(file.read_text()) == {"groups": {"linear": {"n": 2}, "mlp": {"n": 3}}}


def test_the_plan_fits():
    assert sum(PLAN.values()) < LIMIT < 25


def test_a_lesson_that_would_take_too_long_keeps_the_ledgers_time(monkeypatch):
    books = [Path(f"{name}.ipynb") for name in ("first", "long", "short")]
    monkeypatch.setattr(imports, "lessons", lambda: books)
    monkeypatch.setattr(imports, "lesson_seconds", lambda: {"first": 50, "long": 70, "short": 9})
    monkeypatch.setattr(imports, "lesson", lambda nb: {"lesson": nb.stem, "seconds": 50.})
    lines = []
    rows = imports.measure_lessons(False, lines.append, minutes=1)
    assert [row["seconds"] for row in rows] == [50, 70, 50]
    assert "from the ledger" in lines[1] and "from the ledger" not in lines[2]


def shown_tables():
    "All Markdown that the committed page's cells have put out."
    outputs = [o for _, _, found in cells(NOTEBOOK, "code") for o in found]
    return ["".join(o["data"]["text/markdown"]) for o in outputs
            if "text/markdown" in o.get("data", {})]


def tables_of(results):
    "Every table that the results give, empty ones left out."
    tables = [page.target_table(results), page.front_table(results)]
    tables += [page.way_table(c) for c in page.comparisons(results)]
    for record in results.values():
        curves, limits = record.get("curves", ()), record.get("limits")
        tables += [page.curve_table(curves, varies) for varies in page.VARIED]
        tables.append(page.lesson_table(record.get("lessons", ())))
        if limits: tables += [page.ceiling_table(limits), page.limit_table(limits)]
    return [table for table in tables if table]


@pytest.mark.skipif(not RESULTS.exists(), reason="nothing has been measured yet")
def test_the_page_is_what_the_results_give():
    results, shown = page.load(RESULTS), shown_tables()
    assert not any(record["quick"] for record in results.values())
    wanted = [as_markdown(rows) for rows in tables_of(results)]
    assert len(wanted) > len(PLAN)
    for table in wanted: assert table in shown, f"run {NOTEBOOK.name}:\n{table}"
    assert sum("| --- |" in text for text in shown) == len(wanted)
    assert any(text.startswith(page.provenance(results)) for text in shown)
    for c in page.comparisons(results):
        for text in (f"**{c['work']}.** Checked first: {c['checked']}.", c["note"]):
            assert not text or text in shown, text


def test_the_page_names_what_is_there():
    "A lesson or a module that has been renamed is renamed in the results too."
    results = page.load(RESULTS)
    notebooks = {nb.stem for nb in (PROJECT/"nbs").glob("[0-9]*.ipynb")}
    assert {row["lesson"] for row in results["lessons"]["lessons"]} <= notebooks
    names = [way["name"] for way in results["imports"]["comparisons"][0]["ways"]]
    modules = [name.split()[1] for name in names if "import mnist_course" in name]
    assert len(modules) > 10
    for module in modules:
        assert (PROJECT/Path(*module.split("."))).with_suffix(".py").exists(), module


def test_the_triple_loop_replaces_every_product():
    "Under a name that `Network` does not have, the course's own code would be timed as the loop's."
    own = {name for name in vars(plain.LoopNetwork) if not name.startswith("__")}
    assert own == {"sums", "grads", "backward", "sgd_step"}
    assert own <= set(vars(plain.Network))


def test_a_quick_run_goes_through_on_the_standin(home, tmp_path):
    words = [sys.executable, "-m", "benchmarks", "--quick", "--out", str(tmp_path/"out")]
    env = {**os.environ, "MNIST_COURSE_DATA": "standin", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(words, cwd=PROJECT, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    results = page.load(tmp_path/"out"/"results.json")
    assert set(results) == set(PLAN)
    assert all(r["data"].startswith("the STAND-IN") for r in results.values())
    assert "STAND-IN" in page.provenance(results) and "STAND-IN" in run.stdout
    assert all(c["ways"] for c in page.comparisons(results)) # none was refused
    for rows in tables_of(results): assert next(iter(rows[-1].values())) in run.stdout


def test_quick_figures_are_not_kept():
    words = [sys.executable, "-m", "benchmarks", "--quick"]
    run = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True)
    assert run.returncode == 2 and "--out" in run.stderr


def test_the_published_fast_trainings_are_as_described_and_learn():
    sizes = {rivals.PoolFirst: (24*26 + 32*217 + 256*801 + 10*257, 4, 2),
             rivals.Beautiful: (32*26 + 32*801 + 64*289 + 64*577 + 2*96 + 10*577, 5, 2)}
    for net, (n, n_layers, n_pools) in sizes.items():
        layers = list(net())
        assert sum(p.numel() for p in net().parameters()) == n
        assert sum(isinstance(m, (torch.nn.Conv2d, torch.nn.Linear)) for m in layers) == n_layers
        assert sum(isinstance(m, torch.nn.MaxPool2d) for m in layers) == n_pools
    maps, pool = torch.randn(3, 4, 8, 8), torch.nn.MaxPool2d(2)
    assert pool(maps.relu()).equal(pool(maps).relu()) # pooled before or after ReLU: the same


def two_shapes(n):
    "Grey noise, and in every second image a stroke down the middle."
    labels, g = torch.arange(n)%2, torch.Generator().manual_seed(0)
    images = torch.randint(0, 60, (n, 28, 28), generator=g, dtype=torch.uint8)
    images[labels == 1, :, 12:16] += 150
    return images, labels


def test_the_published_trainings_tell_two_shapes_apart():
    train, test = two_shapes(5000), two_shapes(100)
    accuracy, seconds = rivals.outcome(rivals.FAST, train, test, "cpu")
    assert accuracy > .95 and seconds > 0
    torch.manual_seed(0)
    model = rivals.train_beautiful(rivals.raw(train[0]), train[1], steps=12, bs=64).eval()
    assert (model(rivals.raw(test[0])).argmax(1) == test[1]).float().mean() > .95
