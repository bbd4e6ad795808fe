"""Typed specs: what an experiment is, resolved and complete. Not how config.yaml is laid out (document.py).

Every field states its meaning, unit and allowed values here, once: the JSON schema for editors and the
error sentences are generated from these classes. All specs are frozen.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from msgbench.config.base import Spec, fingerprint_of
from msgbench.config.dataset import DATASET_FORMAT as DATASET_FORMAT
from msgbench.config.dataset import DatasetSpec as DatasetSpec
from msgbench.config.growing import GrowingSpec
from msgbench.config.keep import as_words, check_words
from msgbench.config.model import ModelSpec
from msgbench.config.objective import EmaSpec, LossSpec, OptimizerSpec
from msgbench.config.schedule import Schedule
from msgbench.errors import ConfigError
from msgbench.units import kimg_to_nimg

# Bumped by hand when the same spec would give other bits: it is part of every fingerprint, so that
# a changed format is a new run folder and never overwrites what cost compute time.
TRAINING_FORMAT = 2

Tier = Literal["smoke", "mini", "paper"]
TIERS: tuple[Tier, ...] = ("smoke", "mini", "paper")


class TrainingSpec(Spec):
    """Length, batch and bookkeeping of a training; all lengths in thousands of images shown."""

    batch_size: int = Field(
        ge=1,
        description="images per discriminator step and per generator step; growing.batch_sizes goes before it",
    )
    total_kimg: float = Field(
        gt=0, description="length of the training in thousands of real images shown"
    )
    snapshot_kimg: float = Field(
        gt=0, description="distance between snapshots (the networks that are measured)"
    )
    state_kimg: float = Field(
        gt=0, description="distance between training states (what a resume needs)"
    )
    grid_kimg: float = Field(
        gt=0, description="distance between grids of fixed latents at every scale"
    )
    stats_kimg: float = Field(gt=0, description="distance between lines of stats.jsonl")
    observe_kimg: float | None = Field(
        default=None,
        gt=0,
        description="distance between two looks at the images of fixed latents (Figure 6); empty = one pass over the "
        "dataset, the epoch of the papers",
    )
    num_threads: int = Field(
        ge=1, description="CPU threads of torch; part of the spec because they change the bits"
    )
    precision: Literal["float32", "tf32", "bfloat16"] = Field(
        default="float32",
        description="arithmetic inside the networks; parameters, statistics, images and scores stay float32. `tf32`: "
        "float32 whose products round to 10 bits on GPUs that have TF32 (Ampere and later), float32 elsewhere",
    )

    compile: Literal["none", "default"] = Field(
        default="none",
        description="`default`: the costly functions of a step are compiled (torch.compile) for the shapes of each "
        "phase, which takes minutes once and rounds in another order; `none`: they are run as they are written",
    )
    second_derivatives: Literal["autograd", "direct"] = Field(
        default="autograd",
        description="how the discriminator's convolutions are derived for a penalty's gradient. `direct`: by the "
        "library's weight gradient, faster; `autograd`: as torch does it, by convolutions with kernels as large as the "
        "images. The same mathematics, rounded in another order; `compile: default` needs `autograd`",
    )
    micro_batch_size: int | None = Field(
        default=None,
        ge=1,
        description="images that a process works on at a time, at most; a step adds up their gradients until it has "
        "its whole batch. A multiple of model.mbstd_group_size; empty = all of a process's share. Saves memory, "
        "changes nothing but rounding, and is not part of the fingerprint",
    )

    @model_validator(mode="after")
    def _check(self) -> TrainingSpec:
        shown = kimg_to_nimg(self.total_kimg)
        if shown < self.batch_size:
            raise ValueError(
                f"total_kimg {self.total_kimg} is {shown} images, less than one batch of {self.batch_size}"
            )
        if self.compile != "none" and self.second_derivatives != "autograd":
            raise ValueError(
                f"second_derivatives {self.second_derivatives} is not allowed with compile {self.compile}; allowed: "
                "autograd"
            )
        return self


class EvaluationSpec(Spec):
    """What is measured of every snapshot; not part of the run's fingerprint (nothing retrains for it)."""

    protocols: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        min_length=1, description="names from msgbench/protocols.py"
    )
    batch_size: int = Field(
        default=100, ge=1, description="images per pass through generator and extractor"
    )
    keep: Annotated[
        tuple[str, ...],
        Field(strict=False),
        BeforeValidator(as_words),
        AfterValidator(check_words),
        WithJsonSchema(
            {"anyOf": [{"type": "string"}, {"items": {"type": "string"}, "type": "array"}]}
        ),
    ] = Field(
        default=("all",),
        description="snapshots that stay after they were measured by all protocols: `all`, or a list of `best` "
        "(by each protocol), `final`, `every N kimg`, `N kimg`; the others are deleted and accounted for",
    )


class ExperimentSpec(Spec):
    """One experiment, resolved: method x dataset x variation. A run is an experiment with a seed."""

    method: str = Field(description="the method's key under `methods` in config.yaml")
    dataset: DatasetSpec
    model: ModelSpec
    loss: LossSpec
    optimizer: OptimizerSpec
    ema: EmaSpec
    training: TrainingSpec
    growing: GrowingSpec | None = Field(
        default=None,
        description="schedule of a baseline with progressive growing; empty = all scales at once (MSG-GAN)",
    )
    evaluation: EvaluationSpec
    seeds: Annotated[tuple[int, ...], Field(strict=False)] = Field(
        min_length=1, description="one run for each seed"
    )

    @model_validator(mode="after")
    def _check(self) -> ExperimentSpec:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)} name one seed twice")
        if any(seed < 0 for seed in self.seeds):
            raise ValueError(
                f"seeds {list(self.seeds)} are not allowed; allowed: whole numbers from 0"
            )
        self._check_growing()
        for batch_size in self.schedule.batch_sizes:
            group = min(self.model.mbstd_group_size or 1, batch_size)
            if self.model.mbstd != "off" and batch_size % group:
                key = "training.batch_size" if self.growing is None else "growing.batch_sizes:"
                raise ValueError(
                    f"{key} {batch_size} is not a multiple of model.mbstd_group_size {self.model.mbstd_group_size}"
                )
        self._check_micro_batch()
        return self

    def _check_micro_batch(self) -> None:
        micro = self.training.micro_batch_size
        if micro is None or self.model.mbstd == "off":
            return
        if self.model.mbstd_group_size is None:
            if micro < max(self.schedule.batch_sizes):
                raise ValueError(
                    f"training.micro_batch_size {micro} would split the batch, and MinibatchStdDev looks at the whole "
                    "batch (model.mbstd_group_size is empty); allowed: leave it empty"
                )
        elif micro % self.model.mbstd_group_size:
            raise ValueError(
                f"training.micro_batch_size {micro} is not allowed; allowed: multiples of model.mbstd_group_size "
                f"{self.model.mbstd_group_size}, so that a group stays whole"
            )

    def _check_growing(self) -> None:
        growing = self.growing
        if self.model.growing != (growing is not None):
            raise ValueError(
                f"model.growing {self.model.growing} does not fit: it is filled in from the section `growing`"
            )
        if self.loss.style_mixing > 0 and (self.model.family != "stylegan" or growing is None):
            raise ValueError(
                f"loss.style_mixing {self.loss.style_mixing:g} does not fit a generator that is not StyleGAN's or that "
                "is trained at all scales at once, where mixing is not possible (paper, section 4); allowed: 0"
            )
        if growing is None:
            return
        if growing.start_resolution > self.model.resolution:
            raise ValueError(
                f"growing.start_resolution {growing.start_resolution} is larger than the dataset's "
                f"{self.model.resolution} px"
            )
        rates = (self.optimizer.g_lr, self.optimizer.d_lr)
        if growing.learning_rates and any(rate is not None for rate in rates):
            raise ValueError(
                "growing.learning_rates are those of both networks, so optimizer.g_lr and d_lr have no effect; "
                "allowed: either the one or the other"
            )
        if self.loss.relativistic:
            raise ValueError(
                f"loss.adversarial {self.loss.adversarial} is not built for growing networks; "
                "allowed: wgan, non_saturating, hinge, lsgan"
            )
        batch = max(self.schedule.batch_sizes)
        if growing.repeats * batch > kimg_to_nimg(growing.stable_kimg):
            raise ValueError(
                f"growing.repeats {growing.repeats} steps of {batch} images do not fit into growing.stable_kimg "
                f"{growing.stable_kimg:g}; allowed: fewer steps or images between two looks at the schedule"
            )
        if self.schedule.total_nimg < self.schedule.full_from_nimg:
            raise ValueError(
                f"training.total_kimg {self.training.total_kimg:g} ends before the networks have grown to "
                f"{self.model.resolution} px, at {self.schedule.full_from_nimg / 1000:g} kimg; allowed: more, or "
                "shorter growing.stable_kimg and fade_kimg"
            )

    @cached_property
    def schedule(self) -> Schedule:
        """When its steps, resolutions and everything periodic happen."""
        training = self.training
        return Schedule(
            self.model.resolution, training.total_kimg, training.batch_size, self.growing
        )

    @property
    def fingerprint(self) -> str:
        """Fingerprint of all that decides the bits of a training; paths, seeds and measuring are left out."""
        payload = self.model_dump(
            mode="json",
            exclude={
                "method": True,
                "evaluation": True,
                "seeds": True,
                "dataset": True,
                "growing": {"recipe"},
                "training": {"micro_batch_size"},
            },
        )
        payload["dataset"] = self.dataset.deciding()
        _leave_out_later_fields(payload)
        return fingerprint_of({"format": TRAINING_FORMAT, "experiment": payload})


def _leave_out_later_fields(payload: dict[str, Any]) -> None:
    """Take out of a fingerprint what came after runs were made, where it says what they all did.

    So that a version that can do more does not train anew what is finished. A value that was no choice before
    (`growing`, `style_mixing`, D's pooling of each family) is one of these.
    """
    model, loss = payload["model"], payload["loss"]
    if payload["training"]["observe_kimg"] is None:
        del payload["training"]["observe_kimg"]
    if payload["growing"] is None:
        del payload["growing"], model["growing"]
        if (model["pooling"] == "before_activation") == (model["family"] == "stylegan"):
            del model["pooling"]
    if model["lin_cat_activation"] == "linear":
        del model["lin_cat_activation"]
    if loss["style_mixing"] == 0:
        del loss["style_mixing"]
    if payload["training"]["compile"] == "none":
        del payload["training"]["compile"]
    if payload["training"]["second_derivatives"] == "autograd":
        del payload["training"]["second_derivatives"]


class RunSpec(Spec):
    """spec.json of a run folder: everything that the commands after `plan` need to know."""

    schema_: Literal["msgbench.run/1"] = Field(default="msgbench.run/1", alias="schema")
    tier: Tier
    experiment: str
    seed: int = Field(ge=0)
    fingerprint: str
    spec: ExperimentSpec

    @property
    def run_id(self) -> str:
        """`experiment/fingerprint[:8]/seed<k>`: the run's name in tables, logs and job names."""
        return f"{self.experiment}/{self.fingerprint[:8]}/seed{self.seed}"

    def to_json(self) -> dict[str, Any]:
        """The content of spec.json."""
        return self.model_dump(mode="json", by_alias=True)

    @classmethod
    def read(cls, run_dir: Path) -> RunSpec:
        """spec.json of `run_dir`; raises ConfigError when it is missing, broken or edited by hand."""
        path = run_dir / "spec.json"
        try:
            run = cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise ConfigError(
                f"{run_dir}: is not a run directory (no spec.json); make one with `msgbench plan`"
            ) from None
        except ValueError as error:
            first = str(error).splitlines()[0]
            raise ConfigError(
                f"{path}: is not a valid run spec ({first}); make it again with `msgbench plan`"
            ) from None
        if run.spec.fingerprint != run.fingerprint:
            raise ConfigError(
                f"{path}: its fingerprint is {run.fingerprint[:8]}, its content gives {run.spec.fingerprint[:8]}; "
                "change the experiment in config.yaml instead of editing the spec (or use the version of msgbench that "
                "planned it)"
            )
        return run
