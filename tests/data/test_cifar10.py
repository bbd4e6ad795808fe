"""All official forms of CIFAR-10 give the same images; a hostile pickle is read without being run."""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from msgbench.data.prepare import prepare
from msgbench.data.sources import open_source
from msgbench.data.store import Store
from msgbench.errors import DatasetError

if TYPE_CHECKING:
    from .conftest import Cifar, MakeSpec, WriteForms

FORMS = [
    "binary folder",
    "binary parent",
    "binary renamed folder",
    "binary tarball",
    "binary tarball parent",
    "binary plain tar",
    "python folder",
    "python parent",
    "python tarball",
    "python protocol 0",
    "python protocol 2",
    "python protocol 4",
    "python protocol 5",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("split", ["train", "test", "all"])
def test_every_form_gives_the_same_images(
    tmp_path: Path,
    cifar: Cifar,
    cifar_spec: MakeSpec,
    write_forms: WriteForms,
    form: str,
    split: str,
) -> None:
    path = write_forms(tmp_path / "raw", form)
    source = open_source(cifar_spec(path, split))
    images = np.stack([image.pixels for image in source])
    np.testing.assert_array_equal(images, cifar.images(split))
    assert [image.label for image in source] == cifar.labels(split)
    facts = source.facts()
    assert facts.count == len(cifar.labels(split)) == source.count
    assert facts.expected_count == {"train": 50_000, "test": 10_000, "all": 60_000}[split]
    assert facts.form == form.split()[0]
    assert (facts.archive is not None) == ("tar" in form)


@pytest.mark.parametrize("form", ["binary folder", "python tarball"])
def test_all_images_need_both_splits(
    tmp_path: Path, cifar: Cifar, cifar_spec: MakeSpec, write_forms: WriteForms, form: str
) -> None:
    del cifar.batches["test_batch"]
    path = write_forms(tmp_path, form)
    with pytest.raises(DatasetError) as caught:
        open_source(cifar_spec(path, "all"))
    end = ".bin" if form.startswith("binary") else ""
    names = ", ".join(f"data_batch_{k}{end}" for k in (1, 2, 3))
    assert str(caught.value) == (
        f"{path}: has no images of split test (found {names}); expected test_batch{end}"
    )


def test_a_store_of_all_images_is_one_of_its_own_and_made_once(
    tmp_path: Path, cifar: Cifar, cifar_spec: MakeSpec, write_forms: WriteForms
) -> None:
    path = write_forms(tmp_path / "raw", "python folder")
    spec = cifar_spec(path, "all")
    assert spec.fingerprint != cifar_spec(path).fingerprint
    manifest = prepare(spec, tmp_path / "store")
    assert (manifest.split, manifest.count) == ("all", len(cifar.labels("all")))
    store = Store.open(tmp_path / "store")
    np.testing.assert_array_equal(store.images, cifar.images("all"))
    made = (tmp_path / "store/images.npy").stat().st_mtime_ns
    assert prepare(spec, tmp_path / "store") == manifest
    assert (tmp_path / "store/images.npy").stat().st_mtime_ns == made


def test_facts_name_the_files_with_their_checksums(
    tmp_path: Path, cifar: Cifar, cifar_spec: MakeSpec, write_forms: WriteForms
) -> None:
    path = write_forms(tmp_path, "binary tarball")
    facts = open_source(cifar_spec(path)).facts()
    for fact, name in zip(
        facts.files, ["data_batch_1", "data_batch_2", "data_batch_3"], strict=True
    ):
        content = cifar.binary_files()[f"{name}.bin"]
        assert (fact.name, fact.bytes) == (f"{name}.bin", len(content))
        assert fact.sha256 == hashlib.sha256(content).hexdigest()
    assert facts.archive is not None
    assert facts.archive.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_stores_of_both_forms_share_one_fingerprint(
    tmp_path: Path, cifar_spec: MakeSpec, write_forms: WriteForms
) -> None:
    binary = prepare(cifar_spec(write_forms(tmp_path / "a", "binary folder")), tmp_path / "s1")
    python = prepare(cifar_spec(write_forms(tmp_path / "b", "python tarball")), tmp_path / "s2")
    test = prepare(cifar_spec(tmp_path / "a", "test"), tmp_path / "s3")
    assert binary.fingerprint == python.fingerprint != test.fingerprint
    assert binary.source != python.source
    assert not binary.complete  # 15 images are not 50,000
    assert not binary.stand_in


def test_nothing_of_an_archive_is_written_to_disk(
    tmp_path: Path, cifar_spec: MakeSpec, write_forms: WriteForms
) -> None:
    """Members that point elsewhere are found by their last name and read in memory."""
    hostile = write_forms(tmp_path / "raw", "hostile tarball")
    before = sorted(tmp_path.rglob("*"))
    assert open_source(cifar_spec(hostile)).count == 15
    assert sorted(tmp_path.rglob("*")) == before


def test_the_real_copy_is_read_as_published(cifar_spec: MakeSpec, shared_folder: Path) -> None:
    """Rows decoded here by hand, at both ends and across the border of two files."""
    folder = shared_folder / "data" / "cifar-10-batches-bin"
    source = open_source(cifar_spec(folder, "train"))
    rows = np.concatenate(
        [np.fromfile(folder / f"data_batch_{k}.bin", np.uint8).reshape(-1, 3073) for k in (1, 2)]
    )
    assert source.count == len(rows) == 20_000
    images = list(source)
    for row in (0, 9_999, 10_000, 19_999):
        for channel in range(3):
            plane = rows[row, 1 + 1024 * channel : 1025 + 1024 * channel].reshape(32, 32)
            np.testing.assert_array_equal(images[row].pixels[:, :, channel], plane)
        assert images[row].label == rows[row, 0]
    # Photographs are smooth: a wrong order of planes, rows or columns would break this.
    stack = np.stack([image.pixels for image in images[:500]]).astype(float)
    for axis in (1, 2):
        assert 5 < np.abs(np.diff(stack, axis=axis)).mean() < 20
    assert np.abs(np.diff(stack, axis=3)).mean() < 25


def test_the_real_copy_is_prepared_as_incomplete(
    tmp_path: Path, cifar_spec: MakeSpec, shared_folder: Path
) -> None:
    manifest = prepare(
        cifar_spec(shared_folder / "data", "test", num_images=500), tmp_path / "store"
    )
    assert (manifest.count, manifest.source.count, manifest.source.expected_count) == (
        500,
        2000,
        10_000,
    )
    assert not manifest.complete
    # The published statistics of CIFAR-10 are 0.491, 0.482, 0.447 and 0.247, 0.244, 0.262; 500 images
    # of 1024 correlated pixels have a standard error of about 0.25 / sqrt(500) = 0.01.
    np.testing.assert_allclose(manifest.mean, (0.491, 0.482, 0.447), atol=0.035)
    np.testing.assert_allclose(manifest.std, (0.247, 0.244, 0.262), atol=0.025)
    Store.open(tmp_path / "store").verify()


class _Call:
    """Pickles as a call of any function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize(
    "attack", ["os.system", "builtins.eval", "subprocess.Popen", "numpy.fromfile"]
)
def test_a_hostile_pickle_is_refused_without_running(
    tmp_path: Path, cifar: Cifar, cifar_spec: MakeSpec, protocol: int, attack: str
) -> None:
    proof = tmp_path / "proof"
    victim = tmp_path / "victim"
    victim.write_bytes(b"x")
    attacks = {
        "os.system": (_Call(os.system, f"touch {proof}"), f"{os.name}.system"),
        "builtins.eval": (
            _Call(eval, f"open({str(proof)!r}, 'w')"),
            "__builtin__.eval" if protocol < 3 else "builtins.eval",
        ),
        "subprocess.Popen": (
            _Call(subprocess.Popen, ["touch", str(proof)]),
            "commands.Popen" if protocol < 3 else "subprocess.Popen",  # Python 2's name
        ),
        "numpy.fromfile": (_Call(np.fromfile, str(victim)), None),
    }
    payload, name = attacks[attack]
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    batch = {b"labels": [1], b"data": payload}
    (folder / "data_batch_1").write_bytes(pickle.dumps(batch, protocol=protocol))
    with pytest.raises(DatasetError) as caught:
        prepare(cifar_spec(folder), tmp_path / "store")
    assert "which no batch of CIFAR-10 needs; nothing of it was run" in str(caught.value)
    assert name is None or f": asks for {name}," in str(caught.value)
    assert not proof.exists()
    assert not (tmp_path / "store").exists()


def test_the_attack_above_would_have_worked(tmp_path: Path) -> None:
    """Otherwise the test above could not fail."""
    proof = tmp_path / "proof"
    payload = pickle.dumps({b"data": _Call(os.system, f"touch {proof}")})
    code = "import pickle, sys; pickle.loads(sys.stdin.buffer.read())"
    subprocess.run([sys.executable, "-c", code], input=payload, check=True)
    assert proof.exists()


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02cnumpy\nndarray\nK\x01\x85R.",  # calls what is only named
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n}U\x01aK\x01sb.",  # writes on an allowed function
        b"\x80\x02c_codecs\nencode\nU\x01aU\x04zlib\x86R.",  # another codec
        b"\x80\x02U\x04evilQ.",  # a persistent object
        b"\x80\x02\x82\x01.",  # the extension registry
    ],
    ids=["call-subtype", "tamper", "codec", "persistent", "extension"],
)
def test_allowed_names_cannot_be_turned_into_something_else(
    tmp_path: Path, cifar_spec: MakeSpec, program: bytes
) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(program)
    with pytest.raises(DatasetError):
        open_source(cifar_spec(folder))


def test_no_damaged_byte_of_a_pickle_gets_past_the_reader(
    tmp_path: Path, cifar: Cifar, cifar_spec: MakeSpec
) -> None:
    """Whatever the damage makes of the pickle's program: DatasetError, or images and labels."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    whole = cifar.python_files()["data_batch_1"]
    pixels = whole.index(cifar.batches["data_batch_1"][0].tobytes())
    refused = 0
    for position in [*range(pixels), *range(len(whole) - 6, len(whole))]:
        damaged = bytearray(whole)
        damaged[position] ^= 0x15
        (folder / "data_batch_1").write_bytes(damaged)
        try:
            source = open_source(cifar_spec(folder))
        except DatasetError:
            refused += 1
        else:
            assert all(image.pixels.shape == (32, 32, 3) for image in source)
    assert refused > 100


def test_reading_never_needs_a_writable_or_complete_folder(
    tmp_path: Path, cifar_spec: MakeSpec, write_forms: WriteForms
) -> None:
    """One batch alone is a (cut) CIFAR-10."""
    folder = write_forms(tmp_path, "binary folder")
    for name in ("data_batch_1.bin", "data_batch_3.bin", "test_batch.bin"):
        (folder / name).unlink()
    folder.chmod(0o555)
    try:
        source = open_source(cifar_spec(folder))
    finally:
        folder.chmod(0o755)
    assert [fact.name for fact in source.facts().files] == ["data_batch_2.bin"]
    assert source.count == 5


def test_home_is_understood(
    tmp_path: Path, cifar_spec: MakeSpec, write_forms: WriteForms, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_forms(tmp_path / "home", "binary folder")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert open_source(cifar_spec(Path("~/cifar-10-batches-bin"))).count == 15
