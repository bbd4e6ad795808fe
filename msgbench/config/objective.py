"""What a training minimises and how: loss, penalty, optimizers and the average of the generator."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field, model_validator

from msgbench.config.base import Spec

# Losses whose generator looks at the scores of reals, too; their formulas, and those of all others, stand in
# losses/adversarial.py.
Relativistic = Literal["ra_hinge", "ra_lsgan"]
Adversarial = Literal["wgan", "non_saturating", "hinge", "lsgan", Relativistic]
RELATIVISTIC: tuple[str, ...] = get_args(Relativistic)

# Penalties that look between real and fake images, and what only one kind of penalty reads.
GRADIENT_PENALTIES = ("gradient_penalty", "one_sided")
_GP_OPTIONS = ("gp_weight", "gp_target", "gp_norm", "gp_mixing")
_R1_OPTIONS = ("r1_gamma", "r1_gradient")


class LossSpec(Spec):
    """Adversarial loss and its penalty. An option that the chosen penalty does not read is refused."""

    adversarial: Adversarial = Field(
        description="`wgan` (paper, section 3.1), `non_saturating` (MSG-StyleGAN), `hinge`, `lsgan`, or the "
        "relativistic average forms `ra_hinge` (first version, section 3.5) and `ra_lsgan`"
    )
    penalty: Literal["gradient_penalty", "one_sided", "r1", "none"] = Field(
        default="gradient_penalty",
        description="penalty on D's gradients, averaged over its connected inputs: `gradient_penalty` (two-sided, "
        "on interpolated images), `one_sided` (the same, only for norms above the target), `r1` (on reals), `none`",
    )
    gp_weight: float = Field(
        default=10.0, ge=0, description="weight of gradient_penalty and one_sided"
    )
    gp_target: float = Field(
        default=1.0, gt=0, description="gradient norm that gradient_penalty and one_sided ask for"
    )
    gp_norm: Literal["each", "joint", "top"] = Field(
        default="each",
        description="`each`: a norm for every input, averaged (paper, section 2); `joint`: one norm of all inputs; "
        "`top`: only that of the largest input, as in WGAN-GP of one image",
    )
    gp_mixing: Literal["shared", "per_scale"] = Field(
        default="shared",
        description="where between real and fake a sample lies: the same at all scales, or drawn for each",
    )
    r1_gamma: float = Field(
        default=10.0, ge=0, description="gamma of R1; its weight is half of it (MSG-StyleGAN: 10)"
    )
    r1_gradient: Literal["total", "partial"] = Field(
        default="total",
        description="`total`: an image's derivative includes what the lower scales owe to it (the authors' code); "
        "`partial`: every scale is an input of its own",
    )
    drift_weight: float = Field(
        default=0.001, ge=0, description="weight of the squared score of the reals"
    )
    generator_batch: Literal["fresh", "reused", "joint"] = Field(
        default="fresh",
        description="what a generator step works on: `fresh` latents (and reals, where a relativistic loss needs "
        "them), or those of the discriminator step, `reused` as in the first version's code, or `joint`: those, and "
        "both networks are updated at once from what they were before (ProGAN's first code on CIFAR-10)",
    )
    style_mixing: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="probability that a step mixes the styles of two latents at a random layer (StyleGAN: 0.9); "
        "of growing StyleGAN networks alone",
    )

    @model_validator(mode="after")
    def _check(self) -> LossSpec:
        readers = dict.fromkeys(_GP_OPTIONS, GRADIENT_PENALTIES) | dict.fromkeys(
            _R1_OPTIONS, ("r1",)
        )
        for name, penalties in readers.items():
            value, default = getattr(self, name), type(self).model_fields[name].default
            if self.penalty not in penalties and value != default:
                raise ValueError(
                    f"{name} {value} has no effect with penalty {self.penalty}; "
                    f"allowed: leave it at {default}, or penalty {' or '.join(penalties)}"
                )
        if self.adversarial == "wgan" and self.penalty == "none":
            raise ValueError(
                "adversarial wgan with penalty none has no bound on its scores; "
                "allowed: penalty gradient_penalty, one_sided or r1"
            )
        return self

    @classmethod
    def published(cls, adversarial: str) -> LossSpec:
        """The recipe that the papers use `adversarial` in; without a penalty where they name none."""
        match adversarial:
            case "wgan":
                options: dict[str, Any] = {}
            case "non_saturating":
                options = {"penalty": "r1", "drift_weight": 0.0}
            case _:
                options = {"penalty": "none", "drift_weight": 0.0}
        return cls.model_validate({"adversarial": adversarial, **options})

    @property
    def relativistic(self) -> bool:
        """Whether the generator's loss needs the scores of reals, too."""
        return self.adversarial in RELATIVISTIC


# What each algorithm is in its home library (reference: TensorFlow 1's and PyTorch's defaults).
_EPS = {"adam": 1e-8, "rmsprop_torch": 1e-8, "rmsprop_tf": 1e-10}
_ALPHA = {"rmsprop_torch": 0.99, "rmsprop_tf": 0.9}


class OptimizerSpec(Spec):
    """The optimizers of both networks: one algorithm, and a learning rate for each where they differ."""

    algorithm: Literal["adam", "rmsprop_torch", "rmsprop_tf"] = Field(
        default="adam",
        description="`adam`: what the authors' code runs for the paper's 'RMSprop'; `rmsprop_torch`, `rmsprop_tf`: "
        "RMSprop as PyTorch or TensorFlow 1 has it (they differ in the first steps and in where eps stands)",
    )
    lr: float = Field(
        default=0.003, gt=0, description="learning rate of both networks (paper: 0.003)"
    )
    g_lr: float | None = Field(
        default=None, gt=0, description="learning rate of the generator; empty = lr"
    )
    d_lr: float | None = Field(
        default=None, gt=0, description="learning rate of the discriminator; empty = lr"
    )
    beta1: float = Field(default=0.0, ge=0, lt=1, description="adam: decay of the first moment")
    beta2: float = Field(default=0.99, ge=0, lt=1, description="adam: decay of the second moment")
    alpha: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="rmsprop: decay of the mean square; empty = 0.99 for rmsprop_torch, 0.9 for rmsprop_tf",
    )
    eps: float | None = Field(
        default=None,
        gt=0,
        description="adam, rmsprop_torch: added to the root of the second moment (empty = 1e-8); rmsprop_tf: added "
        "under the root (empty = 1e-10)",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: Any) -> Any:
        """Empty constants become the algorithm's own, so that the resolved spec holds the numbers used."""
        if not isinstance(given, dict):
            return given
        algorithm = given.get("algorithm", "adam")
        filled = {"eps": _EPS.get(algorithm), "alpha": _ALPHA.get(algorithm)}
        return given | {name: value for name, value in filled.items() if given.get(name) is None}

    @model_validator(mode="after")
    def _check(self) -> OptimizerSpec:
        unread = ("alpha",) if self.algorithm == "adam" else ("beta1", "beta2")
        for name in unread:
            value, default = getattr(self, name), type(self).model_fields[name].default
            if value != default:
                raise ValueError(
                    f"{name} {value:g} has no effect with algorithm {self.algorithm}; "
                    f"allowed: {'leave it empty' if default is None else f'leave it at {default:g}'}"
                )
        return self

    def lr_of(self, network: Literal["G", "D"]) -> float:
        """The learning rate of one network."""
        own = self.g_lr if network == "G" else self.d_lr
        return self.lr if own is None else own


class EmaSpec(Spec):
    """Moving average of the generator's parameters: exactly one of beta and halflife_kimg, or none at all."""

    beta: float | None = Field(default=None, ge=0, lt=1, description="decay per generator step")
    halflife_kimg: float | None = Field(
        default=None, gt=0, description="half-life in thousands of images"
    )
    enabled: bool = Field(
        default=True, description="false: no average; the generator itself is kept and measured"
    )

    @model_validator(mode="after")
    def _check(self) -> EmaSpec:
        if not self.enabled:
            if self.beta is not None or self.halflife_kimg is not None:
                raise ValueError("enabled: false takes neither beta nor halflife_kimg")
        elif (self.beta is None) == (self.halflife_kimg is None):
            raise ValueError("give exactly one of beta and halflife_kimg")
        return self

    def beta_for(self, batch_size: int) -> float:
        """Decay of one step that shows `batch_size` images; 0.5 ** (batch / half-life) for a half-life, 0 for none."""
        if not self.enabled:
            return 0.0
        if self.beta is not None:
            return self.beta
        assert self.halflife_kimg is not None
        return float(0.5 ** (batch_size / (self.halflife_kimg * 1000)))
