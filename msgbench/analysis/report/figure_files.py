"""Figures as `msgbench figure` wrote them: pictures with a JSON beside each that says what they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgbench.analysis.report.claims import PAPERS
from msgbench.analysis.report.parts import Link, href, link, write_unsynced
from msgbench.errors import ResultsError
from msgbench.records import read_json

_SUFFIXES = ("png", "svg", "csv", "webp", "gif", "json")


@dataclass(frozen=True)
class PageFigure:
    """One figure on the page; without `picture` it could not be made."""

    name: str
    title: str
    place: str
    """Which of a paper's figures it answers to."""
    caption: str
    statement: str
    alt: str
    picture: str
    moving: str
    missing: tuple[str, ...]
    files: tuple[Link, ...]


def figures_in(folder: Path, planned: Iterable[str], page_folder: Path) -> tuple[PageFigure, ...]:
    """Every figure in `folder` and of `planned`: those of the papers first, by number, then those of tables."""
    names = dict.fromkeys([*planned, *(path.stem for path in sorted(folder.glob("*.png")))])
    described = {
        path.stem: content
        for path in sorted(folder.glob("*.json"))
        if isinstance((content := _read(path)).get("files"), dict)
    }
    names |= dict.fromkeys(described)
    ordered = sorted(names, key=lambda name: _order(described.get(name, {})))
    return tuple(_figure(folder, name, described.get(name, {}), page_folder) for name in ordered)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except ValueError as error:
        raise ResultsError(str(error)) from None
    return content if isinstance(content, dict) else {}


def _order(content: dict[str, Any]) -> tuple[bool, str, float, str]:
    """Figures of papers first, in their order; else as they come."""
    stated = content.get("figure")
    digits = "".join(c for c in str(stated) if c.isdigit())
    return (stated is None, str(content.get("paper") or "~")[::-1], float(digits or 0), str(stated))


def _figure(folder: Path, name: str, content: dict[str, Any], page_folder: Path) -> PageFigure:
    paths = {suffix: folder / f"{name}.{suffix}" for suffix in _SUFFIXES}
    there = {suffix: path for suffix, path in paths.items() if path.is_file()}
    picture = there.get("png")
    moving = there.get("webp", there.get("gif"))
    missing = content.get("missing")
    missing = tuple(map(str, missing)) if isinstance(missing, list) else ()
    if picture is None and moving is None and not missing:
        missing = ("not drawn yet",)
    place = ""
    if content.get("figure") is not None:
        paper = PAPERS.get(str(content.get("paper")), str(content.get("paper") or ""))
        place = f"Figure {content['figure']} of {paper}"
    title = str(content.get("title") or name)
    return PageFigure(
        name=name,
        title=title,
        place=place,
        caption=str(content.get("caption") or ""),
        statement=str(content.get("statement") or ""),
        alt=str(content.get("alt") or title),
        picture="" if picture is None else href(picture, page_folder),
        moving="" if moving is None else href(moving, page_folder),
        missing=missing,
        files=tuple(link(s.upper(), path, page_folder) for s, path in there.items()),
    )


def copy_pictures(folder: Path, copies: Path) -> None:
    """Make `copies` hold the PNG files of `folder` and nothing else of that kind, for `snakemake --report`.

    The pages show the files themselves.
    """
    copies.mkdir(parents=True, exist_ok=True)
    names = {path.name for path in folder.glob("*.png")}
    for old in copies.glob("*.png"):
        if old.name not in names:
            old.unlink()
    for name in sorted(names):
        write_unsynced(copies / name, (folder / name).read_bytes())
