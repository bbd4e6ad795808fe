"""Picture sets and observations of a synthetic results tree, of random pixels and of numbers that are easy to check."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from msgbench.layout import OBSERVATIONS_JSONL, SAMPLES_JSON
from msgbench.synthetic import ResultsTree, write


def write_observations(
    tree: ResultsTree, experiment: str, seed: int = 0, lines: Sequence[dict[str, Any]] | None = None
) -> Path:
    """observations.jsonl: `lines`, else ten looks at all scales whose change halves from one to the next."""
    folder = tree.folder(experiment, seed)
    scales = tree.benchmark.experiment(experiment).model.scales
    if lines is None:
        lines = [
            {
                "cur_nimg": 16 * (k + 1), "epoch": k, "previous_nimg": 16 * k or None,
                "change": {} if k == 0 else {str(side): (seed + 1) / side / 2**k for side in scales},
                "synchronisation": {str(side): (seed + 1) / (k + side) for side in scales[:-1]}, "seconds": 0.1,
            }
            for k in range(10)
        ]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / OBSERVATIONS_JSONL).write_text(text)
    return folder


def write_pictures(tree: ResultsTree, experiment: str, seed: int = 0) -> Path:
    """samples.json with all picture sets that fit the experiment, of random pixels; returns its folder."""
    run, rng = tree.run(experiment, seed), np.random.default_rng(seed)
    model, folder = run.spec.model, tree.folder(experiment, seed)
    entries = []

    def add(name: str, side: int, rows: int, columns: int, row_labels: Any = (), column_labels: Any = (),
            how: Any = None, **arrays: Any) -> None:  # fmt: skip
        tiles = arrays.pop("tiles", None)
        if tiles is None:
            tiles = rng.integers(0, 256, (rows * columns, side, side, 3), np.uint8)
        path = folder / "samples" / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, tiles=tiles, **arrays)
        entries.append({
            "name": name, "rows": rows, "columns": columns, "row_labels": list(row_labels),
            "column_labels": list(column_labels), "how": how or {},
            "files": [{"file": f"samples/{name}.png"}, {"file": f"samples/{name}.npz"}],
        })  # fmt: skip

    top, labels = model.resolution, [f"{side} px" for side in model.scales]
    add("grid", top, 6, 6, range(0, 36, 6))
    raw = {
        f"scale_{side:04d}": rng.integers(0, 256, (4, side, side, 3), np.uint8)
        for side in model.scales
    }
    tiles = np.stack([
        x[row].repeat(top // x.shape[1], axis=0).repeat(top // x.shape[1], axis=1)
        for row in range(4) for x in raw.values()
    ])  # fmt: skip
    name = "depths" if model.growing else "scales"
    add(name, top, 4, len(labels), range(4), labels, tiles=tiles, **raw)
    add(
        "interpolation",
        top,
        4,
        9,
        [f"{2 * r} to {2 * r + 1}" for r in range(4)],
        [f"{k / 8:g}" for k in range(9)],
    )
    if model.family == "stylegan":
        levels = [f"{seed}, coarse" for seed in (3333, 121, 28)]
        levels += [f"{seed}, middle" for seed in (24, 35)]
        add("mixing", top, 6, 6, ["", *levels], ["", "3", "12", "42", "30", "33"])
        columns = [*(f"noise {k}" for k in range(8)), "deviation"]
        add(
            "noise",
            top,
            3,
            9,
            range(3),
            columns,
            deviation=rng.random((3, top, top, 3)).astype(np.float32),
        )
    lengths = tree.lengths(experiment)
    for side in model.scales:
        columns = [f"{nimg / 1000:g} kimg" for nimg in lengths]
        add(
            f"time-lapse-{side:04d}px",
            side,
            2,
            len(lengths),
            range(2),
            columns,
            {"cur_nimg": lengths},
        )
    write(folder / SAMPLES_JSON, {
        "schema": "msgbench.pictures/1", "pictures": entries,
        "sources": [{"run": run.run_id, "cur_nimg": lengths[-1]}],
    })  # fmt: skip
    return folder
