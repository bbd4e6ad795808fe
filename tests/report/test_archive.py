"""The zip for a reviewer: complete where it is unpacked, without what is large or the user's alone."""

from __future__ import annotations

import zipfile

import pytest

from msgbench.analysis.claims.forms import make_claims
from msgbench.analysis.figures import make_figures
from msgbench.analysis.report import make_report, zip_results
from msgbench.analysis.table_forms import make_table
from msgbench.errors import ResultsError

from .reading import pages_in
from .test_page import LR3, check_links


@pytest.fixture(scope="module")
def packed(results_tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    tree = results_tree(folder, "smoke").complete(grids=True)
    make_table(tree.benchmark, tree.layout, "table3", tree.layout.table_csv("table3"))
    make_figures(tree.benchmark, tree.layout, ["table3"])
    make_claims(tree.benchmark, tree.layout)
    run, store = tree.folder(LR3), tree.dataset()
    for path in (
        run / "snapshots" / "snapshot.safetensors", run / "states" / "state.pt", run / ".train.lock",
        tree.layout.root / "cache" / "statistics.npz", store.parent / "names.csv",
        store.parent / "seen" / "0" / "seen.jsonl", tree.layout.root / "exports" / "x" / "generator.safetensors",
    ):  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"large, or the user's alone")
    (run / "logs").mkdir()
    (run / "logs" / "train.log").write_text("done\n")
    make_report(tree.benchmark, tree.layout)
    out = tree.layout.root / "smoke.zip"  # inside of what is packed
    return tree, out, zip_results(tree.layout, out)


def test_unpacked_elsewhere_every_link_leads_somewhere(packed, tmp_path):
    _, out, count = packed
    with zipfile.ZipFile(out) as archive:
        assert len(archive.namelist()) == count
        archive.extractall(tmp_path)
    assert check_links(pages_in(tmp_path / "smoke" / "report"), tmp_path / "smoke") > 150


def test_nothing_large_and_nothing_of_the_user_s_alone_is_in_it(packed):
    _, out, _ = packed
    with zipfile.ZipFile(out) as archive:
        names = archive.namelist()
        assert b"the user's alone" not in b"".join(map(archive.read, names))
    assert all(name.startswith("smoke/") for name in names)
    assert not [n for n in names if n.endswith((".npy", ".safetensors", ".pt", ".lock", ".zip"))]
    for wanted in ("report/index.html", "tables/table3.csv", "claims/claims.json"):
        assert f"smoke/{wanted}" in names
    assert sum(name.endswith("train.json") for name in names) == 4


def test_a_figure_is_in_it_once_and_is_what_the_page_shows(packed):
    tree, out, _ = packed
    drawn = tree.layout.figure("table3")
    assert (tree.layout.report_figures / drawn.name).read_bytes() == drawn.read_bytes()
    with zipfile.ZipFile(out) as archive:
        held = [name for name in archive.namelist() if archive.read(name) == drawn.read_bytes()]
        page = archive.read("smoke/report/index.html").decode()
    assert held == ["smoke/figures/table3.png"]
    assert '<a class="zoom" href="../figures/table3.png"><img src="../figures/table3.png"' in page


def test_the_same_results_give_the_same_zip(packed):
    tree, out, _ = packed
    before = out.read_bytes()
    zip_results(tree.layout, out)
    assert out.read_bytes() == before


def test_without_a_report_there_is_no_zip(make_tree, tmp_path):
    tree = make_tree("smoke")
    with pytest.raises(
        ResultsError, match=r"index\.html: is not there; write it with `msgbench report`"
    ):
        zip_results(tree.layout, tmp_path / "out.zip")
    assert not (tmp_path / "out.zip").exists()
