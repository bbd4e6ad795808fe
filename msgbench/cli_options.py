"""What commands of several command-line modules share: options, checks of their values, the benchmark they name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from msgbench.errors import ConfigError

if TYPE_CHECKING:
    from msgbench.config import Benchmark
    from msgbench.layout import Layout

ConfigOption = Annotated[Path, typer.Option("--config", help="The benchmark's configuration.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Change one value of it: key.path=value (value in YAML). Repeatable."
    ),
]
LogOption = Annotated[
    Path | None, typer.Option("--log", help="Append all messages to this file, too.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
CheckOption = Annotated[
    bool,
    typer.Option("--check", help="Write nothing; an error when the file is not what it would be."),
]
DEFAULT_CONFIG = Path("config.yaml")


def known_threads(threads: int) -> int:
    """`threads` when a computation can have so many; raises ConfigError for fewer than 1."""
    if threads < 1:
        raise ConfigError(
            f"--threads: {threads} is not allowed; allowed: a whole number of at least 1"
        )
    return threads


def file_to_write(option: str, path: Path) -> Path:
    """`path` when a file can come to lie there; raises ConfigError, naming `option`, where a folder or no folder is."""
    if path.is_dir():
        raise ConfigError(f"{option}: {str(path)!r} is a folder; allowed: the name of a file")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        raise ConfigError(f"{option}: {str(path)!r} lies below {above}, which is a file")
    return path


def known_device(name: str) -> str:
    """`name` when it is a device's; raises ConfigError for any other text."""
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device: {name!r} is not allowed; allowed: auto, cpu, cuda")
    return name


def benchmark_of(config: Path, assignments: list[str] | None) -> Benchmark:
    """The benchmark of a config file with the changes of a command line."""
    from msgbench.config import load_benchmark

    return load_benchmark(config, assignments=assignments or ())


def layout_of(benchmark: Benchmark) -> Layout:
    """Where the results of `benchmark` lie."""
    from msgbench.layout import Layout

    return Layout.of(benchmark.results, benchmark.tier)
