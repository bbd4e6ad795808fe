"""The papers' numbers: as many as the papers print, exactly as printed."""

from __future__ import annotations

from collections import Counter

import pytest

from msgbench.reference import cell, load_reference, parse_printed, printed_value, rows_of


def test_every_table_is_complete():
    """Cells that carry a number, counted by hand in the papers."""
    numbers = [n for n in load_reference() if n.value is not None]
    counts = Counter((n.paper, n.table, n.column) for n in numbers)
    assert {key[1:]: n for key, n in counts.items() if key[:2] == ("cvpr2020", "table1")} == {
        ("table1", "resolution"): 3, ("table1", "dataset_size"): 3, ("table1", "real_images"): 10,
        ("table1", "gpus"): 10, ("table1", "training_time"): 10, ("table1", "fid"): 10,
    }  # fmt: skip
    # Four quoted rows of Table 2 print neither GPUs nor a time.
    assert {key[1:]: n for key, n in counts.items() if key[:2] == ("cvpr2020", "table2")} == {
        ("table2", "resolution"): 2, ("table2", "dataset_size"): 2, ("table2", "real_images"): 10,
        ("table2", "gpus"): 6, ("table2", "training_time"): 6, ("table2", "fid"): 10,
    }  # fmt: skip
    assert counts["cvpr2020", "table3", "is"] == 5
    assert counts["cvpr2020", "table3", "real_images"] == 4
    assert counts["cvpr2020", "table4", "fid"] == 6
    assert counts["cvpr2020", "table5", "fid"] == 6
    assert counts["arxiv-v1", "table1", "is"] == 8
    assert counts["arxiv-v1", "table1", "fid"] == 2  # the third is printed as XXX


@pytest.mark.parametrize(
    ("table", "row", "column", "printed", "value", "origin"),
    [
        ("table1", "oxford-flowers-progan", "fid", "60.40", 60.40, "author-code*"),
        ("table1", "oxford-flowers-msg-progan", "training_time", "44 hrs", 44, "own"),
        ("table1", "lsun-churches-msg-stylegan", "fid", "5.2", 5.2, "own"),
        ("table1", "indian-celebs", "dataset_size", "3K", 3_000, "own"),
        ("table2", "celeba-hq-progan-quoted", "gpus", "-", None, "quoted"),
        ("table2", "celeba-hq-msg-progan", "training_time", "1.5 days", 36, "own"),
        ("table2", "ffhq-msg-stylegan", "real_images", "9.6M", 9_600_000, "own"),
        ("table2", "ffhq-progan", "fid", "9.49", 9.49, "author-code*"),
        ("table3", "real-images", "is", "11.34", 11.34, "own"),
        ("table3", "real-images", "real_images", "-", None, "own"),
        ("table3", "msg-progan-lr0.003", "is", "8.63", 8.63, "own"),
        ("table3", "msg-progan-lr0.001", "is", "8.24", 8.24, "own"),
        ("table3", "msg-progan-lr0.005", "is", "8.33", 8.33, "own"),
        ("table3", "msg-progan-lr0.01", "is", "7.92", 7.92, "own"),
        ("table3", "msg-progan-lr0.01", "real_images", "12M", 12_000_000, "own"),
        ("table4", "no-connections", "fid", "14.20", 14.20, "own"),
        ("table5", "msg-stylegan-phi_cat_lin", "fid", "5.80", 5.80, "own"),
        ("text", "lsun-bedrooms", "fid", "18.32", 18.32, "own"),
        ("text", "celeba", "real_images", "28M", 28_000_000, "own"),
    ],
)
def test_values_as_printed(table, row, column, printed, value, origin):
    assert printed_value(table, row, column) == (printed, value, origin)


def test_first_version():
    assert printed_value("table1", "cifar10-progan", "is", "arxiv-v1") == ("8.80", 8.80, "quoted")
    assert printed_value("table1", "celeba-hq-msg-gan", "fid", "arxiv-v1").value is None
    assert printed_value("text", "training", "gpus", "arxiv-v1").value == 2


def test_rows_of_table3_are_in_printed_order():
    assert rows_of("table3") == (
        "real-images", "msg-progan-lr0.003", "msg-progan-lr0.001", "msg-progan-lr0.005", "msg-progan-lr0.01",
    )  # fmt: skip


def test_an_unknown_cell_is_a_key_error():
    with pytest.raises(KeyError):
        printed_value("table3", "msg-progan-lr0.002", "is")


def test_every_printed_string_parses():
    """Nothing is a number by accident: what has no value is a dash or the first version's XXX."""
    without = Counter(n.printed for n in load_reference() if n.value is None)
    # GPUs and time of four quoted rows of Table 2; two cells of Table 3; one cell of the first version.
    assert without == {"-": 10, "XXX": 1}


@pytest.mark.parametrize(
    ("printed", "value"),
    [
        ("11.34", 11.34), ("12M", 12e6), ("1.7M", 1_700_000), ("8K", 8e3), ("104 hrs", 104), ("5.5 days", 132),
        ("8 V100-16GB", 8), ("two V100 GPUs", 2), ("32×32", 32), ("128 × 128", 128), ("1024x1024", 1024),
        ("5 epochs", 5), ("7 resolutions", 7), ("-", None), ("XXX", None), ("0", 0),
    ],
)  # fmt: skip
def test_parse_printed(printed, value):
    assert parse_printed(printed) == value


@pytest.mark.parametrize("printed", ["", "12 M", "twelve", "32×64", "8.63 ± 0.1", "1e3", "3 weeks"])
def test_unknown_forms_are_refused(printed):
    with pytest.raises(ValueError, match="not a number in a form"):
        parse_printed(printed)


def test_numbers_that_stand_twice_agree_or_say_so():
    """The same number in a table and in the text is the same string, unless a note says otherwise."""
    for row in (
        "celeba-hq-msg-progan",
        "celeba-hq-progan-quoted",
        "ffhq-stylegan-quoted",
        "ffhq-msg-stylegan",
    ):
        assert printed_value("text", row, "fid") == printed_value("table2", row, "fid")
    assert (
        cell("table5", "msg-stylegan-phi_cat_lin", "fid").note == "Table 2 and the text print 5.8"
    )


def test_printed_strings_stand_in_the_papers(shared_folder):
    """Every printed string of the tables occurs in the text of its paper."""
    files = {"cvpr2020": "000_f29dce85fccb4765.txt", "arxiv-v1": "001_21700698da4c4182.txt"}
    for paper, file in files.items():
        text = (shared_folder / "papers" / file).read_text(encoding="utf-8")
        text = text.replace("\\times", "×").replace(" × ", "×").replace("$", "")
        for number in load_reference():
            if number.paper == paper and number.table != "text":
                assert number.printed.replace(" × ", "×") in text, number
