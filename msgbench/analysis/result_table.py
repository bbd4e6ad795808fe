"""The result table of README.md: every published run, below the row of the papers that it belongs beside.

A pure function of results/published/ and config.yaml. Scores that are not made as the papers' stand in a column of
their own, where the papers' row has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgbench.analysis import scale
from msgbench.analysis.estimates import generator, interval
from msgbench.analysis.paper_rows import PaperRow, paper_row
from msgbench.analysis.published import Published, Score
from msgbench.analysis.tables import METRIC_NAMES, number, relative, with_interval
from msgbench.analysis.verdicts import Verdict, value_verdict
from msgbench.config import Benchmark
from msgbench.errors import ResultsError
from msgbench.layout import published_stem
from msgbench.protocols import PROTOCOLS
from msgbench.records import write_text

BEGIN = "<!-- results: made by `msgbench results-table` from results/published/; do not edit -->"
END = "<!-- results: end -->"
_HEADS = (
    "run", "tier", "images shown", "score as the papers', best (final)", "other scores, best (final)",
    "snapshots measured", "training", "hardware", "commit", "verdict",
)  # fmt: skip
_NONE = "–"


@dataclass(frozen=True)
class PublishedRuns:
    """The published runs of one experiment that differ in their seed alone, in the order of their seeds."""

    runs: tuple[Published, ...]
    files: tuple[Path, ...]
    row: PaperRow | None

    @property
    def first(self) -> Published:
        """The run with the lowest seed: whatever is not a score is the same in all."""
        return self.runs[0]


def read_published(folder: Path) -> dict[Path, Published]:
    """All records in results/published/, by file; raises ResultsError for a file that is none, or is another's."""
    found: dict[Path, Published] = {}
    for path in sorted(folder.glob("*.json")):
        content = Published.read(path)
        names = [published_stem(content.experiment, seed) for seed in (None, content.seed)]
        if path.stem not in names:
            raise ResultsError(
                f"{path}: holds the run {content.run}; expected the name {names[0]}.json, or {names[1]}.json for "
                "another seed than the first"
            )
        twin = next((p for p, other in found.items() if other.run == content.run), None)
        if twin is not None:
            raise ResultsError(f"{path}: holds the run {content.run}, which {twin.name} holds, too")
        found[path] = content
    return found


def published_runs(benchmark: Benchmark, folder: Path) -> list[PublishedRuns]:
    """What is published, in the order of config.yaml's tables; runs that differ in more than the seed stand apart."""
    groups: dict[tuple[str, ...], list[tuple[Path, Published]]] = {}
    for path, content in read_published(folder).items():
        key = (
            content.experiment, content.tier, content.fingerprint, content.dataset_fingerprint,
            *(f"{s.protocol} {s.version} {s.extractor_sha256}" for s in content.scores if not s.cur_nimg),
        )  # fmt: skip
        groups.setdefault(key, []).append((path, content))
    found = []
    for members in groups.values():
        members.sort(key=lambda member: member[1].seed)
        spec = members[0][1].spec
        row = paper_row(
            benchmark, members[0][1].experiment, str(spec["method"]), str(spec["dataset"]["name"]),
            float(spec["optimizer"]["lr"]),
        )  # fmt: skip
        paths, contents = zip(*members, strict=True)
        found.append(PublishedRuns(contents, paths, row))
    return sorted(found, key=lambda runs: _place(benchmark, runs))


def _place(benchmark: Benchmark, runs: PublishedRuns) -> tuple[int, bool, str]:
    """Sorts as the tables do: an experiment before its smaller versions, what has no row in the papers last."""
    rows = [(name, row.reference) for name, table in benchmark.tables.items() for row in table.rows]
    row = runs.row
    if row is None:
        return len(rows), False, runs.first.experiment
    return rows.index((row.table, row.reference)), not row.own, runs.first.experiment


def result_table(benchmark: Benchmark, folder: Path, readme: Path) -> str:
    """What stands between the two marks of README.md; raises ResultsError for records that are broken."""
    groups = published_runs(benchmark, folder)
    if not groups:
        return "No run is published yet."
    lines = [_line(_HEADS), _line(["---"] * len(_HEADS))]
    above: PaperRow | None = None
    for group in groups:
        if group.row is not None and (
            above is None
            or (above.table, above.reference) != (group.row.table, group.row.reference)
        ):
            lines.append(_line(_paper_cells(group.row)))
        above = group.row
        lines.append(_line(_cells(group, readme.parent)))
    notes = [note for group in groups for note in _notes(group)]
    return "\n".join([*lines, "", *notes])


def with_result_table(text: str, table: str, readme: Path) -> str:
    """README.md's `text` with `table` between its marks; raises ResultsError when they are not there."""
    for mark in (BEGIN, END):
        if text.count(f"{mark}\n") != 1:
            raise ResultsError(
                f"{readme}: has {text.count(mark)} lines {mark!r}; expected one, the result table stands between "
                f"{BEGIN!r} and {END!r}"
            )
    before, rest = text.split(f"{BEGIN}\n")
    if f"{END}\n" not in rest:
        raise ResultsError(f"{readme}: {END!r} stands before {BEGIN!r}; expected it behind")
    behind = rest.split(f"{END}\n")[1]
    return f"{before}{BEGIN}\n\n{table}\n\n{END}\n{behind}"


def make_result_table(benchmark: Benchmark, folder: Path, readme: Path) -> str:
    """The text of `readme` with the table that results/published/ gives; writes nothing."""
    try:
        text = readme.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ResultsError(f"{readme}: cannot be read ({reason})") from None
    return with_result_table(text, result_table(benchmark, folder, readme), readme)


def write_result_table(benchmark: Benchmark, folder: Path, readme: Path) -> None:
    """Write the result table into `readme`, which has the two marks."""
    write_text(readme, make_result_table(benchmark, folder, readme))


def _paper_cells(row: PaperRow) -> list[str]:
    """Row 0: what the paper prints."""

    def cell(column: str) -> str:
        found = row.printed(column)
        return found.printed if found is not None and found.value is not None else "not printed"

    title = row.spec.title.split(":")[0]
    rate = row.printed("learning_rate")
    name = row.score.row_label + (
        f", learning rate {rate.printed}" if rate and rate.value is not None else ""
    )
    score = f"{METRIC_NAMES[row.metric]} {row.score.printed}"
    return [
        f"**paper**, {title}: {name}", "as published", cell("real_images"), score, _NONE, "not printed",
        cell("training_time"), cell("gpus"), _NONE, _NONE,
    ]  # fmt: skip


def _cells(group: PublishedRuns, folder: Path) -> list[str]:
    first = group.first
    seeds = ", ".join(
        f"[seed {run.seed}]({relative(path, folder)})"
        for run, path in zip(group.runs, group.files, strict=True)
    )
    protocols = _protocols(group)
    papers = [_scores(group, p) for p in protocols if _as_the_papers(first, p)]
    others = [_scores(group, p) for p in protocols if not _as_the_papers(first, p)]
    evaluations = dict.fromkeys(
        len(_trained(run, protocol)) for run in group.runs for protocol in protocols
    )
    return [
        f"`{first.experiment}`, {seeds}",
        first.tier,
        f"{first.cur_nimg:,}",
        "<br>".join(papers) or _NONE,
        "<br>".join(others) or _NONE,
        " or ".join(map(str, evaluations)),
        ", ".join(_hours(run) for run in group.runs),
        ", ".join(dict.fromkeys(_hardware(run) for run in group.runs)),
        ", ".join(dict.fromkeys(commit for run in group.runs for commit in _commits(run))),
        str(verdict_of(group)),
    ]


def verdict_of(group: PublishedRuns) -> Verdict:
    """The verdict on the group's best scores, by the rule of all tables; of its row's metric where that is measured."""
    first, row = group.first, group.row
    protocols = _protocols(group)
    printed = None
    if row is not None and row.own:
        printed = row.score.value
        protocols = [p for p in protocols if p.metric == row.metric] or protocols
    judged = next((p for p in protocols if _as_the_papers(first, p)), protocols[0])
    best = [score.value for run in group.runs if (score := _best(_trained(run, judged)))]
    departures = {departure for run in group.runs for departure in run.scaled_down}
    return value_verdict(
        tier=first.tier,
        departures=sorted(departures),
        comparable=_as_the_papers(first, judged) and (row is None or judged.metric == row.metric),
        direction=judged.direction,
        printed=printed,
        values=best,
        planned=len(group.runs),
        reason=None if best else "no trained snapshot was measured",
    )


def _notes(group: PublishedRuns) -> Iterable[str]:
    """What a reader has to know beside the numbers: how far it is scaled down, what does not compare."""
    departures = tuple(dict.fromkeys(d for run in group.runs for d in run.scaled_down))
    said = [scale.statement(group.first.tier, departures)]
    for score in _protocols(group):
        protocol = PROTOCOLS.get(score.protocol)
        if protocol is not None and not _as_the_papers(group.first, score):
            said.append(scale.not_comparable(protocol).rstrip("."))
    if group.row is not None and not group.row.own:
        said.append(
            "No table of the papers shows it: the row above is that of the experiment it is smaller than"
        )
    said = list(dict.fromkeys(sentence for sentence in said if sentence))
    if said:
        yield f"- `{group.first.experiment}`: {'. '.join(said)}."


def _protocols(group: PublishedRuns) -> list[Score]:
    """One score of each protocol of the group, in the order in which they were planned."""
    return list({score.protocol: score for score in group.first.scores}.values())


def _trained(run: Published, like: Score) -> list[Score]:
    """The scores by one protocol after some training, by length."""
    scores = [s for s in run.scores if s.protocol == like.protocol and s.cur_nimg]
    return sorted(scores, key=lambda score: score.cur_nimg or 0)


def _best(scores: Sequence[Score]) -> Score | None:
    """The best of one run; of equal ones the earliest."""
    if not scores:
        return None
    pick = max if scores[0].direction == "higher" else min
    return pick(scores, key=lambda score: score.value)


def _as_the_papers(run: Published, score: Score) -> bool:
    """Whether the score may stand beside a printed one: made as the papers' were, by a protocol as it is now."""
    protocol = PROTOCOLS.get(score.protocol)
    return (
        protocol is not None
        and protocol.comparable_with_paper
        and (protocol.version, protocol.extractor) == (score.version, score.extractor)
    )


def _scores(group: PublishedRuns, like: Score) -> str:
    """`FID 6.79 (6.95)` with the protocol: over seeds where there are several."""
    measured = [scores for run in group.runs if (scores := _trained(run, like))]
    best = [score.value for scores in measured if (score := _best(scores))]
    final = [scores[-1].value for scores in measured]
    shown = [
        with_interval(
            values, interval(values, generator(group.first.experiment, like.protocol, kind))
        )
        for kind, values in (("best", best), ("final", final))
    ]
    return f"`{like.protocol}` {shown[0]} ({shown[1]})"


def _hours(run: Published) -> str:
    on_cpu = all(attempt.device.startswith("cpu") for attempt in run.attempts)
    hours = f"{number(run.seconds / 3600)} h"
    if not on_cpu:
        return hours
    return f"{hours}, {scale.counted(int(run.spec['training']['num_threads']), 'thread')}"


def _hardware(run: Published) -> str:
    """The devices that the training ran on; a CPU by its name."""
    devices = dict.fromkeys(attempt.device for attempt in run.attempts)
    cpus = ", ".join(dict.fromkeys(origin.cpu for origin in run.origins if origin.cpu))
    names = [cpus if device.startswith("cpu") else device for device in devices]
    return ", ".join(name for name in names if name) or "not stated"


def _commits(run: Published) -> Iterable[str]:
    for origin in run.origins:
        if origin.commit:
            yield f"`{origin.commit[:7]}`" + (" with local changes" if origin.dirty else "")


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
