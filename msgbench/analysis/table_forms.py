"""A table as CSV (every number in full), as Markdown (for reading) and as LaTeX (for a paper).

All three are pure functions of the resolved table; rows and columns stand in the order of the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from msgbench.analysis import scale
from msgbench.analysis.collect import collect
from msgbench.analysis.estimates import CONFIDENCE, COVERAGE, FEWEST_SEEDS, Interval, mean, pick
from msgbench.analysis.estimates import standard_deviation as deviation
from msgbench.analysis.tables import (
    Row,
    Table,
    build_table,
    column_title,
    record_beside,
    relative,
    with_interval,
)
from msgbench.config import Benchmark
from msgbench.layout import Layout
from msgbench.records import write_text


def make_table(benchmark: Benchmark, layout: Layout, table: str, out: Path) -> Path:
    """Write the table as CSV to `out`, as Markdown and as LaTeX beside it (.md, .tex); returns `out`."""
    shown = [table] if table in benchmark.tables else []
    built = build_table(collect(benchmark, layout, shown), table)
    frame = table_frame(built, out.parent).to_csv(index=False, lineterminator="\n")
    return write_forms((frame, table_markdown(built), table_latex(built)), out)


def write_forms(forms: tuple[str, str, str], out: Path) -> Path:
    """Write CSV, Markdown and LaTeX of a table, the CSV last: it is the one that others wait for; returns `out`."""
    csv, markdown, latex = forms
    write_text(out.with_suffix(".md"), markdown)
    write_text(out.with_suffix(".tex"), latex)
    write_text(out, csv)
    return out


def table_frame(table: Table, folder: Path) -> pd.DataFrame:
    """The CSV's content; record links are relative to `folder`. Empty cells are what does not exist."""
    return pd.DataFrame([_frame_row(table, row, folder) for row in table.rows])


def _frame_row(table: Table, row: Row, folder: Path) -> dict[str, object]:
    protocol, tier = table.protocol, table.collection.benchmark.tier
    dataset = row.spec.real_images
    if row.runs:
        dataset = row.runs[0].plan.spec.dataset.name
    cells: dict[str, object] = {
        "table": table.name,
        "row": row.spec.reference or row.spec.label,
        "method": row.label,
        "experiment": row.spec.experiment,
        "dataset": dataset,
    }
    cells |= {
        f"paper_{column}": row.printed[column].printed if column in row.printed else None
        for column in table.columns
    }
    cells |= {
        f"paper_{protocol.metric}": row.paper.printed,
        "paper_origin": row.paper.origin,
        "paper_place": row.paper.place,
        **_estimated("ours_best", row.best, row.interval_of(row.best)),
        **_estimated("ours_final", row.final, row.interval_of(row.final)),
        "difference": row.difference,
        "difference_percent": row.difference_percent,
    }
    by_seed = {seed.run.plan.seed: seed.picked for seed in row.seeds}
    for seed in table.seeds:
        picked = by_seed.get(seed)
        cells |= {
            f"ours_best_seed{seed}": picked.best.table_value if picked else None,
            f"ours_final_seed{seed}": picked.final.table_value if picked else None,
            # Text, so that a missing seed does not turn whole numbers into 4000.0.
            f"images_at_best_seed{seed}": str(picked.best.cur_nimg) if picked else None,
            f"hours_at_best_seed{seed}": _hours_at_best(row, seed) if picked else None,
        }
    evaluations = {seed.picked.evaluations for seed in row.seeds if seed.picked}
    cells |= {
        "evaluations_per_run": " ".join(str(number) for number in sorted(evaluations)) or None,
        "verdict": str(row.verdict),
        "tier": tier,
        "scaled_down": None if row.spec.quoted else _scaled_down(table, row),
        "protocol": f"{protocol.name} v{protocol.version}",
        "extractor": protocol.extractor,
        "comparable_with_paper": "yes" if protocol.comparable_with_paper else "no",
    }
    for name in table.spec.also:
        also = [pick(run.of(name)) for run in row.runs if run.gap(name) is None]
        if row.real is not None:
            beside_it = record_beside(table, row, name)
            best = final = [beside_it.table_value] if beside_it else []
        else:
            best = [picked.best.table_value for picked in also if picked]
            final = [picked.final.table_value for picked in also if picked]
        cells |= {f"{name}_best_mean": mean(best), f"{name}_final_mean": mean(final)}
    trained = [run for run in row.runs if run.train is not None]
    beside = [record for run in row.runs for name in table.spec.also for record in run.of(name)]
    if row.real is not None:
        beside = [r for n in table.spec.also if (r := record_beside(table, row, n))]
    cells |= {
        "gpu_hours": round(row.gpu_hours, 4) if trained else None,
        "cpu_hours": round(row.cpu_hours, 4) if trained else None,
        "energy_kwh": None if row.energy_kwh is None else round(row.energy_kwh, 4),
        "runs": " ".join(run.run_id for run in row.runs) or None,
        "records": " ".join(relative(record.path, folder) for record in row.records) or None,
        "records_beside": " ".join(dict.fromkeys(relative(r.path, folder) for r in beside)) or None,
    }
    return cells


def _hours_at_best(row: Row, seed: int) -> float | None:
    """Hours of training until the best snapshot of one seed, measuring not counted."""
    for result in row.seeds:
        if result.run.plan.seed == seed and result.picked:
            seconds = result.run.seconds_at(result.picked.best.cur_nimg)
            return None if seconds is None else round(seconds / 3600, 4)
    return None


def _scaled_down(table: Table, row: Row) -> str | None:
    departures = (*row.departures, *scale.protocol_departures(table.protocol))
    return scale.statement(table.collection.benchmark.tier, departures) or None


def _estimated(
    name: str, values: Sequence[float], found: Interval | None
) -> dict[str, float | None]:
    return {
        f"{name}_mean": mean(values),
        f"{name}_sd": deviation(values),
        f"{name}_low": found.low if found else None,
        f"{name}_high": found.high if found else None,
    }


def _head_and_body(table: Table) -> tuple[list[str], list[list[str]]]:
    """The table for reading: columns of the paper, then ours."""
    protocol = table.protocol
    ours = f"{table.metric} ours, {protocol.name}"
    heads = [
        "Method", *map(column_title, table.columns), f"{table.metric} paper",
        f"{ours}, best", "final", "difference", "at images", "best of", "GPU-hours", "kWh", "Verdict",
    ]  # fmt: skip
    return heads, [_reading(table, row) for row in table.rows]


def _reading(table: Table, row: Row) -> list[str]:
    picked = [seed.picked for seed in row.seeds if seed.picked]
    difference, percent = row.difference, row.difference_percent
    apart = "" if difference is None else f"{difference:+.2f}"
    if percent is not None:
        apart += f" ({percent:+.0f} %)"
    hours = f"{row.gpu_hours:,.1f}" if row.gpu_hours else ""
    return [
        row.label,
        *(row.printed[c].printed if c in row.printed else "" for c in table.columns),
        row.paper.printed,
        with_interval(row.best, row.interval_of(row.best)),
        with_interval(row.final, row.interval_of(row.final)),
        apart,
        lengths_shown([p.best.cur_nimg or 0 for p in picked]),
        ", ".join(str(n) for n in sorted({p.evaluations for p in picked})),
        hours,
        "" if row.energy_kwh is None else f"{row.energy_kwh:,.1f}",
        str(row.verdict),
    ]


def lengths_shown(images: list[int]) -> str:
    """Images shown, seed by seed; once where all seeds have the same."""
    return ", ".join(f"{length:,}" for length in (images if len(set(images)) > 1 else images[:1]))


def notes(table: Table) -> list[str]:
    """What a reader has to know of the numbers, as sentences."""
    protocol = table.protocol
    found = [
        f"Protocol {protocol.name} version {protocol.version}: {protocol.title}, extractor {protocol.extractor}. "
        f"{'Higher' if protocol.direction == 'higher' else 'Lower'} is better. `best` and `final` are of each run's "
        "best and last measured snapshot; `best of` is how many snapshots the best was picked from; the difference "
        "is that of our mean best from the printed number.",
        seeds_shown(),
    ]
    if not protocol.comparable_with_paper:
        found.append(scale.not_comparable(protocol))
    return found


def seeds_shown() -> str:
    """How several seeds are shown, as a sentence."""
    covered = ", ".join(f"{share:.0%} for {n}" for n, share in COVERAGE.items())
    return (
        f"From {FEWEST_SEEDS} seeds on: mean ± standard deviation [{CONFIDENCE:.0%} interval of the mean by the "
        "expanded percentile bootstrap over seeds]; fewer: each seed. In simulations with normal scores the interval "
        f"holds the true mean in {covered} seeds."
    )


def table_markdown(table: Table) -> str:
    """The table for reading: the paper's number beside ours, the statement of scale above it."""
    heads, body = _head_and_body(table)
    lines = [f"### {table.spec.title}", ""]
    if table.statement:
        lines += [f"**{table.statement}.**", ""]
    lines += markdown_lines(heads, body)
    for sentence in notes(table):
        lines += ["", sentence]
    if table.not_run:
        lines += ["", *(f"- {sentence}" for sentence in table.not_run)]
    return "\n".join(lines) + "\n"


def table_latex(table: Table) -> str:
    """The same as a LaTeX table environment (needs the package booktabs); the statement of scale is in its caption."""
    heads, body = _head_and_body(table)
    caption = [table.spec.title, *([table.statement] if table.statement else []), *notes(table)]
    whole = ". ".join(sentence.rstrip(".") for sentence in caption) + "."
    return latex_of(table.name, whole, heads, body)


def latex_of(name: str, caption: str, heads: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A LaTeX table environment (package booktabs) of texts, which are escaped; its label is `tab:<name>`."""
    frame = pd.DataFrame(
        [[_escaped(cell) for cell in row] for row in body],
        columns=[_escaped(head) for head in heads],
    )
    return str(
        frame.style.hide(axis="index").to_latex(
            hrules=True,
            column_format="l" + "r" * (len(heads) - 2) + "l",
            caption=_escaped(caption),
            label=f"tab:{name}",
            position="t",
        )
    )


_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "–": "--", "±": r"$\pm$", "×": r"$\times$", "φ": r"$\phi$", "’": "'", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
    **{sign: f"\\{sign}" for sign in "&%$#_"},
}  # fmt: skip


def _escaped(text: str) -> str:
    """`text` as LaTeX prints it."""
    return "".join(_LATEX.get(sign, sign) for sign in text)


def markdown_lines(heads: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    return [_line(heads), _line(["---"] * len(heads)), *map(_line, body)]


def _line(cells: Sequence[str]) -> str:
    # A pipe would end the cell.
    return "| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |"
