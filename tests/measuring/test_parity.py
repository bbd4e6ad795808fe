"""`msgbench evaluate --images` against torch-fidelity's own command on the same two folders."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from msgbench.data.store import Store
from msgbench.metrics.evaluate_images import evaluate_images
from msgbench.metrics.fidelity import torch_fidelity
from msgbench.protocols import PROTOCOLS, SMALL, Protocol
from msgbench.records import read_json

NAMES = ("fid_parity", "is_parity", "kid_parity", "prc_parity")


@pytest.fixture
def parity_protocols(monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Protocols of 110 images, with odd numbers where a default could hide."""
    for protocol in (
        Protocol("fid_parity", 1, "fid", "", 110, None, SMALL),
        Protocol("is_parity", 1, "is", "", 110, 110, SMALL, splits=7),
        Protocol("kid_parity", 1, "kid", "", 110, None, SMALL, kid_subsets=9, kid_subset_size=50),
        Protocol("prc_parity", 1, "prc", "", 110, None, SMALL, neighborhood=4),
    ):
        monkeypatch.setitem(PROTOCOLS, protocol.name, protocol)
    return NAMES


def write_folder(images: np.ndarray, folder: Path) -> Path:
    """PNG files of uint8 [N, R, R, 3]."""
    folder.mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{index:05d}.png")
    return folder


@pytest.fixture
def fakes(drawn_store: Store, tmp_path: Path) -> Path:
    """110 images like the store's, darker and with their channels turned."""
    return write_folder(
        (drawn_store.images[:110, :, :, ::-1] * 0.8).astype(np.uint8), tmp_path / "fakes"
    )


def command(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> dict[str, float]:
    """What torch-fidelity's command prints as JSON."""
    from torch_fidelity.fidelity import main

    monkeypatch.setattr(sys, "argv", ["fidelity", *arguments])
    capsys.readouterr()
    main()
    found: dict[str, float] = json.loads(capsys.readouterr().out)
    return found


def test_two_folders_score_as_by_the_fidelity_command(
    drawn_store: Store,
    drawn_store_dir: Path,
    fakes: Path,
    parity_protocols: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch_fidelity()  # registers our extractor, which the command then knows
    reals = write_folder(drawn_store.images, tmp_path / "reals")
    theirs = command(
        [
            "--input1", str(fakes), "--input2", str(reals), "--feature-extractor", SMALL,
            "--isc", "--fid", "--kid", "--prc", "--isc-splits", "7", "--kid-subsets", "9",
            "--kid-subset-size", "50", "--prc-neighborhood", "4", "--batch-size", "31",
            "--cpu", "--no-cache", "--json", "--silent", "--save-cpu-ram",
        ],
        monkeypatch, capsys,
    )  # fmt: skip
    out = evaluate_images(fakes, parity_protocols, tmp_path / "ours.json", drawn_store_dir)
    ours = {r["protocol"]["name"]: r for r in read_json(out)["records"]}
    fid = theirs["frechet_inception_distance"]
    assert fid > 0.1  # there is something to compare
    # float32 features of other batch sizes differ in the last digit; so do float32 means (theirs) and float64 (ours).
    close: Any = {"rel": 1e-6, "abs": 1e-5}
    assert ours["fid_parity"]["value"] == pytest.approx(fid, **close)
    assert ours["fid_parity"]["torch_fidelity"] == pytest.approx(fid, **close)
    assert ours["is_parity"]["value"] == pytest.approx(theirs["inception_score_mean"], **close)
    assert ours["is_parity"]["std"] == pytest.approx(theirs["inception_score_std"], abs=1e-5)
    kid = theirs["kernel_inception_distance_mean"]
    assert ours["kid_parity"]["value"] == pytest.approx(kid, **close)
    assert ours["prc_parity"]["value"] == pytest.approx(theirs["f_score"], **close)
    assert ours["prc_parity"]["parts"] == pytest.approx(
        {"precision": theirs["precision"], "recall": theirs["recall"]}, **close
    )
    assert 0 < theirs["precision"] != theirs["recall"]


def test_a_zip_scores_as_its_folder_and_batch_one_as_batch_many(
    drawn_store_dir: Path, fakes: Path, parity_protocols: tuple[str, ...], tmp_path: Path
) -> None:
    archive = tmp_path / "fakes.zip"
    with zipfile.ZipFile(archive, "w") as file:
        # Another order in the archive, a folder and a file that is no image: names decide.
        for path in sorted(fakes.iterdir(), reverse=True):
            file.write(path, f"samples/{path.name}")
        file.writestr("readme.txt", "not an image")
    folder = evaluate_images(fakes, parity_protocols, tmp_path / "a.json", drawn_store_dir)
    zipped = evaluate_images(
        archive, parity_protocols, tmp_path / "b.json", drawn_store_dir, batch_size=1
    )
    for one, many in zip(read_json(zipped)["records"], read_json(folder)["records"], strict=True):
        assert one["sample_set"] == many["sample_set"]
        # float32 sums in another order.
        assert one["value"] == pytest.approx(many["value"], rel=1e-5, abs=1e-5)


def test_the_command_writes_a_record_that_says_what_it_is_of(
    drawn_store: Store, drawn_store_dir: Path, fakes: Path, parity_protocols: tuple[str, ...], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from typer.testing import CliRunner

    from msgbench.cli import app

    out = tmp_path / "record.json"
    done = CliRunner().invoke(
        app,
        ["evaluate", "--images", str(fakes), "--store", str(drawn_store_dir), "--mirror",
         "--protocols", "fid_parity,is_parity", "--out", str(out), "--device", "cpu"],
    )  # fmt: skip
    assert done.exit_code == 0, done.exception
    content = read_json(out)
    assert content["schema"] == "msgbench.measured/1"
    fid, score = content["records"]
    assert fid["images"] == {"name": "fakes"}
    assert fid["sample_set"]["count"] == 110
    assert len(fid["sample_set"]["checksum"]) == 64
    assert fid["reals"] == {"count": 120, "distinct": 120, "passes": 1.0, "flipped": 0}
    assert fid["dataset"]["fingerprint"] == drawn_store.manifest.fingerprint
    assert fid["protocol"] == PROTOCOLS["fid_parity"].card()
    assert fid["extractor"]["name"] == SMALL
    assert score["reals"] is None


def test_an_inception_score_needs_no_store(
    fakes: Path, parity_protocols: tuple[str, ...], tmp_path: Path
) -> None:
    (record,) = read_json(evaluate_images(fakes, ["is_parity"], tmp_path / "a.json"))["records"]
    assert record["dataset"] is None
    assert 1 <= record["value"] <= 10
