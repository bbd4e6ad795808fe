"""The training loop of every method: read `train` first, it is the whole story.

Running it again is resuming it: it goes on from the newest whole training state, and on a finished run it
returns at once. A killed and resumed training ends with the same bits as an uninterrupted one, because
all randomness is derived from (seed, cur_nimg) and the state holds everything else.
"""

from __future__ import annotations

import contextlib
import errno
import math
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from msgbench.config import RunSpec
from msgbench.config.split import check_processes
from msgbench.console import Progress, say
from msgbench.data.pyramid import growing_reals, real_pyramid
from msgbench.data.store import Store
from msgbench.device import (
    choose_device,
    device_name,
    make_reproducible,
    peak_memory_mb,
    without_instructions,
)
from msgbench.energy import EnergyMeter
from msgbench.errors import StoppedBySignal, TrainingError
from msgbench.layout import GRIDS, OBSERVED, SNAPSHOTS, STATES, TRAIN_JSON, snapshot_file
from msgbench.locks import FolderLock
from msgbench.models.arithmetic import STEP_FLOP, run_flops
from msgbench.records import provenance, read_json, remove_temporaries, sha256_file, write_json
from msgbench.retention import Taken, deleted_of
from msgbench.snapshots import SnapshotMeta, save_snapshot
from msgbench.training.feed import Feed, room_for_images
from msgbench.training.grids import write_grids
from msgbench.training.interrupt import OnTerm, StopRequest
from msgbench.training.ledger import Ledger
from msgbench.training.memory import memory_sentence
from msgbench.training.networks import Networks, update_ema
from msgbench.training.observers import Observer, epoch_begun, fixed_images
from msgbench.training.reports import StepReport, Unread
from msgbench.training.share import Share
from msgbench.training.state import (
    STATE_SCHEMA,
    load_latest,
    packed,
    require_same,
    save_state,
    unpacked,
)
from msgbench.training.stats import StatsWriter
from msgbench.training.steps import both_steps
from msgbench.training.world import World
from msgbench.units import kimg_to_nimg, nimg_to_kimg

TRAIN_SCHEMA = "msgbench.train/1"


def train(
    run_dir: Path, store_dir: Path, device: str = "auto", on_term: OnTerm = "stop"
) -> dict[str, Any]:
    """Train the run in `run_dir` on the store in `store_dir` to its end; returns train.json's content.

    Raises TrainingError (non-finite loss, foreign or unreadable state), DatasetError (store),
    ConfigError (spec.json) and StoppedBySignal after a SIGINT, SIGTERM or SIGUSR2, when the state is saved.
    A second process on the same run waits for the first and returns its result. Processes that share the
    training (world.py) all call this; the first of them holds the lock, writes and speaks.
    """
    world = World.of_environment()
    on = choose_device(device, None if world.is_alone else world.local_rank)
    with world.joined(on):
        run = RunSpec.read(run_dir)
        check_processes(run.spec, world.size, "WORLD_SIZE")
        store = Store.open(store_dir)
        with _alone_in(run_dir, world):
            finished = _finished(run_dir, run, store) if world.is_first else None
            if finished is not None:
                say(f"{run.run_id}: already trained ({finished['cur_nimg'] / 1000:g} kimg)")
            if world.most([finished is not None])[0]:
                return finished or {}
            with StopRequest(on_term) as stop, memory_sentence(run), _disk_sentence(run_dir):
                return _Training(run_dir, run, store, on, world).run_to_end(stop)


@contextlib.contextmanager
def _alone_in(run_dir: Path, world: World) -> Iterator[None]:
    """Hold the folder's lock in the first process of `world` while the block runs; the others wait for that."""
    with contextlib.ExitStack() as stack:
        if world.is_first:
            stack.enter_context(FolderLock(run_dir, "train", wait=True, say=say))
            for name in ("", STATES, SNAPSHOTS, GRIDS, OBSERVED):
                remove_temporaries(run_dir / name)
        world.wait_for_first()
        yield


@contextlib.contextmanager
def _disk_sentence(run_dir: Path) -> Iterator[None]:
    """Raise TrainingError where the disk takes no more in the block: every file is whole or not there."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        raise TrainingError(
            f"{error.filename or run_dir}: cannot be written ({error.strerror}); started again when it can, the "
            "training goes on from its last training state"
        ) from None


class _Training:
    """One attempt at a run: the loop and what it needs at hand."""

    def __init__(
        self, run_dir: Path, run: RunSpec, store: Store, device: torch.device, world: World
    ) -> None:
        self.run_dir, self.run, self.store, self.device = run_dir, run, store, device
        self.spec, self.schedule, self.world = run.spec.training, run.spec.schedule, world
        self.share = Share(run, world, self.spec.micro_batch_size)
        state = self._load_state()
        if "micro_batch" in state:
            self.share.micro_batch = state["micro_batch"]
        self._room: int | None = None
        self._try_memory()
        make_reproducible(self.spec.num_threads, tf32=self.spec.precision == "tf32")
        if missing := without_instructions(self.spec.precision, device):
            self._say(f"training.precision {self.spec.precision}: {missing}")
        self.nets = Networks.build(run, device)
        if state:
            self.nets.load_state_dict(state["networks"])
            self._say(f"goes on from {nimg_to_kimg(state['cur_nimg']):g} kimg")
        self.nets.require_equal(world)
        if self.spec.compile != "none":
            self._compile()
        self.cur_nimg: int = state.get("cur_nimg", 0)
        self._found_finite = self.cur_nimg
        # Of a growing training: the phase, and what the optimizers' moments belong to.
        self.phase = self.schedule.at(self.cur_nimg)
        level = state.get("level")
        self._level = self.phase.level if level is None else tuple(level)
        self._pending = state.get("stats")
        self.ledger = Ledger(state.get("ledger"))
        self.unread = Unread(run, world)
        self._data_seconds, self._data_since = 0.0, time.perf_counter()
        self._note = ""

    def _try_memory(self) -> None:
        """On a GPU make the largest steps once, so that what does not fit is known now and not after days."""
        if self.device.type != "cuda":
            return
        from msgbench.training.preflight import largest_phase, try_largest

        torch.cuda.reset_peak_memory_stats(self.device)
        try_largest(self.run, self.device, self.share)
        self.share.agree()
        resolution, batch = largest_phase(self.run)
        total = torch.cuda.mem_get_info(self.device)[1] / 1e9
        self._say(
            f"the largest step ({resolution} px, {self.share.parts(batch)[0].size} images at a time) takes "
            f"{peak_memory_mb(self.device) / 1e3:.1f} GB of {total:.1f} GB"
        )
        needed = torch.cuda.max_memory_reserved(self.device)
        torch.cuda.empty_cache()
        self._room = room_for_images(torch.cuda.mem_get_info(self.device)[0], needed)

    def _compile(self) -> None:
        """Have the steps run compiled functions; where there is no compiler, say so and go on without."""
        from msgbench.training.compiled import Compiled, why_not

        why = why_not(self.device)
        if any(self.world.most([bool(why)])):
            self._say(
                f"training.compile {self.spec.compile}: nothing can be compiled here "
                f"({why or 'on another machine'}); the training goes on without, slower and with other rounding"
            )
        else:
            self.nets.compiled = Compiled(self.nets.G, self.nets.D, self.run)

    def _load_state(self) -> dict[str, Any]:
        """The newest whole state, empty without one; the first process reads it, for all."""
        state: dict[str, Any] = {}
        content: bytes | memoryview = b""
        if self.world.is_first:
            fingerprint = self.store.manifest.fingerprint
            state = load_latest(self.run_dir, self.run, fingerprint, say) or {}
            was = state.get("processes", 1)
            if state and was != self.world.size:
                self._say(
                    f"was trained by {was} and goes on with {self.world.size} processes: the same training, but for "
                    "rounding"
                )
            content = packed(state) if state and not self.world.is_alone else b""
        if self.world.is_alone:
            return state
        content = self.world.from_first(content)
        return unpacked(content) if content else {}

    def _say(self, text: str) -> None:
        if self.world.is_first:
            say(f"{self.run.run_id}: {text}")

    def run_to_end(self, stop: StopRequest) -> dict[str, Any]:
        """The loop. Every phase has its name."""
        spec, total = self.spec, self.schedule.total_nimg
        gpus = self.world.size * (self.device.type == "cuda")
        self.ledger.begin(self.cur_nimg, device_name(self.device), gpus, self.world.size)
        self.meter = EnergyMeter(self.device)
        with (
            StatsWriter(self.run_dir, self.cur_nimg, self.world.is_first) as self.stats,
            Progress(
                f"train {self.run.run_id}",
                total,
                "img",
                start=self.cur_nimg,
                shown=self.world.is_first,
                work=self._work,
            ) as self.progress,
            self._feed() as self.feed,
        ):
            if self._pending is not None:
                self.stats.restore(self._pending)
            start = self.cur_nimg
            epoch_nimg = self._epoch_nimg()
            observer = Observer(self.run_dir, epoch_nimg, start) if self.world.is_first else None
            while self.cur_nimg < total:
                self._enter_phase()
                if self._due(spec.snapshot_kimg):
                    self._snapshot()
                if self._due(spec.grid_kimg):
                    self._grids()
                signum, save_now = self.world.most([stop.signum or 0, stop.save_now])
                if signum:
                    self._stop(signum)
                if save_now or (self._due(spec.state_kimg) and self.cur_nimg > start):
                    self._save_state()
                    stop.save_now = False
                reports = self._step()
                batch_size = self.phase.batch_size
                update_ema(self.nets.G_ema, self.nets.G, self.run.spec.ema.beta_for(batch_size))
                self.unread.add(self.cur_nimg, reports)
                self.cur_nimg += batch_size
                if epoch_begun(self.cur_nimg, batch_size, epoch_nimg) is not None:
                    self._require_finite()
                if observer is not None:
                    observer.after_step(self.cur_nimg, batch_size, self._fixed_images)
                self._report()
            self._enter_phase()
            self._snapshot()
            self._grids()
            self._save_state("finished")
            content = self._finish()
            self.world.wait_for_all()
        return content

    def _feed(self) -> Feed:
        mirrored = self.run.spec.dataset.mirror

        def own(values: np.ndarray) -> np.ndarray:
            return self.share.own(len(values)).of(values)

        return Feed(self.store.images, self.run.seed, mirrored, self.device, own, self._room)

    def _step(self) -> tuple[StepReport, StepReport]:
        """The next images, and an update of both networks."""
        reals = self._as_seen(self._timed_batch())
        beside = self._beside_fakes(reals)
        return both_steps(self.nets, reals, self.run, self.cur_nimg, beside, self.share)

    def _grids(self) -> None:
        self._require_finite()
        if self.world.is_first:
            write_grids(self.run_dir, self.run, self.nets.G_ema, self.cur_nimg)

    def _work(self, nimg: float) -> float:
        """What the first images of the training cost: small ones of a growing training less."""
        if self.run.spec.growing is None:
            return nimg
        return run_flops(self.run.spec, round(nimg), STEP_FLOP[self.device.type])

    def _epoch_nimg(self) -> int:
        """Images between two looks at the fixed latents: one pass over the dataset, unless the spec says."""
        every = self.spec.observe_kimg
        return len(self.store) if every is None else max(1, kimg_to_nimg(every))

    def _due(self, every_kimg: float) -> bool:
        return self.schedule.is_due(every_kimg, self.cur_nimg)

    def _enter_phase(self) -> None:
        """Have the networks and optimizers be what the schedule says of this moment."""
        self.phase = self.schedule.at(self.cur_nimg)
        if self.phase.lod is None:
            return
        self.nets.grow_to(self.phase.lod)
        if self.phase.learning_rate is not None:
            self.nets.set_learning_rate(self.phase.learning_rate)
        if self.phase.level != self._level:
            assert self.run.spec.growing is not None
            if self.run.spec.growing.optimizer_reset:
                self.nets.reset_optimizers()
            self._level = self.phase.level

    def _as_seen(self, batch: torch.Tensor) -> list[torch.Tensor]:
        """Images of full resolution as the discriminator sees them in this phase, lowest resolution first."""
        growing = self.run.spec.growing
        if growing is None:
            return real_pyramid(batch)
        rounded = growing.reals == "rounded"
        return [growing_reals(batch, self.phase.resolution, self.phase.fade, rounded)]

    def _fixed_images(self) -> Sequence[torch.Tensor]:
        """What the observer looks at: images of G_ema for the fixed latents, a tensor a resolution."""
        return fixed_images(self.nets.G_ema, self.run.seed, self.run.spec.model.latent_size)

    def _beside_fakes(self, reals: list[torch.Tensor]) -> list[torch.Tensor] | None:
        """Reals that a relativistic generator step compares its fakes with; None for other losses."""
        loss = self.run.spec.loss
        if not loss.relativistic:
            return None
        if loss.generator_batch != "fresh":
            return reals
        return self._as_seen(self._timed_batch("reals-g"))

    def _timed_batch(self, stream: str = "") -> torch.Tensor:
        """The next batch, and the time that the step waited for it."""
        began = time.perf_counter()
        batch = self.feed.batch(self.cur_nimg, self.phase.batch_size, stream)
        self._data_seconds += time.perf_counter() - began
        return batch

    def _read(self) -> None:
        """Read the numbers of the last steps; TrainingError when one of them is not finite."""
        for stats in self.unread.read():
            self.stats.add(stats)

    def _require_finite(self) -> None:
        """Before anything of the networks is written: TrainingError when they or a loss so far are not finite."""
        self._read()
        if self.cur_nimg != self._found_finite:
            self.nets.require_finite(self.run.run_id, self.cur_nimg)
            self._found_finite = self.cur_nimg

    def _report(self) -> None:
        due = self._due(self.spec.stats_kimg) or self.cur_nimg >= self.schedule.total_nimg
        if due or self.unread.is_full:
            self._read()
        if due:
            memory_mb = peak_memory_mb(self.device)
            data_wait = self._data_wait()
            means = self.stats.write(
                self.cur_nimg,
                images_per_second=round(self.progress.rate, 3),
                seconds=self.ledger.seconds,
                data_wait=round(data_wait, 5),
                memory_mb=round(memory_mb, 1),
            )
            self._note = (
                f"loss D {means['loss_d']:.3g}, G {means['loss_g']:.3g}, "
                f"data wait {data_wait:.1%}, {memory_mb:.0f} MB"
            )
        self.ledger.note(self.cur_nimg)
        self.progress.advance_to(self.cur_nimg, self._note)

    def _data_wait(self) -> float:
        """Fraction of the time since the last call that steps waited for images."""
        now = time.perf_counter()
        fraction = self._data_seconds / max(now - self._data_since, 1e-9)
        self._data_seconds, self._data_since = 0.0, now
        return fraction

    def _snapshot(self) -> None:
        self._require_finite()
        if not self.world.is_first:
            return
        meta = SnapshotMeta(
            model=self.run.spec.model,
            run=self.run.run_id,
            experiment=self.run.experiment,
            seed=self.run.seed,
            cur_nimg=self.cur_nimg,
            run_fingerprint=self.run.fingerprint,
            dataset_fingerprint=self.store.manifest.fingerprint,
            ema=self.run.spec.ema,
            lod=self.phase.lod,
        )
        file = snapshot_file(self.cur_nimg)
        save_snapshot(self.run_dir / file, self.nets.G_ema, meta)
        self.ledger.add_snapshot(file, self.cur_nimg, sha256_file(self.run_dir / file))

    def _energy(self) -> float | None:
        """What the GPUs of all processes have taken in this attempt; None where one has no counter."""
        own = self.meter.joule()
        told = torch.tensor([math.nan if own is None else own], dtype=torch.float64)
        total = float(self.world.gather(told.to(self.device)).sum())
        return None if math.isnan(total) else round(total, 3)

    def _save_state(self, ended: str | None = None) -> None:
        self._require_finite()
        self.nets.require_equal(self.world)
        self.share.agree()
        self.ledger.note(self.cur_nimg, ended, self._energy())
        self.ledger.note_halvings(self.share.halvings)
        if not self.world.is_first:
            return
        self.stats.sync()
        more: dict[str, Any] = {} if self.world.is_alone else {"processes": self.world.size}
        if self.share.micro_batch != self.spec.micro_batch_size:
            more["micro_batch"] = self.share.micro_batch
        save_state(
            self.run_dir,
            {
                **more,
                "schema": STATE_SCHEMA,
                "fingerprint": self.run.fingerprint,
                "seed": self.run.seed,
                "dataset_fingerprint": self.store.manifest.fingerprint,
                "cur_nimg": self.cur_nimg,
                "level": self._level,
                "networks": self.nets.state_dict(),
                "stats": self.stats.pending(),
                "ledger": self.ledger.to_json(),
            },
        )

    def _stop(self, signum: int) -> None:
        name = signal.Signals(signum).name
        self._save_state(name)
        self._say(f"{name}, saved at {nimg_to_kimg(self.cur_nimg):g} kimg and stopped")
        self.world.wait_for_all()
        raise StoppedBySignal(signum)

    def _finish(self) -> dict[str, Any]:
        ledger = self.ledger
        if self.world.is_first:
            require_snapshots(self.run_dir, ledger.snapshots)
        content = {
            "schema": TRAIN_SCHEMA,
            "run": self.run.run_id,
            "experiment": self.run.experiment,
            "seed": self.run.seed,
            "tier": self.run.tier,
            "fingerprint": self.run.fingerprint,
            "dataset_fingerprint": self.store.manifest.fingerprint,
            "cur_nimg": self.cur_nimg,
            "seconds": ledger.seconds,
            "gpu_seconds": ledger.gpu_seconds,
            "images_per_second": round(self.cur_nimg / max(ledger.seconds, 1e-3), 3),
            "peak_memory_mb": round(peak_memory_mb(self.device), 1),
            **ledger.to_json(),
            "provenance": provenance(device_name(self.device), ledger.seconds)
            | {"energy_joule": ledger.energy_joule},
        }
        if self.world.is_first:
            write_json(self.run_dir / TRAIN_JSON, content)
        return content


def _finished(run_dir: Path, run: RunSpec, store: Store) -> dict[str, Any] | None:
    """train.json of a finished run whose snapshots are all accounted for, else None; refuses a foreign one."""
    path = run_dir / TRAIN_JSON
    if not path.exists():
        return None
    content: dict[str, Any] = read_json(path)
    require_same(path, content, run, store.manifest.fingerprint)
    require_snapshots(run_dir, content["snapshots"])
    return content


def require_snapshots(run_dir: Path, snapshots: list[dict[str, Any]]) -> None:
    """Raise TrainingError when a snapshot that was taken is gone, unless it was deleted after measuring.

    It cannot be made again from what is left.
    """
    taken = [Taken(entry["file"], entry["cur_nimg"], entry["sha256"]) for entry in snapshots]
    deleted = deleted_of(run_dir, taken)
    for snapshot in taken:
        if snapshot.cur_nimg not in deleted and not (run_dir / snapshot.file).exists():
            raise TrainingError(
                f"{run_dir / snapshot.file}: this snapshot was taken and is gone; restore it, "
                "or remove the run directory and run the target `runs` or `measurements` to train again"
            )
