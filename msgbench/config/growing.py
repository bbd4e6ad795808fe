"""Progressive growing: which resolution is trained when, with which batch and learning rate.

The baselines of the paper start with small images and fade larger ones in (ProGAN, section 2); MSG-GAN trains all
scales at once and has no such section. Presets that are named after numbers of GPUs are recipes: lists of batches and
learning rates, whatever they are run on. The arithmetic of the schedule stands in schedule.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, field_validator, model_validator

from msgbench.config.base import Spec
from msgbench.units import HIGHEST_RESOLUTION, LOWEST_RESOLUTION, scales

_RESOLUTIONS = scales(HIGHEST_RESOLUTION)

# A key of a mapping: JSON has texts there, YAML numbers.
Resolution = Annotated[int, Field(strict=False)]
Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0)]

ValueT = TypeVar("ValueT", int, float)

# Learning rates of StyleGAN (its train.py): those of ProGAN's eight GPUs, whatever the number of GPUs.
_STYLEGAN_RATES = {128: 0.0015, 256: 0.002, 512: 0.003, 1024: 0.003}


def _recipe(batches: dict[int, int], rates: dict[int, float], **more: Any) -> dict[str, Any]:
    return {"batch_sizes": batches, "learning_rates": rates, **more}


def _stylegan(batches: dict[int, int]) -> dict[str, Any]:
    return _recipe(batches, _STYLEGAN_RATES, start_resolution=8)


_BATCHES_1GPU = {4: 128, 8: 128, 16: 128, 32: 64, 64: 32, 128: 16, 256: 8, 512: 4}
_BATCHES_2GPU = {4: 256, 8: 256, 16: 128, 32: 64, 64: 32, 128: 16, 256: 8}
_BATCHES_4GPU = {4: 512, 8: 256, 16: 128, 32: 64, 64: 32, 128: 16}
_BATCHES_8GPU = {4: 512, 8: 256, 16: 128, 32: 64, 64: 32}

RECIPES: dict[str, dict[str, Any]] = {
    # ProGAN's presets (its config.py; base learning rate 0.001 where none is listed).
    "progan-v1-1gpu": _recipe({4: 16, 256: 14, 512: 6, 1024: 3}, {}, stable_kimg=800.0, fade_kimg=800.0),
    "progan-v2-1gpu": _recipe(_BATCHES_1GPU, {1024: 0.0015}),
    "progan-v2-2gpu": _recipe(_BATCHES_2GPU, {512: 0.0015, 1024: 0.002}),
    "progan-v2-4gpu": _recipe(_BATCHES_4GPU, {256: 0.0015, 512: 0.002, 1024: 0.003}),
    "progan-v2-8gpu": _recipe(_BATCHES_8GPU, {128: 0.0015, 256: 0.002, 512: 0.003, 1024: 0.003}),
    # ProGAN's first code (Theano), CIFAR-10, Inception Score 8.80: one step between two looks at the schedule.
    "progan-cifar10": _recipe({4: 16}, {}, stable_kimg=400.0, fade_kimg=400.0, repeats=1),
    # The MSG-GAN authors' own ProGAN on CelebA-HQ (its celeba-hq.conf): 27 epochs of 30,000 images at 4 px, then
    # 54 at each resolution, fading in during the first half of them. That is 810 kimg of either, in turn.
    "progan-authors-celeba-hq": _recipe(
        {4: 64, 256: 56, 512: 24, 1024: 12},
        {},
        stable_kimg=810.0,
        fade_kimg=810.0,
        repeats=1,
        optimizer_reset=False,
        penalty_pixels="shown",
        reals="exact",
    ),
    # StyleGAN's lists (its train.py).
    "stylegan-1gpu": _stylegan(_BATCHES_1GPU),
    "stylegan-2gpu": _stylegan(_BATCHES_2GPU),
    "stylegan-4gpu": _stylegan(_BATCHES_4GPU),
    "stylegan-8gpu": _stylegan(_BATCHES_8GPU),
}  # fmt: skip


# What else belongs to a recipe as published, beside its lists: of the networks and of the losses.
PUBLISHED_WITH: dict[str, dict[str, dict[str, Any]]] = {
    "progan-cifar10": {
        "model": {
            "latent_size": 128,
            "fmap_base": 4096,
            "fmap_max": 128,
            "mbstd_group_size": None,
            "pooling": "after_activation",
        },
        "loss": {"gp_target": 750.0, "generator_batch": "joint"},
    },
    "progan-authors-celeba-hq": {
        "model": {
            "mbstd_group_size": None,
            "gains": "bmsg",
            "from_rgb_activation": "linear",
            "pixel_norm": "after_3x3",
            "pooling": "after_activation",
        },
        "loss": {"generator_batch": "reused"},
    },
    "progan-v1-1gpu": {"model": {"mbstd_group_size": 16}},
    **{name: {"loss": {"style_mixing": 0.9}} for name in RECIPES if name.startswith("stylegan")},
}


class GrowingSpec(Spec):
    """The schedule of a growing baseline: stable at one resolution, then the next one is faded in, and so on."""

    recipe: str | None = Field(
        default=None,
        description=f"published lists that fill in what is not given here: {', '.join(RECIPES)}",
    )
    start_resolution: int = Field(
        default=LOWEST_RESOLUTION, description="side of the first images (ProGAN: 4, StyleGAN: 8)"
    )
    stable_kimg: float = Field(
        default=600.0, gt=0, description="thousands of images at a resolution before the next one"
    )
    fade_kimg: float = Field(
        default=600.0, ge=0, description="thousands of images that fade the next resolution in"
    )
    batch_sizes: dict[Resolution, Positive] = Field(
        default_factory=dict,
        description="images per step by resolution; one that is not listed has what the next smaller listed one has, "
        "and training.batch_size below the first",
    )
    learning_rates: dict[Resolution, Rate] = Field(
        default_factory=dict,
        description="learning rate of both networks by resolution, listed as batch_sizes; optimizer.lr below the first",
    )
    repeats: int = Field(
        default=4,
        ge=1,
        description="steps between two looks at the schedule (minibatch_repeats of ProGAN and StyleGAN)",
    )
    optimizer_reset: bool = Field(
        default=True,
        description="start the optimizers' moments anew wherever a fade begins or ends (ProGAN, StyleGAN)",
    )
    penalty_pixels: Literal["full", "shown"] = Field(
        default="full",
        description="pixels that the penalty's gradients are taken by: of the image enlarged to the `full` "
        "resolution, as in ProGAN's and StyleGAN's code, or as `shown` at the present one",
    )

    reals: Literal["rounded", "exact"] = Field(
        default="rounded",
        description="real images below full resolution: means of squares `rounded` to 8 bits, as ProGAN's and "
        "StyleGAN's datasets hold them, or `exact`",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        """What the recipe says, where nothing else is stated."""
        if isinstance(data, dict) and data.get("recipe") in RECIPES:
            return {**RECIPES[data["recipe"]], **data}
        return data

    @field_validator("recipe")
    @classmethod
    def _known(cls, recipe: str | None) -> str | None:
        if recipe is not None and recipe not in RECIPES:
            raise ValueError(f"{recipe!r} is not allowed; allowed: {', '.join(RECIPES)}")
        return recipe

    @model_validator(mode="after")
    def _check(self) -> GrowingSpec:
        if self.start_resolution not in _RESOLUTIONS:
            raise ValueError(
                f"start_resolution {self.start_resolution} is not allowed; allowed: a power of two from 4 on"
            )
        lists = {"batch_sizes": list(self.batch_sizes), "learning_rates": list(self.learning_rates)}
        for name, resolutions in lists.items():
            for resolution in resolutions:
                if resolution not in _RESOLUTIONS:
                    raise ValueError(
                        f"{name} names the resolution {resolution}; allowed: powers of two from 4 to 1024"
                    )
        return self

    def departures(self) -> tuple[tuple[str, Any, Any], ...]:
        """(field, value here, value of the recipe) wherever this is not the recipe; ProGAN's lengths without one."""
        recipe = GrowingSpec(recipe=self.recipe)
        return tuple(
            (name, getattr(self, name), getattr(recipe, name))
            for name in type(self).model_fields
            if getattr(self, name) != getattr(recipe, name)
        )

    def batch_size(self, resolution: int, otherwise: int) -> int:
        """Images per step at `resolution`."""
        return _listed(self.batch_sizes, resolution) or otherwise

    def learning_rate(self, resolution: int) -> float | None:
        """Learning rate of both networks at `resolution`; None: the optimizer's own."""
        return _listed(self.learning_rates, resolution)


def _listed(values: Mapping[int, ValueT], resolution: int) -> ValueT | None:
    """What `values` has at `resolution` or at the next smaller one it has."""
    known = [listed for listed in values if listed <= resolution]
    return values[max(known)] if known else None
