"""Tables 6 and 7 of the paper, from the networks as they are built, and the same for any experiment.

Markdown for a person, CSV for a program. The rows come from a pass of the built modules on the meta device
(models/describe.py), so a table can only say what the code does.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from msgbench.config import LAYER_TABLES, ModelSpec
from msgbench.errors import ConfigError
from msgbench.layout import Layout
from msgbench.models.describe import LayerRow, discriminator_table, generator_table
from msgbench.records import write_text

# The networks that the paper's tables describe: "Model full".
PUBLISHED = ModelSpec(family="progan", resolution=1024)

_TITLES = {
    "table6": "Table 6: generator of MSG-ProGAN",
    "table7": "Table 7: discriminator of MSG-ProGAN",
}
_NOTES = {
    "table6": "ToRGB follows every block; the paper says so in its text and leaves it out of the table.",
    "table7": 'The paper prints the images of block 9 as "Raw RGB images 7", the number of those of block 8; '
    "they are number 8.",
}


def write_layer_table(name: str, layout: Layout) -> None:
    """Write the paper's table `name` as CSV and Markdown below `layout`.

    Raises ConfigError for another name than table6 and table7.
    """
    if name not in LAYER_TABLES:
        raise ConfigError(f"{name}: is no layer table; allowed: {', '.join(LAYER_TABLES)}")
    rows = generator_table(PUBLISHED) if name == "table6" else discriminator_table(PUBLISHED)
    lines = [*_section(_TITLES[name], rows), "", _NOTES[name]]
    write_text(layout.table_csv(name), as_csv(rows))
    write_text(layout.table_md(name), "\n".join(lines) + "\n")


def describe(name: str, model: ModelSpec) -> list[str]:
    """Both networks of the experiment `name` in the form of Tables 6 and 7, as lines of Markdown."""
    inputs = ", ".join(map(str, model.connected))
    looks_at = f"{model.combine}, images of {inputs} px"
    if model.growing:
        looks_at = f"growing, at its full {model.resolution} px"
    lines = [
        *_section(f"Generator of {name} ({model.family}, {model.variant})", generator_table(model)),
        "",
        *_section(f"Discriminator of {name} ({looks_at})", discriminator_table(model)),
    ]
    if model.growing:
        lines += [
            "",
            "ToRGB and FromRGB of the lower resolutions take part while the networks grow, and are not shown.",
        ]
    return lines


def as_csv(rows: Sequence[LayerRow]) -> str:
    """The rows as CSV: the columns of the paper, normalisation and parameters."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(
        ["block", "operation", "activation", "output_shape", "normalisation", "parameters"]
    )
    for row in rows:
        writer.writerow(
            [
                row.block,
                row.operation,
                row.activation,
                _shape(row),
                row.normalisation,
                row.parameters,
            ]
        )
    return buffer.getvalue()


def _section(title: str, rows: Sequence[LayerRow]) -> list[str]:
    lines = [
        f"## {title}",
        "",
        "| Block | Operation | Act. | Output Shape | Norm. | Parameters |",
        "|---|---|---|---|---|---:|",
    ]
    before = 0
    for row in rows:
        block = f"{row.block}." if row.block != before else ""
        before = row.block
        parameters = f"{row.parameters:,}" if row.parameters else "-"
        cells = [block, row.operation, row.activation, _shape(row), row.normalisation, parameters]
        lines.append(f"| {' | '.join(cells)} |")
    total = sum(row.parameters for row in rows)
    return [*lines, f"| | all layers | | | | {total:,} |"]


def _shape(row: LayerRow) -> str:
    return " x ".join(map(str, row.shape))
