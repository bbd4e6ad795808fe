"""What the measuring tests share: a tiny store, a finished run of an untrained generator, small protocols."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from msgbench.config import (
    DatasetSpec,
    EmaSpec,
    EvaluationSpec,
    ExperimentSpec,
    LossSpec,
    ModelSpec,
    OptimizerSpec,
    RunSpec,
    TrainingSpec,
)
from msgbench.data.prepare import prepare
from msgbench.data.store import Store
from msgbench.layout import SPEC_JSON, TRAIN_JSON, snapshot_file
from msgbench.metrics.extractors.weights import resolve_weights
from msgbench.metrics.fidelity import Extractor
from msgbench.models.build import build_generator
from msgbench.protocols import PROTOCOLS, SMALL, Protocol
from msgbench.records import sha256_file, write_json
from msgbench.snapshots import SnapshotMeta, save_snapshot

DATASET = DatasetSpec(
    name="drawn", source="embedded", resolution=8, split="train", num_images=120, mirror=False
)
TEST_PROTOCOLS = (
    Protocol("fid60_test", 1, "fid", "FID, 60 images against all reals", 60, None, SMALL),
    Protocol("is60_test", 1, "is", "IS, 60 images, 10 splits", 60, 100, SMALL, splits=10),
    Protocol("is60_test_1split", 1, "is", "IS, 60 images, 1 split", 60, 100, SMALL, splits=1),
    Protocol(
        "kid60_test", 1, "kid", "KID, 60 images", 60, None, SMALL, kid_subsets=4, kid_subset_size=50
    ),
)


@pytest.fixture(scope="session")
def drawn_store_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 120 drawn images of 8x8 pixels."""
    folder = tmp_path_factory.mktemp("datasets") / "drawn"
    prepare(DATASET, folder)
    return folder


@pytest.fixture(scope="session")
def drawn_store(drawn_store_dir: Path) -> Store:
    return Store.open(drawn_store_dir)


@pytest.fixture(scope="session")
def small_extractor() -> Extractor:
    return Extractor(resolve_weights(SMALL))


@pytest.fixture
def small_protocols(monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Declares protocols of 60 images for one test and returns their names."""
    for protocol in TEST_PROTOCOLS:
        monkeypatch.setitem(PROTOCOLS, protocol.name, protocol)
    return tuple(protocol.name for protocol in TEST_PROTOCOLS)


MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path, drawn_store: Store, small_protocols: tuple[str, ...]) -> MakeRun:
    """A function (lengths, seed, dataset_fingerprint) -> folder of a finished run of untrained generators."""

    def make(
        lengths: tuple[int, ...] = (0, 1600),
        seed: int = 3,
        protocols: tuple[str, ...] = small_protocols,
        dataset_fingerprint: str = drawn_store.manifest.fingerprint,
    ) -> Path:
        spec = ExperimentSpec(
            method="msg-progan",
            dataset=DATASET,
            model=ModelSpec(family="progan", resolution=8, latent_size=16, width_multiplier=1 / 32),
            loss=LossSpec(adversarial="wgan"),
            optimizer=OptimizerSpec(),
            ema=EmaSpec(beta=0.9),
            training=TrainingSpec(
                batch_size=16,
                total_kimg=1.6,
                snapshot_kimg=1.6,
                state_kimg=1.6,
                grid_kimg=1.6,
                stats_kimg=1.6,
                num_threads=1,
            ),
            evaluation=EvaluationSpec(protocols=protocols, batch_size=25),
            seeds=(seed,),
        )
        run = RunSpec(
            schema="msgbench.run/1",
            tier="smoke",
            experiment="tiny",
            seed=seed,
            fingerprint=spec.fingerprint,
            spec=spec,
        )
        run_dir = tmp_path / "runs" / "tiny"
        write_json(run_dir / SPEC_JSON, run.to_json())
        listed = []
        for length in lengths:
            meta = SnapshotMeta(
                model=spec.model,
                run=run.run_id,
                experiment="tiny",
                seed=seed,
                cur_nimg=length,
                run_fingerprint=run.fingerprint,
                dataset_fingerprint=dataset_fingerprint,
                ema=spec.ema,
            )
            file = run_dir / snapshot_file(length)
            save_snapshot(
                file, build_generator(spec.model, torch.Generator().manual_seed(length)), meta
            )
            listed.append(
                {
                    "file": snapshot_file(length),
                    "cur_nimg": length,
                    "sha256": sha256_file(file),
                    "seconds": 1.0,
                }
            )
        write_json(run_dir / TRAIN_JSON, {"snapshots": listed})
        return run_dir

    return make
