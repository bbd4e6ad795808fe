"""docs/extend.md, carried out: its blocks, applied to a copy of the project, give new things that it knows and runs."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from msgbench.config import TIERS, load_benchmark
from msgbench.records import read_json

from .conftest import Project, copy_workflow

EXPERIMENTS = {"cifar10-msg-rpgan", "metfaces-msg-progan"}
FINGERPRINTS = """
import json, sys
from pathlib import Path
from msgbench.config import load_benchmark
found = {}
for tier in sys.argv[1:]:
    benchmark = load_benchmark(Path("config.yaml"), {"tier": tier})
    found[tier] = {name: spec.fingerprint for name, spec in benchmark.experiments.items()}
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Block:
    """A fenced block of the page."""

    section: str
    language: str
    text: str


def blocks_of(page: str) -> list[Block]:
    found = []
    for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        title, body = part.split("\n", 1)
        fenced = re.findall(r"^```(\w+)\n(.*?)^```$", body, re.MULTILINE | re.DOTALL)
        found += [Block(title, language, text) for language, text in fenced]
    return found


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _is_content(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def added(lines: list[str], block: list[str], indent: int = 0) -> list[str]:
    """`lines` of YAML with the entries of `block` at the end of the sections that they name."""
    entries: list[list[str]] = []
    pending: list[str] = []
    for line in block:
        if _indent(line) == indent and _is_content(line):
            entries.append([*pending, line])
            pending = []
        elif _is_content(line) or (entries and _indent(line) > indent):
            entries[-1].append(line)
        else:
            pending.append(line)
    for entry in entries:
        place = next(i for i, line in enumerate(entry) if _is_content(line))
        header = next((i for i, line in enumerate(lines) if line == entry[place]), None)
        if header is None:
            end = max((i + 1 for i, line in enumerate(lines) if _is_content(line)), default=0)
            lines = [*lines[:end], *entry, *lines[end:]]
            continue
        end = header + 1
        while end < len(lines) and not (_is_content(lines[end]) and _indent(lines[end]) <= indent):
            end += 1
        deeper = _indent(next(line for line in entry[place + 1 :] if _is_content(line)))
        inside = added(lines[header + 1 : end], entry[place + 1 :], deeper)
        lines = [*lines[: header + 1], *inside, *lines[end:]]
    return lines


@pytest.fixture(scope="module")
def blocks(root: Path) -> list[Block]:
    return blocks_of((root / "docs" / "extend.md").read_text())


@pytest.fixture(scope="module")
def extended(root: Path, blocks: list[Block], tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of package, workflow and config.yaml with all blocks applied, in the order of the page."""
    folder = tmp_path_factory.mktemp("extended") / "msgbench"
    project = copy_workflow(root, folder, root / "config.yaml")
    project.package = folder
    shutil.copytree(
        root / "msgbench", folder / "msgbench", ignore=shutil.ignore_patterns("__pycache__")
    )
    for block in blocks:
        if block.language == "diff":
            done = subprocess.run(
                ["git", "apply", "--verbose", "-"],
                cwd=folder, input=block.text, text=True, capture_output=True, check=False,
                env={**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)},
            )  # fmt: skip
            assert done.returncode == 0, f"{block.section}:\n{done.stderr}"
        else:
            config = folder / "config.yaml"
            lines = added(config.read_text().splitlines(), block.text.splitlines())
            config.write_text("\n".join(lines) + "\n")
    schema = msgbench(project, "schema")
    (folder / "workflow" / "schemas" / "config.schema.json").write_text(schema.stdout)
    return project


def msgbench(project: Project, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the copy's own command in its folder."""
    return python(project, "-m", "msgbench.cli", *arguments, code=code)


def python(project: Project, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=project.folder, text=True, capture_output=True, check=False,
        env={**os.environ, "PYTHONPATH": str(project.package), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done


def test_each_section_edits_one_file_and_at_most_one_other_line(blocks: list[Block]) -> None:
    edits: dict[str, dict[str, int]] = {}
    for block in blocks:
        counted = edits.setdefault(block.section, {})
        if block.language == "diff":
            (file,) = re.findall(r"^\+\+\+ b/(.*)$", block.text, re.MULTILINE)
            counted[file] = len(re.findall(r"^\+(?!\+\+)", block.text, re.MULTILINE))
    assert list(edits) == ["A method", "A dataset", "A protocol", "A table"]
    objective = edits["A method"].pop("msgbench/config/objective.py")
    assert objective == 1
    assert [list(files) for files in edits.values()] == [
        ["msgbench/losses/adversarial.py"], ["msgbench/config/published.py"], ["msgbench/protocols.py"], [],
    ]  # fmt: skip
    assert all(
        any(b.section == section and b.language == "yaml" for b in blocks) for section in edits
    )


def test_lines_are_added_at_the_end_of_the_sections_that_they_name() -> None:
    config = "a:\n  one: {x: 1}\n  # of two\n  two:\n    y: 2\n\n# of b\nb:\n  three: 3\n"
    block = "a:\n  # of four\n  four: 4\n  two:\n    z: 5\nc:\n  six: 6\n"
    text = "\n".join(added(config.splitlines(), block.splitlines()))
    assert text == (
        "a:\n  one: {x: 1}\n  # of two\n  two:\n    y: 2\n    z: 5\n  # of four\n  four: 4\n\n"
        "# of b\nb:\n  three: 3\nc:\n  six: 6"
    )
    assert yaml.safe_load(text)["a"]["two"] == {"y": 2, "z": 5}


def test_the_new_things_are_known_and_no_finished_run_moves(root: Path, extended: Project) -> None:
    listed = msgbench(extended, "plan").stdout
    # No table of `all` shows them.
    (beside,) = re.findall(r"^not part of all and not in the estimate: (.*)$", listed, re.MULTILINE)
    assert set(beside.split(", ")) >= EXPERIMENTS
    card = msgbench(extended, "protocols", "kid500_small").stdout
    assert "kid500_small" in card
    assert "KID by small-cifar10-v1, 500 images against all reals" in card
    found = json.loads(python(extended, "-c", FINGERPRINTS, *TIERS).stdout)
    for tier in TIERS:
        before = load_benchmark(root / "config.yaml", {"tier": tier}).experiments
        assert found[tier].keys() - before.keys() == EXPERIMENTS
        for name, spec in before.items():
            assert found[tier][name] == spec.fingerprint, (tier, name)


# As short as it goes: what is made of them is checked, not what they learn.
_BRIEF = {
    "total_kimg": 0.24,
    "snapshot_kimg": 0.24,
    "state_kimg": 0.24,
    "grid_kimg": 0.24,
    "stats_kimg": 0.024,
}


@pytest.mark.slow
def test_from_images_to_tables(extended: Project) -> None:
    """Everything between: prepared, trained, measured by the new protocol, and shown."""
    brief = {"training": _BRIEF}
    names = ("cifar10-msg-progan-lr0.003", "cifar10-msg-rpgan")
    layers = json.dumps({"smoke": {"experiments": dict.fromkeys(names, brief)}})
    done = extended.snakemake("--cores", "2", "losses", "metfaces", "--config", f"tiers={layers}")
    assert done.returncode == 0, done.stdout
    results = extended.folder / "results" / "smoke"

    def rows(table: str) -> list[dict[str, str]]:
        with (results / "tables" / f"{table}.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    paper, ours = rows("losses")
    assert (paper["experiment"], paper["paper_is"]) == ("cifar10-msg-progan-lr0.003", "8.63")
    assert (ours["experiment"], ours["method"]) == ("cifar10-msg-rpgan", "loss of pairs, R1")
    (faces,) = rows("metfaces")
    assert faces["protocol"] == "kid500_small v1"
    for row in (paper, ours, faces):
        assert row["verdict"] == "scaled"
        assert float(row["ours_best_mean"]) > 0
    assert paper["ours_best_mean"] != ours["ours_best_mean"]

    (run,) = (results / "runs" / "cifar10-msg-rpgan").glob("*/seed0")
    loss = read_json(run / "spec.json")["spec"]["loss"]
    assert (loss["adversarial"], loss["penalty"]) == ("rp_logistic", "r1")
    last = json.loads((run / "stats.jsonl").read_text().splitlines()[-1])
    # At scores of nearly equal size both losses are near softplus(0) = 0.69.
    assert 0.05 < last["loss_g"] < 5
    (run,) = (results / "runs" / "metfaces-msg-progan").glob("*/seed0")
    record = read_json(run / "metrics" / "kid500_small" / "0000000240.json")
    assert record["protocol"]["kid_subset_size"] == 250
    (manifest,) = (results / "datasets" / "metfaces").glob("*/manifest.json")
    content = read_json(manifest)
    assert (content["source"]["recipe"], content["count"], content["stand_in"]) == (
        "metfaces", 600, True,
    )  # fmt: skip


@pytest.mark.slow
def test_a_copy_of_the_new_dataset(extended: Project, tmp_path: Path) -> None:
    """In the form in which it is published: found, told by its name, held to its facts and terms."""
    copy = tmp_path / "metfaces"
    (copy / "images").mkdir(parents=True)
    ramp = np.linspace(0, 255, 1024, dtype=np.uint8)
    for index in range(3):
        pixels = np.stack([np.roll(ramp, 100 * index)] * 1024)[..., None].repeat(3, 2)
        Image.fromarray(pixels).save(copy / "images" / f"{index}-00.png")
    (copy / "metfaces.json").write_text("[]")
    looked = msgbench(extended, "data", "check", str(copy)).stdout
    assert "MetFaces, folder of images: not complete, 3 of the 1,336 published images" in looked
    words = ("prepare", "metfaces", "--source", str(copy), "--set", "tier=mini", "--store", "store")
    refused = msgbench(extended, *words, code=3)
    assert "datasets.metfaces.accept_terms: is false; MetFaces may be used only" in refused.stderr
    msgbench(extended, *words, "--set", "datasets.metfaces.accept_terms=true")
    manifest = read_json(extended.folder / "store" / "manifest.json")
    assert (manifest["count"], manifest["resolution"]) == (3, 128)
    assert not manifest["complete"]
    Image.fromarray(pixels[:512, :512]).save(copy / "images" / "3-00.png")
    shutil.rmtree(extended.folder / "store")
    refused = msgbench(extended, *words, "--set", "datasets.metfaces.accept_terms=true", code=3)
    assert "3-00.png: is 512x512 px; expected 1024x1024" in refused.stderr
