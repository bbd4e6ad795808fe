"""Claims of the papers as `msgbench claims` wrote them: quote, test, verdict, and the numbers behind it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgbench.analysis.collected import Collection
from msgbench.analysis.report.parts import Link, Site, link
from msgbench.analysis.tables import number
from msgbench.errors import ResultsError
from msgbench.records import read_json

PAPERS = {"cvpr2020": "CVPR 2020", "arxiv-v1": "first version"}


@dataclass(frozen=True)
class PageEvidence:
    """One number that a claim was tested with."""

    what: str
    value: Link
    unit: str


@dataclass(frozen=True)
class PageClaim:
    """One claim on the page."""

    id: str
    place: str
    quote: str
    title: str
    test: str
    verdict: str
    reason: str
    evidence: tuple[PageEvidence, ...]


def claims_in(collection: Collection, site: Site) -> tuple[PageClaim, ...]:
    """The claims in claims.json; none when it was not made yet. Raises ResultsError for a file of another form."""
    path = collection.layout.claims_json
    if not path.is_file():
        return ()
    shown = {
        _plain(record.path): site.score(record, site.index)
        for run in (*collection.runs, *(other.run for other in collection.others))
        for record in run.records
    }
    pages = {_plain(run.folder): site.of_run(run, site.index) for run in collection.runs}
    try:
        content = read_json(path)
        return tuple(_claim(entry, path, shown, pages, site) for entry in content["claims"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ResultsError(
            f"{path}: is not a file of claims; make it again with `msgbench claims`"
        ) from None


def _claim(
    entry: Mapping[str, Any],
    path: Path,
    shown: Mapping[Path, Link],
    pages: Mapping[Path, Link],
    site: Site,
) -> PageClaim:
    texts = {key: str(entry[key]) for key in ("id", "quote", "title", "test", "verdict", "reason")}
    place = f"{PAPERS.get(entry['paper'], str(entry['paper']))}, {entry['place']}"
    evidence = tuple(
        PageEvidence(str(one["what"]), _value(one, path, shown, pages, site), str(one["unit"]))
        for one in entry["evidence"]
    )
    return PageClaim(place=place, evidence=evidence, **texts)


def _value(
    one: Mapping[str, Any],
    path: Path,
    shown: Mapping[Path, Link],
    pages: Mapping[Path, Link],
    site: Site,
) -> Link:
    """A number of the evidence as a link to where its record is shown, or else to the file that states it."""
    value = one["value"]
    text = "not reached" if value is None else number(float(value))
    if one["source"] is None:
        return Link(text)
    source = path.parent / str(one["source"])
    record = shown.get(_plain(source))
    if record is not None:
        return Link(text, record.href)
    run = pages.get(_plain(source).parent)
    if run is not None:
        return Link(text, run.href)
    return link(text, source, site.index.parent) if source.exists() else Link(text)


def _plain(path: Path) -> Path:
    """`path` without `..`, so that equal places are equal."""
    return Path(os.path.normpath(path))


def counted_verdicts(claims: Sequence[PageClaim]) -> tuple[tuple[str, int], ...]:
    """How many claims have each verdict."""
    return tuple(Counter(claim.verdict for claim in claims).items())
