"""README's result table: true to the published records, below the paper's row, and held in step with them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from msgbench.analysis import FIRST_TRAINING
from msgbench.analysis.in_step import require_result_table, require_walkthrough
from msgbench.analysis.published import Published, publish
from msgbench.analysis.result_table import BEGIN, END, result_table, write_result_table
from msgbench.analysis.tables import number
from msgbench.config import Benchmark, load_benchmark
from msgbench.errors import ResultsError
from msgbench.records import read_json, write_json

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "results" / "published"
OWN_COPY = {"datasets": {"cifar10": {"path": "/data/cifar-10"}}}
CHOSEN = "cifar10-msg-progan-lr0.003"


@pytest.fixture(scope="module")
def benchmark() -> Benchmark:
    return load_benchmark(ROOT / "config.yaml")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """README.md and results/published/ of the repository, to be changed."""
    shutil.copytree(KEPT, tmp_path / "results" / "published")
    shutil.copy(ROOT / "README.md", tmp_path)
    return tmp_path


def lines_of(table: str) -> list[list[str]]:
    """The cells of all lines of the table, without its head."""
    lines = [line for line in table.splitlines() if line.startswith("| ")][2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_the_readme_of_the_repository_is_in_step(benchmark: Benchmark) -> None:
    """After a change: `msgbench results-table`."""
    require_result_table(benchmark, KEPT, ROOT / "README.md")


def test_row_0_is_the_papers_and_every_number_that_of_its_file(
    benchmark: Benchmark, copy: Path
) -> None:
    paper, ours = lines_of(
        result_table(benchmark, copy / "results" / "published", copy / "README.md")
    )
    assert paper[0] == "**paper**, Table 3: MSG-ProGAN, learning rate 0.003"
    assert paper[2:4] == ["12M", "IS 8.63"]
    run = Published.read(KEPT / f"{FIRST_TRAINING}.json")
    link = f"results/published/{FIRST_TRAINING}.json"
    assert ours[:3] == [f"`{FIRST_TRAINING}`, [seed 0]({link})", "smoke", f"{run.cur_nimg:,}"]
    assert (copy / link).is_file()
    for protocol in dict.fromkeys(score.protocol for score in run.scores):
        scores = [s for s in run.scores if s.protocol == protocol and s.cur_nimg]
        pick = max if scores[0].direction == "higher" else min
        best, final = pick(s.value for s in scores), scores[-1].value
        assert f"`{protocol}` {number(best)} ({number(final)})" in ours[4]
        assert ours[5] == str(len(scores))
    assert ours[6] == f"{run.seconds / 3600:.2f} h, 1 thread"
    assert run.origins[0].commit is not None
    assert ours[8] == f"`{run.origins[0].commit[:7]}`"


def test_scores_of_the_small_extractor_never_stand_in_the_papers_column(
    benchmark: Benchmark, copy: Path
) -> None:
    """Also where a record claims the paper tier and no departures."""
    path = copy / "results" / "published" / f"{FIRST_TRAINING}.json"
    for tier, departures, verdict in (("smoke", None, "scaled"), ("paper", [], "not comparable")):
        content = read_json(path)
        changed = {} if departures is None else {"scaled_down": departures}
        write_json(path, {**content, "tier": tier, **changed})
        table = result_table(benchmark, path.parent, copy / "README.md")
        paper, ours = lines_of(table)
        assert (ours[3], paper[4]) == ("–", "–")
        assert ours[9].startswith(verdict)
        assert "Scores by small-cifar10-v1 do not compare with the paper's" in table


@pytest.mark.parametrize(
    ("gain", "seeds", "verdict"),
    [
        (8.63, 3, "reproduced"),
        (8.63 * 1.11, 3, "better"),
        (8.63 * 0.89, 3, "worse"),
        (8.63, 2, "inconclusive (2 seeds)"),
    ],
)
def test_paper_tier_runs_of_several_seeds_are_one_row_with_a_verdict(
    make_tree: Callable[..., object],
    copy: Path,
    gain: float,
    seeds: int,
    verdict: str,
) -> None:
    """Around the tolerance of 10 %, on both sides of it; the seeds differ by less than that."""
    tree = make_tree("paper", {**OWN_COPY, "experiments": {CHOSEN: {"seeds": list(range(seeds))}}})
    tree.dataset()
    tree.real()
    for seed in range(seeds):
        tree.train(CHOSEN, seed, device="NVIDIA V100", seconds=7200.0)
        value = gain + 0.001 * seed
        tree.evaluate(CHOSEN, seed, lambda protocol, nimg, best=value: best - 1e-9 * nimg)
    files = publish(tree.benchmark, tree.layout, CHOSEN)
    assert [file.name for file in files] == [
        f"{CHOSEN}.json",
        *(f"{CHOSEN}-seed{seed}.json" for seed in range(1, seeds)),
    ]
    table = result_table(tree.benchmark, tree.layout.published, copy / "README.md")
    runs = lines_of(table)
    # The first training of the copy and these share one row of the paper.
    assert [line[0][:9] for line in runs] == [
        "**paper**",
        f"`{CHOSEN}"[:9],
        f"`{FIRST_TRAINING}"[:9],
    ]
    ours = runs[1]
    assert ours[0].count("[seed ") == seeds
    assert ours[1:3] == ["paper", "12,000,000"]
    assert ours[9] == verdict
    best = [gain + 0.001 * seed - 1e-9 * 1e6 for seed in range(seeds)]
    shown = f"`is50k` {number(sum(best) / seeds)} ± 0.001 [" if seeds == 3 else (
        f"`is50k` {', '.join(number(value) for value in best)} ("
    )  # fmt: skip
    assert ours[3].startswith(shown)
    assert "fid50k_full" in ours[4]
    assert "fid50k_full" not in ours[3]
    assert ours[6:8] == [", ".join(["2.00 h"] * seeds), "NVIDIA V100"]
    assert f"`{CHOSEN}`: Scores by fid50k_full do not compare" in table


def test_a_run_that_no_table_is_near_stands_without_a_row(benchmark: Benchmark, copy: Path) -> None:
    path = copy / "results" / "published" / f"{FIRST_TRAINING}.json"
    content = read_json(path)
    content["spec"]["method"] = "another-method"
    write_json(path, content)
    lines = lines_of(result_table(benchmark, path.parent, copy / "README.md"))
    assert [line[0][:9] for line in lines] == [f"`{FIRST_TRAINING}"[:9]]


def test_no_published_run_is_said(benchmark: Benchmark, tmp_path: Path) -> None:
    table = result_table(benchmark, tmp_path / "none", tmp_path / "README.md")
    assert table == "No run is published yet."


def test_an_edit_of_the_table_or_of_a_record_is_noticed_and_mended(
    benchmark: Benchmark, copy: Path
) -> None:
    readme, folder = copy / "README.md", copy / "results" / "published"
    require_result_table(benchmark, folder, readme)
    sentence = f"{readme}: its result table is not the one that {folder} gives; write it with `msgbench results-table`"
    text = readme.read_text()
    readme.write_text(text.replace("| scaled |", "| reproduced |"))
    with pytest.raises(ResultsError) as caught:
        require_result_table(benchmark, folder, readme)
    assert str(caught.value) == sentence
    write_result_table(benchmark, folder, readme)
    assert readme.read_text() == text
    record = folder / f"{FIRST_TRAINING}.json"
    content = read_json(record)
    content["scores"][-1]["value"] /= 2
    write_json(record, content)
    with pytest.raises(ResultsError, match="is not the one that"):
        require_result_table(benchmark, folder, readme)


def test_the_command_ends_with_an_error_and_one_sentence(copy: Path) -> None:
    shutil.copy(ROOT / "config.yaml", copy)
    readme = copy / "README.md"
    readme.write_text(readme.read_text().replace(f"{BEGIN}\n\n| run", f"{BEGIN}\n\n| RUN"))
    done = subprocess.run(
        [sys.executable, "-m", "msgbench.cli", "results-table", "--check"],
        cwd=copy, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert done.stderr.splitlines() == [
        "msgbench: error: README.md: its result table is not the one that results/published gives; write it with "
        "`msgbench results-table`"
    ]


def foreign(folder: Path) -> str:
    (folder / "notes.json").write_text('{"a": 1}')
    return "notes.json: are no valid published records (.* is missing); make them with `msgbench publish`"


def broken(folder: Path) -> str:
    path = folder / f"{FIRST_TRAINING}.json"
    path.write_bytes(path.read_bytes()[:-200])
    return f"{FIRST_TRAINING}.json: are no valid published records (it is not JSON); make them with `msgbench publish`"


def renamed(folder: Path) -> str:
    (folder / f"{FIRST_TRAINING}.json").rename(folder / "best.json")
    return (
        f"best.json: holds the run {FIRST_TRAINING}/2bd82728/seed0; expected the name {FIRST_TRAINING}.json, or "
        f"{FIRST_TRAINING}-seed0.json for another seed than the first"
    )


def twice(folder: Path) -> str:
    shutil.copy(folder / f"{FIRST_TRAINING}.json", folder / f"{FIRST_TRAINING}-seed0.json")
    return f"holds the run {FIRST_TRAINING}/2bd82728/seed0, which {FIRST_TRAINING}-seed0.json holds, too"


@pytest.mark.parametrize("spoil", [foreign, broken, renamed, twice])
def test_other_files_are_refused_in_one_sentence(
    benchmark: Benchmark, copy: Path, spoil: Callable[[Path], str]
) -> None:
    folder = copy / "results" / "published"
    expected = re.escape(spoil(folder)).replace(r"\.\*", ".*")
    before = (copy / "README.md").read_bytes()
    with pytest.raises(ResultsError, match=f"{expected}$"):
        write_result_table(benchmark, folder, copy / "README.md")
    assert (copy / "README.md").read_bytes() == before


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("# msgbench\n", f"has 0 lines {BEGIN!r}"),
        (f"{BEGIN}\n", f"has 0 lines {END!r}"),
        (f"{BEGIN}\n{BEGIN}\n{END}\n", f"has 2 lines {BEGIN!r}"),
        (f"{END}\n{BEGIN}\n", f"{END!r} stands before"),
    ],
)
def test_a_readme_without_the_two_marks_is_refused(
    benchmark: Benchmark, tmp_path: Path, text: str, wrong: str
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(text)
    with pytest.raises(ResultsError, match=re.escape(f"{readme}: {wrong}")):
        write_result_table(benchmark, KEPT, readme)
    assert readme.read_text() == text


def test_a_changed_page_or_picture_is_noticed(tmp_path: Path) -> None:
    """Of docs/first-training.md, which the repository's own check holds to its records."""
    shutil.copytree(ROOT / "docs" / "first-training", tmp_path / "docs" / "first-training")
    page = Path(shutil.copy(ROOT / "docs" / "first-training.md", tmp_path / "docs"))
    shutil.copytree(KEPT, tmp_path / "results" / "published")
    records = tmp_path / "results" / "published" / f"{FIRST_TRAINING}.json"
    again = f"make it again with `msgbench walkthrough {records} --out {page}`"
    require_walkthrough(records, page)
    text = page.read_text()
    page.write_text(text.replace("6.79", "5.79"))
    with pytest.raises(ResultsError) as caught:
        require_walkthrough(records, page)
    assert str(caught.value) == f"{page}: is not what {records} gives; {again}"
    page.write_text(text)
    picture = sorted(page.with_suffix("").glob("samples-*.png"))[0]
    sound = picture.read_bytes()
    with Image.open(picture) as image:
        pixels = np.array(image)
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(picture)
    with pytest.raises(ResultsError) as caught:
        require_walkthrough(records, page)
    assert str(caught.value) == f"{picture}: is not what {records} gives; {again}"
    picture.unlink()
    with pytest.raises(ResultsError) as caught:
        require_walkthrough(records, page)
    assert str(caught.value) == f"{picture}: is missing; {again}"
    picture.write_bytes(sound)
    stray = picture.with_name("other.png")
    stray.write_bytes(sound)
    with pytest.raises(ResultsError) as caught:
        require_walkthrough(records, page)
    assert str(caught.value) == f"{stray}: is none that {records} gives; {again}"
