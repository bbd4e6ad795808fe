"""The model card of an exported generator: what it is, how far from the paper, what was measured, and of what data."""

from __future__ import annotations

from collections.abc import Iterator

from msgbench.analysis import scale
from msgbench.analysis.collected import Dataset, Run
from msgbench.analysis.score_records import Record
from msgbench.analysis.tables import METRIC_NAMES, number
from msgbench.config.published import PUBLISHED
from msgbench.layout import short
from msgbench.protocols import PROTOCOLS
from msgbench.units import format_duration


def model_card(run: Run, dataset: Dataset, cur_nimg: int, why: str, parameters: int) -> str:
    """README.md of the generator of `run` after `cur_nimg` images, as Markdown."""
    spec = run.plan.spec
    departures = (*scale.model_departures(spec), *scale.dataset_departures(dataset))
    statement = scale.statement(run.plan.tier, departures)
    measured = [record for record in run.records if record.cur_nimg == cur_nimg]
    lines = [
        f"# {run.plan.experiment}, seed {run.plan.seed}",
        "",
        f"The averaged generator of {spec.method} trained on {spec.dataset.name} by msgbench, the reproducibility "
        "benchmark of “MSG-GAN: Multi-Scale Gradients for Generative Adversarial Networks” (Karnewar and Wang, "
        "CVPR 2020). It is not the authors’ model.",
        "",
        *([f"**{statement[:1].upper()}{statement[1:]}.**", ""] if statement else []),
        *_facts(run, cur_nimg, why, parameters),
        "",
        "## Use",
        "",
        "`generator.py` needs torch and safetensors (and Pillow for its own example), nothing of msgbench:",
        "",
        "    python generator.py --count 16 --seed 0 --out samples.png",
        "",
        "## Measured",
        "",
        *_scores(run, measured),
        "",
        "## Data",
        "",
        *_data(dataset),
        "",
        "## Limits",
        "",
        "Samples are random draws without truncation. Scores by an extractor of msgbench’s own compare runs of this "
        "benchmark with each other and nothing else.",
    ]
    return "\n".join(lines) + "\n"


def _facts(run: Run, cur_nimg: int, why: str, parameters: int) -> Iterator[str]:
    model = run.plan.spec.model
    train = run.train or {}
    provenance = train.get("provenance") or {}
    commit = str(provenance.get("commit") or "not a git checkout")
    dirty = " with local changes" if provenance.get("dirty") else ""
    rows = [
        ("Run", f"`{run.run_id}`"),
        ("Spec", f"fingerprint `{run.plan.fingerprint}`"),
        ("Network", f"{model.family}, {model.resolution} px, {model.latent_size} latent dimensions, "
                    f"{parameters:,} parameters"),
        ("Snapshot", f"after {cur_nimg:,} of {run.plan.spec.schedule.total_nimg:,} images: {why}"),
        ("Training", f"{format_duration(run.seconds)} on {', '.join(run.devices) or 'unknown hardware'}"),
        ("Commit", f"`{commit}`{dirty}"),
        ("Tier", run.plan.tier),
    ]  # fmt: skip
    yield from ("| | |", "|---|---|")
    yield from (f"| {name} | {_cell(value)} |" for name, value in rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _scores(run: Run, measured: list[Record]) -> Iterator[str]:
    if not measured:
        yield f"Not measured: {run.reason or 'this snapshot has no records'}."
        return
    yield "| Metric | Score | Protocol | By | Beside the paper | Record |"
    yield "|---|---:|---|---|---|---|"
    for record in measured:
        value = number(record.table_value)
        value += f" ± {number(record.std)}" if record.std is not None else ""
        value += "".join(f", {name} {number(part)}" for name, part in record.parts.items())
        declared = PROTOCOLS.get(record.protocol)
        comparable = declared is not None and declared.comparable_with_paper
        file = record.path.relative_to(run.folder).as_posix()
        cells = (
            METRIC_NAMES.get(record.metric, record.metric),
            f"{value} ({record.direction} is better)",
            f"{record.protocol} version {record.version}",
            record.extractor,
            "comparable" if comparable else "not comparable",
            f"`{file}`",
        )
        yield f"| {' | '.join(map(_cell, cells))} |"


def _data(dataset: Dataset) -> Iterator[str]:
    """Of what images, under which licence, as far as it is known."""
    spec, manifest = dataset.spec, dataset.manifest
    side = spec.resolution
    if dataset.stand_in:
        yield (
            f"Images drawn by msgbench in place of {spec.name}: nobody’s photographs, under msgbench’s own licence "
            "(MIT)."
        )
    else:
        published = PUBLISHED.get(spec.source)
        licence = published.licence if published else ""
        terms = published.terms if published else None
        if manifest is not None and manifest.packing is not None:
            licence, terms = manifest.packing.licence, manifest.packing.terms
        yield f"{spec.name} at {side} px. Licence of the data: {licence or 'not known to msgbench'}."
        if terms:
            yield f"Terms of use: {terms}. They may bind what is made from the data, this generator included."
    if manifest is not None:
        yield f"{manifest.count:,} images, content fingerprint `{short(manifest.fingerprint)}`."
