"""The account of a training over all its attempts: snapshots taken, time spent, where and how it ended.

Travels in the training state, so that a killed attempt's account up to its last state is kept.
"""

from __future__ import annotations

import socket
import time
from typing import Any

Attempt = dict[str, Any]


class Ledger:
    """Attempts and snapshots of one run; `begin` opens an attempt at `cur_nimg`."""

    def __init__(self, saved: dict[str, Any] | None = None) -> None:
        self.attempts: list[Attempt] = list((saved or {}).get("attempts", []))
        self.snapshots: list[dict[str, Any]] = list((saved or {}).get("snapshots", []))
        for attempt in self.attempts:
            if attempt["ended"] is None:
                attempt["ended"] = "killed"
            # States of versions that did not count them: a training has always used at most one.
            attempt.setdefault("gpus", int(attempt["device"] != "cpu"))

    def begin(self, cur_nimg: int, device: str, gpus: int, processes: int = 1) -> None:
        """Open an attempt that starts at `cur_nimg` on `device`, which is that many GPUs (0: the CPU).

        `processes` share it; one is what an attempt has that names none.
        """
        self._began = time.monotonic()
        self.attempts.append(
            {
                "start_nimg": cur_nimg,
                "end_nimg": cur_nimg,
                "seconds": 0.0,
                "host": socket.gethostname(),
                "device": device,
                "gpus": gpus,
                "ended": None,
            }
        )
        if processes > 1:
            self.attempts[-1]["processes"] = processes

    def note(
        self, cur_nimg: int, ended: str | None = None, energy_joule: float | None = None
    ) -> None:
        """Bring the present attempt up to date; `ended` is "finished" or the signal's name at its end.

        `energy_joule` is what all its GPUs have taken so far; None where nothing measured it.
        """
        self.attempts[-1].update(
            end_nimg=cur_nimg, seconds=round(time.monotonic() - self._began, 3), ended=ended
        )
        if energy_joule is not None:
            self.attempts[-1]["energy_joule"] = energy_joule

    @property
    def energy_joule(self) -> float | None:
        """What the GPUs of all attempts have taken; None when one has not measured it."""
        known = [attempt.get("energy_joule") for attempt in self.attempts]
        found = [float(value) for value in known if value is not None]
        return round(sum(found), 3) if found and len(found) == len(known) else None

    def note_halvings(self, count: int) -> None:
        """How often this attempt halved its micro-batch for want of memory; an attempt that did not names nothing."""
        if count:
            self.attempts[-1]["out_of_memory"] = count

    @property
    def seconds(self) -> float:
        """Training time of all attempts, without what killed attempts did after their last state."""
        return round(sum(attempt["seconds"] for attempt in self.attempts), 3)

    @property
    def gpu_seconds(self) -> float:
        """`seconds`, each counted for every GPU in use; 0 on a CPU."""
        return round(sum(attempt["seconds"] * attempt["gpus"] for attempt in self.attempts), 3)

    def add_snapshot(self, file: str, cur_nimg: int, sha256: str) -> None:
        """Enter a snapshot; taken again after a resume it has the same bits, and keeps its entry and time."""
        if any(entry["cur_nimg"] == cur_nimg for entry in self.snapshots):
            return
        self.snapshots.append(
            {"file": file, "cur_nimg": cur_nimg, "sha256": sha256, "seconds": self.seconds}
        )

    def to_json(self) -> dict[str, Any]:
        """For the training state."""
        return {"attempts": self.attempts, "snapshots": self.snapshots}
