"""A changed configuration survives the way through a command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgbench.config import merge, parse_override, read_yaml
from msgbench.config.overrides import as_assignments, layered, typed
from msgbench.errors import ConfigError

TEXTS = st.text("abz AZ09.,:;#'\"{}[]&*!|>%@`-_/\\~$äß日😀", max_size=8)
KEYS = st.one_of(
    st.sampled_from(["a", "lr", "lr0.003", "ema", "[x]", "null", "1"]), TEXTS.filter(bool)
)
NUMBERS = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=4)


@given(base=DOCUMENTS, over=DOCUMENTS)
def test_assignments_rebuild_what_was_changed(base: dict[str, Any], over: dict[str, Any]) -> None:
    changed = merge(base, over)
    rebuilt = base
    for text in as_assignments(base, changed):
        rebuilt = merge(rebuilt, parse_override(text))
    assert rebuilt == changed
    assert repr(rebuilt) == repr(changed) or sorted(map(repr, rebuilt)) == sorted(
        map(repr, changed)
    )


@given(document=DOCUMENTS)
def test_no_change_is_no_assignment(document: dict[str, Any]) -> None:
    assert as_assignments(document, document) == []


def test_assignments_are_short_and_readable() -> None:
    base = {"tier": "smoke", "experiments": {"lr0.003": {"optimizer": {"lr": 0.003}}}, "seeds": [0]}
    faster = {"lr0.003": {"optimizer": {"lr": 1e-3}}}
    changed = merge(base, {"tier": "mini", "experiments": faster, "seeds": [0, 1]})
    assert as_assignments(base, changed) == [
        'tier="mini"',
        '["experiments", "lr0.003", "optimizer", "lr"]=0.001',
        "seeds=[0, 1]",
    ]


def test_a_section_that_is_replaced_whole_is_assigned_whole() -> None:
    base = {"defaults": {"ema": {"beta": 0.99}}}
    changed = {"defaults": {"ema": {"halflife_kimg": 10}}}
    assert as_assignments(base, changed) == ['defaults.ema={"halflife_kimg": 10}']


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("1e-3", 0.001), ("3", 3), ("", None), ("null", None), ("a b", "a b"),
        ("/data/cifar 10", "/data/cifar 10"), ("[1, 2]", [1, 2]), ("'5'", "5"),
    ],
)  # fmt: skip
def test_words_of_the_command_line_get_their_types(text: str, value: object) -> None:
    assert typed({"outer": {"key": text, "list": [text]}}) == {
        "outer": {"key": value, "list": [value]}
    }


def test_a_word_that_is_no_yaml_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        typed({"datasets": {"tiny": {"path": "{a"}}})
    assert str(caught.value) == "--config datasets.tiny.path: '{a' is not valid YAML"


def test_layers_lie_over_each_other_in_order(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("x: {p: 1, q: 1, r: 1}\n")
    (tmp_path / "b.yaml").write_text("x: {q: 2e-1, r: 2}\n")
    merged, arguments = layered([tmp_path / "a.yaml", tmp_path / "b.yaml"], {"x": {"r": "3"}})
    assert merged == {"x": {"p": 1, "q": 0.2, "r": 3}}
    assert arguments == ["--config", str(tmp_path / "a.yaml"), "--set=x.q=0.2", "--set=x.r=3"]
    assert read_yaml(tmp_path / "a.yaml") == {"x": {"p": 1, "q": 1, "r": 1}}
