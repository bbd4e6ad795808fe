"""The contact sheet shows what the store holds: every tile is an image of its line's class, enlarged only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from msgbench.config import DatasetSpec
from msgbench.data import contact_sheet
from msgbench.data import prepare as prepare_module
from msgbench.data.contact_sheet import choose, draw_sheet, write_contact_sheet
from msgbench.data.manifest import SourceFacts
from msgbench.data.prepare import prepare
from msgbench.data.sources import open_source
from msgbench.data.sources.base import SourceImage
from msgbench.data.store import Store
from msgbench.errors import DatasetError

if TYPE_CHECKING:
    from .conftest import MakeSpec


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """120 drawn images, ten of each of twelve classes."""
    folder = tmp_path_factory.mktemp("store")
    spec = DatasetSpec(
        name="drawn", source="embedded", resolution=32, split="train", num_images=120, mirror=False
    )
    prepare(spec, folder)
    return Store.open(folder)


@pytest.mark.parametrize("images", [1, 12, 64, 119, 500])
def test_the_draw(store: Store, images: int) -> None:
    """As many as asked for and as there are, none twice, each in the line of its class, evenly."""
    rows = choose(store, images, seed=0)
    shown = [index for row in rows for index in row.indices]
    assert len(shown) == len(set(shown)) == min(images, 120)
    assert store.labels is not None
    assert store.manifest.label_names is not None
    counts = dict.fromkeys(range(12), 0)
    for row in rows:
        (label,) = {int(store.labels[index]) for index in row.indices}
        assert row.name == store.manifest.label_names[label]
        counts[label] += len(row.indices)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_small_classes_leave_their_places_to_others(store: Store) -> None:
    labels = np.zeros(120, dtype=np.uint8)
    labels[7] = 3
    uneven = Store(store.folder, store.manifest, store.images, labels)
    rows = choose(uneven, 50, seed=0)
    assert [len(row.indices) for row in rows] == [20, 20, 9, 1]  # wrapped after 20
    names = store.manifest.label_names
    assert names is not None
    assert [row.name for row in rows] == [names[0], "", "", names[3]]
    assert rows[-1].indices == [7]


def test_the_seed_decides(store: Store) -> None:
    assert choose(store, 64, seed=0) == choose(store, 64, seed=0)
    assert choose(store, 64, seed=0) != choose(store, 64, seed=1)


def test_the_same_draw_on_every_machine(store: Store) -> None:
    """The first image of the first three classes with seed 0: fixed for good."""
    drawn = [row.indices[0] for row in choose(store, 64, seed=0)[:3]]
    assert drawn == [108, 25, 86]


def tile(sheet: np.ndarray, line: int, column: int, lines: int, columns: int, side: int) -> np.ndarray:  # fmt: skip
    """A tile, counted from the sheet's lower right corner: margin 12, gap 2."""
    bottom = sheet.shape[0] - 12 - (lines - 1 - line) * (side + 2)
    right = sheet.shape[1] - 12 - (columns - 1 - column) * (side + 2)
    return sheet[bottom - side : bottom, right - side : right]


def test_tiles_are_the_images_with_hard_pixels(tmp_path: Path, store: Store) -> None:
    out = tmp_path / "sheet.png"
    assert write_contact_sheet(store, out, images=96, seed=3) == 96
    with Image.open(out) as image:
        assert image.mode == "RGB"
        sheet = np.asarray(image)
    rows = choose(store, 96, seed=3)
    for line, row in enumerate(rows):
        for column, index in enumerate(row.indices):
            expected = store.images[index].repeat(3, axis=0).repeat(3, axis=1)
            np.testing.assert_array_equal(tile(sheet, line, column, 12, 8, 96), expected)
    # The names stand at the left of the tiles, and every line has ink there.
    names = sheet[:, 12 : sheet.shape[1] - 12 - 8 * 98]
    for line in range(12):
        bottom = sheet.shape[0] - 12 - (11 - line) * 98
        assert names[bottom - 96 : bottom].min() < 128
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


def test_the_same_picture_again(tmp_path: Path, store: Store) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_contact_sheet(store, tmp_path / f"{name}.png", seed=seed)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "c.png").read_bytes()


class _Plain:
    """Images without labels, of any size."""

    label_names, stand_in = None, True

    def __init__(self, count: int, resolution: int) -> None:
        self.count, self.resolution = count, resolution

    def __iter__(self) -> Iterator[SourceImage]:
        for k in range(self.count):
            ramp = np.arange(self.resolution, dtype=np.uint8)[:, None, None] + np.uint8(k)
            yield SourceImage(np.broadcast_to(ramp, (self.resolution, self.resolution, 3)), None)

    def facts(self) -> SourceFacts:
        return SourceFacts(
            recipe="plain", recipe_version=1, form="drawn", archive=None, files=(),
            count=self.count, expected_count=self.count,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("resolution", "side", "said"),
    [(8, 96, "8 px enlarged 12 times"), (64, 128, "64 px enlarged 2 times"), (128, 128, "128 px as they are"),
     (256, 256, "256 px as they are"), (512, 256, "512 px reduced 2 times")],
)  # fmt: skip
def test_sizes_and_stores_without_labels(
    tmp_path: Path,
    drawn_spec: MakeSpec,
    monkeypatch: pytest.MonkeyPatch,
    resolution: int,
    side: int,
    said: str,
) -> None:
    monkeypatch.setattr(prepare_module, "open_source", lambda spec: _Plain(5, resolution))
    prepare(drawn_spec(5, resolution), tmp_path)
    plain = Store.open(tmp_path)
    rows = choose(plain, 64, seed=0)
    assert [len(row.indices) for row in rows] == [3, 2]
    assert [row.name for row in rows] == ["", ""]
    captions: list[str] = []
    monkeypatch.setattr(
        contact_sheet.ImageDraw.ImageDraw, "text", lambda pen, xy, text, **_: captions.append(text)
    )
    sheet = np.asarray(draw_sheet(plain, rows, "five"))
    assert captions[1] == f"five; {said}"
    factor, reduction = max(1, side // resolution), max(1, resolution // side)
    last = plain.images[rows[1].indices[1]].astype(float)
    last = last.reshape(resolution // reduction, reduction, resolution // reduction, reduction, 3)
    expected = last.mean(axis=(1, 3)).repeat(factor, axis=0).repeat(factor, axis=1)
    shown = sheet[-12 - side : -12, 12 + side + 2 : 12 + side + 2 + side]
    assert np.abs(shown - expected).max() <= 0.5  # an average of whole numbers, rounded


def test_a_stand_in_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    captions: list[str] = []
    monkeypatch.setattr(
        contact_sheet.ImageDraw.ImageDraw, "text", lambda pen, xy, text, **_: captions.append(text)
    )
    draw_sheet(store, choose(store, 12, 0), "x")
    assert captions[0] == (
        f"drawn, split train, drawn by msgbench as a stand-in, content {store.manifest.fingerprint[:8]}"
    )


def test_a_place_that_cannot_be_written(tmp_path: Path, store: Store) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError) as caught:
        write_contact_sheet(store, tmp_path / "file" / "sheet.png")
    assert str(caught.value).startswith(f"{tmp_path}/file/sheet.png: cannot be written (")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_store_is_that_of_its_source(store: Store, drawn_spec: MakeSpec) -> None:
    """Guards the tests above: they compare tiles with the store."""
    first = next(iter(open_source(drawn_spec(1))))
    np.testing.assert_array_equal(store.images[0], first.pixels)
