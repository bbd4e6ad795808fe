"""What a test cluster's daemons read: slurm.conf, gres.conf, slurmdbd.conf, with short timers.

The timers are those of a cluster in a hurry: a real one notices a dead node after minutes and lets a
requeued job wait for two (`cred_expire`).
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

CLUSTER_NAME = "msgbench"
# A node is dead after this; a killed step gets this long; a preempted job this long to save.
NODE_TIMEOUT_SECONDS = 15
KILL_WAIT_SECONDS = 5
GRACE_SECONDS = 10
MEMORY_MB = 16000


@dataclass(frozen=True)
class Settings:
    """The facts of one cluster; every path below `folder`, every port free when it was chosen."""

    folder: Path
    nodes: tuple[str, ...]
    cpus: int
    gpus: tuple[Path, ...]
    accounting: bool
    controller_port: int
    database_port: int
    node_ports: tuple[int, ...]

    @property
    def munge_socket(self) -> Path:
        """Where clients and daemons ask for credentials."""
        return self.folder / "munge" / "socket"

    @property
    def database_socket(self) -> Path:
        """MariaDB's only door."""
        return self.folder / "mariadb.sock"

    @property
    def slurm_conf(self) -> Path:
        """What SLURM_CONF names; gres.conf and slurmdbd.conf are looked for beside it."""
        return self.folder / "etc" / "slurm.conf"

    def write(self) -> None:
        """Write all configuration files and make the folders that they name."""
        for name in ("etc", "log", "state", "munge", *(f"spool/{node}" for node in self.nodes)):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        etc = self.slurm_conf.parent
        self.slurm_conf.write_text(self._slurm_conf())
        (etc / "gres.conf").write_text(self._gres_conf())
        (etc / "cgroup.conf").write_text("ConstrainRAMSpace=no\n")
        if self.accounting:
            conf = etc / "slurmdbd.conf"
            conf.touch(mode=0o600)
            conf.write_text(self._slurmdbd_conf())

    def _slurm_conf(self) -> str:
        host = socket.gethostname().split(".")[0]
        credentials = f"cred_expire=5,socket={self.munge_socket}"
        lines = [
            f"ClusterName={CLUSTER_NAME}",
            f"SlurmctldHost={host}(127.0.0.1)",
            f"SlurmctldPort={self.controller_port}",
            "SlurmUser=root",
            "SlurmdUser=root",
            "AuthType=auth/munge",
            f"AuthInfo={credentials}",
            f"StateSaveLocation={self.folder}/state",
            f"SlurmdSpoolDir={self.folder}/spool/%n",
            f"SlurmctldPidFile={self.folder}/slurmctld.pid",
            f"SlurmdPidFile={self.folder}/slurmd-%n.pid",
            f"SlurmctldLogFile={self.folder}/log/slurmctld.log",
            f"SlurmdLogFile={self.folder}/log/slurmd-%n.log",
            "MpiDefault=none",
            "SwitchType=switch/none",
            # Without cgroups, so that it runs in a container; memory is watched by polling.
            "ProctrackType=proctrack/linuxproc",
            "TaskPlugin=task/none",
            "JobAcctGatherType=jobacct_gather/linux",
            "JobAcctGatherFrequency=task=2",
            "JobAcctGatherParams=OverMemoryKill",
            "SelectType=select/cons_tres",
            "SelectTypeParameters=CR_Core_Memory",
            "DefMemPerCPU=512",
            # The nodes promise more than this machine has.
            "SlurmdParameters=config_overrides",
            "SchedulerType=sched/backfill",
            "SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0",
            "PreemptType=preempt/partition_prio",
            "PreemptMode=REQUEUE",
            "JobRequeue=1",
            "ReturnToService=2",
            f"SlurmdTimeout={NODE_TIMEOUT_SECONDS}",
            "SlurmctldTimeout=10",
            "MessageTimeout=10",
            f"KillWait={KILL_WAIT_SECONDS}",
            "InactiveLimit=0",
            # Jobs that ended stay in squeue for a whole session of tests.
            "MinJobAge=3600",
            *self._accounting_lines(),
            *(["GresTypes=gpu"] if self.gpus else []),
            *self._node_lines(),
            *self._partition_lines(),
        ]
        return "\n".join(lines) + "\n"

    def _accounting_lines(self) -> list[str]:
        if not self.accounting:
            return ["AccountingStorageType=accounting_storage/none", "JobCompType=jobcomp/none"]
        return [
            "AccountingStorageType=accounting_storage/slurmdbd",
            "AccountingStorageHost=127.0.0.1",
            f"AccountingStoragePort={self.database_port}",
            f"AccountingStoragePass={self.munge_socket}",
            *(["AccountingStorageTRES=gres/gpu"] if self.gpus else []),
            "JobCompType=jobcomp/none",
        ]

    def _node_lines(self) -> list[str]:
        host = socket.gethostname().split(".")[0]
        gres = f" Gres=gpu:{len(self.gpus)}" if self.gpus else ""
        return [
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={self.cpus}"
            f" Boards=1 SocketsPerBoard=1 CoresPerSocket={self.cpus} ThreadsPerCore=1"
            f" RealMemory={MEMORY_MB}{gres} State=UNKNOWN"
            for node, port in zip(self.nodes, self.node_ports, strict=True)
        ]

    def _partition_lines(self) -> list[str]:
        common = f"Nodes={','.join(self.nodes)} MaxTime=1-0 DefaultTime=10 State=UP"
        return [
            f"PartitionName=gpu {common} PriorityTier=10 PreemptMode=OFF Default=YES",
            f"PartitionName=cpu {common} PriorityTier=10 PreemptMode=OFF",
            f"PartitionName=preempt {common} PriorityTier=1 PreemptMode=REQUEUE"
            f" GraceTime={GRACE_SECONDS}",
        ]

    def _gres_conf(self) -> str:
        return "".join(
            f"NodeName={node} Name=gpu File={gpu}\n" for node in self.nodes for gpu in self.gpus
        )

    def _slurmdbd_conf(self) -> str:
        return "\n".join(
            [
                f"DbdHost={socket.gethostname().split('.')[0]}",
                "DbdAddr=127.0.0.1",
                f"DbdPort={self.database_port}",
                "SlurmUser=root",
                "AuthType=auth/munge",
                f"AuthInfo=socket={self.munge_socket}",
                f"PidFile={self.folder}/slurmdbd.pid",
                f"LogFile={self.folder}/log/slurmdbd.log",
                "StorageType=accounting_storage/mysql",
                "StorageHost=localhost",
                "StorageUser=root",
                "StorageLoc=accounting",
                "",
            ]
        )
