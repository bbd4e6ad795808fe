"""The processes that share a training: who they are, and the few things that they tell each other.

A process is alone unless its environment says otherwise: `torchrun` sets RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and
MASTER_PORT, and so does a job on several GPUs (launch/job.py). What they share is plain: every process has all
parameters, works on its part of each batch (share.py), and gradients are added up once a step, in one piece and
after all micro-batches. torch's DistributedDataParallel does the same behind hooks of the backward pass; these neither
see a penalty's own derivatives nor a compiled step as one thing, and overlap only what is a few per cent here.

On a GPU gradients go by NCCL; everything else, a few numbers a step, goes by Gloo between the hosts, and waits for
no GPU.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import torch
import torch.distributed as dist

# Its functions keep, as a default, the group of the moment in which they are imported, and so its connections beyond
# the group's end, which then no other process would notice: imported here, before there is a group, they keep none.
import torch.distributed.nn.functional
from torch import Tensor

from msgbench.errors import ConfigError, MsgbenchError, TrainingError
from msgbench.training.heartbeat import Heartbeat, sentence

_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# A process may compile for minutes while the others wait; one that is dead is found by its heartbeat.
TIMEOUT_SECONDS = 1800.0
# Until all have come, and have heartbeats; a cluster starts them within seconds of each other.
MEET_SECONDS = 300.0
LOST_VARIABLE = "MSGBENCH_LOST_AFTER_SECONDS"
LOST_SECONDS = 120.0
# Numbers of one collective operation: larger gradients go in several.
_MOST_NUMBERS = 1 << 26


@dataclass(eq=False)
class World:
    """Process `rank` of the `size` processes of a training, `local_rank` on its machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    _heartbeat: Heartbeat | None = field(default=None, repr=False)
    _store: dist.Store | None = field(default=None, repr=False)

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> World:
        """As torchrun or a job states it; raises ConfigError when it states half of it."""
        if environment.get("WORLD_SIZE", "1") == "1":
            return cls()
        missing = [name for name in _VARIABLES if not environment.get(name)]
        if missing:
            raise ConfigError(
                f"WORLD_SIZE is {environment['WORLD_SIZE']} and {', '.join(missing)} missing; start several processes "
                "by torchrun, or unset it"
            )
        try:
            rank, size = int(environment["RANK"]), int(environment["WORLD_SIZE"])
            local_rank, port = (
                int(environment.get("LOCAL_RANK", 0)),
                int(environment["MASTER_PORT"]),
            )
        except ValueError:
            raise ConfigError(
                "RANK, WORLD_SIZE, LOCAL_RANK and MASTER_PORT are numbers that torchrun sets; one of them is none"
            ) from None
        if not (0 <= rank < size and 0 < port < 65536):
            raise ConfigError(
                f"RANK {rank} of WORLD_SIZE {size} at MASTER_PORT {port}: is not allowed"
            )
        return cls(rank, size, local_rank)

    @property
    def is_alone(self) -> bool:
        """Whether there is no other process."""
        return self.size == 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    @contextlib.contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """Meet the others and stay with them while the block runs, computing on `device`.

        Raises TrainingError, with what happened, when one of them dies, hangs or ends by an error. An error that leaves
        the block is for one of them to say, the others' is marked `told_by_another`.
        """
        if self.is_alone:
            yield
            return
        self._store = store = self._meet(device)
        try:
            heart = _heart(store, self.rank, self._names(store))
            try:
                with heart as self._heartbeat:
                    yield
            except MsgbenchError as error:
                # First, because that is what the others notice.
                _let_go(error)
                self._part()
                error.told_by_another = not heart.has_the_word()
                raise
        finally:
            self._part()

    def _part(self) -> None:
        self._heartbeat = self._store = None
        if dist.is_initialized():
            with contextlib.suppress(RuntimeError):
                dist.destroy_process_group()

    def _meet(self, device: torch.device) -> dist.Store:
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        # torchrun keeps the store in a process of its own, which survives the ranks.
        kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        timeout = timedelta(seconds=TIMEOUT_SECONDS)
        try:
            store: dist.Store = dist.TCPStore(
                address,
                port,
                self.size,
                is_master=self.is_first and not kept,
                timeout=timedelta(seconds=MEET_SECONDS),
            )
            attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
            store = dist.PrefixStore(f"msgbench/{attempt}", store)
            backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
            dist.init_process_group(
                backend, store=store, rank=self.rank, world_size=self.size, timeout=timeout
            )
        except (RuntimeError, ValueError) as error:
            raise TrainingError(
                f"process {self.rank} of {self.size}: the others cannot be met at {address}:{port} "
                f"({str(error).splitlines()[0]})"
            ) from None
        return store

    def _names(self, store: dist.Store) -> list[str]:
        own = f"rank {self.rank} (process {os.getpid()} on {socket.gethostname()})"
        try:
            store.set(f"name/{self.rank}", own)
            return [store.get(f"name/{rank}").decode() for rank in range(self.size)]
        except RuntimeError as error:
            raise TrainingError(
                f"{own}: one of the {self.size} processes ended before all had met "
                f"({str(error).splitlines()[0]})"
            ) from None

    # What they tell each other.

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Add up each of `tensors` over all processes, in place; all end with the same bits."""
        if self.is_alone or not tensors:
            return
        for group in _batched(tensors):
            flat = torch.cat([tensor.detach().reshape(-1) for tensor in group])
            with self._together():
                dist.all_reduce(flat)
            pieces = flat.split([tensor.numel() for tensor in group])
            torch._foreach_copy_(
                [tensor.detach() for tensor in group],
                [piece.view(tensor.shape) for piece, tensor in zip(pieces, group, strict=True)],
            )

    def gather(self, tensor: Tensor) -> Tensor:
        """`tensor` [n, ...] of every process, one after the other: [size * n, ...]; without gradients."""
        if self.is_alone:
            return tensor.detach()
        own = tensor.detach().contiguous()
        everyone = [torch.empty_like(own) for _ in range(self.size)]
        with self._together():
            dist.all_gather(everyone, own)
        return torch.cat(everyone)

    def most(self, numbers: Sequence[int]) -> list[int]:
        """The largest of each of `numbers` over all processes."""
        if self.is_alone:
            return list(numbers)
        told = torch.tensor(list(numbers), dtype=torch.int64)
        with self._together():
            dist.all_reduce(told, dist.ReduceOp.MAX)
        return [int(number) for number in told.tolist()]

    def wait_for_first(self) -> None:
        """Return when the first process has come here, however long that takes; once."""
        if self.is_alone:
            return
        assert self._store is not None
        if self.is_first:
            self._store.set("begun", "")
        while not self._store.check(["begun"]):
            noted = self._heartbeat.noted() if self._heartbeat else ""
            if noted:
                raise ProcessLost(sentence(noted))
            time.sleep(0.2)

    def wait_for_all(self) -> None:
        """Return when every process has come here."""
        self.most([0])

    def from_first(self, content: bytes | memoryview) -> bytes:
        """`content` of the first process, for all of them."""
        if self.is_alone:
            return bytes(content)
        length = torch.tensor([len(content)], dtype=torch.int64)
        with self._together():
            dist.broadcast(length, 0)
        if self.is_first:
            told = torch.frombuffer(bytearray(content or b"\0"), dtype=torch.uint8)
        else:
            told = torch.empty(max(1, int(length)), dtype=torch.uint8)
        with self._together():
            dist.broadcast(told, 0)
        return told.numpy().tobytes()[: int(length)]

    @contextlib.contextmanager
    def _together(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            assert self._heartbeat is not None
            raise ProcessLost(sentence(self._heartbeat.why(error))) from None


def _let_go(error: BaseException | None) -> None:
    """Drop what the ended calls of `error` worked with: a collective operation among it keeps the connections open."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


class ProcessLost(TrainingError):
    """Another process of this training died, hung, or ended by an error of its own."""


ALONE = World()


def _heart(store: dist.Store, rank: int, names: list[str]) -> Heartbeat:
    # A connection of its own: the others' threads are not waited for. The type is not told of it.
    return Heartbeat(store.clone(), rank, names, _lost_seconds())  # type: ignore[attr-defined]


def _lost_seconds() -> float:
    text = os.environ.get(LOST_VARIABLE, "")
    try:
        seconds = float(text or LOST_SECONDS)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise ConfigError(
            f"{LOST_VARIABLE}: {text!r} is not allowed; allowed: seconds, more than 0"
        )
    return seconds


def _batched(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """`tensors` in their order, in groups of one type that are not too large to be copied."""
    group: list[Tensor] = []
    for tensor in tensors:
        numbers = sum(t.numel() for t in group)
        if group and (tensor.dtype != group[0].dtype or numbers + tensor.numel() > _MOST_NUMBERS):
            yield group
            group = []
        group.append(tensor)
    if group:
        yield group
