"""The measured part of docs/protocols.md: its variants, its place in the page, and that it can be made again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from msgbench.cli import app
from msgbench.data.pixels import to_uint8
from msgbench.data.store import Store
from msgbench.errors import ConfigError, MeasurementError
from msgbench.metrics.extractors.weights import ExtractorWeights, resolve_weights
from msgbench.metrics.fidelity import Extractor
from msgbench.metrics.reals import RealSet
from msgbench.metrics.scores import frechet_distance, statistics
from msgbench.protocols import PROTOCOLS, SMALL, markdown_table
from msgbench.sensitivity import features as sensitivity
from msgbench.sensitivity import table as sensitivity_table
from msgbench.sensitivity.features import image_sets
from msgbench.sensitivity.table import BEGIN, END, write_sensitivity
from msgbench.sensitivity.variants import (
    bicubic_299,
    half_by_box,
    half_by_lanczos,
    jpeg,
    min_max,
    mirrored,
    truncated,
)


def test_the_page_lists_the_protocols_that_there_are(root: Path) -> None:
    page = (root / "docs" / "protocols.md").read_text(encoding="utf-8")
    listed = page.split("<!-- protocols: begin -->")[1].split("<!-- protocols: end -->")[0]
    assert listed.strip() == markdown_table()


def test_the_page_has_its_measured_part(root: Path) -> None:
    page = (root / "docs" / "protocols.md").read_text(encoding="utf-8")
    measured = page.split(BEGIN)[1].split(END)[0]
    for words in ("Made by `msgbench sensitivity` from real CIFAR-10", "Number of images", "flips", "resize",
                  "quantisation", "Splits", "Which reals", "a copy of 20,000 training images",
                  "Distances are of the first 5,000 training images and the first 2,000 test images",
                  "The 20,000 training images by"):  # fmt: skip
        assert words in measured


def test_variants_do_what_they_say(drawn_store: Store) -> None:
    images = np.array(drawn_store.images[:20])
    np.testing.assert_array_equal(mirrored(mirrored(images)), images)
    assert (mirrored(images)[:, :, 0] == images[:, :, -1]).all()

    difference = images.astype(int) - truncated(images)
    assert set(np.unique(difference)) == {0, 1}
    # Every other value, except where it is 0 already; binomial deviation 0.5 / sqrt(3840).
    assert difference[images > 0].mean() == pytest.approx(0.5, abs=0.05)

    stretched = min_max(images)
    assert (stretched.min(axis=(1, 2, 3)) == 0).all()
    assert (stretched.max(axis=(1, 2, 3)) == 255).all()

    assert jpeg(images).shape == images.shape
    assert 0 < np.abs(jpeg(images).astype(int) - images).mean() < 40
    assert bicubic_299(images).shape == (20, 299, 299, 3)
    boxes = images.reshape(20, 4, 2, 4, 2, 3).mean(axis=(2, 4))
    # Pillow rounds after each of its two passes.
    assert np.abs(half_by_box(images) - boxes).max() <= 1.0
    assert half_by_lanczos(images).shape == (20, 4, 4, 3)
    assert (half_by_lanczos(images) != half_by_box(images)).any()


def test_truncation_is_what_the_usual_slip_gives() -> None:
    """Floats around each pixel value by the slip of the docstring, against the variant's rule."""
    import torch

    values = torch.arange(1, 255).repeat_interleave(1000).float()
    # Not to the very edge of half a level, where float32 decides.
    offsets = 0.98 * (torch.rand(len(values), generator=torch.Generator().manual_seed(0)) - 0.5)
    x = (values + offsets) / 127.5 - 1
    assert torch.equal(to_uint8(x).float(), values)
    slipped = ((x + 1) * 127.5).to(torch.uint8).float()
    # Half of them fall to the grey level below.
    assert (values - slipped).unique().tolist() == [0.0, 1.0]
    assert (values - slipped).mean().item() == pytest.approx(0.5, abs=0.01)


@pytest.fixture
def tiny_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table by the small extractor's one layer, on few images: its form, not its numbers."""
    layers = ("features",)
    monkeypatch.setattr(sensitivity, "LAYERS", layers)
    monkeypatch.setattr(sensitivity_table, "LAYERS", layers)
    monkeypatch.setattr(sensitivity_table, "INCEPTION", SMALL)


def test_the_measured_part_is_written_between_the_marks_and_the_rest_is_kept(
    tiny_table: None, drawn_store_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"TRAIN": 100, "TEST": 60, "VARIED": 30}.items():
        monkeypatch.setattr(sensitivity, name, value)
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    weights = resolve_weights(SMALL).path
    passes: list[int] = []
    features = Extractor.features

    def counted(self: Extractor, batches: object) -> object:
        passes.append(1)
        return features(self, batches)  # type: ignore[arg-type]

    monkeypatch.setattr(Extractor, "features", counted)
    arguments = (drawn_store_dir, drawn_store_dir, weights, tmp_path / "cache", page, 1)
    write_sensitivity(*arguments)
    text = page.read_text()
    assert text.startswith(f"before\n\n{BEGIN}\n")
    assert text.endswith(f"{END}\n\nafter\n")
    assert "old" not in text
    assert "FID at features" in text
    assert "a copy of 120 training images (store " in text
    assert "Distances are of the first 100 training images and the first 60 test images;" in text
    assert "| 100 training images, against 60 test images |" in text
    assert "The 120 training images by" in text
    first = len(passes)
    write_sensitivity(*arguments)
    # Only the project's own extractor looks again: the rest was kept.
    assert len(passes) - first == 1
    assert page.read_text() == text


def test_the_stream_of_the_table_is_flipped_as_that_of_fid50k(
    tiny_table: None, drawn_store: Store
) -> None:
    import torch

    generator = torch.Generator().manual_seed(0)
    count = 40
    once, mirrored, test = (torch.randn(count, 2, generator=generator) for _ in range(3))
    sets = {"train": once, "mirrored": mirrored, "test": test}
    found = {name: {"features": features} for name, features in sets.items()}
    seen = RealSet(drawn_store, 4 * count, mirror=True, seed=PROTOCOLS["fid50k"].seed)
    stream = torch.stack([
        (mirrored if flipped else once)[k % count] for k, flipped in enumerate(seen.flips())
    ])  # fmt: skip
    expected = frechet_distance(statistics(test), statistics(stream)).value
    *_, line = sensitivity_table._stream(found)
    assert line == f"| four passes of the mirrored stream | {expected:.3g} |"
    # Another draw of flips would be seen in the three digits.
    other = torch.cat([mirrored, once, once, mirrored])
    assert f"{frechet_distance(statistics(test), statistics(other)).value:.3g}" not in line


def test_pages_and_threads_that_cannot_be_are_refused(tmp_path: Path) -> None:
    words = ["sensitivity", "train", "test", "--inception", "x", "--cache", str(tmp_path / "c")]
    for more, sentence in (
        (["--threads", "0"], "--threads: 0 is not allowed; allowed: a whole number of at least 1"),
        (["--page", str(tmp_path)], f"--page: {str(tmp_path)!r} is a folder; allowed: the name of a file"),
    ):  # fmt: skip
        done = CliRunner().invoke(app, [*words, *more])
        assert isinstance(done.exception, ConfigError)
        assert str(done.exception) == sentence


def test_stores_and_pages_that_do_not_do(
    drawn_store_dir: Path, tmp_path: Path, drawn_store: Store
) -> None:
    page = tmp_path / "page.md"
    page.write_text("no marks")
    with pytest.raises(MeasurementError) as caught:
        write_sensitivity(drawn_store_dir, drawn_store_dir, Path("x"), tmp_path, page)
    assert str(caught.value) == f"{page}: has not exactly one line {BEGIN!r} and one {END!r}"
    with pytest.raises(MeasurementError) as caught:
        list(image_sets(drawn_store, drawn_store))
    assert str(caught.value) == (f"{drawn_store_dir}: holds 120 images, the table needs 5,000")


def test_a_damaged_file_of_features_is_made_again(
    tiny_table: None, drawn_store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from msgbench.sensitivity.features import Wanted, extract

    weights = ExtractorWeights(SMALL, resolve_weights(SMALL).path, "a" * 64)
    wanted = [Wanted("train", np.array(drawn_store.images[:10]), "b" * 64)]
    extractor = Extractor(weights, layers=["features"])
    first = extract(wanted, extractor, tmp_path)["train"]["features"]
    (path,) = (tmp_path / "sensitivity").iterdir()
    path.write_bytes(path.read_bytes()[:50])
    again = extract(wanted, extractor, tmp_path)["train"]["features"]
    assert (first == again).all()
    assert f"{path}: is damaged" in capsys.readouterr().err
