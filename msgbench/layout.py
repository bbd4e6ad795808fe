"""The only place where a path under results/ is spelled; Snakefile and command line both ask it.

One folder per tier. An experiment's edited spec is a new folder (its fingerprint is part of the path),
so that nothing that cost compute time is overwritten. The methods accept Snakemake wildcards
("{experiment}") as well as values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from msgbench.errors import ConfigError
from msgbench.units import nimg_label

FINGERPRINT_CHARS = 8

# Inside a run directory.
SPEC_JSON = "spec.json"
TRAIN_JSON = "train.json"
EVALUATE_JSON = "evaluate.json"
SAMPLES_JSON = "samples.json"
RETENTION_JSON = "retention.json"
JOBS = "jobs"
JOB_OUTPUT = "output"  # in the folder of a job
STATS_JSONL = "stats.jsonl"
SNAPSHOTS = "snapshots"
STATES = "states"
GRIDS = "grids"
OBSERVATIONS_JSONL = "observations.jsonl"
OBSERVED = "observed"
METRICS = "metrics"
TENSORBOARD = "tensorboard"
LOGS = "logs"

# Inside a tier.
DATASETS = "datasets"

# Inside the results folder.
PUBLISHED = "published"

# Inside a dataset store.
MANIFEST_JSON = "manifest.json"
REAL_JSON = "real.json"
# Of a set of faces: contact sheets by outcome.
SHEETS = "sheets"


def short(fingerprint: str) -> str:
    """The part of a fingerprint that stands in paths and tables."""
    return fingerprint[:FINGERPRINT_CHARS]


def stores_beside(store_dir: Path) -> list[Path]:
    """Other stores of the same tier, of whatever dataset; for a store elsewhere those in the same folder."""
    folder = store_dir.absolute()
    found = set(folder.parent.glob(f"*/{MANIFEST_JSON}"))
    if folder.parent.parent.name == DATASETS:
        found |= set(folder.parent.parent.glob(f"*/*/{MANIFEST_JSON}"))
    return sorted(manifest.parent for manifest in found if manifest.parent != folder)


def _beside_stores(store_dir: Path) -> Path:
    """Where lies what all stores of a dataset share: above them; in a store elsewhere, in itself."""
    folder = store_dir.absolute()
    return store_dir.parent if folder.parent.parent.name == DATASETS else store_dir


def review_csv(store_dir: Path) -> Path:
    """The user's decisions about the faces of a dataset; the same for all its stores, whatever their thresholds."""
    return _beside_stores(store_dir) / "review.csv"


def seen_dir(store_dir: Path) -> Path:
    """What was seen in the photographs of a dataset, with their names: for the user alone, may be deleted."""
    return _beside_stores(store_dir) / "seen"


def job_file(task: str) -> str:
    """Path of the record of a task's job ("train") inside the folder that the job works for."""
    return f"{JOBS}/{task}.json"


def snapshot_file(cur_nimg: int) -> str:
    """Path of a snapshot inside its run directory."""
    return f"{SNAPSHOTS}/snapshot-{nimg_label(cur_nimg)}.safetensors"


def state_file(cur_nimg: int) -> str:
    """Path of a training state inside its run directory."""
    return f"{STATES}/training-state-{nimg_label(cur_nimg)}.pt"


def grid_file(cur_nimg: int, scale: int) -> str:
    """Path of the grid of fixed latents at one scale inside its run directory."""
    return f"{GRIDS}/grid-{nimg_label(cur_nimg)}-{scale:04d}px.png"


def observed_file(cur_nimg: int) -> str:
    """Path of the images that an observer took inside its run directory."""
    return f"{OBSERVED}/observed-{nimg_label(cur_nimg)}.safetensors"


def record_file(protocol: str, cur_nimg: int) -> str:
    """Path of one measured record inside its run directory."""
    return f"{METRICS}/{protocol}/{nimg_label(cur_nimg)}.json"


def published_stem(experiment: str, seed: int | None = None) -> str:
    """File name, without its suffix, of the published records of an experiment's first run, or of another `seed`."""
    return experiment if seed is None else f"{experiment}-seed{seed}"


@dataclass(frozen=True)
class Layout:
    """Paths of one tier below the results folder."""

    results: Path
    tier: str

    @classmethod
    def of(cls, results: str, tier: str) -> Layout:
        """The paths below config's `results`; raises ConfigError when a file, or a link to nothing, lies there."""
        folder = Path(results)
        for place in (folder, *folder.parents):
            if place.is_symlink() and not place.exists():
                raise ConfigError(
                    f"results: {results!r} is not allowed, {place} is a link to {place.readlink()}, which is not "
                    "there; allowed: a folder, or a new one"
                )
            if place.exists() and not place.is_dir():
                raise ConfigError(
                    f"results: {results!r} is not allowed, {place} is a file; allowed: a folder, or a new one"
                )
        return cls(folder, tier)

    @property
    def root(self) -> Path:
        """Everything of the tier."""
        return self.results / self.tier

    def dataset_dir(self, name: str, fingerprint: str) -> Path:
        """The store of a dataset; `fingerprint` is that of its recipe."""
        return self.root / DATASETS / name / short(fingerprint)

    def run_dir(self, experiment: str, fingerprint: str, seed: int | str) -> Path:
        """The run of `experiment` with `seed`."""
        return self.root / "runs" / experiment / short(fingerprint) / f"seed{seed}"

    def run_dirs(self, experiments: Iterable[str]) -> list[Path]:
        """Every planned run of `experiments` that exists, of whatever spec."""
        found = [
            spec.parent
            for name in experiments
            for spec in sorted((self.root / "runs" / name).glob(f"*/seed*/{SPEC_JSON}"))
        ]
        return sorted(found)

    def every_run_dir(self) -> list[Path]:
        """Every planned run that exists, of whatever experiment and spec."""
        return sorted(spec.parent for spec in (self.root / "runs").glob(f"*/*/seed*/{SPEC_JSON}"))

    @property
    def published(self) -> Path:
        """What measured runs left, of all tiers; kept with the sources."""
        return self.results / PUBLISHED

    def published_json(self, experiment: str, seed: int | None = None) -> Path:
        """The published records of an experiment's first run, or of another `seed`.

        The run's pictures lie in the folder of the same name.
        """
        return self.published / f"{published_stem(experiment, seed)}.json"

    def table_csv(self, table: str) -> Path:
        """A table."""
        return self.root / "tables" / f"{table}.csv"

    def table_md(self, table: str) -> Path:
        """A table as Markdown."""
        return self.table_csv(table).with_suffix(".md")

    def figure(self, figure: str, suffix: str = "png") -> Path:
        """A figure; as `svg` and, moving, `webp`, the plotted numbers as `csv`, what it is as `json`."""
        return self.root / "figures" / f"{figure}.{suffix}"

    @property
    def figures_json(self) -> Path:
        """Which figures the target `all` made."""
        return self.root / "figures" / "all" / "figures.json"

    @property
    def pictures_json(self) -> Path:
        """Which picture sets were drawn for the figures of the target `all`."""
        return self.root / "figures" / "all" / "pictures.json"

    @property
    def claims_json(self) -> Path:
        """The papers' claims with their verdicts; as CSV and Markdown beside it."""
        return self.root / "claims" / "claims.json"

    def left_out(self, target: str) -> Path:
        """What a target would make if nothing that it needs were left out; never made."""
        return self.root / "left-out" / target

    @property
    def report_html(self) -> Path:
        """The page a reviewer opens."""
        return self.root / "report" / "index.html"

    @property
    def report_figures(self) -> Path:
        """The figures as the report shows them: copies of their PNG files."""
        return self.report_html.parent / "figures"

    def job_dir(self, name: str) -> Path:
        """Where the job of a rule that belongs to no run is kept: its record, its lock, its log."""
        return self.root / JOBS / name

    @property
    def cache(self) -> Path:
        """Statistics of real images, cached by content; may be deleted at any time."""
        return self.root / "cache"

    def log(self, name: str) -> Path:
        """The log of a rule that belongs to no run."""
        return self.root / "logs" / f"{name}.log"


# Sources that decide a measured number. Their digest stands in every record and in the params of the
# rules that measure; an edit there measures again, and never trains again. The models are not among them:
# a generator that gives other images for the same parameters is a change of TRAINING_FORMAT.
MEASURING_ROOMS = (
    "metrics",
    "sampling.py",
    "snapshots.py",
    "protocols.py",
    "data/pixels.py",
    "data/image_set.py",
)
# Sources that decide the picture sets.
PICTURE_ROOMS = ("pictures", "sampling.py", "snapshots.py", "data/pixels.py")
# Sources that decide the layer tables.
MODEL_ROOMS = ("models", "config/model.py", "layer_tables.py")
# Sources that decide tables, figures and pages.
ANALYSIS_ROOMS = ("analysis", "reference", "protocols.py")


def source_digest(*rooms: str) -> str:
    """Digest of the sources of `rooms` (files or folders of the package, e.g. "analysis", "sampling.py").

    Stands in the `params` of rules that are cheap to make again, so that a mended table is remade.
    """
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for room in rooms:
        place = package / room
        files = [place] if place.is_file() else sorted(place.rglob("*"))
        for file in files:
            if file.is_file() and file.suffix != ".pyc":
                digest.update(str(file.relative_to(package)).encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def digest_of(files: Iterable[Path]) -> str:
    """Digest of the contents of `files`, in their order; their places do not matter."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]
