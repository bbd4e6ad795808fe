"""docs/first-training.md: a walkthrough of one training on real images, from published records alone.

Every number, curve and picture of the page comes from results/published/; the page and its pictures are
a pure function of that, so a test can make them again and compare.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd
from PIL import Image

from msgbench.analysis import FIRST_TRAINING
from msgbench.analysis.commands import PATH_PLACEHOLDER, own_copy, workflow_command
from msgbench.analysis.figures import Curve, Plot, curves_plot, losses_plot, save_png
from msgbench.analysis.published import Picture, Published, Score, remove_other_pictures
from msgbench.analysis.report.pictures import grid_images, png_bytes, tiled
from msgbench.analysis.scale import counted
from msgbench.analysis.tables import METRIC_NAMES, number, relative
from msgbench.errors import ResultsError
from msgbench.records import atomic_file, write_text
from msgbench.units import format_duration

PLOT_DPI = 160
PLOTS = ("scores.png", "losses.png")
WHOLE_FACTOR = 3
"""The grid of the end is enlarged so many times."""
TARGET = "first_training"
"""The workflow's target that makes the page of FIRST_TRAINING."""


def make_walkthrough(published: Path, out: Path, place: Path | None = None) -> Path:
    """Write the page to `out` and its pictures into the folder of its name; returns `out`.

    `place` is where the page will lie, for its links; None: where it is written.
    Raises ResultsError when the records are missing or broken, or a picture is not the published one.
    """
    content = Published.read(published)
    pictures = {_shown(picture): _enlarged(picture, published) for picture in content.pictures}
    folder = out.with_suffix("")
    for file, data in pictures.items():
        with atomic_file(folder / file) as stream:
            stream.write(data)
    for file, plot in zip(PLOTS, (_scores_plot(content), _losses_plot(content)), strict=True):
        save_png(plot, folder / file, PLOT_DPI)
    remove_other_pictures(folder, [*pictures, *PLOTS])
    write_text(out, page(content, relative(published, (place or out).parent), folder.name))
    return out


def page(content: Published, records: str, folder: str) -> str:
    """The page as Markdown; `records` and `folder` are where the records and the pictures lie from it."""
    parts = [
        _head(content, records),
        _command(content),
        _what(content),
        _numbers(content),
        _curves(content, folder),
        _samples(content, folder),
        _provenance(content, records),
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _head(content: Published, records: str) -> list[str]:
    spec = content.spec
    where = _hardware(content)
    if all(attempt.device.startswith("cpu") for attempt in content.attempts):
        where = f"{counted(spec['training']['num_threads'], 'thread')} of a CPU"
    return [
        "# A first training on real images",
        "",
        f"<!-- Made by `msgbench walkthrough` from {records}. Do not edit. -->",
        "",
        f"What {_spoken(content.seconds)} of training on {where} give: the method `{spec['method']}`, scaled "
        f"down, on {content.images:,} images of {content.dataset}.",
        "",
        f"> **Scaled down; nothing here is a reproduction of the paper.** {_sentence(content.scaled_down)} Scores "
        f"are by `{', '.join(sorted({s.extractor for s in content.scores}))}` and compare only with scores by it, "
        "never with the paper's.",
        "",
        f"Every number on this page comes from [the published records]({records}) of the run.",
    ]


def _command(content: Published) -> list[str]:
    target = TARGET if content.experiment == FIRST_TRAINING else content.experiment
    command = workflow_command(target, {"tier": content.tier, **own_copy(content.dataset)})
    return [
        "## Command",
        "",
        f"    {command}",
        "",
        f"`{PATH_PLACEHOLDER}` is your copy of {content.dataset}. The command prepares the images, trains, measures"
        + (" and writes this page." if target == TARGET else ".")
        + " Started again after an interruption it goes on from the last training state; finished work is not "
        "done again. The table of README.md is written from the same records by `msgbench results-table`.",
    ]


def _what(content: Published) -> list[str]:
    spec = content.spec
    training, optimizer, ema = spec["training"], spec["optimizer"], spec["ema"]
    average = (
        f"beta {ema['beta']:g}"
        if ema["beta"] is not None
        else f"half-life {ema['halflife_kimg']:g} thousand images"
    )
    count = f"{content.images:,}"
    if content.images != content.published_images:
        count += f" of the {content.published_images:,} published"
    facts = [
        ("Experiment", f"`{content.experiment}`, seed {content.seed}, {content.tier} tier"),
        ("Method", f"`{spec['method']}`, loss `{spec['loss']['adversarial']}`"),
        (
            "Dataset",
            f"{content.dataset}, {content.split} split, {count} images, {content.resolution}x{content.resolution}",
        ),
        ("Smaller than the paper", "; ".join(content.scaled_down) or "no"),
        ("Images shown", f"{content.cur_nimg:,} in batches of {training['batch_size']}"),
        (
            "Optimizer",
            f"{optimizer['algorithm']}, learning rate {optimizer['lr']:g}, average of the generator {average}",
        ),
        ("Arithmetic", f"{training['precision']}, {counted(training['num_threads'], 'thread')}"),
        ("Hardware", _hardware(content)),
        (
            "Training time",
            f"{format_duration(content.seconds)} ({content.seconds:,.0f} s), {content.images_per_second:.1f} images/s",
        ),
    ]
    if len(content.attempts) > 1:
        ends = ", ".join(str(attempt.ended) for attempt in content.attempts)
        facts.append(("Attempts", f"{len(content.attempts)}: {ends}"))
    if content.peak_memory_mb is not None:
        facts.append(("Memory", f"{content.peak_memory_mb:,.0f} MB at most"))
    return ["## What was trained", "", *_table(["", ""], facts)]


def _numbers(content: Published) -> list[str]:
    protocols = list(dict.fromkeys(score.protocol for score in content.scores))
    first = {score.protocol: score for score in content.scores}
    arrows = {"lower": "↓", "higher": "↑"}
    heads = [
        f"{METRIC_NAMES[first[p].metric]} {arrows[first[p].direction]} `{p}`" for p in protocols
    ]
    values = {(s.protocol, s.cur_nimg): number(s.value) for s in content.scores}
    times = {snapshot.cur_nimg: snapshot.seconds for snapshot in content.snapshots}
    rows = []
    for nimg in sorted({nimg for _, nimg in values if nimg is not None}):
        name = f"{nimg:,}" if nimg else "0 (untrained)"
        cells = [values.get((protocol, nimg), "–") for protocol in protocols]
        rows.append([name, format_duration(times.get(nimg, 0.0)), *cells])
    for name, scores in (
        ("pixel-Gaussian control", content.controls),
        ("real images", content.real),
    ):
        found = {score.protocol: number(score.value) for score in scores}
        rows.append([name, "", *(found.get(protocol, "–") for protocol in protocols)])
    return [
        "## Numbers",
        "",
        *_reading(content),
        "",
        *_table(["images shown", "after", *heads], rows, right=True),
        "",
        "The control is images drawn from the Gaussian with the mean and the covariance of the training images, pixel "
        "by pixel: it knows their colours and linear correlations and nothing else. FID and KID have no value for "
        "real images, which are what they compare with. Each protocol is declared in `msgbench/protocols.py`: "
        + "; ".join(f"`{p}` version {first[p].version}: {first[p].title}" for p in protocols)
        + ".",
    ]


def _reading(content: Published) -> Iterator[str]:
    """What the FID says, in one sentence."""
    scores = [s for s in content.scores if s.metric == "fid"]
    by_length = {s.cur_nimg: s for s in scores if s.protocol == scores[0].protocol}
    if 0 not in by_length or len(by_length) < 2:
        return
    start = by_length[0]
    end = by_length[max(nimg for nimg in by_length if nimg is not None)]
    share = end.value / start.value
    text = (
        f"FID goes from {number(start.value)} (untrained) to {number(end.value)}, "
        f"{100 * share:.1f} % of the untrained generator's"
    )
    control = next((s for s in content.controls if s.protocol == start.protocol), None)
    if control is not None:
        side = "below" if end.value < control.value else "not below"
        text += f" and {side} the pixel-Gaussian control's {number(control.value)}"
    yield text + "."


def _curves(content: Published, folder: str) -> list[str]:
    shown = [METRIC_NAMES[c.metric] for c in _curve_data(content)]
    return [
        "## Curves",
        "",
        f"![{' and '.join(shown)} over the images shown, with the levels of the untrained generator and of the "
        f"control]({folder}/scores.png)",
        "",
        f"![Losses over the images shown]({folder}/losses.png)",
        "",
        "Losses are as logged"
        + (
            f", each point the mean of up to {content.losses_lines} lines"
            if content.losses_lines > 1
            else ""
        )
        + " of the run's statistics.",
    ]


def _samples(content: Published, folder: str) -> list[str]:
    crops = {(p.cur_nimg, p.scale): p for p in content.pictures if not p.whole}
    lengths = sorted({nimg for nimg, _ in crops})
    sizes = sorted({size for _, size in crops}, reverse=True)
    rows = []
    for size in sizes:
        cells = []
        for nimg in lengths:
            picture = crops.get((nimg, size))
            alt = f"{size}x{size} pixels after {nimg:,} images"
            cells.append(f"![{alt}]({folder}/{_shown(picture)})" if picture else "")
        rows.append([f"{size} px", *cells])
    lines = ["## Samples", ""]
    if rows:
        lines += [
            "The same eight latents at every scale of the generator's output, while it learns. Images are those of the "
            "averaged generator, not selected and not normalised, enlarged without smoothing.",
            "",
            *_table(["", *(f"{nimg:,} images" for nimg in lengths)], rows),
        ]
    for whole in (picture for picture in content.pictures if picture.whole):
        lines += [
            "",
            f"All {whole.scale}x{whole.scale} images of the fixed latents after {whole.cur_nimg:,} images:",
            "",
            f"![{whole.scale}x{whole.scale} samples after {whole.cur_nimg:,} images]({folder}/{_shown(whole)})",
        ]
    return lines


def _provenance(content: Published, records: str) -> list[str]:
    rows: list[tuple[str, str]] = [("Run", f"`{content.run}`")]
    for origin in content.origins:
        commit = f"`{origin.commit[:12]}`" if origin.commit else "not a git checkout"
        if origin.dirty:
            commit += " with local changes"
        when = f"{origin.first} to {origin.last}"
        machine = _machine(origin.cpu, origin.device)
        rows.append(("Commit", f"{commit}: {counted(origin.records, 'record')}, {when}, {machine}"))
    versions: dict[str, dict[str, None]] = {}
    for origin in content.origins:
        for name, version in origin.versions.items():
            versions.setdefault(name, {})[version] = None
    rows.append(
        (
            "Versions",
            ", ".join(f"{n} {' and '.join(v)}" for n, v in versions.items()) or "not stated",
        )
    )
    rows.append(("Spec", f"fingerprint `{content.fingerprint}`"))
    rows.append(("Images", f"fingerprint `{content.dataset_fingerprint}`"))
    files = ", ".join(f"{file.name} sha256 `{file.sha256[:12]}`" for file in content.dataset_files)
    rows.append(
        ("Read from", f"{content.dataset_form}: {files}" if files else content.dataset_form)
    )
    extractors = {s.extractor: s.extractor_sha256 for s in content.scores}
    rows += [("Extractor", f"`{name}`, sha256 `{digest}`") for name, digest in extractors.items()]
    return [
        "## Where it comes from",
        "",
        *_table(["", ""], rows),
        "",
        f"The records are in [{Path(records).name}]({records}).",
    ]


def _table(heads: list[str], rows: Iterable[Iterable[str]], right: bool = False) -> list[str]:
    """A Markdown table; with `right`, all columns but the first are numbers."""
    marks = ["---", *("---:" if right else "---" for _ in heads[1:])]
    # A pipe would end the cell.
    lines = [[text.replace("|", "\\|") for text in row] for row in (heads, marks, *rows)]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _sentence(parts: Iterable[str]) -> str:
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _spoken(seconds: float) -> str:
    """`1309 -> '21 minutes 49 seconds'`: exactly what the records say, to the second."""
    hours, rest = divmod(round(seconds), 3600)
    minutes, left = divmod(rest, 60)
    parts = ((hours, "hour"), (minutes, "minute"), (left, "second"))
    return " ".join(counted(count, unit) for count, unit in parts if count) or "0 seconds"


def _machine(cpu: str, device: str) -> str:
    return f"{device} ({cpu})" if device and not device.startswith("cpu") else cpu


def _hardware(content: Published) -> str:
    machines = dict.fromkeys(_machine(origin.cpu, origin.device) for origin in content.origins)
    return ", ".join(machine for machine in machines if machine) or "not stated"


def _curve_data(content: Published) -> list[Curve]:
    """The first FID and the first Inception Score."""
    curves = []
    for metric in ("fid", "is"):
        scores = [score for score in content.scores if score.metric == metric]
        if not scores:
            continue
        first = scores[0]
        points = [(s.cur_nimg, s.value) for s in scores if s.protocol == first.protocol]
        curves.append(
            Curve(
                first.protocol, metric, first.extractor, first.direction, content.run,
                tuple(sorted((nimg, value) for nimg, value in points if nimg is not None)),
                _value(content.controls, first.protocol), _value(content.real, first.protocol),
            )
        )  # fmt: skip
    return curves


def _value(scores: Iterable[Score], protocol: str) -> float | None:
    return next((score.value for score in scores if score.protocol == protocol), None)


def _scores_plot(content: Published) -> Plot:
    return curves_plot("scores", content.experiment, _curve_data(content), content.cur_nimg)


def _losses_plot(content: Published) -> Plot:
    stats = pd.DataFrame(content.losses)
    return losses_plot("losses", content.experiment, content.run, stats, content.cur_nimg)


def _shown(picture: Picture) -> str:
    """File name of a picture of the page."""
    kind = "grid" if picture.whole else "samples"
    return f"{kind}-{picture.cur_nimg:010d}-{picture.scale:04d}px.png"


def _enlarged(picture: Picture, published: Path) -> bytes:
    """A published picture as the page shows it: larger, without a new colour."""
    path = published.with_suffix("") / picture.file
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read ({error.strerror})") from None
    if hashlib.sha256(data).hexdigest() != picture.sha256:
        raise ResultsError(f"{path}: is not the picture that {published.name} lists")
    if not picture.whole:
        return png_bytes(tiled(grid_images(path, picture.scale)))
    with Image.open(path) as whole:
        factor = max(1, WHOLE_FACTOR * 32 // picture.scale)
        size = (whole.width * factor, whole.height * factor)
        return png_bytes(whole.convert("RGB").resize(size, Image.Resampling.NEAREST))
