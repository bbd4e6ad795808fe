"""From drawn photographs of people to a store of faces: what becomes of each, decided by nothing but content."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from msgbench.config import DatasetSpec
from msgbench.data.drawn_people import kind_of, name_of
from msgbench.data.manifest import FaceFacts, Manifest
from msgbench.data.prepare import prepare
from msgbench.data.stand_ins import draw_raw
from msgbench.data.store import Store
from msgbench.errors import DatasetError

DRAWN = 50
FACES = {"min_face_px": 44}


def spec_of(
    path: Path | None = None, faces: dict[str, Any] | None = None, **changes: Any
) -> DatasetSpec:
    fields: dict[str, Any] = {
        "name": "public", "source": "indian_celebs", "resolution": 32, "mirror": True,
        "faces": {**FACES, **(faces or {})},
    }  # fmt: skip
    where = {} if path is None else {"path": str(path), "accept_terms": True}
    return DatasetSpec.model_validate(fields | where | changes)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def facts(manifest: Manifest) -> FaceFacts:
    assert manifest.faces is not None
    return manifest.faces


def files_of(store: Path) -> dict[str, bytes]:
    """Everything that a store is made of, but the record of when and where."""
    names = (
        "manifest.json",
        "images.npy",
        "images.tsv",
        "outcomes.csv",
        "faces.csv",
        "summary.csv",
    )
    sheets = {f"sheets/{path.name}": path.read_bytes() for path in (store / "sheets").iterdir()}
    return {name: (store / name).read_bytes() for name in names} | sheets


def decide(store: Path, face: str, decision: str, why: str = "") -> None:
    """Fill in a line of review.csv, as an editor would."""
    path = store / "review.csv"
    lines = path.read_text().splitlines()
    place = next(n for n, line in enumerate(lines) if line.startswith(f"{face},"))
    lines[place] = ",".join([*lines[place].split(",")[:2], decision, why])
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One row: 42 of one person, and one of every other kind."""
    return draw_raw(spec_of(drawn=DRAWN), tmp_path_factory.mktemp("people") / "raw")


@pytest.fixture(scope="module")
def made(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of them, made in one go by one process; not to be changed."""
    store = tmp_path_factory.mktemp("made") / "store"
    prepare(spec_of(people), store, workers=1)
    return store


@pytest.fixture
def again(made: Path, tmp_path: Path) -> Path:
    """A copy of that store, with what was seen, to change and to prepare once more."""
    return Path(shutil.copytree(made, tmp_path / "store"))


# What becomes of most photographs of a kind; a detector of faces may miss a drawn one.
EXPECTED = {
    "one": "kept", "several": "kept", "none": "no_face", "dark": "dark", "blurred": "blurred", "copy": "duplicate",
    "mirrored": "duplicate", "broken": "unreadable", "small": "too_small",
}  # fmt: skip


def test_every_drawn_photograph_ends_in_the_log_for_its_own_reason(made: Path) -> None:
    outcome_of = {
        int(Path(row["file"]).stem): row["outcome"] for row in rows(made / "seen" / "names.csv")
    }
    assert sorted(outcome_of) == list(range(DRAWN))
    found: dict[str, Counter[str]] = {}
    for index, outcome in outcome_of.items():
        found.setdefault(kind_of(index), Counter())[outcome] += 1
    assert {kind: counts.most_common(1)[0][0] for kind, counts in found.items()} == EXPECTED
    assert found["one"]["kept"] >= 36  # of 42: the three cascades agree on most drawn faces


def test_the_manifest_counts_everything_and_names_nobody(made: Path) -> None:
    store = Store.open(made)
    store.verify()
    manifest = store.manifest
    inputs = facts(manifest).inputs
    assert sum(inputs.values()) == DRAWN
    assert inputs["kept"] == manifest.count == facts(manifest).faces_kept
    assert manifest.packing is not None
    assert manifest.packing.accept_terms
    assert "living people" in str(manifest.packing.terms)
    assert facts(manifest).rules["min_face_px"] == 44
    assert facts(manifest).rules["min_score"] == 1.0
    for fact in facts(manifest).files:
        assert (made / fact.name).stat().st_size == fact.bytes
    published = [path for path in made.rglob("*") if path.is_file() and "seen" not in path.parts]
    for path in published:
        if path.name != "prepare.json":
            assert b"person" not in path.read_bytes().lower(), path
    assert b"person" in (made / "seen" / "names.csv").read_bytes()


def test_log_and_summary_agree(made: Path) -> None:
    log = rows(made / "outcomes.csv")
    assert len(log) == DRAWN
    assert all(row["reason"] for row in log if row["outcome"] != "kept")
    summary = rows(made / "summary.csv")
    stated = {r["outcome"]: int(r["photographs"]) for r in summary if r["quantity"] == "outcome"}
    assert stated == {**dict.fromkeys(stated, 0), **Counter(row["outcome"] for row in log)}
    with_face = sum(bool(row["face"]) for row in log)
    for quantity in ("face_px", "sharpness", "brightness", "clipped"):
        bins = [row for row in summary if row["quantity"] == quantity]
        assert sum(int(row["photographs"]) for row in bins) == with_face
        assert sum(int(row["kept"]) for row in bins) == stated["kept"]
        assert [row["below"] for row in bins[:-1]] == [row["from"] for row in bins[1:]]
    shown = {Path(path).stem for path in (made / "sheets").iterdir()}
    assert {"kept", "dark", "blurred", "duplicate", "no_face", "too_small"} <= shown


def test_order_names_and_workers_change_no_byte(people: Path, made: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    order = np.random.default_rng(9).permutation(DRAWN).tolist()
    for number, index in enumerate(order):
        target = other / f"folder{number % 3}" / f"{number:03d}{Path(name_of(index)).suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(people / name_of(index), target)
    prepare(spec_of(other), tmp_path / "store", workers=2)
    assert files_of(tmp_path / "store") == files_of(made)


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    people: Path, made: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    spec = json.dumps(spec_of(people).model_dump(mode="json"))
    code = (
        "import sys; from pathlib import Path; from msgbench.config import DatasetSpec; "
        "from msgbench.data.prepare import prepare; "
        "prepare(DatasetSpec.model_validate_json(sys.argv[1]), Path(sys.argv[2]), workers=1)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, spec, str(store)])
    deadline = time.monotonic() + 120
    seen = 0
    while seen < 7 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
        seen = sum(path.read_bytes().count(b"\n") for path in store.glob("seen/*/seen.jsonl"))
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was killed while it worked"
    (journal,) = store.glob("seen/*/seen.jsonl")
    lines = journal.read_bytes().count(b"\n")
    assert 7 <= lines < DRAWN
    with journal.open("ab") as file:
        file.write(b'["torn", 1, 2')  # as if it had been killed while a line was written
    prepare(spec_of(people), store, workers=1)
    assert files_of(store) == files_of(made)
    assert journal.read_bytes().count(b"\n") == DRAWN


def test_a_crop_that_is_gone_is_made_again(people: Path, made: Path, again: Path) -> None:
    (again / "manifest.json").unlink()
    crop = next(again.glob("seen/*/crops/*.png"))
    crop.unlink()
    prepare(spec_of(people), again, workers=1)
    assert crop.exists()
    assert files_of(again) == files_of(made)


def test_a_finished_store_is_left_alone(people: Path, again: Path) -> None:
    before = (again / "manifest.json").stat().st_mtime_ns
    prepare(spec_of(people), again, workers=1)
    assert (again / "manifest.json").stat().st_mtime_ns == before


def kept(store: Path) -> list[str]:
    return [row["face"] for row in rows(store / "faces.csv") if row["outcome"] == "kept"]


def test_the_review_is_obeyed_and_survives_other_thresholds(people: Path, again: Path) -> None:
    first, second, *_ = kept(again)
    small = next(row["face"] for row in rows(again / "faces.csv") if row["outcome"] == "too_small")
    decide(again, first, "drop", "not a person")
    decide(again, small, "keep", "good enough")
    manifest = prepare(spec_of(people), again, workers=1)
    assert facts(manifest).review_drops == facts(manifest).review_keeps == 1
    assert first not in kept(again)
    assert small in kept(again)
    reasons = {row["face"]: row["reason"] for row in rows(again / "faces.csv")}
    assert reasons[first].startswith("review: drop (not a person)")
    assert reasons[small].startswith("review: keep (good enough); ")
    # Thresholds that nothing passes: what the review keeps stays, what it drops is dropped by the review.
    edited = (again / "review.csv").read_bytes()
    prepare(spec_of(people, {"min_face_px": 500}), again, workers=1)
    assert kept(again) == [small]
    outcome_of = {row["face"]: row["outcome"] for row in rows(again / "faces.csv")}
    assert (outcome_of[first], outcome_of[second]) == ("dropped", "too_small")
    assert (again / "review.csv").read_bytes() == edited


def test_what_the_review_drops_makes_no_room_for_its_copies(people: Path, again: Path) -> None:
    copy = next(row for row in rows(again / "faces.csv") if row["outcome"] == "duplicate")
    decide(again, copy["duplicate_of"], "drop")
    prepare(spec_of(people), again, workers=1)
    assert not {copy["face"], copy["duplicate_of"]} & set(kept(again))
    decide(again, copy["face"], "keep")
    prepare(spec_of(people), again, workers=1)
    assert copy["face"] in kept(again)
    assert copy["duplicate_of"] not in kept(again)


def test_decisions_that_match_nothing_are_reported_and_kept(
    people: Path, again: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (again / "review.csv").open("a") as file:
        file.write('p000000000000-0,1 2 30 40,drop,"gone, long ago"\n')
    edited = (again / "review.csv").read_bytes()
    prepare(spec_of(people), again, workers=1)
    assert "1 decisions match no face of these photographs: line" in capsys.readouterr().err
    assert (again / "review.csv").read_bytes() == edited


def test_new_photographs_add_lines_and_no_other_byte_of_a_spreadsheet_changes(
    people: Path, again: Path
) -> None:
    """Saved by a spreadsheet: a mark at its beginning, semicolons, two characters at the end of lines."""
    path = again / "review.csv"
    first = kept(again)[0]
    decide(again, first, "drop", "why not")
    text = path.read_text().replace(",", ";").replace("\n", "\r\n")
    saved = b"\xef\xbb\xbf" + "\r\n".join(text.split("\r\n")[:4]).encode()  # without an end of line
    path.write_bytes(saved)
    prepare(spec_of(people), again, workers=1)
    assert first not in kept(again)
    content = path.read_bytes()
    assert content.startswith(saved + b"\n")
    assert content.count(b";;\r\n") > 20
    assert len({row["face"] for row in rows(again / "faces.csv")}) == len(content.splitlines()) - 1


MALFORMED = [
    ("{first},1 2 3 4,maybe,\n", "line 2: decision 'maybe' is not allowed; allowed: keep, drop, or nothing"),
    ("{first},1 2 3,drop,\n", "line 2: box '1 2 3' is not allowed"),
    ("nobody,1 2 3 4,drop,\n", "line 2: face 'nobody' is not allowed"),
    ("p0123456789ab,,keep,\n", "line 2: decision keep does not fit the whole photograph p0123456789ab"),
    ("{first},1 2 3 4,drop,\n{first},1 2 3 4,keep,\n", "lines 2 and 3 decide {first} differently"),
    ("{first},1 2 3 4,drop,a, b\n", "line 2 has 5 fields, the first line 4; put a text with commas in quotes"),
    ('{first},1 2 3 4,drop,"open\n', "is no CSV"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "sentence"), MALFORMED)
def test_a_malformed_review_is_one_sentence(
    text: str, sentence: str, people: Path, again: Path
) -> None:
    first, path = kept(again)[0], again / "review.csv"
    path.write_text("face,box,decision,why\n" + text.format(first=first))
    content = path.read_bytes()
    with pytest.raises(DatasetError) as caught:
        prepare(spec_of(people), again, workers=1)
    assert str(caught.value).startswith(f"{path}: ")
    assert sentence.format(first=first) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"a,b\n", b"\xff\xfe\x00"])
def test_what_is_no_review_is_refused(content: bytes, people: Path, again: Path) -> None:
    (again / "review.csv").write_bytes(content)
    with pytest.raises(
        DatasetError, match=r"review\.csv: (its first line has no column face|is not a UTF-8 text)"
    ):
        prepare(spec_of(people), again, workers=1)


def test_terms_have_to_be_accepted(people: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        prepare(spec_of(people, accept_terms=False), tmp_path / "store")
    assert str(caught.value).startswith("datasets.public.accept_terms: is false; ")
    assert str(caught.value).endswith("set it to true if you accept them")
    assert not (tmp_path / "store").exists()


def test_the_file_of_yunet_is_checked(people: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "face_detection_yunet_2023mar.onnx"
    wrong.write_bytes(b"not the one")
    spec = spec_of(people, {"detector": "yunet", "yunet": str(wrong)})
    with pytest.raises(
        DatasetError,
        match=r"its sha256 is [0-9a-f]{12}\.\.\., datasets\.public\.faces\.yunet allows",
    ):
        prepare(spec, tmp_path / "store")
    with pytest.raises(DatasetError, match="cannot be read"):
        prepare(spec_of(people, {"detector": "yunet", "yunet": "/no"}), tmp_path / "store")
    assert not (tmp_path / "store").exists()


Make = Callable[[Path], object]


def write_text(path: Path) -> None:
    path.write_text("<html>404</html>")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: None, "does not exist; datasets.public.path allows a folder"),
        (lambda path: path.mkdir(), "holds no files; expected a folder"),
        (write_text, "is not a zip archive, or its end is missing"),
    ],
)
def test_places_without_photographs(make: Make, sentence: str, tmp_path: Path) -> None:
    make(tmp_path / "place")
    with pytest.raises(DatasetError) as caught:
        prepare(spec_of(tmp_path / "place"), tmp_path / "store")
    assert sentence in str(caught.value)
    assert not (tmp_path / "store").exists()


def test_photographs_without_any_face_that_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    Image.new("RGB", (200, 150), (90, 120, 60)).save(folder / "a.png")
    (folder / "notes.txt").write_text("no photograph")
    (folder / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 too short")
    with pytest.raises(DatasetError) as caught:
        prepare(spec_of(folder), tmp_path / "store")
    assert str(caught.value) == (
        "datasets.public.path: gives no face that is kept, asked for are 1, of 3 inputs 0 faces are kept "
        "(1 no_face, 2 unreadable)"
    )
    assert not (tmp_path / "store" / "manifest.json").exists()


def test_a_file_that_cannot_be_read_is_in_the_log_and_no_part_of_what_was_seen(
    people: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "people.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for index in range(3):
            opened.write(people / name_of(index), name_of(index))
        place = opened.getinfo(name_of(1)).header_offset
    raw = bytearray(archive.read_bytes())
    raw[place + 200 : place + 260] = bytes(60)
    archive.write_bytes(raw)
    manifest = prepare(spec_of(archive), tmp_path / "store")
    assert facts(manifest).inputs["unreadable"] == 1
    log = {row["photograph"]: row for row in rows(tmp_path / "store" / "outcomes.csv")}
    assert log["unread-1"]["reason"] == "is damaged or truncated in the archive"
    (journal,) = tmp_path.glob("store/seen/*/seen.jsonl")
    assert journal.read_bytes().count(b"\n") == 2
