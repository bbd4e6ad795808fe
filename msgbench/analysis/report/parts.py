"""What every page is made of: links, facts, commands, and where the pages lie.

Text is plain and is escaped by the templates; SVG of report/charts.py is the only markup, made by us.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from msgbench.analysis.collected import Collection, Dataset, OtherRun, Run
from msgbench.analysis.score_records import Record
from msgbench.analysis.tables import number, relative
from msgbench.layout import short

ASSETS = "assets"


@dataclass(frozen=True)
class Link:
    """Text that points at a page or file of the results folder; plain text when `href` is empty."""

    text: str
    href: str = ""


@dataclass(frozen=True)
class Fact:
    """A term and what is to say about it."""

    term: str
    lines: tuple[str, ...]
    links: tuple[Link, ...] = ()
    """Stand in one line of their own."""


@dataclass(frozen=True)
class Command:
    """How to make one thing again."""

    what: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Site:
    """Where the pages of the report lie, and which page shows a record."""

    folder: Path
    """The report's own folder."""
    stores: Mapping[Path, str]
    """Folder of a dataset's store -> name of its page."""
    runs: Mapping[Path, str]
    """Folder of a run -> name of its page."""

    @property
    def index(self) -> Path:
        return self.folder / "index.html"

    @property
    def protocols(self) -> Path:
        return self.folder / "protocols.html"

    @property
    def missing(self) -> Path:
        return self.folder / "missing.html"

    def asset(self, name: str) -> Path:
        """A style sheet, script or picture of the report."""
        return self.folder / ASSETS / name

    def run_page(self, run: Run) -> Path:
        """The page of a run."""
        return self.folder / "runs" / self.runs[run.folder]

    def dataset_page(self, dataset: Dataset) -> Path:
        """The page of a dataset."""
        return self.folder / "datasets" / self.stores[dataset.folder]

    def of_run(self, run: Run, page: Path, text: str = "") -> Link:
        """A link from `page` to the page of a run."""
        return link(text or run.label, self.run_page(run), page.parent)

    def of_dataset(self, dataset: Dataset, page: Path, text: str = "") -> Link:
        """A link from `page` to the page of a dataset."""
        return link(text or dataset.spec.name, self.dataset_page(dataset), page.parent)

    def score(self, record: Record, page: Path, text: str = "") -> Link:
        """A score as a link from `page` to where its record is shown; to the file itself for images from elsewhere."""
        text = text or number(record.table_value)
        shown = None
        if record.cur_nimg is not None and len(record.path.parents) > 2:
            name = self.runs.get(record.path.parents[2])
            shown = None if name is None else self.folder / "runs" / name
        elif record.path.parent in self.stores:
            shown = self.folder / "datasets" / self.stores[record.path.parent]
        if shown is None:
            return link(text, record.path, page.parent)
        return Link(text, f"{href(shown, page.parent)}#{anchor(record)}")


def site_of(collection: Collection, folder: Path) -> Site:
    """The pages of everything in `collection`, in the report's folder `folder`."""
    stores = {d.folder: f"{name}.html" for name, d in collection.datasets.items()}
    for other in collection.others:
        dataset = other.dataset
        stores.setdefault(dataset.folder, f"{dataset.spec.name}-{dataset.folder.name}.html")
    runs = [*collection.runs, *(other.run for other in collection.others)]
    return Site(folder, stores, {run.folder: page_name(run) for run in runs})


def page_name(run: Run) -> str:
    """The file name of a run's page."""
    return f"{run.plan.experiment}-{short(run.plan.fingerprint)}-seed{run.plan.seed}.html"


def anchor(record: Record) -> str:
    """The id of a record on the page that shows it."""
    if record.cur_nimg is not None:
        return f"record-{record.protocol}-{record.cur_nimg}"
    kind = next((k for k in ("control", "floor") if record.content.get(k)), "real")
    more = "".join(c if c.isalnum() else "-" for c in str(record.content.get(kind, "")))
    return f"record-{kind}-{record.protocol}" + (f"-{more}" if more else "")


def href(path: Path, folder: Path) -> str:
    """`path` as a relative URL from `folder`."""
    return quote(relative(path, folder))


def link(text: str, path: Path, folder: Path) -> Link:
    """A link to `path` from a page in `folder`."""
    return Link(text, href(path, folder))


def link_if_there(text: str, path: Path, folder: Path) -> Link:
    """A link as `link` makes it where there is such a file, else `text` alone."""
    return link(text, path, folder) if path.is_file() else Link(text)


def files(named: Iterable[tuple[str, Path]], folder: Path) -> tuple[Link, ...]:
    """Links to those of the files that exist."""
    return tuple(link(text, path, folder) for text, path in named if path.is_file())


def write_unsynced(out: Path, content: bytes) -> None:
    """Write what can be made again at any time: complete or not at all, but not synced as records are."""
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.tmp")
    temporary.write_bytes(content)
    temporary.replace(out)


def emphasised(text: str) -> Markup:
    """`*word*` as emphasis; everything else escaped."""
    parts = text.split("*")
    marked = [Markup("<em>{}</em>").format(p) if i % 2 else p for i, p in enumerate(parts)]
    return Markup("").join(marked)


def distinct(origins: Iterable[Mapping[str, Any]], key: str) -> tuple[str, ...]:
    """Every value that the provenances state under `key`, once."""
    return tuple(dict.fromkeys(str(origin[key]) for origin in origins if origin.get(key)))


def commits(origins: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The commits that records were made with, the most frequent first."""
    counts: Counter[str] = Counter()
    for origin in origins:
        commit = str(origin["commit"])[:12] if origin.get("commit") else "not a git checkout"
        counts[commit + (" with local changes" if origin.get("dirty") else "")] += 1
    if len(counts) <= 1:
        return tuple(counts) or ("no records yet",)
    return tuple(
        f"{commit} ({count} record{'s' if count > 1 else ''})"
        for commit, count in counts.most_common()
    )


def versions(origins: Iterable[Mapping[str, Any]]) -> tuple[tuple[str, str], ...]:
    """Library -> every version that a record was made with."""
    found: dict[str, dict[str, None]] = {}
    for origin in origins:
        stated = origin.get("versions")
        if isinstance(stated, dict):
            for name, version in stated.items():
                found.setdefault(str(name), {})[str(version)] = None
    return tuple((name, ", ".join(each)) for name, each in sorted(found.items()))


def others_of(collection: Collection) -> Mapping[Path, OtherRun]:
    """Runs that no table shows, by folder."""
    return {other.run.folder: other for other in collection.others}
