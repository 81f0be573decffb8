"""The results as a table on the screen, as benchmarks/README.md and as plots.

`markdown` makes the whole page from results.json, so that no figure on it is typed by hand; a test
holds the committed page against the committed results.
"""
import json
from pathlib import Path

HERE = Path(__file__).parent
WORDS = {"share": "share of the images", "bs": "images in a batch",
         "hidden": "neurons, or maps, of the first layer"}

# Why a curve is no straight line: the explanation stands here, its figures come from the results.
CURVE_NOTES = {
    "load.share": "One file after another: each costs the same.",
    "linear.share": "One batch after another; a small part stays in the processor's cache, so the "
                    "whole costs a little more than its share.",
    "python.share": "One image after another: each costs what its inked pixels cost.",
    "numpy.share": "One batch after another. Memory grows with the images: as floats they are "
                   "four times their bytes.",
    "mean.share": "Most of it is waiting for memory: each pass makes new arrays, which the system "
                  "hands over page by page at first touch. The C library uses pieces again only "
                  "up to 32 MB, and those of a tenth of the images are smaller: hence the jump "
                  "after the first point.",
    "resnet.share": "The same steps for each batch, and a fixed cost besides them that weighs on "
                    "small parts. Memory is that of a batch.",
    "small.share": "The same steps for each batch, and a fixed cost besides them that is a large "
                   "part of so short a training. Memory is that of a batch.",
    "resnet.bs": "A step moves 11 million weights however few the images: small batches pay that "
                 "more often. Memory is the weights' and the batch's.",
    "small.hidden": "Twice the maps is four times the arithmetic in all convolutions but the "
                    "first; narrow nets spend their time on moving numbers and on fixed costs.",
    "small.bs": "Little change beyond the machine's own wavering: already with 32 images a step's "
                "arithmetic outweighs its fixed cost. Large batches take memory.",
    "linear.bs": "Fewer batches, fewer fixed costs: seconds fall until the work on the images "
                 "themselves is what is left.",
    "python.bs": "The weights are stepped once for each batch: a larger one steps less often. The "
                 "forward pass is the same for all.",
    "numpy.bs": "A product of few rows leaves most of the processor idle, and the weights are "
                "stepped more often; in large batches little is left to win.",
    "python.hidden": "The first layer has nearly all the weights, and every one costs its turn; "
                     "what an image costs besides is the same for all widths.",
    "numpy.hidden": "Twice the neurons is twice the arithmetic, but gathering the images costs the "
                    "same for all, and wide products run nearer to the machine's ceiling.",
}


def duration(seconds: float) -> str:
    "Seconds in a unit that reads well, to three digits."
    for unit, scale in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if seconds*scale >= 1 or unit == "µs": break
    value = seconds*scale
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f} {unit}"


def duration_tick(seconds: float) -> str:
    for unit, scale in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if seconds*scale >= .999: return f"{seconds*scale:.0f} {unit}"
    return ""


def times(value: float) -> str:
    "A ratio, to two or three digits."
    return f"{value:.{0 if value >= 20 else 1 if value >= 3 else 2}f}×"


def table(head: list[str], rows: list[list]) -> str:
    lines = [head, ["---"]*len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def comparisons(results: dict) -> list[dict]:
    return [c for record in results["groups"].values() for c in record.get("comparisons", ())]


def bar_rows(results: dict) -> list[list]:
    rows = []
    for c in comparisons(results):
        for bar in c["bars"]:
            rows.append([bar["text"], times(bar["at_least"]), times(bar["found"]),
                         "met" if bar["met"] else "**missed**"])
    return rows


def way_rows(comparison: dict) -> list[list]:
    rows = []
    for k, way in enumerate(comparison["ways"]):
        n, found = len(way["seconds"]), way.get("ratio")
        spread = f" ({times(way['low'])} to {times(way['high'])})" if found and n > 1 else ""
        rows.append([f"**{way['name']}**" if k == 0 else way["name"], duration(way["median"]), n,
                     f"{times(found)}{spread}" if found else "1",
                     "; ".join(filter(None, (", ".join(way["outputs"]), way["note"])))])
    return rows


def group_of(results: dict, name: str) -> dict:
    "A group's newest record, or an empty one."
    return results["groups"].get(name, {})


def curve_rows(curve: dict) -> list[list]:
    varies = curve["varies"]
    def shown(v): return f"{v:.0%}" if varies == "share" else f"{v:g}"
    return [[shown(p[varies]), duration(p["seconds"]), f"{p['peak_mb']:.0f} MB"]
            for p in curve["points"]]


def power(curve: dict) -> str:
    from .growth import slope
    return f"{slope(curve['points'], curve['varies']):.2f}"


def markdown(results: dict) -> str:
    "benchmarks/README.md."
    parts = ["# Side by side", INTRO, "## The bars", when(results),
             table(["bar", "needed", "found", ""], bar_rows(results)), note_on_misses(results),
             "## What was compared"]
    for c in comparisons(results):
        parts.append(f"### {c['work']}")
        if "refused" in c:
            parts.append(f"**No times:** {c['refused']}")
            continue
        parts += [f"Checked first: {c['checked']}.",
                  table(["way", "median", "rounds", "against ours", ""], way_rows(c)), c["note"]]
    if found := group_of(results, "lessons").get("lessons"):
        rows = [[r["lesson"], f"{r['seconds']:.0f} s", lesson_memory(r)] for r in found]
        parts += ["### Each lesson, run from top to bottom",
                  table(["lesson", "time", "peak memory"], rows)]
    if curves := group_of(results, "growth").get("curves"): parts += growth_parts(curves)
    if limits := group_of(results, "limits").get("limits"): parts += limit_parts(limits)
    return "\n\n".join(part for part in parts if part) + "\n"


def lesson_memory(row: dict) -> str:
    if "peak_mb" in row: return f"{row['peak_mb']:.0f} MB"
    return "not measured: too long for `make bench`; the time is the ledger's"


def front(results: dict) -> str:
    "The front page's table, a row for each rival that a bar names; then machine and date."
    rows = []
    for c in comparisons(results):
        ways = {way["name"]: way for way in c["ways"]}
        for bar in c["bars"] if ways else ():
            ours, rival = c["ways"][0], ways[bar["rival"]]
            rows.append([c["work"], name_of(ours), duration(ours["median"]),
                         name_of(rival), duration(rival["median"]), times(rival["ratio"])])
    head = ["work", "the course", "", "instead", "", "times ours"]
    return table(head, rows) + "\n\n" + when(results)


def name_of(way: dict) -> str:
    "A way's name; one that is code looks like code."
    return f"`{way['name']}`" if "import" in way["name"].split() else way["name"]


INTRO = """`make bench` runs the course's code and what one would use instead on the same work, in \
one run on one machine: in turn, round after round, with garbage collection off. Before a time \
counts, the outputs are checked to be the same; if they are not, there is no time. What is shown \
are medians; *against ours* is how many times as long as ours a way takes, with the smallest and \
largest ratio of any one round. This page is made from `results.json`.

```sh
make bench                              # everything
make bench ARGS="--only linear plain"   # some groups; the others keep what they had
make bench DEVICE=cuda                  # the convolutional nets on a GPU
```"""


def note_on_misses(results: dict) -> str:
    missed = [f"{bar['text']}: {MISSES.get(c['key'], c['note'] or 'see below')}"
              for c in comparisons(results) for bar in c["bars"] if not bar["met"]]
    return "Missed: " + " ".join(missed) if missed else ""


MISSES = {}


def when(results: dict) -> str:
    "Machine, versions and dates of the groups."
    lines = {}
    for name, record in results["groups"].items():
        what = (record["machine"], record["versions"], record["data"])
        lines.setdefault(what, {}).setdefault(record["date"], []).append(name)
    said = []
    for (machine, versions, data), dates in lines.items():
        on = "; ".join(f"{date} ({', '.join(names)})" for date, names in dates.items())
        if len(lines) == len(dates) == 1: on = next(iter(dates)) # all of it on one day
        said.append(f"Measured on {data}: {machine}. {versions}. {on}.")
    minutes = sum(record["seconds"] for record in results["groups"].values())/60
    busy = [name for name, record in results["groups"].items() if record["busy"] > .1]
    said.append(f"All groups together took {minutes:.1f} minutes.")
    if busy: said.append(f"Other programs kept the machine busy during: {', '.join(busy)}.")
    return " ".join(said)


def growth_parts(curves: list[dict]) -> list[str]:
    parts = ["## How cost grows", "Each point is a process of its own. Seconds are for the job "
             "named; memory is what the process took at its peak above the libraries and the "
             "images, which lie there as bytes. *Power* is the exponent that fits the seconds "
             "best: 1 is a straight line, 0 no growth at all, -1 half the seconds for twice as "
             "much. A dotted line is what the seconds would be were they in proportion."]
    for varies, name in PLOTS.items():
        mine = [c for c in curves if c["varies"] == varies]
        if not mine: continue
        parts.append(f"![{ALT[varies]}](plots/{name}.svg)")
        most = max(len(c["points"]) for c in mine)
        rows = [[c["title"], *(f"{a}: {b}, {m}" for a, b, m in curve_rows(c)),
                 *[""]*(most - len(c["points"])), power(c), CURVE_NOTES.get(c["key"], "")]
                for c in mine]
        head = ["job", WORDS[varies], *[""]*(most - 1), "power", "why"]
        parts.append(table(head, rows))
    return parts


TICKS = {"share": (.1, .25, .5, 1), "bs": (1, 4, 16, 64, 256, 1024),
         "hidden": (8, 16, 32, 64, 128, 256, 512, 1024)}
LOOKS = {"load": ("#1f5fa8", "o"), "linear": ("#d1495b", "s"), "python": ("#2a9d6f", "D"),
         "numpy": ("#e39b2d", "^"), "mean": ("#6d597a", "v"), "resnet": ("#3a3a3a", "P"),
         "small": ("#17a2b8", "X")}
PLOTS = {"share": "data", "bs": "batch", "hidden": "width"}
ALT = {"share": "Seconds and peak memory of each job against the share of the images, relative "
                "to all of them",
       "bs": "Seconds and peak memory of each job against the batch size",
       "hidden": "Seconds and peak memory against the width of the first layer"}


def limit_parts(limits: dict) -> list[str]:
    top = limits["ceilings"]
    said = (f"The ceilings, measured in the same run: {top['flops']/1e9:.0f} thousand million "
            f"operations a second in a large float32 product on {limits['cores']} cores, "
            f"{top['flops_one_thread']/1e9:.0f} on one, {top['flops_short']/1e9:.0f} in "
            f"{limits['short']} on both; {top['bytes']/1e9:.1f} GB a second read "
            f"and written in a large copy; {top['python_flops']/1e6:.0f} million operations a "
            "second in plain Python's plainest walk along two lists. A job's limit is the larger "
            "of its arithmetic at the first and its bytes at the second.")
    rows = [[r["work"], f"{r['flops']/1e9:.3g}", f"{r['bytes']/1e6:.3g}", duration(r["limit"]),
             r["bound"], duration(r["seconds"]), times(r["times"]), r["note"]]
            for r in limits["jobs"]]
    return ["## How far from the limit", said,
            table(["job", "operations, 10⁹", "MB to move", "limit", "set by", "takes",
                   "times the limit", "what takes the rest"], rows)]


def screen(results: dict, names: list[str]) -> str:
    "The groups just measured, for a terminal."
    lines = []
    for name in names:
        record = results["groups"][name]
        for c in record.get("comparisons", ()):
            lines += ["", c["work"]]
            if "refused" in c: lines.append(f"  REFUSED: {c['refused']}")
            for way in c["ways"]:
                found = way.get("ratio")
                spread = f"  ({times(way['low'])} to {times(way['high'])})" if found else ""
                lines.append(f"  {way['name']:44} {duration(way['median']):>9} "
                             f"{times(found) if found else '':>7}{spread}")
            for bar in c["bars"]:
                lines.append(f"  {'MET   ' if bar['met'] else 'MISSED'} {bar['text']}: "
                             f"{times(bar['found'])}")
        for r in record.get("limits", {}).get("jobs", ()):
            lines.append(f"  {r['work']:44} {duration(r['seconds']):>9}, "
                         f"{times(r['times'])} its limit ({r['bound']})")
        for c in record.get("curves", ()):
            lines.append(f"  {c['key']:20} " + "  ".join(" ".join(r) for r in curve_rows(c)))
        for r in record.get("lessons", ()):
            lines.append(f"  {r['lesson']:30} {r['seconds']:6.1f} s  {lesson_memory(r)}")
    return "\n".join(lines)


def verdicts(results: dict) -> str:
    "Every bar in one line each."
    return "\n".join(f"{'MET   ' if bar['met'] else 'MISSED'} {bar['text']}: {times(bar['found'])}"
                     for c in comparisons(results) for bar in c["bars"])


def draw(results: dict, folder: Path) -> list[Path]:
    "The plots of how cost grows, as SVG; nothing if that has not been measured."
    import matplotlib
    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    from mnist_course.plots import course_style
    course_style()
    curves, files = group_of(results, "growth").get("curves", []), []
    folder.mkdir(parents=True, exist_ok=True)
    for varies, name in PLOTS.items():
        mine = [c for c in curves if c["varies"] == varies]
        if not mine: continue
        fig, axes = plt.subplots(1, 2, figsize=(9, 3.8))
        for curve in mine:
            job = curve["key"].split(".")[0] # the same job looks the same in every plot
            colour, marker = LOOKS.get(job, ("black", "."))
            x = [p[varies] for p in curve["points"]]
            for ax, what in zip(axes, ("seconds", "peak_mb"), strict=True):
                y = [max(p[what], 1e-6) for p in curve["points"]]
                ax.plot(x, y, marker=marker, ms=5, color=colour, label=curve["title"])
                if what == "seconds" and varies != "bs": # were they proportional
                    ax.plot(x, [y[-1]*v/x[-1] for v in x], ":", lw=1, color=colour)
        for ax, what in zip(axes, ("time", "peak memory"), strict=True):
            ax.set(xscale="log", yscale="log", xlabel=WORDS[varies], title=what)
            ticks = TICKS[varies]
            ax.set_xticks(ticks, [f"{t:.0%}" if varies == "share" else f"{t:g}" for t in ticks])
            ax.minorticks_off()
        low, high = axes[1].get_ylim()
        axes[1].set_ylim(min(low, 1), max(high, 100)) # whole decades, so that there are ticks
        axes[0].yaxis.set_major_formatter(lambda v, _: duration_tick(v))
        axes[1].yaxis.set_major_formatter(lambda v, _: f"{v:g} MB" if v < 1e3 else f"{v/1e3:g} GB")
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3,
                   fontsize=9)
        files.append(folder/f"{name}.svg")
        with plt.rc_context({"svg.hashsalt": "mnist_course"}):
            fig.savefig(files[-1], metadata={"Date": None})
        plt.close(fig)
    return files


def load(file: Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"groups": {}}


def merge(file: Path, name: str, record: dict, order: tuple[str, ...]) -> dict:
    "Put one group's record among the others, in the order of the plan; what is there afterwards."
    groups = load(file)["groups"] | {name: record}
    known = [n for n in order if n in groups]
    results = {"groups": {n: groups[n] for n in known + [n for n in groups if n not in known]}}
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_suffix(".part")
    half.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    half.replace(file)
    return results


def write(results: dict, folder: Path) -> None:
    "The page and the plots beside results.json."
    draw(results, folder/"plots")
    (folder/"README.md").write_text(markdown(results), encoding="utf-8")
