"""Rows of a table that show a record from elsewhere, and what tables take of confirmed scores."""

from __future__ import annotations

import pandas as pd
import pytest

from msgbench.analysis.collect import collect
from msgbench.analysis.figures import build_plot
from msgbench.analysis.table_forms import make_table
from msgbench.errors import ResultsError
from msgbench.protocols import get_protocol
from msgbench.records import read_json, write_json

OTHER = "c" * 64
REALS = {"count": 1000, "distinct": 1000, "passes": 1.0, "flipped": 0}


def measured(path, fingerprint, flipped=0, **scores):
    """A file as `evaluate --images` writes it, with a score a protocol; fingerprint None: without a store."""
    dataset = None if fingerprint is None else {"name": "store", "fingerprint": fingerprint}
    records = [
        {
            "schema": "msgbench.record/1", "protocol": get_protocol(name).card(), "dataset": dataset,
            "reals": None if dataset is None else {**REALS, "flipped": flipped}, "value": value, "std": None,
        }
        for name, value in scores.items()
    ]  # fmt: skip
    write_json(path, {"schema": "msgbench.measured/1", "title": "ours", "records": records})
    return path


def with_row(make_tree, path):
    """Smoke's Table 3 with one more row, which shows the record at `path`."""
    rows = [
        {"reference": "msg-progan-lr0.003", "experiment": "cifar10-msg-progan-lr0.003"},
        {"label": "elsewhere", "record": str(path)},
    ]
    return make_tree("smoke", {"tables": {"table3": {"rows": rows}}})


def make(tree):
    out = make_table(tree.benchmark, tree.layout, "table3", tree.layout.table_csv("table3"))
    frame = pd.read_csv(out, dtype=str, keep_default_na=False).set_index("row", drop=False)
    return frame, out.with_suffix(".md").read_text()


def test_a_record_from_elsewhere_is_a_row(make_tree, tmp_path):
    path = tmp_path / "record.json"
    tree = with_row(make_tree, path).complete()
    measured(path, tree.dataset_fingerprint(), is2k_small=3.25, fid2k_small=44.0)
    frame, markdown = make(tree)
    row = frame.loc["elsewhere"]
    assert row.ours_best_mean == row.ours_final_mean == "3.25"
    assert row.fid2k_small_best_mean == "44.0"
    assert row.kid2k_small_best_mean == ""
    assert row.verdict == "not comparable: measured from elsewhere, no training of ours"
    assert row.records.endswith("record.json")
    assert "| elsewhere |" in markdown


@pytest.mark.parametrize(
    ("scores", "change", "sentence"),
    [
        (None, None, "{path}: no such record; make it with `msgbench evaluate --images` or `--snapshot`"),
        (
            {"fid2k_small": 9.0}, None,
            "{path}: holds fid2k_small version 2; the table needs is2k_small version 1",
        ),
        (
            {"is2k_small": 3.0}, ("version", 7),
            "{path}: holds is2k_small version 7; the table needs is2k_small version 1",
        ),
        (
            {"is2k_small": 3.0}, ("metric", 7), "{path}: protocol.metric is 7, str is needed",
        ),
    ],
)  # fmt: skip
def test_records_that_do_not_fit_are_refused(make_tree, tmp_path, scores, change, sentence):
    path = tmp_path / "record.json"
    if scores is not None:
        measured(path, None, **scores)
    if change is not None:
        content = read_json(path)
        content["records"][0]["protocol"][change[0]] = change[1]
        write_json(path, content)
    tree = with_row(make_tree, path).complete()
    with pytest.raises(ResultsError) as caught:
        make(tree)
    assert str(caught.value) == sentence.format(path=path)


def test_a_score_of_images_of_no_stated_dataset_says_so(make_tree, tmp_path):
    path = measured(tmp_path / "record.json", None, is2k_small=3.25)
    frame, _ = make(with_row(make_tree, path).complete())
    assert frame.loc["elsewhere"].verdict == (
        "not comparable: measured from elsewhere, no training of ours; it does not say of which dataset"
    )


@pytest.mark.parametrize(
    ("fingerprint", "scores", "sentence"),
    [
        (OTHER, {"is2k_small": 3.0},
         "is2k_small is of dataset cccccccc, the other rows of table3 are of cifar10 {own}"),
        # The score column fits, the one beside it does not.
        (None, {"is2k_small": 3.0, "fid2k_small": 9.0},
         "fid2k_small does not say which dataset it compares with; measure it again with --store"),
    ],
)  # fmt: skip
def test_records_of_other_images_than_the_other_rows_are_refused(
    make_tree, tmp_path, fingerprint, scores, sentence
):
    path = measured(tmp_path / "record.json", fingerprint, **scores)
    tree = with_row(make_tree, path).complete()
    with pytest.raises(ResultsError) as caught:
        make(tree)
    own = tree.dataset_fingerprint()[:8]
    assert str(caught.value) == f"{path}: {sentence.format(own=own)}"
    assert not tree.layout.table_csv("table3").exists()


def of_the_stream(make_tree, *records, mirror, own=True):
    """Rows from elsewhere by a protocol of the stream, beside the real images of a dataset (`own`)."""
    rows = [{"label": "real", "real_images": "cifar10"}] if own else []
    rows += [{"label": path.stem, "record": str(path)} for path in records]
    by = {"protocol": "fid500_small_stream", "also": []}
    return make_tree("smoke", {
        "tables": {"table3": {"rows": rows}}, "datasets": {"cifar10": {"mirror": mirror}},
        "tiers": {"smoke": {"tables": {"table3": by}}},
    })  # fmt: skip


@pytest.mark.parametrize("mirror", [False, True])
def test_a_record_of_the_stream_is_flipped_as_the_dataset_is(make_tree, tmp_path, mirror):
    path = tmp_path / "ours.json"
    tree = of_the_stream(make_tree, path, mirror=mirror)
    tree.dataset()
    own = tree.dataset_fingerprint()
    measured(path, own, flipped=497 * mirror, fid500_small_stream=44.0)
    frame, _ = make(tree)
    assert frame.loc["ours"].ours_best_mean == "44.0"
    measured(path, own, flipped=497 * (not mirror), fid500_small_stream=44.0)
    with pytest.raises(ResultsError) as caught:
        make(tree)
    found, wanted, how = ("not ", "", "with") if mirror else ("", "not ", "without")
    assert str(caught.value) == (
        f"{path}: fid500_small_stream compares with images that are {found}flipped, those of cifar10 in table3 are "
        f"{wanted}flipped; measure it again {how} --mirror"
    )


def test_a_record_that_does_not_say_how_its_reals_are_flipped_is_refused(make_tree, tmp_path):
    path = tmp_path / "ours.json"
    tree = of_the_stream(make_tree, path, mirror=False)
    tree.dataset()
    measured(path, tree.dataset_fingerprint(), flipped=None, fid500_small_stream=44.0)
    with pytest.raises(ResultsError) as caught:
        make(tree)
    assert str(caught.value) == f"{path}: reals.flipped is None, a whole number is needed"


def test_a_record_beside_a_dataset_that_is_not_prepared_says_so(make_tree, tmp_path):
    path = measured(tmp_path / "ours.json", OTHER, fid500_small_stream=44.0)
    frame, _ = make(of_the_stream(make_tree, path, mirror=False))
    assert frame.loc["ours"].verdict == (
        "not comparable: measured from elsewhere, no training of ours; of dataset cccccccc, and cifar10 of other rows "
        "is not prepared"
    )


@pytest.mark.parametrize(
    ("fingerprint", "flipped", "sentence"),
    [
        (OTHER, 0, None),
        ("d" * 64, 0, "is of dataset dddddddd, the other rows of table3 are of one cccccccc"),
        (OTHER, 497, "compares with images that are flipped, those of one in table3 are not flipped; "
                     "measure it again without --mirror"),
    ],
)  # fmt: skip
def test_records_alone_in_a_table_have_to_agree(
    make_tree, tmp_path, fingerprint, flipped, sentence
):
    one = measured(tmp_path / "one.json", OTHER, fid500_small_stream=44.0)
    two = measured(tmp_path / "two.json", fingerprint, flipped, fid500_small_stream=33.0)
    tree = of_the_stream(make_tree, one, two, mirror=False, own=False)
    if sentence is None:
        frame, _ = make(tree)
        assert list(frame.ours_best_mean) == ["44.0", "33.0"]
        return
    with pytest.raises(ResultsError) as caught:
        make(tree)
    assert str(caught.value) == f"{two}: fid500_small_stream {sentence}"


def test_tables_show_the_fid_that_torch_fidelity_confirmed(make_tree):
    tree = make_tree("smoke").complete()
    run = next((tree.layout.root / "runs").glob("cifar10-msg-progan-lr0.003/*/seed0"))
    path = max((run / "metrics" / "fid2k_small").glob("*.json"))
    write_json(path, {**read_json(path), "torch_fidelity": 123.456})
    frame, _ = make(tree)
    assert frame.loc["msg-progan-lr0.003"].fid2k_small_final_mean == "123.456"


def test_the_training_time_to_the_best_stands_beside_its_images(make_tree):
    tree = make_tree("smoke").complete()
    run = next((tree.layout.root / "runs").glob("cifar10-msg-progan-lr0.003/*/seed0"))
    train = read_json(run / "train.json")
    for index, snapshot in enumerate(train["snapshots"]):
        snapshot["seconds"] = 1800.0 * index
    write_json(run / "train.json", train)
    frame, _ = make(tree)
    # Scores improve with training: the best is the last, after 1800 s a snapshot.
    hours = 0.5 * (len(train["snapshots"]) - 1)
    assert float(frame.loc["msg-progan-lr0.003"].hours_at_best_seed0) == hours


def test_scores_of_another_version_are_shown_nowhere_under_the_protocols_name(make_tree):
    tree = make_tree("smoke").complete()
    run = next((tree.layout.root / "runs").glob("cifar10-msg-progan-lr0.003/*/seed0"))
    for path in (run / "metrics" / "fid2k_small").glob("*.json"):
        record = read_json(path)
        record["protocol"]["version"] = 1
        write_json(path, record)
    found = collect(tree.benchmark, tree.layout, ["table3"])
    (here,) = found.runs_of("cifar10-msg-progan-lr0.003")
    assert here.of("fid2k_small") == ()
    assert here.of("is2k_small")
    assert here.gap("fid2k_small") == (
        "trained, measured by version 1 of fid2k_small; version 2 is needed"
    )
    frame, _ = make(tree)
    assert frame.loc["msg-progan-lr0.003"].fid2k_small_best_mean == ""
    assert frame.loc["msg-progan-lr0.001"].fid2k_small_best_mean != ""
    plot = build_plot(found, "table3-fid")
    curves = {
        series.label for panel in plot.panels for series in panel.series if series.role == "run"
    }
    assert not any("0.003" in label for label in curves)
    assert any("0.001" in label for label in curves)
