"""`msgbench evaluate --images` and `--snapshot` on the same images twice: what is on record stands, nothing else does.

A record in the file is given a value that no measuring gives: where it is found afterwards, it was taken over.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from msgbench.cli import app
from msgbench.metrics.evaluate_images import evaluate_images, evaluate_snapshot
from msgbench.records import read_json, write_json

TAKEN_OVER = -77.0
IS = ["is60_test", "is60_test_1split"]


@pytest.fixture
def folder(tmp_path: Path, small_protocols: tuple[str, ...]) -> Path:
    """60 images of 8x8 pixels."""
    made = tmp_path / "fakes"
    made.mkdir()
    draws = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
    for index, pixels in enumerate(draws):
        Image.fromarray(pixels).save(made / f"{index:03d}.png")
    return made


def mark(out: Path, **changes: Any) -> None:
    """Give every record in `out` the value that tells it, and `changes`."""
    content = read_json(out)
    for record in content["records"]:
        record.update(value=TAKEN_OVER, **changes)
    write_json(out, content)


def values(out: Path) -> list[float]:
    return [record["value"] for record in read_json(out)["records"]]


@pytest.fixture
def measured(folder: Path, tmp_path: Path) -> Path:
    """The record of the images by an Inception Score, marked."""
    out = evaluate_images(folder, IS[:1], tmp_path / "record.json")
    assert 1 <= values(out)[0] <= 10
    mark(out)
    return out


def test_the_same_images_are_not_measured_twice(
    folder: Path, measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = measured.read_bytes(), measured.stat().st_mtime_ns
    capsys.readouterr()
    evaluate_images(folder, IS[:1], measured)
    assert (measured.read_bytes(), measured.stat().st_mtime_ns) == before
    assert (
        f"{folder}: {measured} has is60_test of the same images already, which stands; --again measures anew\n"
        in capsys.readouterr().err
    )


def test_only_a_protocol_that_is_missing_is_measured(folder: Path, measured: Path) -> None:
    evaluate_images(folder, IS, measured)
    first, second = values(measured)
    assert first == TAKEN_OVER
    assert 1 <= second <= 10


def test_a_name_decides_nothing_and_is_the_present_one(folder: Path, measured: Path) -> None:
    renamed = folder.rename(folder.with_name("renamed"))
    evaluate_images(renamed, IS[:1], measured)
    (record,) = read_json(measured)["records"]
    assert (record["value"], record["images"]) == (TAKEN_OVER, {"name": "renamed"})


def one_pixel(folder: Path) -> None:
    with Image.open(folder / "007.png") as image:
        pixels = np.array(image)
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(folder / "007.png")


def another_order(folder: Path) -> None:
    (folder / "007.png").rename(folder / "zzz.png")


@pytest.mark.parametrize("change", [one_pixel, another_order])
def test_other_images_are_measured(
    folder: Path, measured: Path, change: Callable[[Path], None]
) -> None:
    change(folder)
    evaluate_images(folder, IS[:1], measured)
    assert 1 <= values(measured)[0] <= 10


@pytest.mark.parametrize(
    "changes",
    [
        {"measuring": "0" * 16},
        {"extractor": {"name": "small-cifar10-v1", "sha256": "0" * 64}},
        {"dataset": {"name": "drawn"}},
        {"protocol": {"name": "is60_test", "version": 0}},
        {"sample_set": None},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_record_that_states_something_else_does_not_stand(
    folder: Path, measured: Path, changes: dict[str, Any]
) -> None:
    mark(measured, **changes)
    evaluate_images(folder, IS[:1], measured)
    assert 1 <= values(measured)[0] <= 10


def test_other_reals_or_flips_are_measured(
    folder: Path, drawn_store_dir: Path, tmp_path: Path
) -> None:
    out = evaluate_images(folder, ["fid60_test"], tmp_path / "fid.json", drawn_store_dir)
    mark(out)
    evaluate_images(folder, ["fid60_test"], out, drawn_store_dir)
    assert values(out) == [TAKEN_OVER]
    mark(out, reals={"count": 119})
    evaluate_images(folder, ["fid60_test"], out, drawn_store_dir)
    assert values(out)[0] > 0


def test_the_command_measures_anew_when_asked(folder: Path, measured: Path) -> None:
    words = ["evaluate", "--images", str(folder), "--protocols", IS[0], "--out", str(measured)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.exception
    assert values(measured) == [TAKEN_OVER]
    done = CliRunner().invoke(app, [*words, "--again"])
    assert done.exit_code == 0, done.exception
    assert 1 <= values(measured)[0] <= 10


def test_a_snapshot_is_not_measured_twice_unless_it_is_another(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    run = make_run()
    first, other = sorted((run / "snapshots").iterdir())
    out = evaluate_snapshot(first, IS, tmp_path / "record.json")
    mark(out)
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(first.read_bytes())
    evaluate_snapshot(copy, IS, out)
    assert values(out) == [TAKEN_OVER] * 2
    assert read_json(out)["records"][0]["snapshot"]["file"] == copy.name
    evaluate_snapshot(other, IS, out)
    assert all(1 <= value <= 10 for value in values(out))
