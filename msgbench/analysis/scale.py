"""In which ways a run or a measurement is smaller than the published one, in words."""

from __future__ import annotations

from typing import Any

from msgbench.analysis.collected import Dataset
from msgbench.config import (
    PUBLISHED_WITH,
    ExperimentSpec,
    GrowingSpec,
    LossSpec,
    ModelSpec,
    OptimizerSpec,
    Tier,
)
from msgbench.models.channels import channels
from msgbench.protocols import PROTOCOLS, SMALL, Protocol
from msgbench.reference import Printed
from msgbench.units import kimg_to_nimg

# Of a growing schedule: what a resolution takes, and what is listed by resolution.
_LENGTHS = ("stable_kimg", "fade_kimg")
_LISTS = ("batch_sizes", "learning_rates", "repeats")

# Choices of networks beside their size, which model_departures compares, and what Tables 4 and 5 vary.
_NETWORK_CHOICES = (
    "mbstd",
    "pixel_norm",
    "equalized_lr",
    "gains",
    "lin_cat_activation",
    "from_rgb_activation",
    "to_rgb_activation",
    "pooling",
)

_BETWEEN = (" instead of ", " in place of ")


def training_departures(
    spec: ExperimentSpec,
    dataset: Dataset,
    printed: dict[str, Printed],
    published: ExperimentSpec | None = None,
    in_paper: bool = True,
) -> tuple[str, ...]:
    """How a training is smaller than, or other than, the row of the paper's table.

    `printed` holds the row's printed cells by column (`real_images`, `learning_rate`), `published` is the
    experiment as config.yaml has it without the tier. A row that is not `in_paper` has a recipe of its own.
    """
    found = list(model_departures(spec))
    if published is not None:
        found += _resized(spec.model, published.model)
    shown, stated = spec.schedule.total_nimg, _value(printed, "real_images")
    if stated is not None and shown < stated:
        found.append(
            f"{count(shown)} real images shown instead of {printed['real_images'].printed}"
        )
    rate = _value(printed, "learning_rate")
    rates = dict.fromkeys((spec.optimizer.lr_of("G"), spec.optimizer.lr_of("D")))
    if rate is not None and list(rates) != [rate]:
        found.append(
            f"learning rate {' and '.join(f'{ours:g}' for ours in rates)} "
            f"instead of {printed['learning_rate'].printed}"
        )
    recipe = recipe_departures(spec) if in_paper else ()
    return (*found, *recipe, *dataset_departures(dataset))


def recipe_departures(spec: ExperimentSpec) -> tuple[str, ...]:
    """How losses, optimizer and batch statistics are other than the published defaults of the specs."""
    published_loss = LossSpec.model_validate(
        LossSpec.published(spec.loss.adversarial).model_dump() | _published_with(spec, "loss")
    )
    rates = {name: getattr(spec.optimizer, name) for name in ("lr", "g_lr", "d_lr")}
    pairs: list[tuple[LossSpec | OptimizerSpec, LossSpec | OptimizerSpec, str]] = [
        (published_loss, spec.loss, "loss"),
        (OptimizerSpec(**rates), spec.optimizer, "optimizer"),
    ]
    found = [
        f"{section}.{name} {_plain(value)} instead of {_plain(getattr(published, name))}"
        for published, ours, section in pairs
        for name, value in ours.model_dump().items()
        if value != getattr(published, name)
    ]
    networks = _published(spec)
    group, published = spec.model.mbstd_group_size, networks.mbstd_group_size
    if group != published:
        found.append(f"groups of {group or 'all'} in MinBatchStd instead of {published or 'all'}")
    found += [
        f"model.{name} {_plain(getattr(spec.model, name))} instead of {_plain(getattr(networks, name))}"
        for name in _NETWORK_CHOICES
        if getattr(spec.model, name) != getattr(networks, name)
    ]
    return (*found, *growing_departures(spec))


def growing_departures(spec: ExperimentSpec) -> tuple[str, ...]:
    """How the schedule of a growing baseline is other than the recipe that it names."""
    if spec.growing is None:
        return ()
    if spec.growing.recipe is None:
        return ("no published recipe of growing",)
    other = {name: (ours, published) for name, ours, published in spec.growing.departures()}
    found = []
    if other.keys() & set(_LENGTHS):
        recipe = GrowingSpec(recipe=spec.growing.recipe)
        each = [
            kimg_to_nimg(sum(getattr(growing, name) for name in _LENGTHS))
            for growing in (spec.growing, recipe)
        ]
        found.append(
            f"the resolution doubles every {count(each[0])} images instead of {count(each[1])}"
        )
    if other.keys() & set(_LISTS):
        found.append("other batches and learning rates than the published recipe's")
    found += [
        f"growing.{name} {_plain(ours)} instead of {_plain(published)}"
        for name, (ours, published) in other.items()
        if name not in (*_LENGTHS, *_LISTS)
    ]
    return tuple(found)


def _resized(ours: ModelSpec, published: ModelSpec) -> list[str]:
    """Smaller images, and which connections stand for the published ones there."""
    if ours.resolution == published.resolution:
        return []
    found = [f"{ours.resolution} px instead of {published.resolution}"]
    wanted = tuple(r for r in published.connected[:-1] if r < ours.resolution)
    if ours.connected[:-1] != wanted:
        levels = [_listed(model.connected[:-1]) for model in (ours, published)]
        found.append(f"connections at {levels[0]} px stand for {levels[1]}")
    return found


def _listed(resolutions: tuple[int, ...]) -> str:
    return ", ".join(map(str, resolutions)) or "no"


def _plain(value: object) -> str:
    """A setting as config.yaml has it: `0.001`, `adam`, `none`."""
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _published_with(spec: ExperimentSpec, section: str) -> dict[str, Any]:
    """What the published recipe of a growing baseline says of the networks (`model`) or of the `loss`."""
    recipe = spec.growing.recipe if spec.growing is not None else None
    return PUBLISHED_WITH.get(recipe or "", {}).get(section, {})


def _published(spec: ExperimentSpec) -> ModelSpec:
    """The networks of the same family and variant as published."""
    model = spec.model
    kind = {"family": model.family, "variant": model.variant, "resolution": model.resolution}
    return ModelSpec.model_validate(
        {**kind, "growing": model.growing, **_published_with(spec, "model")}
    )


def model_departures(spec: ExperimentSpec) -> tuple[str, ...]:
    """How the networks are narrower than those of the paper's Tables 6 and 7, or of a baseline's own recipe."""
    model, paper = spec.model, _published(spec)
    ours = [channels(resolution, model) for resolution in model.scales]
    published = [channels(resolution, paper) for resolution in model.scales]
    found = []
    if ours != published:
        found.append(f"{_range(ours)} channels instead of {_range(published)}")
    if model.latent_size != paper.latent_size:
        found.append(f"{model.latent_size} latent dimensions instead of {paper.latent_size}")
    return tuple(found)


def _range(values: list[int]) -> str:
    least, most = min(values), max(values)
    return str(most) if least == most else f"{least} to {most}"


def dataset_departures(dataset: Dataset) -> tuple[str, ...]:
    """How the images are fewer than, or other than, the published dataset's."""
    manifest = dataset.manifest
    if dataset.stand_in:
        images = manifest.count if manifest else dataset.spec.drawn or dataset.spec.num_images
        number = f"{images:,} images" if images is not None else "images"
        return (f"{number} drawn by msgbench in place of {dataset.spec.name}",)
    if manifest is not None and manifest.count < manifest.source.expected_count:
        published = manifest.source.expected_count
        return (f"{manifest.count:,} of the {published:,} published images of {dataset.spec.name}",)
    return ()


def protocol_departures(protocol: Protocol) -> tuple[str, ...]:
    """How a measurement is smaller than, or other than, the published one."""
    if protocol.extractor == SMALL:
        return (
            f"scored by {protocol.extractor} on {protocol.num_fake:,} images, not by Inception on 50,000",
        )
    if not protocol.comparable_with_paper:
        return (f"scored by {protocol.name} instead of the paper's protocol",)
    largest = max(p.num_fake for p in PROTOCOLS.values() if p.metric == protocol.metric)
    if protocol.num_fake < largest:
        return (f"scored on {protocol.num_fake:,} images instead of {largest:,}",)
    return ()


def not_comparable(protocol: Protocol) -> str:
    """Why scores of `protocol` do not stand beside the paper's, as a sentence."""
    if protocol.extractor == SMALL:
        return f"Scores by {protocol.extractor} do not compare with the paper's, which are by Inception."
    return (
        f"Scores by {protocol.name} do not compare with the paper's, whose FID is fid50k's (50,000 reals of the "
        "repeating, mirrored stream) and whose IS is is50k's."
    )


def count(images: int) -> str:
    """A number of images as tables print it: `4,000`, `12M`, `1.5M`."""
    if images >= kimg_to_nimg(1000):
        return f"{images / 1e6:.4g}M"
    return f"{images:,}"


def counted(number: int, what: str) -> str:
    """`1 thread`, `2 threads`."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def statement(tier: Tier, departures: tuple[str, ...]) -> str:
    """The sentence that stands wherever numbers of a scaled-down run are shown; empty for none."""
    if tier == "paper" and not departures:
        return ""
    what = "; ".join(_joined(departures)) if departures else "see config.yaml"
    return f"{tier} tier: scaled down ({what}); nothing here is a reproduction"


def _joined(departures: tuple[str, ...]) -> list[str]:
    """`departures` with those that differ in the published side alone as one: "32 px instead of 1024 or 256"."""
    sides: dict[tuple[str, str], list[str]] = {}
    for departure in departures:
        word = next((word for word in _BETWEEN if word in departure), "")
        ours, _, published = departure.partition(word) if word else (departure, "", "")
        sides.setdefault((ours, word), []).append(published)
    return [f"{ours}{word}{_either(published)}" for (ours, word), published in sides.items()]


def _either(names: list[str]) -> str:
    names = list(dict.fromkeys(names))
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def table_departures(rows: list[tuple[str, ...]], protocol: Protocol) -> tuple[str, ...]:
    """The departures of all rows of a table, each once, and those of its protocol."""
    found = [departure for row in rows for departure in row]
    found += protocol_departures(protocol)
    return tuple(dict.fromkeys(found))


def _value(printed: dict[str, Printed], column: str) -> float | None:
    return printed[column].value if column in printed else None
