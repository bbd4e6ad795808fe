"""How each kind of measurement is shown: functions of the record alone, for the terminal, KIND.md and the page."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence

from msgbench.bench.record import Cell, Kind, Measured

_NONE = "–"


def shown(measured: Measured) -> list[str]:
    """Lines of Markdown: the conditions, the table, and what follows from it."""
    return _FORMS[measured.kind](measured)


def _where(measured: Measured, *more: str) -> str:
    """`Intel Xeon, torch 2.13.0+cpu, 2026-11-28, …, commit 1234567890`."""
    origin = measured.provenance
    hardware = origin["cpu"] if origin["device"] == "cpu" else origin["device"]
    changed = " and uncommitted changes" if origin.get("dirty") else ""
    return ", ".join(
        [
            str(hardware), f"torch {origin['versions']['torch']}", str(origin["written"])[:10], *more,
            f"commit {str(origin['commit'])[:10]}{changed}",
        ]
    )  # fmt: skip


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> list[str]:
    """A Markdown table whose first `words` columns are text and whose others are numbers."""
    marks = ["---"] * words + ["---:"] * (len(heads) - words)
    return [f"| {' | '.join(cells)} |" for cells in (heads, marks, *rows)]


def _number(value: Cell, form: str) -> str:
    return _NONE if value is None else format(value, form)


def _training(measured: Measured) -> list[str]:
    settings, rows = measured.settings, measured.rows
    where = _where(
        measured,
        f"{settings['threads']} CPU threads",
        f"width multiplier {settings['width']:g}",
        f"median of {settings['rounds']} alternating rounds",
    )
    beside = any(row["ratio_to_authors"] is not None for row in rows)
    heads = [
        "method", "step", "px", "batch", "s/step", "images/s", "times plain",
        *(["times the authors'"] if beside else []), "CPU s/step", "first step, s",
    ]  # fmt: skip
    lines = _table(
        heads,
        [
            [
                str(row["method"]), str(row["label"]), str(row["resolution"]), str(row["batch_size"]),
                _number(row["seconds_per_step"], ".3g"), _number(row["images_per_second"], ".3g"),
                _number(row["ratio_to_plain"], ".2f"),
                *([_number(row["ratio_to_authors"], ".2f")] if beside else []),
                _number(row["cpu_seconds_per_step"], ".3g"), _number(row["first_seconds"], ".3g"),
            ]
            for row in rows
        ],
        words=2,
    )  # fmt: skip
    heads = [
        "step", "px", "GFLOP/s", "of the fastest convolution's", "convolutions at that, s",
        "all else at a copy's speed, s", "starting kernels, s", "bound by", "reached",
    ]  # fmt: skip
    return [where, "", *lines, "", *_table(heads, [_bound(row) for row in rows])]


def _bound(row: dict[str, Cell]) -> list[str]:
    """What the step could take at best, and which part of that is the largest."""
    arithmetic, traffic, start = (
        row[f"{part}_seconds"] for part in ("arithmetic", "traffic", "start")
    )
    least, binds = _least(row)
    assert isinstance(row["seconds_per_step"], float)
    return [
        str(row["label"]), str(row["resolution"]),
        _number(row["gflop_per_second"], ",.0f"), _number(row["ceiling_gflop_per_second"], ",.0f"),
        _number(arithmetic, ".3g"), _number(traffic, ".3g"), _number(start, ".2g"),
        binds, f"{least / row['seconds_per_step']:.0%}",
    ]  # fmt: skip


def _least(row: dict[str, Cell]) -> tuple[float, str]:
    """Seconds that the step takes at least by the measured rates, and the name of what is most of them.

    Kernels follow each other, so arithmetic and traffic add up; starting them goes on meanwhile. Of a compiled step
    only the arithmetic is known.
    """
    arithmetic, traffic, start = (
        float(row[f"{part}_seconds"] or 0) for part in ("arithmetic", "traffic", "start")
    )
    busy = arithmetic + traffic
    if start > busy:
        return start, "starting kernels"
    return busy, "arithmetic" if arithmetic >= traffic else "memory"


def _processes(measured: Measured) -> list[str]:
    said = measured.settings
    where = _where(
        measured,
        f"{said['method']}, {said['resolution']} px, batch {said['batch_size']}, width multiplier {said['width']:g}, "
        f"{said['precision']}",
        "one core a process (Gloo)",
        f"median of {said['runs']} alternating runs of {said['steps']} steps",
    )
    rows = [
        [
            str(row["processes"]), _number(row["seconds_per_step"], ".3g"),
            f"{_number(row['fastest'], '.3g')} to {_number(row['slowest'], '.3g')}",
            _number(row["times_one"], ".2f"),
            _number(row["cpu_seconds_of_busiest"], ".3g"), _number(row["times_one_by_cpu"], ".2f"),
        ]
        for row in measured.rows
    ]  # fmt: skip
    heads = [
        "processes", "s/step", "fastest to slowest run", "times one", "CPU s/step of the busiest", "times one",
    ]  # fmt: skip
    return [where, "", *_table(heads, rows, words=0)]


def _feed(measured: Measured) -> list[str]:
    where = _where(measured, f"{measured.settings['threads']} CPU threads", "steps are pauses")
    rows = [
        [
            str(row["kept_as"]), str(row["how"]), str(row["resolution"]), str(row["batch_size"]),
            _number(row["host_images_per_second"], ",.0f"),
            _number(row["steps_images_per_second"], "g"), _number(row["wait_ms"], ".3g"),
            f"{_number(row['wait_percent'], '.2g')} %",
        ]
        for row in measured.rows
    ]  # fmt: skip
    heads = [
        "images", "come", "px", "batch", "without steps, images/s", "steps, images/s", "wait a step, ms", "of the time",
    ]  # fmt: skip
    return [where, "", *_table(heads, rows, words=2)]


def _precision(measured: Measured) -> list[str]:
    said = measured.settings
    scores: dict[str, list[float]] = {}
    names: dict[str, str] = {}
    for row in measured.rows:
        precision = str(row["precision"])
        assert isinstance(row["score"], float)
        scores.setdefault(precision, []).append(row["score"])
        names[precision] = f"{precision}, rounded by software" if row["by_software"] else precision
    first, of_first = next(iter(scores.items()))
    rows = []
    for precision, values in scores.items():
        overlap = min(values) <= max(of_first) and min(of_first) <= max(values)
        rows.append(
            [
                names[precision], ", ".join(f"{value:.4g}" for value in values),
                f"{statistics.mean(values):.4g}", "yes" if overlap else "no",
            ]
        )  # fmt: skip
    heads = ["precision", f"{said['protocol']}, by seed", "mean", f"overlaps with {first}"]
    where = _where(
        measured, f"{said['experiment']} of the {said['tier']} tier, {said['kimg']:g} kimg"
    )
    return [where, "", *_table(heads, rows)]


def _metrics(measured: Measured) -> list[str]:
    said = measured.settings
    where = _where(
        measured,
        f"{said['threads']} CPU threads",
        f"numpy {measured.provenance['versions']['numpy']}",
        f"{said['count']:,} fakes and reals of {said['features']:,} features, {said['logits']:,} logits",
    )
    rows = [
        [
            str(row["step"]), str(row["per"]), _number(row["seconds"], ".2f"),
            _number(row["cpu_seconds"], ".2f"),
        ]
        for row in measured.rows
    ]  # fmt: skip
    own = [row for row in measured.rows if row["per"] == "snapshot"]
    wall, cpu = (_sum(own, key) for key in ("seconds", "cpu_seconds"))
    rows.append(["**FID + KID + IS of a snapshot**", "snapshot", f"**{wall:.2f}**", f"{cpu:.2f}"])
    return [
        where,
        "",
        *_table(["step", "once a", "seconds", "CPU seconds"], rows, words=2),
        "",
        f"Peak memory before the last step, features included: {said['peak_gib']:.2f} GiB.",
    ]


def _results(measured: Measured) -> list[str]:
    said, rows = measured.settings, measured.rows
    assert isinstance(said["experiments"], int)
    assert isinstance(said["seeds"], int)
    where = _where(
        measured,
        f"{said['experiments']} experiments x {said['seeds']} seeds = "
        f"{said['experiments'] * said['seeds']} made-up runs",
    )
    lines = [
        [str(row["step"]), _number(row["seconds"], ".2f"), _number(row["cpu_seconds"], ".2f")]
        for row in rows
    ]
    lines.append(
        ["**together**", f"**{_sum(rows, 'seconds'):.1f}**", f"{_sum(rows, 'cpu_seconds'):.1f}"]
    )
    return [where, "", *_table(["step", "seconds", "CPU seconds"], lines)]


def _sum(rows: Iterable[dict[str, Cell]], key: str) -> float:
    return sum(float(row[key] or 0) for row in rows)


_FORMS: dict[Kind, Callable[[Measured], list[str]]] = {
    "training": _training,
    "processes": _processes,
    "feed": _feed,
    "precision": _precision,
    "metrics": _metrics,
    "results": _results,
}
