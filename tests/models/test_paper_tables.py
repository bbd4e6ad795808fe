"""The networks against the paper's Tables 6 and 7 and the parameter counts of the references."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from msgbench.layer_tables import write_layer_table
from msgbench.layout import Layout
from msgbench.models.build import build_generator
from msgbench.models.describe import (
    discriminator_table,
    generator_table,
    layer_table,
)

ROOT = Path(__file__).resolve().parents[2]

# Table 6 row by row, as printed: block, operation, activation, output shape.
TABLE_6 = [
    (1, "Latent Vector", "Norm", "512 x 1 x 1"),
    (1, "Conv 4 x 4", "LReLU", "512 x 4 x 4"),
    (1, "Conv 3 x 3", "LReLU", "512 x 4 x 4"),
    (2, "Upsample", "-", "512 x 8 x 8"),
    (2, "Conv 3 x 3", "LReLU", "512 x 8 x 8"),
    (2, "Conv 3 x 3", "LReLU", "512 x 8 x 8"),
    (3, "Upsample", "-", "512 x 16 x 16"),
    (3, "Conv 3 x 3", "LReLU", "512 x 16 x 16"),
    (3, "Conv 3 x 3", "LReLU", "512 x 16 x 16"),
    (4, "Upsample", "-", "512 x 32 x 32"),
    (4, "Conv 3 x 3", "LReLU", "512 x 32 x 32"),
    (4, "Conv 3 x 3", "LReLU", "512 x 32 x 32"),
    (5, "Upsample", "-", "512 x 64 x 64"),
    (5, "Conv 3 x 3", "LReLU", "256 x 64 x 64"),
    (5, "Conv 3 x 3", "LReLU", "256 x 64 x 64"),
    (6, "Upsample", "-", "256 x 128 x 128"),
    (6, "Conv 3 x 3", "LReLU", "128 x 128 x 128"),
    (6, "Conv 3 x 3", "LReLU", "128 x 128 x 128"),
    (7, "Upsample", "-", "128 x 256 x 256"),
    (7, "Conv 3 x 3", "LReLU", "64 x 256 x 256"),
    (7, "Conv 3 x 3", "LReLU", "64 x 256 x 256"),
    (8, "Upsample", "-", "64 x 512 x 512"),
    (8, "Conv 3 x 3", "LReLU", "32 x 512 x 512"),
    (8, "Conv 3 x 3", "LReLU", "32 x 512 x 512"),
    (9, "Upsample", "-", "32 x 1024 x 1024"),
    (9, "Conv 3 x 3", "LReLU", "16 x 1024 x 1024"),
    (9, "Conv 3 x 3", "LReLU", "16 x 1024 x 1024"),
]

# Table 7 row by row. The paper prints the images of block 9 as number 7 again; it is number 8.
TABLE_7 = [
    (1, "Raw RGB images 0", "-", "3 x 1024 x 1024"),
    (1, "FromRGB 0", "-", "16 x 1024 x 1024"),
    (1, "MinBatchStd", "-", "17 x 1024 x 1024"),
    (1, "Conv 3 x 3", "LReLU", "16 x 1024 x 1024"),
    (1, "Conv 3 x 3", "LReLU", "32 x 1024 x 1024"),
    (1, "AvgPool", "-", "32 x 512 x 512"),
    (2, "Raw RGB images 1", "-", "3 x 512 x 512"),
    (2, "Concat/phi_simple", "-", "35 x 512 x 512"),
    (2, "MinBatchStd", "-", "36 x 512 x 512"),
    (2, "Conv 3 x 3", "LReLU", "32 x 512 x 512"),
    (2, "Conv 3 x 3", "LReLU", "64 x 512 x 512"),
    (2, "AvgPool", "-", "64 x 256 x 256"),
    (3, "Raw RGB images 2", "-", "3 x 256 x 256"),
    (3, "Concat/phi_simple", "-", "67 x 256 x 256"),
    (3, "MinBatchStd", "-", "68 x 256 x 256"),
    (3, "Conv 3 x 3", "LReLU", "64 x 256 x 256"),
    (3, "Conv 3 x 3", "LReLU", "128 x 256 x 256"),
    (3, "AvgPool", "-", "128 x 128 x 128"),
    (4, "Raw RGB images 3", "-", "3 x 128 x 128"),
    (4, "Concat/phi_simple", "-", "131 x 128 x 128"),
    (4, "MinBatchStd", "-", "132 x 128 x 128"),
    (4, "Conv 3 x 3", "LReLU", "128 x 128 x 128"),
    (4, "Conv 3 x 3", "LReLU", "256 x 128 x 128"),
    (4, "AvgPool", "-", "256 x 64 x 64"),
    (5, "Raw RGB images 4", "-", "3 x 64 x 64"),
    (5, "Concat/phi_simple", "-", "259 x 64 x 64"),
    (5, "MinBatchStd", "-", "260 x 64 x 64"),
    (5, "Conv 3 x 3", "LReLU", "256 x 64 x 64"),
    (5, "Conv 3 x 3", "LReLU", "512 x 64 x 64"),
    (5, "AvgPool", "-", "512 x 32 x 32"),
    (6, "Raw RGB images 5", "-", "3 x 32 x 32"),
    (6, "Concat/phi_simple", "-", "515 x 32 x 32"),
    (6, "MinBatchStd", "-", "516 x 32 x 32"),
    (6, "Conv 3 x 3", "LReLU", "512 x 32 x 32"),
    (6, "Conv 3 x 3", "LReLU", "512 x 32 x 32"),
    (6, "AvgPool", "-", "512 x 16 x 16"),
    (7, "Raw RGB images 6", "-", "3 x 16 x 16"),
    (7, "Concat/phi_simple", "-", "515 x 16 x 16"),
    (7, "MinBatchStd", "-", "516 x 16 x 16"),
    (7, "Conv 3 x 3", "LReLU", "512 x 16 x 16"),
    (7, "Conv 3 x 3", "LReLU", "512 x 16 x 16"),
    (7, "AvgPool", "-", "512 x 8 x 8"),
    (8, "Raw RGB images 7", "-", "3 x 8 x 8"),
    (8, "Concat/phi_simple", "-", "515 x 8 x 8"),
    (8, "MinBatchStd", "-", "516 x 8 x 8"),
    (8, "Conv 3 x 3", "LReLU", "512 x 8 x 8"),
    (8, "Conv 3 x 3", "LReLU", "512 x 8 x 8"),
    (8, "AvgPool", "-", "512 x 4 x 4"),
    (9, "Raw RGB images 8", "-", "3 x 4 x 4"),
    (9, "Concat/phi_simple", "-", "515 x 4 x 4"),
    (9, "MinBatchStd", "-", "516 x 4 x 4"),
    (9, "Conv 3 x 3", "LReLU", "512 x 4 x 4"),
    (9, "Conv 4 x 4", "LReLU", "512 x 1 x 1"),
    (9, "Fully Connected", "Linear", "1 x 1 x 1"),
]


def printed(row):
    return (row.block, row.operation, row.activation, " x ".join(map(str, row.shape)))


def test_generator_is_table_6(model_spec):
    rows = [printed(row) for row in generator_table(model_spec(1024)) if row.operation != "ToRGB"]
    assert rows == TABLE_6


def test_discriminator_is_table_7(model_spec):
    assert [printed(row) for row in discriminator_table(model_spec(1024))] == TABLE_7


@pytest.mark.parametrize(("name", "published"), [("table6", TABLE_6), ("table7", TABLE_7)])
def test_the_written_tables_are_the_papers_row_by_row(tmp_path, name, published):
    layout = Layout(tmp_path, "smoke")
    write_layer_table(name, layout)
    with layout.table_csv(name).open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["operation"] != "ToRGB"]
    written = [
        (int(row["block"]), row["operation"], row["activation"], row["output_shape"])
        for row in rows
    ]
    assert written == published
    text = layout.table_md(name).read_text()
    lines = [line.strip("| ") for line in text.splitlines() if line.startswith("|")]
    in_markdown = [line.split(" | ") for line in lines[2:-1] if "ToRGB" not in line]
    assert len(in_markdown) == len(published)
    for cells, (block, operation, activation, shape) in zip(in_markdown, published, strict=True):
        # The block's number stands in its first row alone.
        if cells[0] == f"{block}.":
            cells = cells[1:]
        assert cells[:3] == [operation, activation, shape]
    # The paper numbers the last images 7 as well, a misprint that the table names.
    assert ("they are number 8" in text) == (name == "table7")


def test_describe_prints_both_networks_of_an_experiment():
    done = subprocess.run(
        [
            sys.executable, "-m", "msgbench.cli", "describe", "cifar10-msg-progan-lr0.003",
            "--config", str(ROOT / "config.yaml"), "--set", "tier=paper",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "## Generator of cifar10-msg-progan-lr0.003 (progan, paper)" in done.stdout
    assert "(phi_simple, images of 4, 8, 16, 32 px)" in done.stdout
    assert "| 20,719,628 |" in done.stdout
    assert "| 20,775,937 |" in done.stdout


def test_describe_names_the_nearest_experiment():
    done = subprocess.run(
        [
            sys.executable, "-m", "msgbench.cli", "describe", "tabel6",
            "--config", str(ROOT / "config.yaml"),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "experiments.tabel6: no such experiment" in done.stderr


def test_every_generator_block_ends_in_a_linear_to_rgb(model_spec):
    rows = generator_table(model_spec(1024))
    images = [(row.block, row.activation, row.shape) for row in rows if row.operation == "ToRGB"]
    assert images == [(b, "-", (3, 2 ** (b + 1), 2 ** (b + 1))) for b in range(1, 10)]
    ends = [
        a.operation
        for a, b in zip(rows, [*rows[1:], None], strict=True)
        if b is None or a.block < b.block
    ]
    assert ends == ["ToRGB"] * 9


def test_pixel_norm_follows_3x3_convolutions_only_and_only_in_g(model_spec):
    for row in generator_table(model_spec(1024)):
        assert (row.normalisation == "PixNorm") == (row.operation == "Conv 3 x 3"), row
    assert {row.normalisation for row in discriminator_table(model_spec(1024))} == {"-"}


@pytest.mark.parametrize(("resolution", "blocks"), [(8, 2), (32, 4), (128, 6), (256, 7)])
def test_smaller_generators_are_the_first_blocks(model_spec, resolution, blocks):
    rows = [printed(r) for r in generator_table(model_spec(resolution)) if r.operation != "ToRGB"]
    assert rows == [row for row in TABLE_6 if row[0] <= blocks]


@pytest.mark.parametrize(("resolution", "skipped"), [(8, 7), (32, 5), (128, 3), (256, 2)])
def test_smaller_discriminators_are_the_last_blocks_with_from_rgb(model_spec, resolution, skipped):
    """A smaller model starts at its block of Table 7 ("Model 1" and so on), with FromRGB for phi."""
    rows = [printed(row) for row in discriminator_table(model_spec(resolution))]
    width = next(shape for b, op, _, shape in TABLE_7 if b == skipped and op == "AvgPool")
    top = int(width.split(" ")[0])
    expected = [
        (1, "Raw RGB images 0", "-", f"3 x {resolution} x {resolution}"),
        (1, "FromRGB 0", "-", width),
        (1, "MinBatchStd", "-", f"{top + 1} x {resolution} x {resolution}"),
    ]
    for block, operation, activation, shape in TABLE_7:
        number = block - skipped
        if number > 1 and operation.startswith("Raw RGB"):
            operation = f"Raw RGB images {number - 1}"
        first_rows = operation.startswith(("Raw RGB", "Concat", "MinBatchStd"))
        if number > 1 or (number == 1 and not first_rows):
            expected.append((number, operation, activation, shape))
    assert rows == expected


def test_latent_size_is_not_scaled_with_the_width(model_spec):
    rows = generator_table(model_spec(16, width_multiplier=0.125))
    assert rows[0].shape == (512, 1, 1)
    assert [row.shape[0] for row in rows if row.operation.startswith("Conv")] == [64] * 6


def test_layer_table_leaves_no_hooks_and_runs_on_real_networks(model_spec):
    spec = model_spec(8, width_multiplier=0.01, latent_size=6)
    G = build_generator(spec, torch.Generator().manual_seed(0))
    rows = layer_table(G, torch.zeros(2, 6))
    assert [row.shape for row in rows if row.operation == "ToRGB"] == [(3, 4, 4), (3, 8, 8)]
    assert all(not layer._forward_hooks for layer in G.modules())


def test_layer_table_refuses_layers_it_cannot_name():
    with pytest.raises(TypeError, match=r"layer 0 \(Dropout\) has no row"):
        layer_table(nn.Sequential(nn.Dropout()), torch.zeros(1, 3, 4, 4))
