"""The section `figures` of config.yaml: what it may name, what is refused, and what its targets leave out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from msgbench.config import load_benchmark
from msgbench.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def figures(**changed: dict[str, Any]) -> dict[str, Any]:
    return {"figures": changed}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            figures(figure9={"experiments": ["ffhq-msg-progan"]}),
            "figures.figure9.experiments.0: 'ffhq-msg-progan' does not fit a figure of mixing: it needs styles and "
            "noise inputs, which stylegan has",
        ),
        (
            figures(figure_v1_3={"experiments": ["celeba-hq-msg-progan"]}),
            "figures.figure_v1_3.experiments.0: 'celeba-hq-msg-progan' does not fit a figure of depths: it needs "
            "stages, which a growing baseline has",
        ),
        (
            figures(synchronisation={"experiments": ["ffhq-progan"]}),
            "figures.synchronisation.experiments.0: 'ffhq-progan' does not fit a figure of synchronisation: it needs "
            "images at several scales at once, which a growing baseline has not",
        ),
        (
            figures(figure1={"experiments": ["ffhq-msg-styelgan"]}),
            "figures.figure1.experiments.0: 'ffhq-msg-styelgan' is no experiment; did you mean 'ffhq-msg-stylegan'?",
        ),
        (
            figures(figure1={"experiments": ["ffhq-msg-stylegan", "ffhq-msg-stylegan"]}),
            "figures.figure1.experiments: ffhq-msg-stylegan, ffhq-msg-stylegan names one experiment twice",
        ),
        (
            figures(figure1={"table": "table1"}),
            "figures.figure1.table: 'table1' is not allowed; only a figure of the kind learning_rates has a table",
        ),
        (
            {"figures": {"learning-rates": {"table": "table33"}}},
            "figures.learning-rates.table: 'table33' is no table; did you mean 'table3'?",
        ),
        (
            {"figures": {"table3-hours": {"title": "x", "kind": "samples", "experiments": ["ffhq-progan"]}}},
            "figures.table3-hours: is the name of a table, of one of its figures, of an experiment or of a target; "
            "give this figure another name",
        ),
        (
            {"tiers": {"smoke": {"figures": {"figure9x": {"in_all": False}}}}},
            "tiers.smoke.figures.figure9x: no such entry; did you mean 'figure9'?",
        ),
    ],
)  # fmt: skip
def test_what_a_figure_may_not_be(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_benchmark(ROOT / "config.yaml", change)
    assert str(error.value).startswith(sentence)


def test_an_unknown_kind_is_named_with_those_that_there_are() -> None:
    with pytest.raises(
        ConfigError, match=r"figures\.figure1\.kind: 'grid' is not allowed; allowed: "
    ):
        load_benchmark(ROOT / "config.yaml", figures(figure1={"kind": "grid"}))


def test_stability_trains_a_progan_of_its_own_beyond_smoke_only_when_asked() -> None:
    stability = {"figure6", "figure_v1_2", "figure_v1_3"}
    for tier, expected in (("smoke", stability), ("paper", set())):
        benchmark = load_benchmark(ROOT / "config.yaml", {"tier": tier})
        assert stability & set(benchmark.figures_of_all()) == expected


def test_what_is_left_out_of_a_figure() -> None:
    benchmark = load_benchmark(ROOT / "config.yaml", {"tier": "paper"})
    assert benchmark.figure_experiments(["figure12"]) == ()
    assert benchmark.left_out_sentences(["figure12"]) == [
        "celeba is left out (1 experiment of figure12): datasets.celeba.path is not set"
    ]
    given = {"tier": "paper", "datasets": {"celeba": {"path": "/x", "accept_terms": True}}}
    assert load_benchmark(ROOT / "config.yaml", given).left_out(["figure12"]) == {}
