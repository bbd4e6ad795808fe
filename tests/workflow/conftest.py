"""A copy of the workflow in a folder of its own, with a tiny benchmark, and what Snakemake plans in it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from msgbench.config import LAYER_TABLES, OWN_TABLES, Benchmark, load_benchmark
from msgbench.layout import EVALUATE_JSON, MANIFEST_JSON, REAL_JSON, SPEC_JSON, TRAIN_JSON, Layout

SNAKEMAKE = Path(sys.executable).parent / "snakemake"
WORKFLOW_FILES = ("Snakefile", "workflow", "profiles", "slurm", "envs")


@dataclass
class Project:
    """A folder like the repository's root, without the package."""

    folder: Path
    package: Path | None = None
    """A package `msgbench` that is used instead of the installed one."""

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake to its end in the folder; stderr and stdout together."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if self.package is not None:
            environment["PYTHONPATH"] = str(self.package)
        return subprocess.run(
            [SNAKEMAKE, *arguments],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=250,
        )

    def plans(self, *arguments: str) -> list[str]:
        """The messages of the jobs that Snakemake would run, sorted; targets are left out."""
        done = self.snakemake("-n", *arguments)
        assert done.returncode == 0, done.stdout
        return sorted(
            message
            for message in re.findall(r"^Job \d+: (.*)$", done.stdout, re.MULTILINE)
            if not message.startswith("target ")
        )

    @property
    def benchmark(self) -> Benchmark:
        return load_benchmark(self.folder / "config.yaml")

    @property
    def layout(self) -> Layout:
        return Layout(self.folder / self.benchmark.results, self.benchmark.tier)

    def run_dir(self, experiment: str, seed: int = 0) -> Path:
        fingerprint = self.benchmark.experiments[experiment].fingerprint
        return self.layout.run_dir(experiment, fingerprint, seed)

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace `old` in a file of the folder, which has to be there exactly once."""
        path = self.folder / file
        text = path.read_text()
        assert text.count(old) == 1, f"{file}: {old!r} stands there {text.count(old)} times"
        path.write_text(text.replace(old, new))

    def pretend_done(self) -> None:
        """Every output exists and Snakemake has it on record, as after a finished run of `all`."""
        layout, benchmark = self.layout, self.benchmark
        files = [layout.report_html, *map(layout.table_csv, benchmark.tables)]
        files.append(layout.figures_json)
        for name in benchmark.table_datasets():
            store = layout.dataset_dir(name, benchmark.datasets[name].fingerprint)
            files += [store / MANIFEST_JSON, store / REAL_JSON]
        for name in benchmark.table_experiments():
            for file in (SPEC_JSON, TRAIN_JSON, EVALUATE_JSON):
                files.append(self.run_dir(name) / file)
        for name in LAYER_TABLES:
            files += [layout.table_csv(name), layout.table_md(name)]
        files += [layout.claims_json, *map(layout.table_csv, OWN_TABLES)]
        files += [layout.claims_json.with_suffix(".csv"), layout.report_figures / "figure.png"]
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("{}\n")
        done = self.snakemake("--cores", "1", "--touch", "--forceall", "all")
        assert done.returncode == 0, done.stdout
        assert "not touched" not in done.stdout, done.stdout
        # Without a record of its parameters a file counts as up to date whatever they are.
        assert "missing provenance" not in self.snakemake("-n", "all").stdout


def copy_workflow(root: Path, folder: Path, config: Path) -> Project:
    """The workflow of the repository in `folder`, with `config` as its config.yaml."""
    folder.mkdir(parents=True)
    for name in WORKFLOW_FILES:
        source = root / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            shutil.copy(source, folder / name)
    shutil.copy(config, folder / "config.yaml")
    return Project(folder)


@pytest.fixture
def project(root: Path, tmp_path: Path) -> Project:
    """The tiny benchmark, nothing done yet, in a folder with a space in its name."""
    return copy_workflow(root, tmp_path / "my bench", root / "tests" / "workflow" / "config.yaml")


@pytest.fixture(scope="session")
def _done(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("done") / "bench"
    project = copy_workflow(root, folder, root / "tests" / "workflow" / "config.yaml")
    project.pretend_done()
    return project


@pytest.fixture
def done(_done: Project, tmp_path: Path) -> Project:
    """The tiny benchmark as after a finished run of `all`; no file holds anything."""
    folder = tmp_path / "bench"
    shutil.copytree(_done.folder, folder)  # copies the times, too: Snakemake compares them
    return Project(folder)
