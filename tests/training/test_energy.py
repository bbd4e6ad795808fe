"""Energy: the counter's arithmetic on a made-up driver, nothing on a CPU, and what attempts add up to."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import pytest
import torch

from msgbench.energy import EnergyMeter, counter_of
from msgbench.layout import TRAIN_JSON
from msgbench.training.ledger import Ledger
from msgbench.training.loop import train

from .conftest import MakeRun


class NVMLError(Exception):
    pass


def driver(monkeypatch: pytest.MonkeyPatch, counted: list[int] | None) -> None:
    """A driver whose energy counter reads `counted` mJ one after the other; None: it has no counter."""

    def read(handle: str) -> int:
        assert handle == "GPU-12ab"
        if counted is None:
            raise NVMLError("Not Supported")
        return counted.pop(0)

    fake = types.SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetTotalEnergyConsumption=read,
    )
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    properties = types.SimpleNamespace(uuid="12ab")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)


def test_a_meter_reads_the_difference_in_joule(monkeypatch: pytest.MonkeyPatch) -> None:
    driver(monkeypatch, [5_000_000, 5_000_000, 5_002_500, 5_250_000])
    meter = EnergyMeter(torch.device("cuda", 0))
    assert [meter.joule(), meter.joule()] == [2.5, 250.0]


def test_without_a_counter_nothing_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert EnergyMeter(torch.device("cpu")).joule() is None
    driver(monkeypatch, None)
    assert counter_of(torch.device("cuda", 0)) is None
    assert "energy is not measured: Not Supported" in "".join(capsys.readouterr())


def test_a_run_has_an_energy_when_all_its_attempts_have() -> None:
    ledger = Ledger()
    ledger.begin(0, "GPU", 1)
    ledger.note(100, "SIGTERM", 50.0)
    assert ledger.energy_joule == 50.0
    again = Ledger(ledger.to_json())
    again.begin(100, "GPU", 1)
    assert again.energy_joule is None  # the present attempt has said nothing yet
    again.note(200, "finished", 25.5)
    assert again.energy_joule == 75.5


def test_a_training_on_a_cpu_says_that_nothing_measured_it(
    make_run: MakeRun, store_dir: Path
) -> None:
    run_dir = make_run("a")
    train(run_dir, store_dir, "cpu")
    written = json.loads((run_dir / TRAIN_JSON).read_text())
    assert written["provenance"]["energy_joule"] is None
    assert all("energy_joule" not in attempt for attempt in written["attempts"])
