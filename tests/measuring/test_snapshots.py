"""The snapshot file: what goes in comes out, equal content gives equal bytes, and each bad input has its sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from msgbench.config import EmaSpec, ModelSpec
from msgbench.errors import SnapshotError
from msgbench.models.build import build_generator
from msgbench.models.generator import draw_noise
from msgbench.snapshots import SnapshotMeta, load_snapshot, read_meta, save_snapshot

MODEL = ModelSpec(family="progan", resolution=8, latent_size=16, width_multiplier=1 / 32)


def meta_of(model: ModelSpec = MODEL) -> SnapshotMeta:
    return SnapshotMeta(
        model=model,
        run="tiny/01234567/seed3",
        experiment="tiny",
        seed=3,
        cur_nimg=1600,
        run_fingerprint="01234567" * 8,
        dataset_fingerprint="89abcdef" * 8,
        ema=EmaSpec(beta=0.999),
    )


@pytest.fixture
def tiny_generator() -> nn.Module:
    return build_generator(MODEL, torch.Generator().manual_seed(5))


@pytest.fixture
def snapshot(tmp_path: Path, tiny_generator: nn.Module) -> Path:
    path = tmp_path / "snapshots" / "snapshot-0000001600.safetensors"
    save_snapshot(path, tiny_generator, meta_of())
    return path


def test_round_trip(snapshot: Path, tiny_generator: nn.Module) -> None:
    G, meta = load_snapshot(snapshot)
    assert meta == meta_of() == read_meta(snapshot)
    assert not G.training
    assert not any(parameter.requires_grad for parameter in G.parameters())
    z = torch.randn(4, 16, generator=torch.Generator().manual_seed(1))
    images, expected = G(z), tiny_generator.eval()(z)
    assert [list(x.shape) for x in images] == [[4, 3, 4, 4], [4, 3, 8, 8]]
    assert all(torch.equal(a, b) for a, b in zip(images, expected, strict=True))


def test_the_average_w_and_the_noise_weights_are_in_the_file(tmp_path: Path) -> None:
    model = ModelSpec(family="stylegan", resolution=8, latent_size=16, width_multiplier=1 / 32)
    G = build_generator(model, torch.Generator().manual_seed(5))
    z = torch.randn(4, 16, generator=torch.Generator().manual_seed(1))
    noise = draw_noise(G, 4, torch.Generator().manual_seed(2))
    with torch.no_grad():
        G.train()(z, noise)
    assert G.w_average.abs().max() > 0
    save_snapshot(tmp_path / "styled.safetensors", G, meta_of(model))
    loaded, _ = load_snapshot(tmp_path / "styled.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(loaded(z, noise), G.eval()(z, noise), strict=True))
    assert torch.equal(loaded.w_average, G.w_average)


def test_equal_content_gives_equal_bytes_and_nothing_else(
    snapshot: Path, tiny_generator: nn.Module
) -> None:
    before = snapshot.read_bytes()
    save_snapshot(snapshot, tiny_generator, meta_of())
    assert snapshot.read_bytes() == before
    assert [file.name for file in snapshot.parent.iterdir()] == [snapshot.name]


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def a_picture(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))


def foreign(path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, path, metadata={"format": "pt"})


def changed_meta(**change: object) -> Callable[[Path], None]:
    def change_file(path: Path) -> None:
        content = {**json.loads(meta_of().model_dump_json(by_alias=True)), **change}
        save_file(load_file(path), path, metadata={"msgbench": json.dumps(content)})

    return change_file


def without_a_tensor(path: Path) -> None:
    tensors = load_file(path)
    del tensors[sorted(tensors)[0]]
    save_file(tensors, path, metadata={"msgbench": meta_of().model_dump_json(by_alias=True)})


def with_another_tensor(path: Path) -> None:
    tensors = {**load_file(path), "extra": torch.zeros(2)}
    save_file(tensors, path, metadata={"msgbench": meta_of().model_dump_json(by_alias=True)})


def in_half_precision(path: Path) -> None:
    tensors = {name: tensor.half() for name, tensor in load_file(path).items()}
    save_file(tensors, path, metadata={"msgbench": meta_of().model_dump_json(by_alias=True)})


UNREADABLE = "is truncated or not a safetensors file"


@pytest.mark.parametrize(
    ("damage", "pattern"),
    [
        (Path.unlink, "no such snapshot"),
        (truncated, UNREADABLE),
        (empty, UNREADABLE),
        (a_picture, UNREADABLE),
        (foreign, "is a safetensors file of another program, not a snapshot of msgbench"),
        (
            changed_meta(schema="msgbench.snapshot/9"),
            r"its metadata does not follow msgbench\.snapshot/1 \(schema: Input should be 'msgbench\.snapshot/1'\)",
        ),
        (
            changed_meta(seed=-1),
            r"its metadata does not follow msgbench\.snapshot/1 \(seed: Input should be greater than or equal to 0\)",
        ),
        (
            changed_meta(model={**MODEL.model_dump(), "latent_size": 24}),
            r"tensor \S+ is float32 \[.+\], the generator of its metadata needs float32 \[.+\]",
        ),
        (
            changed_meta(model={**MODEL.model_dump(), "resolution": 16}),
            r"tensor \S+ is missing, the generator of its metadata needs it",
        ),
        (changed_meta(lod=0.0), "lod is 0, its generator does not grow and has none"),
        (
            changed_meta(model={**MODEL.model_dump(), "growing": True, "connections": "none"}),
            "lod is null, its generator grows and needs a number",
        ),
        (without_a_tensor, r"tensor \S+ is missing, the generator of its metadata needs it"),
        (with_another_tensor, r"tensor extra has no place in the generator of its metadata"),
        (
            in_half_precision,
            r"tensor \S+ is float16 \[.+\], the generator of its metadata needs float32 \[.+\]",
        ),
    ],
)
def test_bad_files(snapshot: Path, damage: Callable[[Path], None], pattern: str) -> None:
    damage(snapshot)
    with pytest.raises(SnapshotError) as caught:
        load_snapshot(snapshot)
    assert re.fullmatch(re.escape(f"{snapshot}: ") + pattern, str(caught.value))


def test_a_folder_is_not_a_snapshot(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError) as caught:
        read_meta(tmp_path)
    assert str(caught.value) == f"{tmp_path}: {UNREADABLE}"
