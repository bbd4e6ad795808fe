"""Preparing: once, atomically, and the same bytes whatever happens in between."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pytest

from msgbench import locks
from msgbench.config import DatasetSpec
from msgbench.data import prepare as prepare_module
from msgbench.data.manifest import SourceFacts
from msgbench.data.prepare import npy_header, prepare
from msgbench.data.sources import open_source
from msgbench.data.sources.base import SourceImage
from msgbench.data.store import Store
from msgbench.errors import DatasetError, LaunchError

if TYPE_CHECKING:
    from .conftest import MakeSpec, WriteForms

STORE_FILES = {"images.npy", "labels.npy", "manifest.json", "prepare.json", ".prepare.lock"}

# A child that prepares; the hook runs before.
CHILD = """
import os, sys
from pathlib import Path
from msgbench.config import DatasetSpec
from msgbench.data.prepare import prepare
{hook}
spec = DatasetSpec.model_validate_json(sys.argv[1])
prepare(spec, Path(sys.argv[2]))
"""


def child(spec: DatasetSpec, store: Path, hook: str = "") -> list[str]:
    return [sys.executable, "-c", CHILD.format(hook=hook), spec.model_dump_json(), str(store)]


def content(store: Path) -> dict[str, bytes]:
    """Everything that must be bit-identical: all but provenance and lock."""
    return {
        path.name: path.read_bytes()
        for path in store.iterdir()
        if path.name not in ("prepare.json", ".prepare.lock")
    }


def test_the_store_holds_the_source(tmp_path: Path, drawn_spec: MakeSpec) -> None:
    spec = drawn_spec(40)
    manifest = prepare(spec, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == STORE_FILES
    images = np.load(tmp_path / "images.npy")
    expected = np.stack([image.pixels for image in open_source(spec)])
    np.testing.assert_array_equal(images, expected)
    np.testing.assert_array_equal(np.load(tmp_path / "labels.npy"), np.arange(40) % 12)
    assert manifest.images_sha256 == hashlib.sha256(expected.tobytes()).hexdigest()
    scaled = expected.astype(np.float64) / 255
    np.testing.assert_allclose(manifest.mean, scaled.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(manifest.std, scaled.std(axis=(0, 1, 2)), rtol=1e-12)
    assert manifest.stand_in
    assert manifest.complete
    assert manifest.count == 40
    assert json.loads((tmp_path / "manifest.json").read_bytes())["schema"] == "msgbench.dataset/1"


def test_two_preparations_are_bit_identical(tmp_path: Path, drawn_spec: MakeSpec) -> None:
    for name in ("a", "b"):
        prepare(drawn_spec(40), tmp_path / name)
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_the_manifest_knows_nothing_of_this_machine(
    tmp_path: Path, cifar_spec: MakeSpec, write_forms: WriteForms
) -> None:
    path = write_forms(tmp_path / "somebodys folder", "python tarball")
    prepare(cifar_spec(path), tmp_path / "store")
    text = (tmp_path / "store" / "manifest.json").read_text()
    assert "somebodys" not in text
    assert os.uname().nodename not in text
    sidecar = json.loads((tmp_path / "store" / "prepare.json").read_bytes())
    assert sidecar["path"] == str(path)
    assert sidecar["provenance"]["host"] == os.uname().nodename


def test_prepared_again_it_returns_at_once(
    tmp_path: Path, drawn_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = prepare(drawn_spec(40), tmp_path)
    times = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    monkeypatch.setattr(prepare_module, "open_source", None)  # calling it would fail
    assert prepare(drawn_spec(40), tmp_path) == manifest
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times


@pytest.mark.parametrize(
    "change",
    [
        {"num_images": 30},
        {"resolution": 16},
        {"split": "test"},
        {"name": "other"},
    ],
)
def test_another_spec_makes_another_store(
    tmp_path: Path, drawn_spec: MakeSpec, change: dict[str, Any]
) -> None:
    spec = drawn_spec(40)
    before = prepare(spec, tmp_path)
    changed = spec.model_validate({**spec.model_dump(), **change})
    after = prepare(changed, tmp_path)
    assert after != before
    Store.open(tmp_path).verify()
    assert prepare(spec, tmp_path) == before


def test_mirroring_does_not_concern_the_store(
    tmp_path: Path, drawn_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = drawn_spec(40)
    manifest = prepare(spec, tmp_path)
    monkeypatch.setattr(prepare_module, "open_source", None)
    assert prepare(spec.model_copy(update={"mirror": True}), tmp_path) == manifest


def test_other_files_at_the_path_are_noticed(
    tmp_path: Path, cifar_spec: MakeSpec, write_forms: WriteForms
) -> None:
    """The cut copy replaced by a larger one, or by an archive: prepared anew. Gone: kept."""
    raw = write_forms(tmp_path / "raw", "binary parent")
    first = prepare(cifar_spec(raw), tmp_path / "store")
    batch = raw / "cifar-10-batches-bin" / "data_batch_2.bin"
    batch.write_bytes(batch.read_bytes() * 2)
    second = prepare(cifar_spec(raw), tmp_path / "store")
    assert second.count == first.count + 5
    archive = write_forms(tmp_path / "archive", "binary tarball")
    third = prepare(cifar_spec(archive), tmp_path / "store")
    assert third.source.archive is not None
    assert third.fingerprint == first.fingerprint
    archive.unlink()
    assert prepare(cifar_spec(archive), tmp_path / "store") == third


@pytest.mark.parametrize("name", ["images.npy", "labels.npy"])
def test_a_damaged_store_is_made_again(tmp_path: Path, drawn_spec: MakeSpec, name: str) -> None:
    prepare(drawn_spec(40), tmp_path)
    before = content(tmp_path)
    with (tmp_path / name).open("r+b") as file:
        file.truncate(100)
    prepare(drawn_spec(40), tmp_path)
    assert content(tmp_path) == before


class _Unlabelled:
    """Five grey images without labels."""

    count, resolution, label_names, stand_in = 5, 32, None, True

    def __iter__(self) -> Iterator[SourceImage]:
        for k in range(5):
            yield SourceImage(np.full((32, 32, 3), 50 * k, dtype=np.uint8), None)

    def facts(self) -> SourceFacts:
        return SourceFacts(
            recipe="grey",
            recipe_version=1,
            form="drawn",
            archive=None,
            files=(),
            count=5,
            expected_count=5,
        )


def test_a_store_without_labels_keeps_none_of_an_earlier_one(
    tmp_path: Path, drawn_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(drawn_spec(12), tmp_path)
    monkeypatch.setattr(prepare_module, "open_source", lambda spec: _Unlabelled())
    manifest = prepare(drawn_spec(5), tmp_path)
    assert manifest.labels_sha256 is None
    assert {path.name for path in tmp_path.iterdir()} == STORE_FILES - {"labels.npy"}
    store = Store.open(tmp_path)
    assert store.labels is None
    # 0, 50, 100, 150, 200: mean 100, population variance 5000
    assert manifest.mean == pytest.approx((100 / 255,) * 3, rel=1e-12)
    assert manifest.std == pytest.approx((5000**0.5 / 255,) * 3, rel=1e-12)


def test_a_full_disk_is_noticed_before(
    tmp_path: Path, drawn_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = prepare_module.shutil.disk_usage(tmp_path)._replace(free=1_500_000)
    monkeypatch.setattr(prepare_module.shutil, "disk_usage", lambda place: usage)
    with pytest.raises(DatasetError) as caught:
        prepare(drawn_spec(4000), tmp_path / "a" / "b")
    assert str(caught.value) == f"{tmp_path / 'a' / 'b'}: needs 13.3 MB, its disk has 1.5 MB free"
    assert list(tmp_path.iterdir()) == []


class _FullDisk:
    """A file that takes 300,000 bytes."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.room = file, 300_000

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> _FullDisk:
        return self

    def __exit__(self, *details: object) -> None:
        self.file.close()

    def write(self, data: bytes) -> int:
        self.room -= memoryview(data).nbytes
        if self.room < 0:
            raise OSError(28, "No space left on device")
        return self.file.write(data)


@pytest.mark.parametrize("earlier", [False, True])
def test_a_disk_that_fills_up_leaves_what_was_there(
    tmp_path: Path, drawn_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch, earlier: bool
) -> None:
    if earlier:
        prepare(drawn_spec(20), tmp_path)
    before = content(tmp_path)
    original = Path.open

    def full(path: Path, *arguments: Any, **options: Any) -> Any:
        file = original(path, *arguments, **options)
        return _FullDisk(file) if path.name == "images.npy" and arguments == ("wb",) else file

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", full)
        with pytest.raises(DatasetError) as caught:
            prepare(drawn_spec(600), tmp_path)
    assert str(caught.value) == f"{tmp_path}: cannot be written (No space left on device)"
    assert content(tmp_path) == before
    assert prepare(drawn_spec(600), tmp_path).count == 600


def test_a_place_that_cannot_be_a_folder(tmp_path: Path, drawn_spec: MakeSpec) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LaunchError, match=r"file: is a file; a folder is needed here$"):
        prepare(drawn_spec(12), tmp_path / "file")


def test_stopped_by_the_keyboard_nothing_half_written_stays(
    tmp_path: Path, drawn_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(prepare_module, "moments", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare(drawn_spec(40), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".prepare.lock"}


def test_kill_9_at_random_moments(tmp_path: Path, drawn_spec: MakeSpec) -> None:
    spec = drawn_spec(600)
    prepare(spec, tmp_path / "whole")
    expected = content(tmp_path / "whole")
    store = tmp_path / "killed"
    seed = random.randrange(10**6)
    print(f"random moments from seed {seed}")
    moments = random.Random(seed)
    killed = 0
    for _ in range(4):
        process = subprocess.Popen(child(spec, store), stderr=subprocess.DEVNULL)
        while not (store / ".building").exists() and process.poll() is None:
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.35))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        if (store / "manifest.json").exists():
            Store.open(store).verify()
    assert killed, "no child was killed in time: prepare is so fast that this test must draw more"
    prepare(spec, store)
    assert content(store) == expected


# Every system call that moves the finished build into place, in order.
STEPS = [
    "rename:.ready",
    "replace:images.npy",
    "replace:labels.npy",
    "replace:prepare.json",
    "replace:manifest.json",
]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_killed_while_a_new_store_replaces_an_old_one(
    tmp_path: Path, drawn_spec: MakeSpec, step: str, when: str
) -> None:
    old, new = drawn_spec(12), drawn_spec(24)
    prepare(new, tmp_path / "whole")
    expected = content(tmp_path / "whole")
    store = tmp_path / "store"
    old_manifest = prepare(old, store)
    call, target = step.split(":")
    hook = f"""
original = os.{call}
def dying(source, destination, **options):
    hit = Path(destination).name == {target!r} and Path(destination).parent == Path(sys.argv[2])
    if hit and {when == "before"}: os._exit(9)
    original(source, destination, **options)
    if hit: os._exit(9)
os.{call} = dying
"""
    run = subprocess.run(child(new, store, hook), stderr=subprocess.PIPE, timeout=120)
    assert run.returncode == 9, run.stderr
    if (store / "manifest.json").exists():  # either the old store or the new one, never a mixture
        found = Store.open(store)
        found.verify()
        assert found.manifest.count in (12, 24)
        if step == "rename:.ready":
            assert found.manifest == old_manifest
    prepare(new, store)
    assert content(store) == expected


def test_a_second_start_waits_and_finds_the_work_done(
    tmp_path: Path,
    drawn_spec: MakeSpec,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = drawn_spec(700)
    process = subprocess.Popen(child(spec, tmp_path), stderr=subprocess.DEVNULL)

    def go_on_and_wait(seconds: float) -> None:
        process.send_signal(signal.SIGCONT)
        threading.Event().wait(seconds)

    try:
        while not (tmp_path / ".building").exists():
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(signal.SIGSTOP)  # until somebody waits for it
        monkeypatch.setattr(locks.time, "sleep", go_on_and_wait)
        manifest = prepare(spec, tmp_path)
    finally:
        monkeypatch.undo()
        process.send_signal(signal.SIGCONT)
        process.wait(timeout=120)
    assert process.returncode == 0
    assert manifest.count == 700
    assert f"prepare is already running (process {process.pid} " in capsys.readouterr().err


def test_two_threads_make_one_store(tmp_path: Path, drawn_spec: MakeSpec) -> None:
    spec = drawn_spec(60)
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(prepare(spec, tmp_path))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert results[0] == results[1] == results[2]
    Store.open(tmp_path).verify()


def test_preparing_never_loads_torch(tmp_path: Path, drawn_spec: MakeSpec) -> None:
    code = CHILD.format(hook="") + "\nassert 'torch' not in sys.modules"
    arguments = [sys.executable, "-c", code, drawn_spec(12).model_dump_json(), str(tmp_path)]
    subprocess.run(arguments, check=True, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("shape", [(1, 8, 8, 3), (202_599, 128, 128, 3), (7,)])
def test_the_header_is_numpys(tmp_path: Path, shape: tuple[int, ...]) -> None:
    (tmp_path / "a.npy").write_bytes(npy_header(shape))
    with (tmp_path / "a.npy").open("rb") as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0(file)
        assert file.tell() == 128
    assert version == (1, 0)
    assert header == (shape, False, np.dtype("uint8"))
