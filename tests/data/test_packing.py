"""Packing: the same bytes on any number of processes and however often it was killed, and a zip that others read."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import math
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from msgbench.config import DatasetSpec
from msgbench.data import packing
from msgbench.data import prepare as prepare_module
from msgbench.data.pool import ordered_map
from msgbench.data.prepare import prepare
from msgbench.data.store import Store
from msgbench.data.zip_images import ZipImages
from msgbench.errors import DatasetError

CHILD = """
import sys
from pathlib import Path
from msgbench.config import DatasetSpec
from msgbench.data.prepare import prepare
if __name__ == "__main__":
    prepare(DatasetSpec.model_validate_json(sys.argv[1]), Path(sys.argv[2]), 2)
"""


def spec_of(path: Path, resolution: int = 32, **changes: Any) -> DatasetSpec:
    fields = {
        "name": "x",
        "source": "folder",
        "path": str(path),
        "resolution": resolution,
        "mirror": False,
    }
    return DatasetSpec.model_validate(fields | changes)


def photographs(folder: Path, count: int, side: int, kinds: tuple[str, ...] = ("png",)) -> Path:
    """Distinct smooth images, files of several kinds."""
    folder.mkdir(parents=True)
    for index in range(count):
        small = np.random.default_rng(index).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        image = Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)
        image.save(folder / f"{index:05d}.{kinds[index % len(kinds)]}")
    return folder


def content(store: Path) -> dict[str, bytes]:
    """Everything that must be bit-identical, and nothing else may lie there."""
    files = {path.name: path for path in store.iterdir() if path.name != ".prepare.lock"}
    del files["prepare.json"]
    return {name: path.read_bytes() for name, path in files.items()}


@pytest.mark.parametrize(("resolution", "workers"), [(64, 3), (512, 2)])
def test_the_number_of_processes_changes_no_byte(
    tmp_path: Path, resolution: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_WORK_OF_A_PROCESS", 1)
    monkeypatch.setattr(packing, "_TASK_PIXELS", 1)
    used = []

    def spy(function: Any, items: Any, workers: int) -> Any:
        used.append(workers)
        return ordered_map(function, items, workers)

    monkeypatch.setattr(packing, "ordered_map", spy)
    raw = photographs(tmp_path / "raw", 14, 520, ("png", "jpg"))
    for number in (1, workers):
        prepare(spec_of(raw, resolution), tmp_path / str(number), number)
    assert used == [1, workers]
    assert content(tmp_path / "1") == content(tmp_path / str(workers))


def test_images_of_512_px_are_a_zip_that_others_read(tmp_path: Path) -> None:
    raw = photographs(tmp_path / "raw", 6, 512, ("png", "jpg"))
    manifest = prepare(spec_of(raw, 512), tmp_path / "store")
    with zipfile.ZipFile(tmp_path / "store" / "images.zip") as archive:
        assert archive.testzip() is None
        infos = archive.infolist()
        names = [info.filename for info in infos]
        assert names == [*(f"00000/img{index:08d}.png" for index in range(6)), "dataset.json"]
        assert {info.compress_type for info in infos} == {zipfile.ZIP_STORED}
        assert json.loads(archive.read("dataset.json")) == {"labels": None}
        seen = [np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in names[:6]]
        # A PNG file that needs no change is kept as it is.
        assert archive.read(names[0]) == (raw / "00000.png").read_bytes()
    expected = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(raw.iterdir())]
    np.testing.assert_array_equal(seen, expected)
    store = Store.open(tmp_path / "store")
    store.verify()
    assert store.images.shape == (6, 512, 512, 3)
    np.testing.assert_array_equal(store.images[np.array([4, 0, 4])], np.stack(expected)[[4, 0, 4]])
    np.testing.assert_array_equal(store.images[1:3], np.stack(expected)[1:3])
    np.testing.assert_array_equal(store.images[-1], expected[-1])
    with pytest.raises(IndexError):
        store.images[6]
    lists = hashlib.sha256()
    for image in expected:
        lists.update(hashlib.sha256(image.tobytes()).digest())
    assert manifest.images_sha256 == lists.hexdigest()
    scaled = np.stack(expected).astype(np.float64) / 255
    np.testing.assert_allclose(manifest.mean, scaled.mean(axis=(0, 1, 2)), rtol=1e-9)
    np.testing.assert_allclose(manifest.std, scaled.std(axis=(0, 1, 2)), rtol=1e-9)


def test_a_training_batch_of_a_zip_is_that_of_an_array(tmp_path: Path) -> None:
    from msgbench.data.sampler import load_batch

    raw = photographs(tmp_path / "raw", 5, 512)
    prepare(spec_of(raw, 512), tmp_path / "store")
    store = Store.open(tmp_path / "store")
    array = Store(store.folder, store.manifest, np.array(store.images[:]), None)
    indices, flags = np.array([3, 1, 1]), np.array([True, False, True])
    batch = load_batch(store, indices, flags)
    assert batch.shape == (3, 3, 512, 512)
    assert batch.equal(load_batch(array, indices, flags))


@pytest.mark.parametrize("resolution", [64, 512])
def test_it_goes_on_behind_every_image(
    tmp_path: Path, resolution: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted after each image in turn, it ends as in one go, and packs no image twice."""
    raw = photographs(tmp_path / "raw", 5, resolution, ("png", "jpg"))
    prepare(spec_of(raw, resolution), tmp_path / "whole")
    packed: list[str] = []
    real = packing._pack_one
    monkeypatch.setattr(packing, "_TASK_PIXELS", 1)  # one image a task

    def pack_then_fail(item: Any, *rest: Any) -> Any:
        if fresh and item.name != fresh[0]:
            raise DatasetError("interrupted")
        fresh[:] = ["nothing more"]
        packed.append(item.name)
        return real(item, *rest)

    monkeypatch.setattr(packing, "_pack_one", pack_then_fail)
    for _ in range(4):
        fresh: list[str] = []
        with pytest.raises(DatasetError, match="interrupted"):
            prepare(spec_of(raw, resolution), tmp_path / "store")
        assert not (tmp_path / "store" / "manifest.json").exists()
    fresh = []
    prepare(spec_of(raw, resolution), tmp_path / "store")
    assert packed == [path.name for path in sorted(raw.iterdir())]
    assert content(tmp_path / "store") == content(tmp_path / "whole")


@pytest.mark.parametrize("resolution", [64, 512])
@pytest.mark.parametrize("cut", ["images", "journal", "both", "journal lost", "foreign line"])
def test_a_torn_end_is_packed_again(
    tmp_path: Path, resolution: int, cut: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = photographs(tmp_path / "raw", 6, resolution)
    prepare(spec_of(raw, resolution), tmp_path / "whole")
    (raw / "00004.png").rename(tmp_path / "away.png")
    (raw / "00004.png").write_bytes(
        (tmp_path / "away.png").read_bytes()[:-1] + b"?"
    )  # the same size, damaged
    monkeypatch.setattr(packing, "_TASK_PIXELS", 1)
    with pytest.raises(DatasetError, match=r"00004.png: is a damaged"):
        prepare(spec_of(raw, resolution), tmp_path / "store")
    partial = tmp_path / "store" / ".partial"
    images = partial / ("images.zip" if resolution == 512 else "images.npy")
    journal = partial / "journal.jsonl"
    assert journal.read_text().count("\n") == 4
    if cut in ("images", "both"):
        os.truncate(images, images.stat().st_size - 100)
    if cut in ("journal", "both"):
        os.truncate(journal, journal.stat().st_size - 7)
    if cut == "journal lost":
        journal.unlink()
    if cut == "foreign line":
        journal.write_text(journal.read_text().replace('["00001', '["00001"?', 1))
    with images.open("ab") as file:
        file.write(b"torn")
    (tmp_path / "away.png").rename(raw / "00004.png")
    prepare(spec_of(raw, resolution), tmp_path / "store")
    assert content(tmp_path / "store") == content(tmp_path / "whole")


def test_another_recipe_or_source_begins_anew(tmp_path: Path) -> None:
    raw = photographs(tmp_path / "raw", 4, 64)
    good = (raw / "00003.png").read_bytes()
    (raw / "00003.png").write_bytes(b"?")
    with pytest.raises(DatasetError, match=r"00003.png: is not an image"):
        prepare(spec_of(raw), tmp_path / "store")
    assert (tmp_path / "store" / ".partial" / "journal.jsonl").read_text().count("\n") == 3
    (raw / "00003.png").write_bytes(good)
    other = spec_of(raw, resize="box")
    prepare(other, tmp_path / "store")
    prepare(other, tmp_path / "whole")
    assert content(tmp_path / "store") == content(tmp_path / "whole")


def test_a_full_disk_in_the_middle_is_one_sentence_and_keeps_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = photographs(tmp_path / "raw", 8, 64)
    prepare(spec_of(raw), tmp_path / "whole")
    monkeypatch.setattr(packing, "_TASK_PIXELS", 1)
    monkeypatch.setattr(packing, "_CHECKPOINT_SECONDS", 0.0)
    room = [3]
    real = os.pwrite

    def pwrite(handle: int, content: Any, place: int) -> int:
        if place < 128:
            return real(handle, content, place)  # the owner's name in the lock
        if room[0] == 0:
            real(handle, content[:100], place)  # as a full disk does: a part of it is written
            raise OSError(errno.ENOSPC, "No space left on device")
        room[0] -= 1
        return real(handle, content, place)

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(DatasetError) as caught:
        prepare(spec_of(raw), tmp_path / "store")
    path = tmp_path / "store" / ".partial" / "images.npy"
    assert str(caught.value) == f"{path}: cannot be written (No space left on device)"
    assert not (tmp_path / "store" / "manifest.json").exists()
    assert (tmp_path / "store" / ".partial" / "journal.jsonl").read_text().count("\n") == 3
    room[0] = 5  # enough for what is missing, not for everything
    prepare(spec_of(raw), tmp_path / "store")
    assert content(tmp_path / "store") == content(tmp_path / "whole")


def test_the_disk_is_looked_at_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = photographs(tmp_path / "raw", 3, 64)
    usage = prepare_module.shutil.disk_usage(tmp_path)._replace(free=1_050_000)
    monkeypatch.setattr(prepare_module.shutil, "disk_usage", lambda place: usage)
    with pytest.raises(DatasetError, match=r"store: needs 1.1 MB, its disk has 1.1 MB free"):
        prepare(spec_of(raw), tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_nothing_is_imported_that_takes_long(tmp_path: Path) -> None:
    code = "import sys, msgbench.data.prepare; sys.exit('torch' in sys.modules or 'lmdb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_map_over_processes_keeps_order_and_looks_little_ahead() -> None:
    taken = []

    def numbers() -> Iterator[int]:
        # Large and small ones by turns: a process that has a small one is done first.
        for number in range(40):
            taken.append(number)
            yield -1 if number == 30 else 9_000 * (number % 2) + number

    found = []
    ahead = []

    def take_all() -> None:
        for result in ordered_map(math.factorial, numbers(), 2):
            found.append(result)
            ahead.append(len(taken) - len(found))

    with pytest.raises(ValueError, match="not defined for negative"):
        take_all()
    assert max(ahead) <= 7
    assert found == [math.factorial(9_000 * (number % 2) + number) for number in range(30)]


def test_a_killed_process_is_one_sentence() -> None:
    with pytest.raises(DatasetError, match="one of its processes was killed"):
        list(ordered_map(os._exit, [1], 2))


def processes_of(marker: str) -> list[int]:
    """Processes whose environment holds `marker`."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if marker.encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


def kill_and_resume(
    spec: DatasetSpec, store: Path, kills: int, done_before: Callable[[int], int]
) -> list[int]:
    """Prepare in a child that is killed -9 as soon as so many images are in the journal, then to the end."""
    marker = f"MSGBENCH_TEST={store}"
    environment = {**os.environ, "MSGBENCH_TEST": str(store)}
    journal = store / ".partial" / "journal.jsonl"
    reached = []
    for turn in range(kills):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, spec.model_dump_json(), str(store)], env=environment
        )
        while child.poll() is None:
            if journal.exists() and journal.read_bytes().count(b"\n") >= done_before(turn):
                child.kill()
            time.sleep(0.02)
        assert child.wait() == -signal.SIGKILL, "it was done before it was killed"
        deadline = time.monotonic() + 120
        while processes_of(marker):  # its workers end by themselves
            assert time.monotonic() < deadline
            time.sleep(0.1)
        reached.append(journal.read_bytes().count(b"\n"))
    subprocess.run(
        [sys.executable, "-c", CHILD, spec.model_dump_json(), str(store)],
        check=True,
        env=environment,
    )
    return reached


@pytest.mark.slow
@pytest.mark.parametrize("resolution", [256, 1024])
def test_killed_twice_it_ends_with_the_same_bytes(tmp_path: Path, resolution: int) -> None:
    count = {256: 2500, 1024: 150}[resolution]
    raw = photographs(tmp_path / "raw", count, resolution, ("jpg", "png"))
    prepare(spec_of(raw, resolution), tmp_path / "whole", 1)
    reached = kill_and_resume(
        spec_of(raw, resolution), tmp_path / "store", 2, lambda turn: (turn + 1) * count // 4
    )
    assert 0 < reached[0] < reached[1] < count
    assert content(tmp_path / "store") == content(tmp_path / "whole")


def test_damage_in_a_zip_is_found(tmp_path: Path) -> None:
    raw = photographs(tmp_path / "raw", 3, 512)
    prepare(spec_of(raw, 512), tmp_path / "store")
    path = tmp_path / "store" / "images.zip"
    good = path.read_bytes()
    place = good.index(b"IDAT") + 400
    path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
    with pytest.raises(DatasetError, match=r"images.zip: its sha256 is"):
        Store.open(tmp_path / "store").verify()
    path.write_bytes(good[:-100])
    with pytest.raises(DatasetError, match=r"images.zip: is \d+ bytes long, the manifest says"):
        Store.open(tmp_path / "store")
    with pytest.raises(DatasetError, match="is not a readable zip archive"):
        ZipImages(path, (3, 512, 512, 3))
    path.write_bytes(good)
    with pytest.raises(DatasetError, match=r"has no uncompressed 00000/img00000003.png"):
        ZipImages(path, (4, 512, 512, 3))
    with pytest.raises(DatasetError, match=r"img00000000.png\): is damaged"):
        ZipImages(path, (3, 256, 256, 3))[0]
