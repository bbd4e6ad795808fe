"""docs/performance.md is what its records give, and a page that is not is refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from msgbench.bench.forms import shown
from msgbench.bench.page import made_page, require_page, write_page
from msgbench.bench.record import Measured
from msgbench.errors import ResultsError

PAGE = "# Title\n\nwords\n\n<!-- bench: records/feed.json -->\nold\n<!-- bench: end -->\n\nmore words\n"


@pytest.fixture
def record() -> dict[str, Any]:
    return {
        "schema": "msgbench.bench/1",
        "kind": "feed",
        "command": "msgbench bench feed --threads 2 --device cpu --out FOLDER",
        "settings": {"threads": 2, "steps": 30},
        "rows": [
            {
                "resolution": 256, "kept_as": "array", "how": "mapped", "batch_size": 32,
                "host_images_per_second": 41234.5, "steps_images_per_second": 300.0, "wait_ms": 1.126,
                "wait_percent": 1.04,
            }
        ],
        "provenance": {
            "commit": "0123456789abcdef", "dirty": False, "cpu": "A processor", "device": "cpu",
            "versions": {"torch": "2.13.0"}, "written": "2026-11-28T01:02:03Z",
        },
    }  # fmt: skip


@pytest.fixture
def page(tmp_path: Path, record: dict[str, Any]) -> Path:
    (tmp_path / "records").mkdir()
    (tmp_path / "records/feed.json").write_text(json.dumps(record))
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    return page


def test_the_page_of_the_docs_is_what_its_records_give(root: Path) -> None:
    require_page(root / "docs/performance.md")


def test_a_part_is_written_anew_and_the_rest_stays(page: Path) -> None:
    with pytest.raises(ResultsError, match="write it with `msgbench performance-page`"):
        require_page(page)
    write_page(page)
    require_page(page)
    text = page.read_text()
    assert text.startswith(
        "# Title\n\nwords\n\n<!-- bench: records/feed.json -->\n\n    msgbench bench feed "
    )
    assert text.endswith(" |\n\n<!-- bench: end -->\n\nmore words\n")
    assert (
        "A processor, torch 2.13.0, 2026-11-28, 2 CPU threads, steps are pauses, commit 0123456789\n"
        in text
    )
    assert "| array | mapped | 256 | 32 | 41,234 | 300 | 1.13 | 1 % |" in text
    assert "old" not in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PAGE.replace("<!-- bench: end -->\n", ""), "page.md:5: '<!-- bench: end -->' is missing"),
        (PAGE.replace("old", "<!-- bench: a.json -->"), "page.md:6: expected '<!-- bench: end -->' for line 5 first"),
        (PAGE.replace("words\n", "<!-- bench: end -->\n", 1), "page.md:3: '<!-- bench: end -->' ends nothing"),
        (PAGE.replace("feed.json", "gone.json"), "gone.json: cannot be read (No such file or directory)"),
    ],
)  # fmt: skip
def test_marks_that_do_not_fit_are_named(page: Path, text: str, said: str) -> None:
    page.write_text(text)
    with pytest.raises(ResultsError) as caught:
        made_page(page)
    assert said in str(caught.value)
    with pytest.raises(ResultsError, match=r"none\.md: cannot be read"):
        made_page(page.with_name("none.md"))


@pytest.mark.parametrize(
    ("key", "value"),
    [("schema", "msgbench.bench/9"), ("kind", "weather"), ("rows", 3), ("more", 1)],
)
def test_what_is_no_record_is_refused(
    page: Path, record: dict[str, Any], key: str, value: object
) -> None:
    (page.parent / "records/feed.json").write_text(json.dumps({**record, key: value}))
    with pytest.raises(
        ResultsError, match=rf"feed\.json: is no record of `msgbench bench` \({key}"
    ):
        made_page(page)


def training_row(**changes: object) -> dict[str, Any]:
    row = {
        "label": "float32", "method": "msg-progan", "resolution": 32, "precision": "float32", "batch_size": 16,
        "threads": 2, "device": "cpu", "seconds_per_step": 10.0, "images_per_second": 1.6, "gflop_per_second": 300.0,
        "ratio_to_plain": 1.3, "ratio_to_authors": None, "cpu_seconds_per_step": 19.0, "first_seconds": 11.0,
        "peak_memory_mb": 100.0, "ceiling_gflop_per_second": 400.0, "ceiling_gb_per_second": 10.0, "kernels": 900,
        "traffic_gb": 20.0, "arithmetic_seconds": 6.0, "traffic_seconds": 2.0, "start_seconds": 0.01,
    }  # fmt: skip
    return {**row, **changes}


@pytest.mark.parametrize(
    ("changes", "binds", "reached"),
    [
        ({}, "arithmetic", "80%"),
        ({"traffic_seconds": 7.0, "arithmetic_seconds": 2.0}, "memory", "90%"),
        ({"start_seconds": 9.0}, "starting kernels", "90%"),
        ({"traffic_seconds": None, "start_seconds": None}, "arithmetic", "60%"),
    ],
)
def test_what_takes_most_of_the_least_time_binds(
    record: dict[str, Any], changes: dict[str, Any], binds: str, reached: str
) -> None:
    measured = Measured.model_validate(
        {
            **record, "kind": "training", "settings": {"width": 1.0, "threads": 2, "rounds": 3},
            "rows": [training_row(**changes)],
        }
    )  # fmt: skip
    assert shown(measured)[-1].endswith(f"| {binds} | {reached} |")
    assert "times the authors'" not in "\n".join(shown(measured))
