"""From a run to the folder of its generator: which snapshot, its weights as they are used, and the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save as serialise
from torch import Tensor, nn

from msgbench.analysis.collect import read_dataset, read_run
from msgbench.analysis.collected import Run
from msgbench.analysis.estimates import pick
from msgbench.analysis.figures import main_protocols
from msgbench.config import Benchmark, RunSpec
from msgbench.errors import ConfigError, SnapshotError
from msgbench.export.card import model_card
from msgbench.layout import SPEC_JSON, Layout, snapshot_file
from msgbench.models.generator import MultiScaleGenerator
from msgbench.models.growing import fade_of
from msgbench.models.layers import EqualizedLayer
from msgbench.records import atomic_file, write_text
from msgbench.snapshots import SnapshotMeta, load_snapshot

EXPORT_SCHEMA = "msgbench.export/1"
WEIGHTS, ABOUT, LOADER, CARD = (
    "generator.safetensors",
    "generator.json",
    "generator.py",
    "README.md",
)


def export_run(benchmark: Benchmark, folder: Path, which: str, out: Path) -> Path:
    """Write the generator of the run in `folder` to `out`; returns the model card, which is written last.

    `which` is `best` (by the first FID of the run's protocols, else by its first protocol; the last snapshot where
    nothing is measured), `final`, or a number of images shown. Raises ConfigError for another word or length,
    SnapshotError when the snapshot is gone.
    """
    folder = folder.absolute()
    if not (folder / SPEC_JSON).is_file() or len(folder.parents) < 5:
        raise ConfigError(
            f"{folder}: is no run directory (no {SPEC_JSON}); only a finished training is exported"
        )
    layout = Layout(folder.parents[4], folder.parents[3].name)
    plan = RunSpec.read(folder)
    dataset = read_dataset(benchmark, plan.spec.dataset, layout)
    run = read_run(plan, layout, dataset.manifest)
    cur_nimg, why = _chosen(run, which)
    G, meta = load_snapshot(_snapshot(run, cur_nimg))
    weights = serialise(usable_weights(G), metadata={"format": "pt"})
    with atomic_file(out / WEIGHTS) as file:
        file.write(weights)
    about = json.dumps(_about(G, meta, run), indent=2)
    write_text(out / ABOUT, about + "\n")
    loader = Path(__file__).with_name(LOADER).read_text(encoding="utf-8")
    write_text(out / LOADER, loader)
    write_text(out / CARD, model_card(run, dataset, cur_nimg, why, _parameters(G)))
    return out / CARD


def _chosen(run: Run, which: str) -> tuple[int, str]:
    """The length of the snapshot to export, and in words why it is that one."""
    if run.train is None:
        raise ConfigError(f"{run.run_id}: {run.reason}; only a finished training is exported")
    lengths = sorted(int(snapshot["cur_nimg"]) for snapshot in run.train["snapshots"])
    if which == "best":
        protocols = main_protocols(run.plan.spec.evaluation.protocols)
        picked = pick(run.of(protocols[0].name)) if protocols else None
        if picked is not None and picked.best.cur_nimg is not None:
            words = f"the best of {picked.evaluations} measured snapshots by {protocols[0].name}"
            return picked.best.cur_nimg, words
        return lengths[-1], "the last one; none was picked, because the run is not measured"
    if which == "final":
        return lengths[-1], "the last one"
    if which.isdigit() and int(which) in lengths:
        return int(which), "chosen by hand"
    allowed = ", ".join(map(str, lengths))
    raise ConfigError(f"--snapshot: {which!r} is not allowed; allowed: best, final, {allowed}")


def _snapshot(run: Run, cur_nimg: int) -> Path:
    path = run.folder / snapshot_file(cur_nimg)
    if path.is_file():
        return path
    there = [
        str(entry["cur_nimg"])
        for entry in (run.train or {})["snapshots"]
        if (run.folder / str(entry["file"])).is_file()
    ]
    kept = f"; still there: {', '.join(there)}" if there else "; none is left"
    why = "was deleted after measuring" if run.deleted else "is gone"
    raise SnapshotError(f"{path}: {why}{kept} (choose one with --snapshot)")


def usable_weights(G: nn.Module) -> dict[str, Tensor]:
    """The state of `G` on CPU with the factors of the equalised learning rate multiplied in, by name."""
    found = {name: t.detach().cpu().contiguous().clone() for name, t in G.state_dict().items()}
    for name, layer in G.named_modules():
        if isinstance(layer, EqualizedLayer):
            found[f"{name}.weight"] = layer.scaled_weight.detach().cpu().contiguous()
            bias = layer.scaled_bias(layer.weight.dtype)
            if bias is not None:
                found[f"{name}.bias"] = bias.detach().cpu().contiguous()
    return found


def _about(G: MultiScaleGenerator, meta: SnapshotMeta, run: Run) -> dict[str, Any]:
    """What generator.py has to know, and where the weights come from."""
    model = meta.model
    return {
        "schema": EXPORT_SCHEMA,
        "family": model.family,
        "latent_size": model.latent_size,
        "scales": list(G.active_scales),
        "pixel_norm": model.pixel_norm,
        "to_rgb_activation": model.to_rgb_activation,
        "fade": None if G.lod is None else fade_of(G.lod),
        "run": run.run_id,
        "cur_nimg": meta.cur_nimg,
        "run_fingerprint": meta.run_fingerprint,
        "dataset_fingerprint": meta.dataset_fingerprint,
    }


def _parameters(G: nn.Module) -> int:
    return sum(parameter.numel() for parameter in G.parameters())


def default_folder(run: Path) -> Path:
    """Where a run is exported to unless `--out` says."""
    root = run.absolute().parents[3]
    return root / "exports" / f"{run.parent.parent.name}-{run.parent.name}-{run.name}"
