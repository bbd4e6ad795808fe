"""What observers saw of 36 fixed latents during a training: change from epoch to epoch, and agreement of the scales.

Figure 6: mean squared change of the images of each resolution, in [-1, 1], ProGAN beside MSG-ProGAN; of the first
version (Figure 2) the same as the L2 distance of the whole grid, one panel a stage.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from msgbench.analysis.collected import Run
from msgbench.analysis.figures.curves import spread
from msgbench.analysis.figures.drawing import draw
from msgbench.analysis.figures.material import Made, Material
from msgbench.analysis.figures.plots import Panel, Plot, Series, images_axis, plot_frame
from msgbench.analysis.figures.samples import title_of
from msgbench.analysis.figures.style import scale_colour
from msgbench.config import FigureSpec
from msgbench.errors import ResultsError
from msgbench.layout import OBSERVATIONS_JSONL, TRAIN_JSON

# How many latents an observer watches (training/observers.py states it in each run's code, not in the file).
LATENTS = 36


@dataclass(frozen=True)
class Observation:
    """One line of observations.jsonl: values by resolution."""

    cur_nimg: int
    change: dict[int, float]
    synchronisation: dict[int, float]


def read_observations(path: Path) -> list[Observation]:
    """The lines of an observations.jsonl by length; none without a file, half a last line of a killed run is dropped.

    Raises ResultsError for a line that is no observation.
    """
    if not path.is_file():
        return []
    lines = path.read_bytes().splitlines()
    found: dict[int, Observation] = {}
    for number, line in enumerate(lines, start=1):
        try:
            content = json.loads(line)
        except ValueError:
            if number == len(lines):
                break
            raise ResultsError(f"{path}: line {number} is not valid JSON") from None
        try:
            values = {
                key: {int(side): float(value) for side, value in content[key].items()}
                for key in ("change", "synchronisation")
            }
            found[int(content["cur_nimg"])] = Observation(int(content["cur_nimg"]), **values)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ResultsError(f"{path}: line {number} is no observation of a training") from None
    return [found[nimg] for nimg in sorted(found)]


def stability(material: Material, spec: FigureSpec) -> Made:
    """Change of the images of fixed latents from epoch to epoch, one curve a resolution."""
    found, missing = _observed(material, spec, "change", 1)
    by_stage = spec.paper == "arxiv-v1" and len(spec.experiments) == 1
    caption = (
        f"Images of {LATENTS} fixed latents, compared with those of the epoch before. Grey: a resolution is fading in."
        f"{_interval(material, spec)}{_several(found)}"
    )
    if not found:
        return Made(caption, "", missing=missing)
    longest = max(r.plan.spec.schedule.total_nimg for runs in found.values() for r, _ in runs)
    axis = images_axis(longest)
    panels: list[Panel] = []
    for experiment, runs in found.items():
        if by_stage:
            panels += _stages(runs, axis)
        else:
            label = "change per epoch, MSE"
            panels.append(_panel(title_of(material, experiment), runs, "change", label, axis))
    return _made(material, spec, caption, panels, found, missing, "change of images")


def synchronisation(material: Material, spec: FigureSpec) -> Made:
    """How far each scale is from the next larger one, pooled, during training: whether they show the same image."""
    found, missing = _observed(material, spec, "synchronisation", 1)
    caption = (
        f"Mean squared difference, in [-1, 1], of each scale of {LATENTS} fixed latents from the next larger one, "
        f"pooled.{_interval(material, spec)}{_several(found)}"
    )
    if not found:
        return Made(caption, "", missing=missing)
    longest = max(r.plan.spec.schedule.total_nimg for runs in found.values() for r, _ in runs)
    panels = [
        _panel(title_of(material, experiment), runs, "synchronisation", "difference, MSE", images_axis(longest))
        for experiment, runs in found.items()
    ]  # fmt: skip
    return _made(material, spec, caption, panels, found, missing, "difference of scales")


Seen = list[tuple[Run, list[Observation]]]


def _observed(
    material: Material, spec: FigureSpec, what: str, least: int
) -> tuple[dict[str, Seen], tuple[str, ...]]:
    """The observations of each experiment's seeds that have some, and a sentence for each run that has none."""
    found: dict[str, Seen] = {}
    missing = []
    for experiment in spec.experiments:
        for run in material.runs_of(experiment):
            lines = read_observations(run.folder / OBSERVATIONS_JSONL)
            if sum(bool(getattr(line, what)) for line in lines) >= least:
                found.setdefault(experiment, []).append((run, lines))
            if not (run.folder / TRAIN_JSON).is_file():
                missing.append(f"{run.label}: {run.reason or 'not trained to the end'}")
            elif experiment not in found:
                missing.append(f"{run.label}: its training is shorter than two epochs")
    return found, tuple(missing)


def _interval(material: Material, spec: FigureSpec) -> str:
    """What an epoch is, where it is not one pass over the dataset."""
    stated = {
        material.benchmark.experiment(name).training.observe_kimg for name in spec.experiments
    } - {None}
    if not stated:
        return " An epoch is one pass over the dataset."
    each = " and ".join(f"{round(1000 * kimg):,}" for kimg in sorted(k for k in stated if k))
    return f" An epoch stands for every {each} images here, not for one pass over the dataset."


def _several(found: dict[str, Seen]) -> str:
    most = max((len(runs) for runs in found.values()), default=1)
    return " Line: mean over seeds; band: smallest to largest of them." if most > 1 else ""


def _curves(runs: Seen, what: str, side: int) -> list[tuple[Run, dict[int, float]]]:
    """Each run's values of one resolution, by images shown."""
    found = []
    for run, lines in runs:
        values = {
            line.cur_nimg: getattr(line, what)[side]
            for line in lines
            if side in getattr(line, what)
        }
        if values:
            found.append((run, values))
    return found


def _sides(runs: Seen, what: str) -> list[int]:
    return sorted({side for _, lines in runs for line in lines for side in getattr(line, what)})


def _lines(
    runs: Seen, what: str, side: int, label: str, factor: float, scale: float = 1.0
) -> list[Series]:
    """The curve of each seed, mean and band of several."""
    index = side.bit_length()
    series, points = [], []
    for run, values in _curves(runs, what, side):
        xs = tuple(nimg / factor for nimg in values)
        ys = tuple(scale * value for value in values.values())
        series.append(Series(label, "run", index, ys, xs, run.run_id, colour=scale_colour(side)))
        points.append({n: (x, y) for n, x, y in zip(values, xs, ys, strict=True)})
    return series + [_coloured(one, side) for one in spread(label, index, 0, points)]


def _coloured(series: Series, side: int) -> Series:
    return Series(
        series.label, series.role, series.slot, series.y, series.x, series.run, series.variant,
        series.high, scale_colour(side),
    )  # fmt: skip


def _panel(title: str, runs: Seen, what: str, label: str, axis: tuple[str, float]) -> Panel:
    """All resolutions of one experiment in one panel."""
    series = [
        one
        for side in _sides(runs, what)
        for one in _lines(runs, what, side, f"{side} px", axis[1])
    ]
    return Panel(
        title, title, axis[0], label, tuple(series),
        log_y=all(y > 0 for one in series for y in one.y), spans=_fades(runs[0][0], axis[1]),
    )  # fmt: skip


def _stages(runs: Seen, axis: tuple[str, float]) -> list[Panel]:
    """One panel a resolution: the L2 distance of the two grids, sqrt of the squared change summed over pixels."""
    panels = []
    for side in _sides(runs, "change"):
        series: list[Series] = []
        for run, values in _curves(runs, "change", side):
            count = LATENTS * 3 * side * side
            ys = tuple(math.sqrt(value * count) for value in values.values())
            xs = tuple(nimg / axis[1] for nimg in values)
            series.append(
                Series(f"{side} px", "run", side.bit_length(), ys, xs, run.run_id, colour=scale_colour(side))
            )  # fmt: skip
        xs_all = [x for one in series for x in one.x]
        spans = tuple(
            (max(start, min(xs_all)), min(end, max(xs_all)))
            for start, end in _fades(runs[0][0], axis[1])
            if start < max(xs_all) and end > min(xs_all)
        )
        panels.append(
            Panel(f"{side} px", f"{side} px", axis[0], "L2 distance", tuple(series),
                  log_y=all(y > 0 for one in series for y in one.y), spans=spans)
        )  # fmt: skip
    return panels


def _fades(run: Run, factor: float) -> tuple[tuple[float, float], ...]:
    """Stretches of a growing training in which a resolution fades in, on the x axis."""
    growing, schedule = run.plan.spec.growing, run.plan.spec.schedule
    if growing is None or growing.fade_kimg <= 0:
        return ()
    each = growing.stable_kimg + growing.fade_kimg
    stages = int(math.log2(run.plan.spec.model.resolution / growing.start_resolution))
    spans = [
        ((k * each + growing.stable_kimg) * 1000, (k + 1) * each * 1000) for k in range(stages)
    ]
    return tuple(
        (start / factor, min(end, schedule.total_nimg) / factor)
        for start, end in spans
        if start < schedule.total_nimg
    )


def _made(
    material: Material,
    spec: FigureSpec,
    caption: str,
    panels: Sequence[Panel],
    found: dict[str, Seen],
    missing: tuple[str, ...],
    what: str,
) -> Made:
    statement = material.statement(found)
    side_by_side = {1: 1, 2: 2, 4: 2}.get(len(panels), 3)
    by_stage = all(len({s.label for s in panel.series}) == 1 for panel in panels)
    plot = Plot(
        "", spec.title, caption, tuple(panels), columns=side_by_side, statement=statement,
        legend=not by_stage, same_y=not by_stage, heights=(1.7,) * math.ceil(len(panels) / side_by_side),
    )  # fmt: skip
    sources = [run.folder / OBSERVATIONS_JSONL for runs in found.values() for run, _ in runs]
    names = ", ".join(title_of(material, experiment) for experiment in found)
    return Made(
        caption, f"Curves of the {what} over the images shown, one a resolution: {names}.",
        plot_frame(plot), draw(plot), statement, missing, tuple(sources),
    )  # fmt: skip
