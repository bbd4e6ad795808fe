"""ModelSpec: which generator and discriminator an experiment trains.

What differs from family to family (combine function, PixNorm, FromRGB's activation, MinBatchStd) has its
default by family, variant and whether the networks grow; a resolved spec states all of it, so that its fingerprint
covers it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from msgbench.config.base import Spec, check_resolution
from msgbench.units import scales

# Which scales enter the discriminator beside the largest, which always does (paper, Table 4). At a small
# resolution two words may mean the same inputs: at 32 px "fine" is "none".
CONNECTION_LEVELS: dict[str, tuple[int, ...]] = {
    "none": (),
    "coarse": (4, 8),
    "middle": (16, 32),
    "fine": (64, 128, 256, 512),
    "all": scales(1024),
}

_ALLOWED_CONNECTIONS = f"{', '.join(CONNECTION_LEVELS)}, or a list of resolutions"

# Where the default of a field hangs on (family, variant), it stands here.
_DEFAULTS: dict[tuple[str, str], dict[str, Any]] = {
    # MSG-StyleGAN's published discriminator; AdaIN takes PixNorm's place in its generator.
    ("stylegan", "paper"): {
        "combine": "phi_cat_lin",
        "pixel_norm": "off",
        "from_rgb_activation": "lrelu",
        "pooling": "before_activation",
    },
    # The first version's code: one statistic of the whole batch, in the last block alone.
    ("progan", "bmsg"): {
        "combine": "phi_lin_cat",
        "gains": "bmsg",
        "mbstd": "last_block",
        "mbstd_group_size": None,
    },
}
_DEFAULTS["progan", "bbmsg"] = _DEFAULTS["progan", "bmsg"]

# The same for networks that grow: ProGAN's and StyleGAN's own.
_GROWING: dict[str, dict[str, Any]] = {
    "progan": {
        "pixel_norm": "after_all",
        "from_rgb_activation": "lrelu",
        "mbstd": "last_block",
        "pooling": "before_activation",
        "combine": "phi_simple",
        "connections": "none",
    },
    "stylegan": {"mbstd": "last_block", "combine": "phi_simple", "connections": "none"},
}


def _form_of_connections(value: object) -> object:
    """Refuses what is neither a level nor a list of whole numbers; lists become tuples."""
    if isinstance(value, str) and value in CONNECTION_LEVELS:
        return value
    if isinstance(value, list | tuple) and all(type(part) is int for part in value):
        return tuple(value)
    raise ValueError(f"{value!r} is not allowed; allowed: {_ALLOWED_CONNECTIONS}")


Connections = Annotated[
    str | tuple[int, ...],
    BeforeValidator(_form_of_connections),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "enum": list(CONNECTION_LEVELS)},
                {"type": "array", "items": {"type": "integer"}},
            ]
        }
    ),
]


class ModelSpec(Spec):
    """Generator and discriminator (paper, Tables 6 and 7, and the authors' code for MSG-StyleGAN)."""

    family: Literal["progan", "stylegan"] = Field(
        description="base architecture: `progan` = MSG-ProGAN, `stylegan` = MSG-StyleGAN"
    )
    variant: Literal["paper", "bmsg", "bbmsg"] = Field(
        default="paper",
        description="`paper`; of `progan` also the networks of the first version's code: `bmsg` (half of every "
        "discriminator block's channels come from the image) and `bbmsg` (that, twice as wide)",
    )
    resolution: int = Field(description="side of the largest images; filled in from the dataset")
    latent_size: int = Field(default=512, ge=1, description="length of z (paper, section 3.1: 512)")
    fmap_base: int = Field(
        default=8192, ge=1, description="channels at stage s = min(fmap_base / 2^s, fmap_max)"
    )
    fmap_max: int = Field(
        default=512, ge=1, description="most channels of any layer before width_multiplier"
    )
    width_multiplier: float = Field(
        default=1.0, gt=0, le=1, description="scales every channel count; 1 = as published"
    )
    combine: Literal["phi_simple", "phi_lin_cat", "phi_cat_lin"] = Field(
        default="phi_simple",
        description="how an image enters a discriminator block (paper, equations 11 to 13); default of "
        "`stylegan`: phi_cat_lin, of `bmsg` and `bbmsg`: phi_lin_cat",
    )
    lin_cat_activation: Literal["linear", "lrelu"] = Field(
        default="linear",
        description="after the 1x1 convolution of phi_lin_cat: linear (paper, section 6.1), or lrelu, as in a part of "
        "MSG-StyleGAN's code that nothing calls",
    )
    connections: Connections = Field(
        default="all",
        description="scales that enter the discriminator (paper, Table 4): all, none, coarse (4, 8), middle (16, 32), "
        "fine (64 to 512), or a list of resolutions; the largest always does",
    )
    mbstd: Literal["every_block", "last_block", "off"] = Field(
        default="every_block",
        description="where MinibatchStdDev stands in the discriminator (paper, section 3.1: in every block); "
        "default of `bmsg`, `bbmsg` and growing networks: last_block",
    )
    mbstd_group_size: int | None = Field(
        default=4,
        ge=1,
        description="samples per group of MinibatchStdDev; null = the whole batch, the default of `bmsg` and `bbmsg`",
    )
    pixel_norm: Literal["after_3x3", "after_all", "off"] = Field(
        default="after_3x3",
        description="PixNorm in the generator of `progan`: after every 3x3 convolution (paper), after the first "
        "4x4 layer too (ProGAN's code), or nowhere; `stylegan` has none",
    )
    equalized_lr: bool = Field(
        default=True,
        description="equalised learning rate: weights are scaled when used, not when drawn (ProGAN, section 4.1)",
    )
    gains: Literal["progan", "bmsg"] = Field(
        default="progan",
        description="gains of the layers without activation: 1 and ProGAN's for the first layer, or "
        "`bmsg`: sqrt(2) everywhere (default of `bmsg` and `bbmsg`)",
    )
    from_rgb_activation: Literal["linear", "lrelu"] = Field(
        default="linear",
        description="after FromRGB (paper, Table 7: linear); default of `stylegan` and of growing networks: lrelu",
    )
    pooling: Literal["after_activation", "before_activation"] = Field(
        default="after_activation",
        description="where a block of D halves its activations: after its last activation (paper, Table 7), or "
        "between its last convolution and activation (default of `stylegan` and of growing networks, as in their code)",
    )
    growing: bool = Field(
        default=False,
        description="one image of a resolution that grows instead of all scales at once; filled in: true where the "
        "experiment has a section `growing`",
    )
    to_rgb_activation: Literal["linear", "tanh"] = Field(
        default="linear",
        description="after every ToRGB: linear, or tanh as in the authors' oldest code",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        """Defaults by family and variant, and `connections` as a list of resolutions."""
        if not isinstance(data, dict):
            return data
        kind = str(data.get("family")), str(data.get("variant", "paper"))
        growing = _GROWING.get(kind[0], {}) if data.get("growing") is True else {}
        data = {**_DEFAULTS.get(kind, {}), **growing, **data}
        stated, resolution = data.get("connections", "all"), data.get("resolution")
        if type(resolution) is int and isinstance(stated, str | list | tuple):
            # A wrong resolution or form has its own sentence further on.
            try:
                check_resolution(resolution)
                stated = _form_of_connections(stated)
            except ValueError:
                return data
            data["connections"] = _connected(stated, resolution)
        return data

    @model_validator(mode="after")
    def _check(self) -> ModelSpec:
        check_resolution(self.resolution)
        where = f"family {self.family}"
        if self.family == "stylegan":
            _only(where, "variant", self.variant, "paper")
            _only(where, "pixel_norm", self.pixel_norm, "off")
            _only(where, "gains", self.gains, "progan")
            _only(where, "pooling", self.pooling, "before_activation")
        if self.growing:
            where = "a growing discriminator, which looks at one image"
            _only(where, "variant", self.variant, "paper")
            _only(where, "combine", self.combine, "phi_simple")
            if self.connected[:-1]:
                raise ValueError(
                    f"connections {list(self.connected[:-1])} do not fit {where}; allowed: none"
                )
        if self.variant != "paper":
            _only(f"variant {self.variant}", "combine", self.combine, "phi_lin_cat")
        if self.combine != "phi_lin_cat":
            _only(
                f"combine {self.combine}", "lin_cat_activation", self.lin_cat_activation, "linear"
            )
        for resolution in self.connected:
            if resolution not in self.scales:
                raise ValueError(
                    f"connections name the resolution {resolution}; allowed: {', '.join(map(str, self.scales))}"
                )
        if len(set(self.connected)) != len(self.connected):
            raise ValueError(f"connections {list(self.connected)} name one resolution twice")
        return self

    @property
    def scales(self) -> tuple[int, ...]:
        """Resolutions of the generator's outputs, lowest first."""
        return scales(self.resolution)

    @property
    def connected(self) -> tuple[int, ...]:
        """Resolutions of the images that the discriminator looks at, lowest first; the largest is the last."""
        assert isinstance(self.connections, tuple), "a validated spec holds a list"
        return self.connections

    def connections_at(self, resolution: int) -> list[int]:
        """Connections of these networks at another resolution: all where all are connected, else those that exist."""
        if self.connected == self.scales:
            return list(scales(resolution))
        return [connected for connected in self.connected if connected < resolution]


def _connected(stated: object, resolution: int) -> tuple[int, ...]:
    """`connections` as resolutions, the largest included; a level keeps those that exist here."""
    if isinstance(stated, str):
        stated = tuple(r for r in CONNECTION_LEVELS[stated] if r < resolution)
    assert isinstance(stated, tuple)
    top = () if resolution in stated else (resolution,)
    return tuple(sorted((*stated, *top)))


def _only(where: str, field: str, value: object, allowed: str) -> None:
    if value != allowed:
        raise ValueError(f"{field} {value} does not fit {where}; allowed: {allowed}")
