"""Training states: the last two are kept whole, and what is not this run's or not whole is not gone on from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from msgbench.config import RunSpec
from msgbench.errors import TrainingError
from msgbench.training.state import STATE_SCHEMA, load_latest, save_state

from .conftest import tiny_run

IMAGES = "fingerprint-of-the-images"


def state(nimg: int, run: RunSpec, **changes: Any) -> dict[str, Any]:
    return {
        "schema": STATE_SCHEMA, "cur_nimg": nimg, "fingerprint": run.fingerprint, "seed": run.seed,
        "dataset_fingerprint": IMAGES, "networks": {"w": torch.full((3,), float(nimg))}, **changes,
    }  # fmt: skip


@pytest.fixture
def run() -> RunSpec:
    return tiny_run()


@pytest.fixture
def said() -> list[str]:
    return []


def test_the_newest_two_stay_with_their_cards_and_nothing_of_older_ones(
    tmp_path: Path, run: RunSpec, said: list[str]
) -> None:
    for nimg in (4, 8, 100_000):
        save_state(tmp_path, state(nimg, run))
    assert sorted(path.name for path in (tmp_path / "states").iterdir()) == [
        "training-state-0000000008.json", "training-state-0000000008.pt",
        "training-state-0000100000.json", "training-state-0000100000.pt",
    ]  # fmt: skip
    found = load_latest(tmp_path, run, IMAGES, said.append)
    assert found is not None
    assert found["cur_nimg"] == 100_000
    assert torch.equal(found["networks"]["w"], torch.full((3,), 1e5))
    assert said == []


def test_a_card_says_how_often_and_on_what_was_trained_last(tmp_path: Path, run: RunSpec) -> None:
    attempts = [{"device": "A GPU"}, {"device": "Another GPU"}]
    path = save_state(tmp_path, state(4, run, ledger={"attempts": attempts}))
    card = json.loads(path.with_suffix(".json").read_bytes())
    assert (card["cur_nimg"], card["attempts"], card["device"]) == (4, 2, "Another GPU")
    path = save_state(tmp_path, state(8, run, ledger={"attempts": []}))
    assert "attempts" not in json.loads(path.with_suffix(".json").read_bytes())


def test_without_states_there_is_none(tmp_path: Path, run: RunSpec, said: list[str]) -> None:
    assert load_latest(tmp_path, run, IMAGES, said.append) is None
    assert said == []


@pytest.mark.parametrize(
    ("card", "problem"),
    [
        (None, "was not finished (its checksum is missing)"),
        ("{", "has an unreadable checksum"),
        ("{}", "has an unreadable checksum"),
        ("[]", "has an unreadable checksum"),
        ('{"sha256": "0"}', "is corrupt (its checksum differs)"),
    ],
)
def test_a_state_whose_card_does_not_hold_is_named_and_the_one_before_it_used(
    card: str | None, problem: str, tmp_path: Path, run: RunSpec, said: list[str]
) -> None:
    save_state(tmp_path, state(4, run))
    newest = save_state(tmp_path, state(8, run))
    if card is None:
        newest.with_suffix(".json").unlink()
    else:
        newest.with_suffix(".json").write_text(card)
    found = load_latest(tmp_path, run, IMAGES, said.append)
    assert found is not None
    assert found["cur_nimg"] == 4
    assert said == [f"{newest}: {problem}; falling back to the training state before it"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"schema": "msgbench.training-state/0"}, "has schema msgbench.training-state/0, this version reads"),
        ({"seed": 7}, "was trained with other seed (7) than now (0); restore the seed"),
        ({"fingerprint": "0123456789"}, "was trained with other spec (01234567) than now"),
        ({"dataset_fingerprint": "9876543210"}, "was trained with other images (98765432) than now (fingerpr)"),
    ],
)  # fmt: skip
def test_a_whole_state_of_something_else_is_refused_and_nothing_older_taken(
    changes: dict[str, Any], sentence: str, tmp_path: Path, run: RunSpec, said: list[str]
) -> None:
    save_state(tmp_path, state(4, run))
    newest = save_state(tmp_path, state(8, run, **changes))
    with pytest.raises(TrainingError) as caught:
        load_latest(tmp_path, run, IMAGES, said.append)
    assert str(caught.value).startswith(f"{newest}: {sentence}")
    assert said == []
