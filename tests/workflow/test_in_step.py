"""Things that are stated twice say the same: schema and models, pins and needs, profiles and their rules."""

from __future__ import annotations

import importlib.metadata
import json
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from msgbench import layout
from msgbench.config import Document, read_yaml
from msgbench.layout import ANALYSIS_ROOMS, MEASURING_ROOMS


@pytest.fixture(scope="module")
def schema(root: Path) -> dict[str, object]:
    loaded: dict[str, object] = json.loads(
        (root / "workflow/schemas/config.schema.json").read_text()
    )
    return loaded


@pytest.fixture(scope="module")
def pins(root: Path) -> dict[str, str]:
    lines = (root / "envs/constraints.txt").read_text().splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.!]*", line) for line in wanted)
    return {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in wanted}


def test_the_schema_is_that_of_the_models(schema: dict[str, object]) -> None:
    """After a change of the models: `make schema`."""
    schema.pop("$schema")
    assert schema == Document.model_json_schema()


def test_the_schema_takes_the_shipped_config_and_refuses_unknown_keys(
    root: Path, schema: dict[str, object]
) -> None:
    config = read_yaml(root / "config.yaml")
    jsonschema.validate(config, schema)
    config["tiers"]["smoke"]["defaults"]["trainning"] = {}
    with pytest.raises(jsonschema.ValidationError, match="trainning"):
        jsonschema.validate(config, schema)


def test_every_dependency_is_pinned_within_its_bounds(root: Path, pins: dict[str, str]) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)])


def test_what_is_installed_is_what_is_pinned(pins: dict[str, str]) -> None:
    """Every need of the package, and what those need, was installed at its pin."""
    seen: set[str] = set()
    waiting = ["msgbench"]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for text in importlib.metadata.requires(name) or []:
            requirement = Requirement(text)
            extra = "dev" if name == "msgbench" else ""
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                waiting.append(canonicalize_name(requirement.name))
    installed = {
        name: importlib.metadata.version(name).split("+")[0] for name in seen - {"msgbench"}
    }
    # A CUDA build of torch brings NVIDIA's libraries, pinned by torch itself.
    own = {
        name: v
        for name, v in installed.items()
        if not name.startswith(("nvidia-", "triton", "cuda-"))
    }
    assert {name: pins.get(name) for name in own} == own


def test_the_default_profile_holds_nothing_that_would_beat_another_profile(root: Path) -> None:
    default = yaml.safe_load((root / "profiles/default/config.yaml").read_text())
    slurm = yaml.safe_load((root / "slurm/config.yaml").read_text())
    assert default == {
        "rerun-triggers": ["mtime", "params", "input"],
        "rerun-incomplete": True,
        "printshellcmds": True,
    }
    assert {key: slurm[key] for key in default} == default
    assert slurm["executor"] == "local"


def test_an_edit_that_moves_a_number_is_in_the_digests_of_what_measures() -> None:
    assert {"metrics", "sampling.py", "snapshots.py", "protocols.py", "data/pixels.py"} <= set(
        MEASURING_ROOMS
    )
    assert {"analysis", "reference", "protocols.py"} <= set(ANALYSIS_ROOMS)
    package = Path(layout.__file__).parent
    assert all((package / room).exists() for room in (*MEASURING_ROOMS, *ANALYSIS_ROOMS))


def test_the_workflow_asks_for_the_snakemake_that_the_package_needs(root: Path) -> None:
    stated = re.search(r'^min_version\("(.*)"\)$', (root / "Snakefile").read_text(), re.MULTILINE)
    needed = next(
        r for r in importlib.metadata.requires("msgbench") or [] if r.startswith("snakemake<")
    )
    assert stated is not None
    assert f">={stated[1]}" in needed
