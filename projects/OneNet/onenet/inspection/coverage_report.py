"""Which kinds of objects get no sample, in numbers: a tree for JSON, and tables to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, pairwise
from typing import Any, NamedTuple

import torch
from tabulate import tabulate
from torch import Tensor

from .coverage import Coverage, Objects

Tree = dict[str, Any]  # what JSON can hold


class Table(NamedTuple):
    """A table of texts; the first cell of a row is its name."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


# From where to where a group of objects reaches; before the first and behind the last is one more.
SIZES = (16, 32, 64, 128, 256)  # pixels
ASPECTS = (1 / 3, 2 / 3, 3 / 2, 3)  # width / height
CROWDING = (1e-6, 0.2, 0.5)  # IoU

ASPECT_NAMES = ("below 1:3", "1:3 to 2:3", "2:3 to 3:2", "3:2 to 3:1", "3:1 and more")
CROWDING_NAMES = ("none", "below 0.2", "0.2 to 0.5", "0.5 and more")
POSITIVES = (1, 2, 3, 4, 5, 9, 17, 33)  # where a bar of the histogram begins, beside 0


def coverage_report(
    objects: Objects, rules: Mapping[str, Coverage], strides: Sequence[float]
) -> Tree:
    """Count what objects got from each rule.

    Args:
        objects: of a dataset.
        rules: what these objects got from each rule, by its name.
        strides: of each level, pixels.

    Returns:
        - ``groups``: for each kind of objects ``by`` ("all", "size", "aspect ratio", "crowding",
          "level"), ``name``, how many ``objects``, and of each of ``rules`` how many of them have
          no positive sample (``without``), how many of those would have one if they were alone in
          their image (``lost``), and the mean of their ``positives``.
        - ``rules``: of each the ``histogram`` of positives an object, as (from, to, objects); the
          positives on each of the ``levels``; how many positives objects would have alone and lost
          to others (``lost``), and how many objects lost some (``losers``).
    """
    return {
        "groups": [
            {
                "by": by,
                "name": name,
                "objects": int(chosen.sum()),
                "rules": {rule: _outcome(own, chosen) for rule, own in rules.items()},
            }
            for by, name, chosen in _groups(objects, strides)
            if chosen.any()
        ],
        "strides": list(map(float, strides)),
        "rules": {
            rule: {
                "histogram": _histogram(own.positives.sum(1)),
                "levels": own.positives.sum(0).tolist(),
                "lost": int(own.lost.sum()),
                "losers": int((own.lost > 0).sum()),
            }
            for rule, own in rules.items()
        },
    }


def _groups(objects: Objects, strides: Sequence[float]) -> Iterator[tuple[str, str, Tensor]]:
    """Kind, name and objects (G,) bool of each group."""
    yield "all", "all", torch.ones_like(objects.level, dtype=torch.bool)
    sizes = [f"{low} to {high} px" for low, high in pairwise((0, *SIZES))]
    levels = [f"{i} (stride {stride:g})" for i, stride in enumerate(strides)]
    for by, names, index in (
        ("size", (*sizes, f"{SIZES[-1]} px and more"), _bin(objects.size, SIZES)),
        ("aspect ratio", ASPECT_NAMES, _bin(objects.aspect, ASPECTS)),
        ("crowding", CROWDING_NAMES, _bin(objects.crowding, CROWDING)),
        ("level", levels, objects.level),
    ):
        for i, name in enumerate(names):
            yield by, name, index == i


def _bin(values: Tensor, edges: Sequence[float]) -> Tensor:
    return torch.bucketize(values, torch.tensor(edges, dtype=values.dtype), right=True)


def _outcome(coverage: Coverage, chosen: Tensor) -> Tree:
    positives, lost = coverage.positives.sum(1)[chosen], coverage.lost[chosen]
    without = positives == 0
    return {
        "without": int(without.sum()),
        "lost": int((without & (lost > 0)).sum()),
        "positives": round(float(positives.double().mean()), 3),
    }


def _histogram(positives: Tensor) -> list[tuple[int, int, int]]:
    """First and last number of positives of each bar, and how many objects have so many."""
    most = int(positives.max())
    starts = [0, *(start for start in POSITIVES if start <= most), most + 1]
    index = torch.bucketize(positives, torch.tensor(starts[1:-1]), right=True)
    counts = torch.bincount(index, minlength=len(starts) - 1).tolist()
    return [(low, high - 1, n) for (low, high), n in zip(pairwise(starts), counts, strict=True)]


def coverage_tables(report: Tree) -> list[Table]:
    """A report of :func:`coverage_report` to be read."""
    rules = report["rules"]
    return [
        Table(
            "Objects without any positive sample, % (in brackets: those that would have one if "
            "they were alone in their image)",
            ["by", "objects", *rules],
            _group_rows(report["groups"]),
        ),
        Table(
            "Positive samples of an object, % of the objects",
            ["positives", *rules],
            _histogram_rows(rules),
        ),
        Table(
            "Where the positive samples are, %, and those lost to other objects",
            ["level", *rules],
            _level_rows(report),
        ),
    ]


def format_coverage(report: Tree) -> str:
    """The tables of a report as text."""
    parts = []
    for table in coverage_tables(report):
        align = ("left", *["right"] * (len(table.head) - 1))
        text = tabulate(
            table.rows, table.head, tablefmt="pipe", colalign=align, disable_numparse=True
        )
        parts += [f"{table.title}:", text]
    return "\n\n".join(parts)


def _group_rows(groups: Sequence[Tree]) -> list[list[str]]:
    rows = []
    for group in groups:
        name = group["name"] if group["by"] == "all" else f"{group['by']}: {group['name']}"
        cells = [
            f"{_percent(one['without'], group['objects'])}"
            + (f" ({_percent(one['lost'], group['objects'])})" if one["lost"] else "")
            for one in group["rules"].values()
        ]
        rows.append([name, str(group["objects"]), *cells])
    return rows


def _histogram_rows(rules: Tree) -> list[list[str]]:
    bars = {
        rule: {low: (high, n) for low, high, n in own["histogram"]} for rule, own in rules.items()
    }
    objects = {rule: sum(n for _, n in own.values()) for rule, own in bars.items()}
    rows = []
    for low in sorted(set(chain.from_iterable(bars.values()))):
        high = max(own[low][0] for own in bars.values() if low in own)
        name = str(low) if high == low else f"{low} to {high}"
        shares = [_percent(own.get(low, (0, 0))[1], objects[rule]) for rule, own in bars.items()]
        rows.append([name, *shares])
    return rows


def _level_rows(report: Tree) -> list[list[str]]:
    rules = report["rules"].values()
    totals = [sum(own["levels"]) for own in rules]
    rows = [
        [
            f"{i} (stride {stride:g})",
            *(_percent(own["levels"][i], n) for own, n in zip(rules, totals, strict=True)),
        ]
        for i, stride in enumerate(report["strides"])
    ]
    lost = [_percent(own["lost"], own["lost"] + n) for own, n in zip(rules, totals, strict=True)]
    return [*rows, ["lost", *lost]]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else "-"
