"""The measured block of docs/protocols.md: what each rule of a protocol moves, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from msgbench.console import Progress
from msgbench.data.store import Store
from msgbench.device import make_reproducible
from msgbench.errors import MeasurementError
from msgbench.metrics.extractors.weights import ExtractorWeights, resolve_weights
from msgbench.metrics.fidelity import Extractor, torch_fidelity
from msgbench.metrics.reals import RealSet, stream_flips
from msgbench.metrics.scores import (
    frechet_distance,
    inception_score,
    precision_and_recall,
    statistics,
)
from msgbench.protocols import INCEPTION, PROTOCOLS, SMALL
from msgbench.records import provenance, sha256_file, write_text
from msgbench.sensitivity.features import LAYERS, extract, image_sets

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
FeaturesOf = dict[str, dict[str, Tensor]]

VARIANT_TITLES = {
    "mirrored": "flips: every image mirrored",
    "truncated": "quantisation: the fraction dropped without the half, `((x + 1) * 127.5).to(uint8)`",
    "min-max": "quantisation: each image stretched to its own minimum and maximum",
    "jpeg-75": "files: written as JPEG at quality 75",
    "bicubic-299": "resize in the extractor: bicubic to 299 px and rounded to 8 bits, instead of bilinear in float32",
}


def write_sensitivity(
    train_dir: Path,
    test_dir: Path,
    inception: Path,
    cache: Path,
    page: Path,
    threads: int = 2,
    scale: float = 1.0,
) -> Path:
    """Measures the table and writes it between the marks of `page`; returns `page`.

    `inception` is a file of the 2015 Inception network whose lower layers are the published ones; its sha256 is
    printed, not checked. `scale` below 1 takes that part of each image set. Raises MeasurementError when the stores
    hold fewer images than the table needs, or the page has no marks.
    """
    make_reproducible(threads)
    before, after = _around(page)
    train, test = Store.open(train_dir), Store.open(test_dir)
    weights = ExtractorWeights(INCEPTION, inception, sha256_file(inception))
    sets = list(image_sets(train, test, scale))
    found = extract(sets, Extractor(weights, layers=list(LAYERS)), cache)
    lines = [*_origin(weights, train, test, found), *_frechet(found), *_scores(train)]
    write_text(page, "\n".join([before + BEGIN, "", *lines, "", END + after]))
    return page


def _around(page: Path) -> tuple[str, str]:
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise MeasurementError(f"{page}: has not exactly one line {BEGIN!r} and one {END!r}")
    before, rest = text.split(BEGIN)
    return before, rest.split(END)[1]


def _origin(
    weights: ExtractorWeights, train: Store, test: Store, found: FeaturesOf
) -> Iterator[str]:
    origin = provenance()
    versions = origin["versions"]
    yield (
        f"Made by `msgbench sensitivity` from real CIFAR-10: a copy of {len(train):,} training images (store "
        f"{train.manifest.fingerprint[:12]}) and {len(test):,} test images (store {test.manifest.fingerprint[:12]}). "
        f"Distances are of the first {len(found['train'][LAYERS[0]]):,} training images and the first "
        f"{len(found['test'][LAYERS[0]]):,} test images; Inception Scores, precision and recall are of the training "
        "images, as many as their parts say. "
        f"Inception layers {', '.join(LAYERS)} (sha256 {weights.sha256[:12]}), "
        f"{origin['cpu']}, torch {versions['torch']}, torch-fidelity {versions['torch-fidelity']}, "
        f"{origin['written'][:10]}."
    )


def _frechet(found: FeaturesOf) -> Iterator[str]:
    yield from (
        "",
        "**Number of images.** Two disjoint sets of N training images; a true distance is 0.",
        "",
    )
    yield from _header("N on either side")
    half = len(found["train"][LAYERS[0]]) // 2
    for count in [n for n in (100, 250, 500, 1_000, 2_500) if n <= half]:
        yield _line(
            f"{count:,}",
            [
                _distance(found["train"][layer][:count], found["train"][layer][half : half + count])
                for layer in LAYERS
            ],
        )
    yield _line(
        f"{len(found['train'][LAYERS[0]]):,} training images, against {len(found['test'][LAYERS[0]]):,} test images",
        [_distance(found["train"][layer], found["test"][layer]) for layer in LAYERS],
    )
    yield from _variants(found)
    yield from _stream(found)


def _variants(found: FeaturesOf) -> Iterator[str]:
    count = len(found["mirrored"][LAYERS[0]])
    originals = {layer: found["train"][layer][:count] for layer in LAYERS}
    yield from (
        "",
        f"**What is done to the images.** The first {count:,} training images in another version: their distance from "
        "themselves as they are, and, behind the arrow, how far that moves their distance from the test images, which "
        f"is {', '.join(_number(_distance(originals[la], found['test'][la])) for la in LAYERS)} as they are.",
        "",
    )
    yield from _header("version")
    for name, title in VARIANT_TITLES.items():
        cells = []
        for layer in LAYERS:
            varied, test = found[name][layer], found["test"][layer]
            moved = _distance(varied, test) - _distance(originals[layer], test)
            cells.append(f"{_number(_distance(varied, originals[layer]))} → {moved:+.3g}")
        yield _line(title, cells)
    yield _line(
        "resize of the dataset: halved by Lanczos, against halved by box",
        [_number(_distance(found["half-lanczos"][la], found["half-box"][la])) for la in LAYERS],
    )


def _stream(found: FeaturesOf) -> Iterator[str]:
    """Reals once, and as the repeating, mirrored stream of four passes: flips drawn as fid50k draws them."""
    count = len(found["mirrored"][LAYERS[0]])
    flips = torch.from_numpy(stream_flips(4 * count, PROTOCOLS["fid50k"].seed))
    index = torch.arange(4 * count) % count
    yield from (
        "",
        f"**Which reals.** The test images against {count:,} training images.",
        "",
    )
    yield from _header("reals")
    for title, which in (("each once", "once"), ("four passes of the mirrored stream", "stream")):
        cells = []
        for layer in LAYERS:
            once, mirrored = found["train"][layer][:count], found["mirrored"][layer]
            stream = torch.where(flips[:, None], mirrored[index], once[index])
            cells.append(_distance(found["test"][layer], once if which == "once" else stream))
        yield _line(title, cells)


def _scores(train: Store) -> Iterator[str]:
    """Inception Scores of the real training images by the project's own extractor."""
    extractor = Extractor(resolve_weights(SMALL), ["is", "prc"])
    with Progress(f"{SMALL} on the training images", len(train), "images") as progress:
        seen = extractor.features(RealSet(train, len(train)).batches(100, progress.advance))
    logits = seen.layers["logits"]
    yield from (
        "",
        f"**Splits and number of images in the Inception Score.** The {len(train):,} training images by `{SMALL}` "
        "(whose numbers are its own; the directions are those of any classifier).",
        "",
        "| images | splits | IS | over splits ± |",
        "|---|---|---|---|",
    )
    for splits in (1, 2, 10, 50):
        yield _score_line(logits, len(logits), splits)
    for count in (500, 1_000, 5_000):
        yield _score_line(logits, count, 10)
    one, ten = (inception_score(logits, splits).value for splits in (1, 10))
    if train.labels is not None:
        order = torch.from_numpy(np.argsort(train.labels, kind="stable"))
        metric = torch_fidelity().metric_isc
        unshuffled = metric.isc_features_to_metric(logits[order], splits=10, shuffle=False)
        value = unshuffled[metric.KEY_METRIC_ISC_MEAN]
        yield f"| {len(logits):,} in the order of their classes, not shuffled | 10 | {value:.4f} | |"
    yield from ("", f"One split instead of ten: {100 * (one / ten - 1):+.2f} %.")
    yield from _recall(seen.layers["features"])


def _recall(features: Tensor) -> Iterator[str]:
    """Precision and recall of one half of the reals against the other."""
    count = min(len(features) // 2, 5_000)
    score = precision_and_recall(features[:count], features[count : 2 * count], 3)
    assert score.parts is not None
    yield from (
        "",
        f"**Precision and recall** of {count:,} real images against {count:,} others by `{SMALL}`: "
        f"{score.parts['precision']:.3f} and {score.parts['recall']:.3f}; neither reaches 1 on equal distributions.",
    )


def _score_line(logits: Tensor, count: int, splits: int) -> str:
    score = inception_score(logits[:count], splits)
    deviation = "" if splits == 1 else f"{score.std:.4f}"
    return f"| {count:,} | {splits} | {score.value:.4f} | {deviation} |"


def _distance(fake: Tensor, real: Tensor) -> float:
    return frechet_distance(statistics(fake), statistics(real)).value


def _header(first: str) -> Iterator[str]:
    yield f"| {first} | {' | '.join(f'FID at {layer}' for layer in LAYERS)} |"
    yield f"|---|{'---|' * len(LAYERS)}"


def _line(title: str, cells: Sequence[float | str]) -> str:
    shown = [cell if isinstance(cell, str) else _number(cell) for cell in cells]
    return f"| {title} | {' | '.join(shown)} |"


def _number(value: float) -> str:
    """Three significant digits; a distance of nothing but rounding is 0."""
    return "0" if abs(value) < 5e-6 else f"{value:.3g}"
