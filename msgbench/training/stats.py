"""Statistics of a training: stats.jsonl for machines, TensorBoard events for people.

A resumed training first drops the lines after the state it resumes from, so that the finished file holds
every moment once, whatever happened on the way.
"""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from msgbench.layout import STATS_JSONL, TENSORBOARD
from msgbench.records import write_text

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class StatsWriter:
    """Averages the steps' numbers between two lines and writes them; use as a context manager.

    `cur_nimg` is where the training (re)starts; later lines of an earlier attempt are dropped. Of the processes that
    share a training one `writes`; the others only average.
    """

    def __init__(self, run_dir: Path, cur_nimg: int, writes: bool = True) -> None:
        self._writes = writes
        self.path = run_dir / STATS_JSONL
        self._events = run_dir / TENSORBOARD
        self._start = cur_nimg
        self._sums: dict[str, float] = {}
        # How many steps had a number: the scales of a growing training change between two lines.
        self._counts: dict[str, int] = {}

    def __enter__(self) -> StatsWriter:
        if not self._writes:
            return self
        self._drop_lines_after(self._start)
        self._file = self.path.open("a", encoding="utf-8")
        self._writer = self._open_events()
        return self

    def _open_events(self) -> SummaryWriter:
        with warnings.catch_warnings():
            # TensorBoard's own imports warn on every new Python; nothing a user could act on.
            warnings.simplefilter("ignore", DeprecationWarning)
            from torch.utils.tensorboard import SummaryWriter

            return SummaryWriter(str(self._events), purge_step=self._start + 1)

    def _drop_lines_after(self, cur_nimg: int) -> None:
        if not self.path.exists():
            return
        kept = []
        for line in self.path.read_text(encoding="utf-8").splitlines(keepends=True):
            try:
                if line.endswith("\n") and json.loads(line)["cur_nimg"] <= cur_nimg:
                    kept.append(line)
            except ValueError:
                break  # the last line of a killed writer
        write_text(self.path, "".join(kept))

    def add(self, stats: dict[str, float]) -> None:
        """Add one step's numbers to the running means."""
        for name, value in stats.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def pending(self) -> dict[str, Any]:
        """The running sums, for the training state: a resume goes on in the middle of a line."""
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def restore(self, pending: dict[str, Any]) -> None:
        """Take over the running sums of a training state."""
        self._sums = dict(pending["sums"])
        # States of versions without growing have one count for all numbers.
        counts = pending.get("counts")
        self._counts = (
            dict.fromkeys(self._sums, pending["steps"]) if counts is None else dict(counts)
        )

    def write(self, cur_nimg: int, **timing: float) -> dict[str, float]:
        """Write the means since the last line at `cur_nimg` with `timing` beside them; returns the means."""
        means = {name: total / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        if not self._writes:
            return means
        line = {"cur_nimg": cur_nimg, **means, **timing}
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()
        for name, value in (*means.items(), *timing.items()):
            self._writer.add_scalar(name, value, global_step=cur_nimg)
        return means

    def sync(self) -> None:
        """Make the lines durable; called before a state is saved, so that a state never outlives them."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._writer.flush()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writes:
            self._file.close()
            self._writer.close()
