"""Parameters by the number of scales: one discriminator with connections beside several discriminators (section 1.1).

Counted from a spec alone (models/arithmetic.py, held to the built networks by its tests); no run is needed.
"""

from __future__ import annotations

import pandas as pd

from msgbench.analysis.table_forms import latex_of, markdown_lines
from msgbench.config import ModelSpec
from msgbench.models.arithmetic import discriminator_parameters, generator_parameters
from msgbench.units import LOWEST_RESOLUTION

TITLE = "Parameters of MSG-ProGAN by the number of scales"
NOTE = (
    "Published widths. `added` is what the connections add to the discriminator without them: with phi_simple, 27 "
    "weights for each channel of a connected scale. `one D a scale` is a discriminator for each resolution up to the "
    "largest, as in StackGAN or Pix2PixHD; `factor` is its growth by one more scale, which an exponential would keep."
)


def multi_scale(model: ModelSpec, resolution: int, combine: str | None = None) -> ModelSpec:
    """`model` for images of another size, with all scales connected."""
    other = {"resolution": resolution, "connections": "all", "growing": False}
    if combine is not None:
        other["combine"] = combine
    return ModelSpec.model_validate({**model.model_dump(), **other})


def added_by_scales(model: ModelSpec, resolution: int) -> tuple[int, int]:
    """Parameters that all connections add to the discriminator at `resolution`, and those of one without any."""
    ours = multi_scale(model, resolution)
    alone = discriminator_parameters(ours.model_copy(update={"connections": (resolution,)}))
    return discriminator_parameters(ours) - alone, alone


def parameter_frame(model: ModelSpec) -> pd.DataFrame:
    """One number of scales a row, from two on: exact counts."""
    # Networks for 4 px alone are no configuration, but one of several discriminators would be that small.
    lowest = {"resolution": LOWEST_RESOLUTION, "connections": (LOWEST_RESOLUTION,)}
    rows, several = [], discriminator_parameters(model.model_copy(update=lowest))
    for scales, resolution in enumerate(model.scales[1:], start=2):
        added, alone = added_by_scales(model, resolution)
        before, several = several, several + alone
        rows.append({
            "scales": scales, "resolution": resolution,
            "generator": generator_parameters(multi_scale(model, resolution)),
            "discriminator_without_connections": alone,
            **{
                f"discriminator_{phi}": discriminator_parameters(multi_scale(model, resolution, phi))
                for phi in ("phi_simple", "phi_lin_cat", "phi_cat_lin")
            },
            "added": added, "one_discriminator_a_scale": several, "factor": round(several / before, 4),
        })  # fmt: skip
    return pd.DataFrame(rows)


def parameter_forms(model: ModelSpec) -> tuple[str, str, str]:
    """The table as CSV, Markdown and LaTeX."""
    frame = parameter_frame(model)
    heads = ["Scales", "px", "G", "D alone", "D phi_simple", "D phi_lin_cat", "D phi_cat_lin", "added",
             "one D a scale", "factor"]  # fmt: skip
    body = [
        [f"{value:,}" if isinstance(value, int) else f"{value:.3f}" for value in row]
        for row in frame.astype(object).itertuples(index=False)
    ]
    lines = [f"### {TITLE}", "", *markdown_lines(heads, body), "", NOTE]
    return (
        frame.to_csv(index=False, lineterminator="\n"),
        "\n".join(lines) + "\n",
        latex_of("parameters", f"{TITLE}. {NOTE}", heads, body),
    )
