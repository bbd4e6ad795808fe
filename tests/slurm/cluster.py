"""A real Slurm of our own on this machine: controller, accounting and several nodes, started as root.

    with Cluster(nodes=3) as cluster:
        subprocess.run(["sbatch", ...], env=cluster.environment)

All state lies in a temporary folder, all ports are free ones, nothing of the machine's own Slurm is read.
Every daemon is a child of ours in the foreground. What descends from one carries `TAG` in its environment:
that is how the jobs of a node are found to be killed with it, and how nothing is left running at the end,
also when this process dies (guard.py).
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import secrets
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from . import guard
from .settings import CLUSTER_NAME, Settings

TAG = "MSGBENCH_TEST_CLUSTER"
NODE_TAG = "MSGBENCH_TEST_NODE"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "sinfo")
DATABASE_PROGRAMS = ("slurmdbd", "sacct", "sacctmgr", "mariadbd", "mariadb-install-db")
_POLL_SECONDS = 0.1
# Debian keeps daemons there, and not every user's PATH has it.
_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")


class ClusterError(RuntimeError):
    """The cluster could not be started; the message ends with the last lines of its logs."""


def missing(accounting: bool = True) -> str:
    """Why no cluster can be started on this machine; empty when one can."""
    if os.geteuid() != 0:
        return "a Slurm of our own is started by root only"
    wanted = (*PROGRAMS, *(DATABASE_PROGRAMS if accounting else ()))
    absent = [name for name in wanted if shutil.which(name, path=_search_path()) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


def _search_path() -> str:
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *_SBIN])


class Cluster:
    """Context manager: a running cluster with `nodes` nodes of `cpus` CPUs, and `gpus` fake GPUs each.

    The partitions are gpu (the default), cpu, and preempt, whose jobs are requeued for those of the other
    two. `gpus` is 0 where device files cannot be made. Raises ClusterError when it does not come up.
    """

    def __init__(
        self, nodes: int = 3, accounting: bool = True, cpus: int = 8, gpus: int = 2
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="msgbench-slurm-"))
        self.folder.chmod(0o755)
        name = f"m{secrets.token_hex(2)}"  # of this cluster alone, for /etc/hosts
        ports = _free_ports(nodes + 2)
        self.settings = Settings(
            folder=self.folder,
            nodes=tuple(f"{name}n{number}" for number in range(1, nodes + 1)),
            cpus=cpus,
            gpus=tuple(_fake_gpus(self.folder / "dev", gpus)),
            accounting=accounting,
            controller_port=ports[0],
            database_port=ports[1],
            node_ports=tuple(ports[2:]),
        )
        self.nodes = self.settings.nodes
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def gpus(self) -> int:
        """Fake GPUs of each node."""
        return len(self.settings.gpus)

    @property
    def _mark(self) -> str:
        return f"{TAG}={self.folder}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of somebody who is logged in on this cluster."""
        foreign = ("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_")
        own = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
        return own | {"SLURM_CONF": str(self.settings.slurm_conf), TAG: str(self.folder)}

    # -- starting and stopping -----------------------------------------------------------------------------

    def __enter__(self) -> Cluster:
        try:
            self._start_guard()
            self.settings.write()
            guard.name_hosts(self.nodes)
            self._start_munge()
            if self.settings.accounting:
                self._start_accounting()
            self.start_controller()
            for node in self.nodes:
                self._start_slurmd(node)
            self.wait_for_nodes()
        except BaseException as error:
            logs = self.logs()
            self.stop()
            if isinstance(error, ClusterError):
                raise ClusterError(f"{error}\n{logs}") from None
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End everything that runs in or for this cluster and remove its folder; may be called again."""
        order = sorted(self._daemons, key=lambda name: not name.startswith("slurmd-"))
        for name in order:  # nodes first, the munge daemon and the database last
            self._daemons[name].terminate()
        for name in order:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._daemons[name].wait(timeout=2 if name.startswith("slurm") else 0.2)
        while left := guard.marked(self._mark):
            guard.kill(left)
            time.sleep(_POLL_SECONDS)
        for daemon in self._daemons.values():
            daemon.wait()
        self._daemons.clear()
        guard.forget_hosts(self.nodes)
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._guard is not None:
            self._guard.communicate(b"")
            self._guard = None

    def logs(self, lines: int = 15) -> str:
        """The last lines of every log, for an error message."""
        parts = []
        for path in sorted((self.folder / "log").glob("*")):
            if path.suffix == ".out" and path.with_suffix(".log").exists():
                continue  # the same without times
            tail = path.read_text(errors="replace").splitlines()[-lines:]
            parts += [f"--- {path.name}", *tail] if tail else []
        return "\n".join(parts)

    def _start_guard(self) -> None:
        self._guard = subprocess.Popen(
            [sys.executable, guard.__file__, self._mark, str(self.folder), *self.nodes],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def _spawn(self, name: str, argv: Sequence[str | Path], **variables: str) -> None:
        """Start a daemon in the foreground, in a session of its own: Ctrl-C is not for it."""
        program = shutil.which(str(argv[0]), path=_search_path())
        if program is None:
            raise ClusterError(f"{argv[0]} is not installed")
        with (self.folder / "log" / f"{name}.out").open("ab") as out:
            self._daemons[name] = subprocess.Popen(
                [program, *argv[1:]],
                env={**self.environment, **variables},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def _wait(self, name: str, ready: Callable[[], bool], what: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            code = self._daemons[name].poll()
            if code is not None:
                raise ClusterError(f"{name} ended with exit code {code} instead of serving {what}")
            if time.monotonic() > deadline:
                raise ClusterError(f"waited {seconds:g} s for {what} of {name}")
            time.sleep(_POLL_SECONDS)

    def _start_munge(self) -> None:
        folder = self.settings.munge_socket.parent
        key = folder / "key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        files = {"key-file": "key", "pid-file": "pid", "seed-file": "seed", "log-file": "log"}
        options = [f"--{option}={folder / name}" for option, name in files.items()]
        self._spawn(
            "munged",
            [
                "munged",
                "--foreground",
                "--force",
                f"--socket={self.settings.munge_socket}",
                *options,
            ],
        )
        probe = ["munge", "-n", "-S", str(self.settings.munge_socket)]
        self._wait("munged", lambda: self._succeeds(probe), "credentials", 20)

    def _start_accounting(self) -> None:
        """MariaDB without the network and slurmdbd before it."""
        data = self.folder / "mariadb"
        log = self.folder / "log" / "mariadb-install.log"
        # Of a database that lives for minutes, nothing has to reach the disk.
        common = ["--no-defaults", "--user=root", f"--datadir={data}", "--innodb-log-file-size=8M"]
        common += ["--innodb-flush-method=nosync"]
        install = ["mariadb-install-db", *common, "--auth-root-authentication-method=normal"]
        done = self.run(*install, "--skip-test-db", "--skip-name-resolve", check=False)
        log.write_text(done.stdout + done.stderr)
        if done.returncode != 0:
            raise ClusterError(f"mariadb-install-db ended with exit code {done.returncode}")
        door = self.settings.database_socket
        options = [f"--socket={door}", "--skip-networking", "--performance-schema=OFF"]
        # slurmdbd complains about MariaDB's defaults for these two.
        options += ["--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900"]
        self._spawn("mariadbd", ["mariadbd", *common, *options])
        self._wait("mariadbd", door.exists, "its socket")
        # Its client library has no other way to be told where the socket is.
        self._spawn("slurmdbd", ["slurmdbd", "-D"], MYSQL_UNIX_PORT=str(door))
        add = ["sacctmgr", "-i", "add", "cluster", CLUSTER_NAME]
        self._wait("slurmdbd", lambda: self._succeeds(add), "accounting")

    def start_controller(self) -> None:
        """Start slurmctld, the first time or again, and wait until it answers."""
        self._spawn("slurmctld", ["slurmctld", "-D"])
        self._wait("slurmctld", self.answers, "answers")

    def stop_controller(self) -> None:
        """Take slurmctld away as a reboot does: jobs go on, nobody answers."""
        daemon = self._daemons.pop("slurmctld")
        daemon.terminate()
        daemon.wait(timeout=30)

    def answers(self) -> bool:
        """Whether slurmctld answers."""
        return self._succeeds(["scontrol", "ping"])

    def _start_slurmd(self, node: str) -> None:
        self._spawn(f"slurmd-{node}", ["slurmd", "-D", "-N", node], **{NODE_TAG: node})

    def start_node(self, node: str) -> None:
        """Start a killed node again, when its death was noticed, and wait until it takes jobs."""
        self._start_slurmd(node)
        self.wait_for_nodes([node])

    def kill_node(self, node: str) -> None:
        """Pull the plug: slurmd, its step daemons and all processes of its jobs die at once, unasked."""
        daemon = self._daemons.pop(f"slurmd-{node}")
        daemon.kill()
        daemon.wait()
        while left := guard.marked(self._mark, f"{NODE_TAG}={node}"):
            guard.kill(left)
            time.sleep(_POLL_SECONDS)

    def wait_for_nodes(self, nodes: Sequence[str] = (), seconds: float = 60) -> None:
        """Wait until `nodes` (default: all) are up; raises ClusterError naming those that are not."""
        wanted = nodes or self.nodes
        deadline = time.monotonic() + seconds
        while True:
            said = self.run("sinfo", "-h", "-N", "-p", "gpu", "-o", "%N %T", check=False).stdout
            states = dict(line.split() for line in said.splitlines())
            down = {node: states.get(node) for node in wanted if not _is_up(states.get(node))}
            if not down:
                return
            if time.monotonic() > deadline:
                raise ClusterError(f"after {seconds:g} s these nodes are not up: {down}")
            time.sleep(_POLL_SECONDS)

    def change(self, **values: object) -> None:
        """Give keys of slurm.conf other values, in the running cluster."""
        conf = self.settings.slurm_conf
        text = conf.read_text()
        for key, value in values.items():
            text, count = re.subn(rf"(?m)^{key}=.*$", f"{key}={value}", text)
            assert count == 1, f"{key} stands {count} times in slurm.conf"
        conf.write_text(text)
        self.run("scontrol", "reconfigure")

    # -- what tests ask ------------------------------------------------------------------------------------

    def run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a client command of the cluster; raises CalledProcessError when `check` and it fails."""
        return subprocess.run(
            argv,
            env={**self.environment, "PATH": _search_path()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=check,
            timeout=60,
        )

    def jobs_of(self, folder: Path) -> list[str]:
        """Ids of all jobs that were submitted in `folder` or with a script below it."""
        said = self.run("squeue", "-h", "-t", "all", "-o", "%i\t%Z\t%o").stdout
        jobs = [line.split("\t") for line in said.splitlines()]
        return [job_id for job_id, *paths in jobs if any(str(folder) in path for path in paths)]

    def _succeeds(self, argv: Sequence[str]) -> bool:
        return self.run(*argv, check=False).returncode == 0


def _is_up(state: str | None) -> bool:
    return state in ("idle", "mixed", "allocated", "completing")


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, below those that the kernel gives to outgoing connections."""
    found: list[int] = []
    for port in random.sample(range(20000, 32000), 2000):
        with socket.socket() as probe:
            with contextlib.suppress(OSError):
                probe.bind(("", port))
                found.append(port)
        if len(found) == count:
            return found
    raise ClusterError(f"there are no {count} free ports between 20000 and 32000")


def _fake_gpus(folder: Path, count: int) -> Iterator[Path]:
    """Character devices that slurmd takes for GPUs and that are /dev/null in truth."""
    folder.mkdir()
    null = os.stat("/dev/null").st_rdev
    for number in range(count):
        path = folder / f"nvidia{number}"
        try:
            os.mknod(path, 0o666 | stat.S_IFCHR, null)
        except PermissionError:
            return
        yield path


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Poll `condition`; AssertionError that names `what` when it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(_POLL_SECONDS)
