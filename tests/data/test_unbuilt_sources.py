"""Datasets that are declared before their recipe exists: planned, drawn for smoke, refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from msgbench.config import UNBUILT_SOURCES, DatasetSpec
from msgbench.data.prepare import prepare
from msgbench.data.sources import splits_at
from msgbench.errors import DatasetError


@pytest.mark.parametrize("source", UNBUILT_SOURCES)
def test_a_recipe_that_is_not_built_yet_says_so_and_leaves_nothing(
    source: str, tmp_path: Path
) -> None:
    spec = DatasetSpec(name="x", source=source, path="/data", resolution=128, mirror=True)
    with pytest.raises(DatasetError) as caught:
        prepare(spec, tmp_path / "store")
    assert str(caught.value) == (
        f"datasets.x.source: the recipe {source} is not built yet; its experiments run in the smoke tier only, "
        "on images that msgbench draws (leave datasets.x.path empty there)"
    )
    assert not (tmp_path / "store").exists()
    with pytest.raises(DatasetError, match="not built yet"):
        splits_at(spec)
