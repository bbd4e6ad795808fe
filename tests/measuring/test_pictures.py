"""Picture sets: the seeds and layers of the papers, pixels as measured, and manifests that let them be drawn again."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from msgbench.cli import app
from msgbench.config import EmaSpec, ModelSpec
from msgbench.data.pixels import to_uint8
from msgbench.errors import ConfigError, MsgbenchError
from msgbench.models.build import build_generator
from msgbench.models.growing import set_lod
from msgbench.models.styles import mix_styles
from msgbench.pictures import sets
from msgbench.pictures.sets import (
    by_random_state,
    enlarged,
    interpolation,
    mixing,
    noise_draws,
    scales,
    spherical,
)
from msgbench.pictures.source import Source
from msgbench.pictures.write import draw_pictures, laid_out
from msgbench.records import read_json, write_json
from msgbench.sampling import SampleSet, latents
from msgbench.snapshots import SnapshotMeta, save_snapshot

MakeRun = Callable[..., Path]


def snapshot(
    path: Path, family: str = "stylegan", resolution: int = 32, seed: int = 0, latent: int = 16,
    lod: float | None = None, cur_nimg: int = 100,
) -> Path:  # fmt: skip
    """A snapshot of an untrained generator; `lod` makes it a growing one."""
    model = ModelSpec(
        family=family, resolution=resolution, latent_size=latent, width_multiplier=1 / 64,
        **({} if lod is None else {"growing": True, "connections": "none"}),  # type: ignore[arg-type]
    )  # fmt: skip
    G = build_generator(model, torch.Generator().manual_seed(seed))
    for name, parameter in G.named_parameters():
        if name.endswith("noise_weight"):  # 0 at first: noise would do nothing
            parameter.data.fill_(0.5)
    meta = SnapshotMeta(
        model=model, run=f"{family}/00000000/seed0", experiment=family, seed=0, cur_nimg=cur_nimg,
        run_fingerprint="0" * 64, dataset_fingerprint="1" * 64, ema=EmaSpec(beta=0.9), lod=lod,
    )  # fmt: skip
    save_snapshot(path, G, meta)
    return path


@pytest.fixture
def styled(tmp_path: Path) -> Source:
    return Source(snapshot(tmp_path / "styled.safetensors"))


def test_the_grid_is_the_first_measured_images(tmp_path: Path) -> None:
    path = snapshot(tmp_path / "s.safetensors")
    measured = torch.cat(list(SampleSet(path, 36, 2020, 9).batches())).permute(0, 2, 3, 1).numpy()
    drawn = sets.grid(Source(path))
    assert (drawn.rows, drawn.columns) == (6, 6)
    # The same latents, noise and rule; another batch size may move a pixel by one grey level.
    assert np.abs(drawn.tiles.astype(int) - measured).max() <= 1
    assert drawn.how["psi"] is None


def whole_blocks(tiles: np.ndarray, times: int) -> bool:
    """Whether tiles [N, R, R, 3] are of R / times pixels, each repeated, and no coarser."""
    small = tiles[:, ::times, ::times]
    finer = small[:, ::2, ::2].repeat(2, axis=1).repeat(2, axis=2)
    return np.array_equal(
        small.repeat(times, axis=1).repeat(times, axis=2), tiles
    ) and not np.array_equal(finer, small)


def test_a_generator_that_still_grows_is_shown_at_full_size(tmp_path: Path) -> None:
    # 16 px are being faded in, 32 px are yet to come.
    path = snapshot(tmp_path / "growing.safetensors", lod=1.5)
    source = Source(path)
    drawn = sets.grid(source)
    assert drawn.tiles.shape == (36, 32, 32, 3)
    assert whole_blocks(drawn.tiles, 2)
    measured = torch.cat(list(SampleSet(path, 36, 2020, 9).batches())).permute(0, 2, 3, 1).numpy()
    assert np.abs(drawn.tiles.astype(int) - measured).max() <= 1

    drawn = scales(source)
    assert (drawn.rows, drawn.columns) == (4, 1)
    assert list(drawn.column_labels) == ["32 px"]
    assert drawn.arrays["scale_0032"].shape == (4, 32, 32, 3)
    assert whole_blocks(drawn.tiles, 2)

    drawn = mixing(source)
    # 6 layers at 16 px: two rows of middle ones, of which there are two.
    assert (drawn.rows, drawn.columns) == (6, 6)
    assert drawn.how["layers"] == [[0, 1, 2, 3]] * 3 + [[4, 5]] * 2
    assert drawn.tiles.shape == (36, 32, 32, 3)
    assert whole_blocks(drawn.tiles[1:], 2)
    assert not np.array_equal(drawn.tiles[7], drawn.tiles[6])


def test_moments_of_a_generator_that_grows_are_of_one_size(tmp_path: Path) -> None:
    lods = (3.0, 1.5, 0.0)
    sources = [
        Source(snapshot(tmp_path / f"{k}.safetensors", lod=lod, cur_nimg=1000 * k))
        for k, lod in enumerate(lods)
    ]
    (drawn,) = sets.time_lapse(sources)
    assert drawn.name == "time-lapse-0032px"
    assert (drawn.rows, drawn.columns) == (2, 3)
    assert list(drawn.column_labels) == ["0 kimg", "1 kimg", "2 kimg"]
    tiles = drawn.tiles.reshape(2, 3, 32, 32, 3)
    # 4 px at lod 3, 16 px at 1.5, 32 px at 0.
    for column, times in enumerate((8, 2, 1)):
        assert whole_blocks(tiles[:, column], times)


def test_mixing_takes_the_papers_seeds_and_layers(styled: Source) -> None:
    drawn = mixing(styled)
    # 8 layers at 32 px: no fine ones, so no sixth row.
    assert (drawn.rows, drawn.columns) == (6, 6)
    assert drawn.how["sources"] == [3, 12, 42, 30, 33]
    assert drawn.how["destinations"] == [3333, 121, 28, 24, 35]
    assert drawn.how["layers"] == [[0, 1, 2, 3]] * 3 + [[4, 5, 6, 7]] * 2
    assert drawn.row_labels[1] == "3333, coarse"
    assert drawn.row_labels[5] == "35, middle"
    column = torch.from_numpy(np.random.RandomState(42).randn(1, 16).astype(np.float32))
    row = torch.from_numpy(np.random.RandomState(24).randn(1, 16).astype(np.float32))
    expected = mix_styles(styled.G, row, column, range(4, 8), styled.noise(1, 2020))[-1]
    tile = drawn.tiles[4 * 6 + 3]  # row 4 (seed 24), column 3 (seed 42)
    found = to_uint8(expected)[0].permute(1, 2, 0).numpy()
    assert np.abs(tile.astype(int) - found).max() <= 1
    # The first row and column are sources and destinations as they are.
    plain = styled.scales(column, styled.noise(1, 2020))[-1][0]
    assert np.abs(drawn.tiles[3].astype(int) - plain).max() <= 1
    assert (drawn.tiles[0] == 255).all()


def test_mixing_of_all_eighteen_layers_has_a_fine_row() -> None:
    layers = [[k for k in row if k < 18] for row in sets.MIXING_ROWS]
    assert layers[-1] == list(range(8, 18))
    assert [len(row) for row in layers] == [4, 4, 4, 4, 4, 10]


def test_scales_are_truncated_enlarged_and_kept_raw(styled: Source) -> None:
    drawn = scales(styled)
    assert (drawn.rows, drawn.columns) == (4, 4)
    assert list(drawn.column_labels) == ["4 px", "8 px", "16 px", "32 px"]
    assert drawn.how["psi"] == 0.6
    raw = drawn.arrays["scale_0004"]
    assert raw.shape == (4, 4, 4, 3)
    np.testing.assert_array_equal(drawn.tiles[4], enlarged(raw[1], 32))  # row 1, column 0
    assert len(np.unique(drawn.tiles[4].reshape(-1, 3), axis=0)) <= 16
    z = by_random_state(3, 4, 16)
    assert not np.array_equal(
        styled.scales(z, styled.noise(4, 2020))[-1], drawn.arrays["scale_0032"]
    )


def test_noise_draws_differ_and_their_deviation_is_on_a_fixed_scale(styled: Source) -> None:
    drawn = noise_draws(styled)
    assert (drawn.rows, drawn.columns) == (3, 9)
    tiles = drawn.tiles.reshape(3, 9, 32, 32, 3)
    assert not np.array_equal(tiles[0, 0], tiles[0, 1])
    stack = tiles[0, :8].astype(np.float64) / 127.5
    np.testing.assert_allclose(drawn.arrays["deviation"][0], stack.std(axis=0), atol=1e-5)
    shown = np.clip(stack.std(axis=0) * 255, 0, 255)
    assert np.abs(tiles[0, 8] - shown).max() <= 1
    for parameter in (p for n, p in styled.G.named_parameters() if n.endswith("noise_weight")):
        parameter.data.zero_()
    still = noise_draws(styled)
    assert (still.arrays["deviation"] == 0).all()
    assert (still.tiles.reshape(3, 9, 32, 32, 3)[:, 8] == 0).all()


def test_interpolation_starts_and_ends_at_its_latents(styled: Source) -> None:
    drawn = interpolation(styled)
    z = latents(range(2), 16, 2020)
    noise = [n.expand(2, -1, -1, -1) for n in styled.noise(1, 2020)]
    ends = styled.scales(z, noise)[-1]
    assert np.abs(drawn.tiles[0].astype(int) - ends[0]).max() <= 1
    assert np.abs(drawn.tiles[8].astype(int) - ends[1]).max() <= 1
    middle = spherical(z[0], z[1], 0.5)
    assert middle.norm().item() == pytest.approx(1.0, abs=1e-5)
    a, b = (v / v.norm() for v in (z[0], z[1]))
    assert (middle @ a).item() == pytest.approx((middle @ b).item(), abs=1e-5)


def test_tiles_lie_row_by_row() -> None:
    tiles = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((6, 2, 2, 3), np.uint8)
    found = laid_out(tiles, 2, 3)
    assert found.shape == (4, 6, 3)
    assert found[::2, ::2, 0].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_pictures_and_manifest_of_a_run(make_run: MakeRun) -> None:
    run_dir = make_run(lengths=(0, 1600, 3200))
    done = CliRunner().invoke(app, ["sample", str(run_dir), "--at", "final", "--device", "cpu"])
    assert done.exit_code == 0, done.exception
    manifest = read_json(run_dir / "samples.json")
    names = [picture["name"] for picture in manifest["pictures"]]
    # ProGAN has no styles and no noise.
    assert names == ["grid", "scales", "interpolation", "time-lapse-0004px", "time-lapse-0008px"]
    assert manifest["sources"][0]["cur_nimg"] == 3200
    for picture in manifest["pictures"]:
        png, npz = (run_dir / entry["file"] for entry in picture["files"])
        for path, entry in zip((png, npz), picture["files"], strict=True):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"]
        tiles = np.load(npz, allow_pickle=False)["tiles"]
        shape = (picture["rows"] * picture["columns"], *picture["tile"])
        assert tiles.shape == shape
        laid = laid_out(tiles, picture["rows"], picture["columns"])
        np.testing.assert_array_equal(np.asarray(Image.open(png)), laid)
    lapse = manifest["pictures"][-1]
    assert lapse["column_labels"] == ["0 kimg", "1.6 kimg", "3.2 kimg"]

    # A second call finds its work done; a lost picture is drawn again, bit for bit.
    before = {path: path.read_bytes() for path in (run_dir / "samples").iterdir()}
    # It counts as new, so that a later measurement does not make the workflow draw figures again.
    written = (run_dir / "samples.json").stat()
    draw_pictures([run_dir], run_dir / "samples.json", at="final")
    found = (run_dir / "samples.json").stat()
    assert found.st_ino == written.st_ino
    assert found.st_mtime_ns > written.st_mtime_ns
    (run_dir / "samples" / "grid.png").unlink()
    draw_pictures([run_dir], run_dir / "samples.json", at="final")
    assert {path: path.read_bytes() for path in (run_dir / "samples").iterdir()} == before


def test_the_best_snapshot_is_the_measured_one(make_run: MakeRun, tmp_path: Path) -> None:
    run_dir = make_run(lengths=(0, 1600))
    picked = [{"protocol": "fid60_test", "best": {"cur_nimg": 1600}, "final": {"cur_nimg": 1600}}]
    write_json(run_dir / "evaluate.json", {"picked": picked})
    out = draw_pictures([run_dir], tmp_path / "best.json", ["grid"])
    assert read_json(out)["sources"][0]["cur_nimg"] == 1600
    at_zero = draw_pictures([run_dir], tmp_path / "zero.json", ["grid"], at="0")
    assert read_json(at_zero)["sources"][0]["cur_nimg"] == 0


def test_two_generators_stand_beside_each_other_on_the_same_latents(tmp_path: Path) -> None:
    one = snapshot(tmp_path / "one.safetensors", seed=1)
    two = snapshot(tmp_path / "two.safetensors", seed=2)
    out = draw_pictures([one, two], tmp_path / "beside.json", ["beside"])
    manifest = read_json(out)
    assert [source["snapshot"] for source in manifest["sources"]] == [one.name, two.name]
    (picture,) = manifest["pictures"]
    assert (picture["rows"], picture["columns"]) == (6, 2)
    tiles = np.load(tmp_path / picture["files"][1]["file"])["tiles"].reshape(6, 2, 32, 32, 3)
    z = latents(range(6), 16, 2020)
    for column, path in enumerate((one, two)):
        source = Source(path)
        expected = source.scales(z, source.noise(6, 2020))[-1]
        assert np.abs(tiles[:, column].astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["{progan}", "--set", "mixing", "--out", "{out}.json"], "--set: mixing does not fit {progan}; "),
        (
            ["{progan}", "--set", "grids", "--out", "{out}.json"],
            "--set: 'grids' is no picture set; did you mean 'grid'?",
        ),
        (["{progan}"], "--out: is required for a snapshot; name the manifest (.json) to write"),
        (["{progan}", "--out", "{out}.png"], "--out: '{out}.png' is not allowed; allowed: a file name with .json"),
        (
            ["{progan}", "--out", "{folder}.json"],
            "--out: '{folder}.json' is a folder; allowed: the name of a file",
        ),
        (
            ["{progan}", "--out", "{small}/m.json"],
            "--out: '{small}/m.json' lies below {small}, which is a file",
        ),
        (["{out}", "--out", "{out}.json"], "{out}: no such snapshot"),
        (["{out}"], "{out}: no such snapshot"),
        (
            ["{progan}", "{small}", "--set", "beside", "--out", "{out}.json"],
            "{small}: has resolution 16, {progan} has 32; they cannot stand beside each other",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_one_sentence(
    tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    names = {
        "progan": snapshot(tmp_path / "progan.safetensors", "progan"),
        "small": snapshot(tmp_path / "small.safetensors", "progan", resolution=16),
        "out": tmp_path / "out",
        "folder": tmp_path / "folder",
    }
    (tmp_path / "folder.json").mkdir()
    before = set(tmp_path.iterdir())
    words = [argument.format(**names) for argument in arguments]
    done = CliRunner().invoke(app, ["sample", *words, "--device", "cpu"])
    assert isinstance(done.exception, MsgbenchError)
    assert str(done.exception).startswith(sentence.format(**names))
    assert not [p for p in set(tmp_path.iterdir()) - before if p.is_file()]


def test_runs_without_the_asked_snapshot(make_run: MakeRun, tmp_path: Path) -> None:
    run_dir = make_run(lengths=(0, 1600))
    for at, sentence in (
        (
            "best",
            "is not measured (no evaluate.json), so it has no best snapshot; give --at final or a length",
        ),
        ("7", "no such snapshot; the run has those at 0, 1.6 kimg"),
        (
            "inf",
            "--at: 'inf' is not allowed; allowed: best, final, best-or-final, or a length in kimg",
        ),
        (
            "nan",
            "--at: 'nan' is not allowed; allowed: best, final, best-or-final, or a length in kimg",
        ),
        (
            "late",
            "--at: 'late' is not allowed; allowed: best, final, best-or-final, or a length in kimg",
        ),
    ):
        with pytest.raises(MsgbenchError) as caught:
            draw_pictures([run_dir], tmp_path / "m.json", at=at)
        assert str(caught.value).endswith(sentence)
    with pytest.raises(ConfigError, match="is neither a snapshot nor a run directory"):
        draw_pictures([tmp_path], tmp_path / "m.json")


def test_depths_are_what_each_resolution_shows_by_its_own_to_rgb(tmp_path: Path) -> None:
    source = Source(snapshot(tmp_path / "grown.safetensors", "progan", lod=0.0))
    drawn = sets.depths(source)
    assert (drawn.rows, drawn.columns) == (4, 4)
    assert list(drawn.column_labels) == ["4 px", "8 px", "16 px", "32 px"]
    z = latents(range(4), source.latent_size, sets.SEED)
    tiles = drawn.tiles.reshape(4, 4, 32, 32, 3)
    for column, lod in enumerate((3.0, 2.0, 1.0, 0.0)):
        set_lod(source.G, lod)
        with torch.inference_mode():
            (image,) = source.G(z, [])
        side = image.shape[-1]
        pixels = to_uint8(image).permute(0, 2, 3, 1).numpy()
        assert np.array_equal(drawn.arrays[f"scale_{side:04d}"], pixels)
        assert np.array_equal(tiles[:, column, :: 32 // side, :: 32 // side], pixels)
    assert source.lod == 0.0
    with pytest.raises(ConfigError, match="has no depths, it makes images of all scales at once"):
        sets.depths(Source(snapshot(tmp_path / "all.safetensors")))


def test_each_draws_every_run_into_its_own_folder(make_run: MakeRun, tmp_path: Path) -> None:
    """Not measured: the final snapshot is drawn."""
    runs = [make_run(), tmp_path / "other"]
    shutil.copytree(*runs)
    out = tmp_path / "pictures.json"
    options = [
        "--each",
        "--at",
        "best-or-final",
        "--set",
        "grid",
        "--device",
        "cpu",
        "--out",
        str(out),
    ]
    done = CliRunner().invoke(app, ["sample", *map(str, runs), *options])
    assert done.exit_code == 0, done.output
    listed = read_json(out)["manifests"]
    for run, entry in zip(runs, listed, strict=True):
        manifest = out.parent / entry["file"]
        assert manifest.resolve() == (run / "samples.json").resolve()
        assert hashlib.sha256(manifest.read_bytes()).hexdigest() == entry["sha256"]
        content = read_json(manifest)
        assert content["sources"][0]["cur_nimg"] == 1600
    done = CliRunner().invoke(app, ["sample", str(runs[0]), "--each"])
    assert str(done.exception) == "--out: is required with --each; name the list (.json) to write"
    done = CliRunner().invoke(app, ["sample", str(out), "--each", "--out", str(out)])
    assert str(done.exception) == f"{out}: is no run directory; --each draws those of runs"
