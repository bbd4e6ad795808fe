"""Protocols: names, versions and cards say how a score was made, and nothing compares two of them unsaid."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from msgbench.cli import app
from msgbench.protocols import INCEPTION, PROTOCOLS, VGG16, Protocol


def test_the_protocols_of_the_papers_and_their_small_ones_are_declared() -> None:
    wanted = {
        "fid50k": ("fid", INCEPTION, 50_000, "stream"),
        "fid50k_full": ("fid", INCEPTION, None, "once"),
        "is50k": ("is", INCEPTION, 50_000, "once"),
        "is50k_1split": ("is", INCEPTION, 50_000, "once"),
        "is5k": ("is", INCEPTION, 5_000, "once"),
        "kid50k_full": ("kid", INCEPTION, None, "once"),
        "prc50k": ("prc", VGG16, None, "once"),
    }
    for name, expected in wanted.items():
        p = PROTOCOLS[name]
        assert (p.metric, p.extractor, p.num_real, p.reals) == expected
        assert p.num_fake == (5_000 if name == "is5k" else 50_000)
    assert (PROTOCOLS["is50k"].splits, PROTOCOLS["is50k_1split"].splits) == (10, 1)
    small = [p for p in PROTOCOLS.values() if p.extractor == "small-cifar10-v1"]
    assert {p.metric for p in small} == {"fid", "is", "kid", "prc"}
    assert any(p.reals == "stream" for p in small)


def test_a_card_says_all_that_decides_a_score() -> None:
    assert PROTOCOLS["fid50k"].card() == {
        "name": "fid50k",
        "version": 1,
        "metric": "fid",
        "direction": "lower",
        "title": "FID, 50,000 images against 50,000 of the repeating, mirrored stream of reals",
        "num_fake": 50_000,
        "generator": "G_ema, without truncation, noise of its own for each image",
        "num_real": 50_000,
        "reals": "stream",
        "reals_in_words": "the first 50,000 of the store's endless stream: its images in order, again and again, each "
        "flipped left-right with probability 1/2 if the training mirrors",
        "extractor": "inception-v3-compat",
        "resize": "to 299 px, bilinear as in TensorFlow 1 (not antialiased), float32",
        "quantisation": "uint8: x * 127.5 + 128, clamped, fraction dropped",
        "precision": "float32 without TF32, statistics in float64",
        "seed": 2020,
    }
    card = PROTOCOLS["is50k"].card()
    assert (card["splits"], card["softmax_bias"]) == (10, False)
    assert PROTOCOLS["prc50k"].card()["neighborhood"] == 3
    assert PROTOCOLS["kid50k_full"].card()["kid_subset_size"] == 1000


def test_the_published_is_is_without_the_bias_of_the_softmax() -> None:
    """torch-fidelity's default layer for IS is the one without the bias; another default would be another score."""
    from msgbench.metrics.fidelity import torch_fidelity

    registry = torch_fidelity().registry.FEATURE_EXTRACTORS_REGISTRY
    layer = registry[INCEPTION].get_default_feature_layer_for_metric("isc")
    assert layer == "logits_unbiased"


def test_only_scores_made_as_the_papers_stand_beside_their_numbers() -> None:
    comparable = {name for name, p in PROTOCOLS.items() if p.comparable_with_paper}
    assert comparable == {"fid50k", "is50k", "is50k_1split", "is5k"}


@pytest.mark.parametrize(
    ("metric", "values", "best"),
    [
        ("fid", {0: 1.0, 100: 9.0, 200: 5.0, 300: 5.0}, 200),
        ("is", {0: 9.0, 100: 2.0, 200: 3.0, 300: 1.0}, 200),
        ("prc", {100: 0.1, 200: 0.4}, 200),
        ("fid", {0: 1.0}, None),
        ("fid", {}, None),
    ],
)
def test_the_best_is_the_earliest_of_equals_and_never_untrained(
    metric: str, values: dict[int, float], best: int | None
) -> None:
    protocol = Protocol("x", 1, metric, "", 10, None, "small-cifar10-v1")  # type: ignore[arg-type]
    assert protocol.best(values) == best


def test_the_command_lists_protocols_and_prints_a_card() -> None:
    run = CliRunner().invoke
    listed = run(app, ["protocols"])
    assert listed.exit_code == 0
    assert len(listed.stdout.splitlines()) == len(PROTOCOLS)
    assert listed.stdout.splitlines()[0].split()[:2] == ["fid50k", "v1"]
    assert json.loads(run(app, ["protocols", "fid50k"]).stdout) == PROTOCOLS["fid50k"].card()
    wrong = run(app, ["protocols", "fid50"])
    assert str(wrong.exception) == "protocol fid50: is not declared; did you mean 'fid50k'?"
