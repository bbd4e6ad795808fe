"""The spec of a dataset: what decides its fingerprint, what it refuses, and what is left out for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from msgbench.config import Benchmark, DatasetSpec, load_benchmark
from msgbench.config.dataset import PHOTOGRAPHS
from msgbench.errors import ConfigError

CONFIG = Path(__file__).parents[2] / "config.yaml"

# Of specs from before `fit`, `resize`, `drawn` and `accept_terms`: stores and runs of theirs are found again.
KNOWN = [
    ({"name": "cifar10", "source": "cifar10", "resolution": 32}, "618b9ba1"),
    ({"name": "cifar10", "source": "embedded", "resolution": 32, "num_images": 4000}, "32f78cb5"),
    ({"name": "ffhq", "source": "embedded", "resolution": 32, "num_images": 600, "mirror": True}, "cd0d522d"),
]  # fmt: skip


def spec_of(**fields: Any) -> DatasetSpec:
    return DatasetSpec.model_validate(
        {"name": "x", "source": "folder", "resolution": 32, "mirror": False, **fields}
    )


@pytest.mark.parametrize(("fields", "fingerprint"), KNOWN)
def test_recipes_from_before_keep_their_fingerprints(
    fields: dict[str, Any], fingerprint: str
) -> None:
    assert spec_of(**fields).fingerprint[:8] == fingerprint


def test_experiments_from_before_keep_their_fingerprints() -> None:
    benchmark = load_benchmark(CONFIG)
    assert benchmark.experiments["cifar10-five-minutes"].fingerprint[:8] == "c8f3eb52"


def test_what_decides_pixels_decides_the_fingerprint_and_nothing_else() -> None:
    base = spec_of()
    same = [
        {"path": "/data"},
        {"accept_terms": True},
        {"mirror": True},
        {"fit": None, "resize": None},
    ]
    other = [
        {"fit": "crop"}, {"fit": "stretch"}, {"resize": "box"}, {"drawn": 10}, {"num_images": 10}, {"resolution": 64},
    ]  # fmt: skip
    assert {spec_of(**change).fingerprint for change in same} == {base.fingerprint}
    assert len({spec_of(**change).fingerprint for change in other} | {base.fingerprint}) == 7


REFUSED = [
    ({"source": "ffhq", "fit": "crop"}, "fit crop does not fit source ffhq; allowed with: oxford_flowers, lsun_ch"),
    ({"source": "cifar10", "resize": "box"}, "resize box does not fit source cifar10; allowed with: oxford_flow"),
    ({"source": "embedded", "num_images": 5, "drawn": 5}, "drawn 5 does not fit source embedded; allowed with: oxf"),
    ({"drawn": 5, "path": "/data"}, "drawn is for stand-ins, which have no path; give one of the two"),
    ({"source": "celeba", "resolution": 256}, "resolution 256 does not fit source celeba; allowed: at most 128"),
    ({"source": "ffhq", "split": "test"}, "split test does not fit source ffhq, which has one split; allowed: train"),
    ({"source": "ffhq", "split": "all"}, "split all does not fit source ffhq; allowed: train"),
    ({"source": "lsun_churches", "split": "all"}, "split all does not fit source lsun_churches; allowed: train, test"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "sentence"), REFUSED)
def test_what_does_not_fit_is_refused(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        spec_of(**fields)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("resize", ["nearest", "antialias"])
def test_filters_are_named(resize: str) -> None:
    with pytest.raises(ValidationError, match="'box', 'bilinear', 'bicubic' or 'lanczos'"):
        spec_of(resize=resize)


def test_why_a_dataset_is_left_out() -> None:
    assert spec_of().left_out == "datasets.x.path is not set"
    assert spec_of(path="/data").left_out is None
    assert spec_of(drawn=10).left_out is None
    assert spec_of(source="embedded", num_images=1).left_out is None
    assert spec_of(source="ffhq", path="/data").left_out == "datasets.x.accept_terms is false"
    assert spec_of(source="ffhq", path="/data", accept_terms=True).left_out is None
    reason = "datasets.x.accept_terms is false"
    assert spec_of(source="indian_celebs", path="/data").left_out == reason


def mini(**datasets: Any) -> Benchmark:
    return load_benchmark(CONFIG, {"tier": "mini", "datasets": datasets})


def test_what_is_made_without_the_datasets_that_are_left_out() -> None:
    benchmark = mini(flowers={"path": "/data"})
    assert benchmark.planned_datasets() == ("flowers",)
    assert set(benchmark.planned_experiments()) == {
        "flowers-progan", "flowers-msg-progan", "flowers-stylegan", "flowers-msg-stylegan", "flowers-msg-gan-v1",
    }  # fmt: skip
    assert benchmark.planned_experiments(["table2"]) == ()
    assert "flowers" not in benchmark.left_out()
    assert benchmark.left_out_sentences(["table1"]) == [
        "indian-celebs is left out (4 experiments of table1): datasets.indian-celebs.path is not set",
        "churches is left out (2 experiments of table1): datasets.churches.path is not set",
    ]
    with pytest.raises(ConfigError) as caught:
        benchmark.left_out_sentences(["table1", "table9"])
    assert str(caught.value) == "table9: is neither a table nor a figure; did you mean 'table5'?"


def test_the_smoke_tier_leaves_nothing_out_and_draws_every_form() -> None:
    benchmark = load_benchmark(CONFIG, {"tier": "smoke"})
    assert benchmark.left_out() == {}
    drawn = {spec.source for spec in benchmark.datasets.values() if spec.drawn is not None}
    assert drawn == set(PHOTOGRAPHS) - {"folder"}
    assert not benchmark.allow_missing
