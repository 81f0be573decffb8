"""results.json: one record for each group, kept as soon as it is measured, and shown as text."""
import json
from pathlib import Path

import pandas as pd
from mnist_course.lab.benchmarks import (ceiling_table, curve_table, lesson_table, limit_table,
                                         load, target_table, way_table)

HERE = Path(__file__).parent


def merge(file: Path, name: str, record: dict, order: tuple[str, ...]) -> dict:
    "Put one group's record among the others, in the order of the plan; what is there afterwards."
    groups = load(file) | {name: record}
    known = [n for n in order if n in groups]
    groups = {n: groups[n] for n in known + [n for n in groups if n not in known]}
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_suffix(".part")
    half.write_text(json.dumps({"groups": groups}, indent=1) + "\n", encoding="utf-8")
    half.replace(file)
    return groups


def tables(record: dict) -> list[tuple[str, list[dict]]]:
    "A group's tables, each with its title."
    found = []
    for c in record.get("comparisons", ()):
        title = f"{c['work']}\nREFUSED: {c['refused']}" if "refused" in c else c["work"]
        found += [(title, way_table(c)), ("", target_table({"": {"comparisons": [c]}}))]
    for varies in dict.fromkeys(c["varies"] for c in record.get("curves", ())):
        found.append((f"against {varies}", curve_table(record["curves"], varies)))
    if limits := record.get("limits"):
        found += [("ceilings", ceiling_table(limits)), ("jobs", limit_table(limits))]
    return found + [("", lesson_table(record.get("lessons", ())))]


def as_text(record: dict) -> str:
    "A group's tables for a terminal; the notes stay in results.json."
    parts = []
    for title, rows in tables(record):
        table = pd.DataFrame(rows).drop(columns=["note"], errors="ignore")
        parts += [title, table.to_string(index=False) if rows else ""]
    return "\n".join(part for part in parts if part)
