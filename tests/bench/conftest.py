"""The benchmark whose methods are timed."""

from __future__ import annotations

from pathlib import Path

import pytest

from msgbench.config import Benchmark, load_benchmark


@pytest.fixture
def paper(root: Path) -> Benchmark:
    """The paper tier of config.yaml."""
    return load_benchmark(root / "config.yaml", {"tier": "paper"})
