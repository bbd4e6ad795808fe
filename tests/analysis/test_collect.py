"""Reading records: what is there, what is missing and why, what is refused."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from msgbench.analysis.collect import collect, read_grids
from msgbench.analysis.collected import SCORE_COLUMNS
from msgbench.analysis.stats_lines import read_stats
from msgbench.errors import ConfigError, MsgbenchError, ResultsError
from msgbench.layout import (
    EVALUATE_JSON,
    REAL_JSON,
    SPEC_JSON,
    STATS_JSONL,
    TRAIN_JSON,
    record_file,
)
from msgbench.records import read_json, write_json

LR3 = "cifar10-msg-progan-lr0.003"


@pytest.fixture
def tree(make_tree):
    return make_tree("smoke")


def read(tree):
    return collect(tree.benchmark, tree.layout)


def run_of(tree, experiment=LR3):
    return read(tree).runs_of(experiment)[0]


def edit(path, **changes):
    write_json(path, {**read_json(path), **changes})


def test_complete_tree(tree):
    found = read(tree.complete())
    assert found.missing() == ()
    assert len(found.runs) == 4
    scores = found.scores()
    assert tuple(scores.columns) == SCORE_COLUMNS
    assert len(scores) == 4 * 4 * len(tree.lengths(LR3))
    last = scores[(scores.experiment == LR3) & (scores.protocol == "fid2k_small")].iloc[-1]
    stated = read_json(tree.layout.root / last["file"])
    assert (last.value, last.cur_nimg) == (stated["value"], stated["cur_nimg"])
    assert last.direction == "lower"


def test_an_empty_folder_is_four_runs_not_planned(tree):
    found = read(tree)
    assert [piece.reason for piece in found.missing()] == ["not planned"] * 4 + ["not prepared"]
    assert found.scores().empty


def test_reasons_say_how_far_a_run_came(tree):
    total = f"{tree.run(LR3).spec.schedule.total_nimg:,}"
    tree.plan(LR3)
    assert run_of(tree).reason == "planned, not trained"
    tree.stats(LR3, until=2_000)
    assert run_of(tree).reason == f"not trained to the end, 2,000 of {total} images were shown"
    tree.train(LR3)
    assert run_of(tree).reason == "trained, not measured"
    folder = tree.evaluate(LR3)
    assert run_of(tree).reason is None
    (folder / EVALUATE_JSON).unlink()
    count = 4 * len(tree.lengths(LR3))
    assert run_of(tree).reason == f"trained, not measured to the end ({count} records)"


def test_a_protocol_or_a_snapshot_that_is_not_measured(tree):
    tree.train(LR3)
    folder = tree.evaluate(LR3)
    summary = read_json(folder / EVALUATE_JSON)
    lines = summary["records"]
    edit(folder / EVALUATE_JSON, records=[x for x in lines if x["protocol"] != "is2k_small"])
    assert run_of(tree).reason == "trained, not measured by is2k_small"
    assert run_of(tree).gap("fid2k_small") is None
    edit(folder / EVALUATE_JSON, records=[x for x in lines if x["cur_nimg"] > 0])
    total = len(tree.lengths(LR3))
    assert (
        run_of(tree).reason == f"trained, {total - 1} of {total} snapshots measured by is2k_small"
    )


def test_an_older_protocol_version_counts_as_not_measured(tree):
    tree.train(LR3)
    folder = tree.evaluate(LR3)
    path = folder / record_file("is2k_small", 0)
    record = read_json(path)
    edit(path, protocol={**record["protocol"], "version": 0})
    assert (
        run_of(tree).reason == "trained, measured by version 0 of is2k_small; version 1 is needed"
    )


def test_an_edited_experiment_is_another_run(tree, make_tree):
    tree.complete()
    edited = make_tree("smoke", {"experiments": {LR3: {"optimizer": {"beta2": 0.999}}}})
    assert collect(edited.benchmark, tree.layout).runs_of(LR3)[0].reason == "not planned"


def test_real_images_of_an_earlier_store_do_not_count(tree):
    tree.dataset()
    folder = tree.real()
    assert read(tree).datasets["cifar10"].reason is None
    content = read_json(folder / REAL_JSON)
    for record in content["records"]:
        record["dataset"] = {"name": "cifar10", "fingerprint": "0" * 64}
    write_json(folder / REAL_JSON, content)
    assert read(tree).datasets["cifar10"].reason == "prepared, not measured"


BROKEN = [
    (TRAIN_JSON, {"schema": "msgbench.train/2"}, "schema is 'msgbench.train/2', 'msgbench.train/1' is needed"),
    (TRAIN_JSON, {"run": "another/run/seed0"}, "run is 'another/run/seed0', the folder is that of"),
    (TRAIN_JSON, {"fingerprint": "0" * 64}, "fingerprint is '000"),
    (TRAIN_JSON, {"dataset_fingerprint": "0" * 64}, "dataset_fingerprint is '000"),
    (TRAIN_JSON, {"seconds": None}, "seconds is None, a finite number is needed"),
    (TRAIN_JSON, {"snapshots": None}, "snapshots is not a list of snapshots"),
    (EVALUATE_JSON, {"schema": None}, "schema is None, 'msgbench.evaluate/1' is needed"),
    (EVALUATE_JSON, {"run": "another"}, "run is 'another'"),
    (EVALUATE_JSON, {"records": {}}, "records is {}, a list of measured records is needed"),
    (EVALUATE_JSON, {"records": [3]}, "records holds 3, an object with a file is needed"),
    (EVALUATE_JSON, {"records": [{"file": "metrics/gone.json"}]}, "is listed in evaluate.json but does not exist"),
    ("record", {"schema": "msgbench.record/0"}, "schema is 'msgbench.record/0'"),
    ("record", {"value": "3.2"}, "value is '3.2', a finite number is needed"),
    ("record", {"value": True}, "value is True, a finite number is needed"),
    ("record", {"value": 99.0}, "value is 99.0, evaluate.json says"),
    ("record", {"cur_nimg": "0"}, "cur_nimg is '0', a number of images is needed"),
    ("record", {"cur_nimg": None}, "cur_nimg is missing, a record of a run has one"),
    ("record", {"protocol": "is2k_small"}, "protocol is 'is2k_small', the card of a protocol is needed"),
    ("record", {"protocol": {"name": 3}}, "protocol.name is 3, str is needed"),
    ("record", {"run": "another"}, "run is 'another'"),
    (REAL_JSON, {"schema": "msgbench.record/1"}, "schema is 'msgbench.record/1', 'msgbench.real/2' is needed"),
    (REAL_JSON, {"records": 3}, "records is not a list of measured records"),
    (REAL_JSON, {"controls": None}, "controls is not a list of measured records"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "changes", "message"), BROKEN)
def test_broken_records_are_refused_by_name(tree, file, changes, message):
    tree.dataset()
    store = tree.real()
    tree.train(LR3)
    folder = tree.evaluate(LR3)
    path = store / file if file == REAL_JSON else folder / file
    if file == "record":
        path = folder / record_file("is2k_small", 0)
    edit(path, **changes)
    with pytest.raises(ResultsError) as caught:
        read(tree)
    text = str(caught.value)
    assert message in text
    assert "\n" not in text
    # A record that is gone is named itself.
    assert text.startswith(
        str(folder / "metrics/gone.json") if "gone" in str(changes) else str(path)
    )


@pytest.mark.parametrize(
    ("content", "message"), [("{", "is not valid JSON"), ("[]", "holds list, an object is needed")]
)
@pytest.mark.parametrize("file", [TRAIN_JSON, EVALUATE_JSON])
def test_files_that_are_no_records(tree, file, content, message):
    tree.train(LR3)
    folder = tree.evaluate(LR3)
    (folder / file).write_text(content)
    with pytest.raises(ResultsError, match=message) as caught:
        read(tree)
    assert str(folder / file) in str(caught.value)


def test_a_spec_edited_by_hand_is_refused(tree):
    folder = tree.plan(LR3)
    content = read_json(folder / SPEC_JSON)
    content["spec"]["optimizer"]["lr"] = 1.0
    write_json(folder / SPEC_JSON, content)
    with pytest.raises(ConfigError, match="change the experiment in config"):
        read(tree)


def test_a_broken_manifest_is_refused(tree):
    folder = tree.dataset()
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(MsgbenchError, match="is not a valid manifest"):
        read(tree)


def test_more_keys_are_welcome(tree):
    tree.train(LR3)
    folder = tree.evaluate(LR3)
    for path in (
        folder / TRAIN_JSON,
        folder / EVALUATE_JSON,
        folder / record_file("is2k_small", 0),
    ):
        edit(path, something_new={"later": 1})
    assert run_of(tree).reason is None


def lines(*entries):
    return "".join(json.dumps(entry) + "\n" for entry in entries)


def test_stats_keep_the_later_of_two_lines_and_drop_half_a_last_one(tmp_path):
    path = tmp_path / STATS_JSONL
    first, again = {"cur_nimg": 10, "loss_d": 1.0}, {"cur_nimg": 10, "loss_d": 2.0, "note": "text"}
    path.write_text(lines({"cur_nimg": 20, "loss_d": 3.0}, first, again) + '{"cur_nimg": 30, "lo')
    assert read_stats(path).to_dict("list") == {"cur_nimg": [10, 20], "loss_d": [2.0, 3.0]}


def test_stats_broken_in_the_middle_are_refused(tmp_path):
    path = tmp_path / STATS_JSONL
    path.write_text("{\n" + lines({"cur_nimg": 20}))
    with pytest.raises(ResultsError, match="line 1 is not valid JSON"):
        read_stats(path)
    path.write_text(lines({"loss_d": 1.0}, {"cur_nimg": 20}))
    with pytest.raises(ResultsError, match="line 1 has no cur_nimg"):
        read_stats(path)


def test_no_stats_and_empty_stats(tmp_path):
    path = tmp_path / STATS_JSONL
    assert read_stats(path).empty
    path.write_text("")
    assert list(read_stats(path).columns) == ["cur_nimg"]


def test_grids_by_name(tree, tmp_path):
    folder = tree.grids(LR3)
    grids = read_grids(folder / "grids")
    assert [(g.cur_nimg, g.scale) for g in grids[:5]] == [
        (0, 4),
        (0, 8),
        (0, 16),
        (0, 32),
        (tree.lengths(LR3)[1], 4),
    ]
    (folder / "grids" / "grid-notes-px.png").write_text("")
    assert read_grids(folder / "grids") == grids
    assert read_grids(tmp_path / "nowhere") == ()


def test_the_room_never_loads_torch():
    modules = "msgbench.analysis.report, msgbench.analysis.tables, msgbench.analysis.figures, msgbench.analysis.cost"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_figure_names_need_no_plotting_library():
    code = (
        "import sys, msgbench.analysis; sys.exit(bool({'matplotlib', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
