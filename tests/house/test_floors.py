"""The architecture holds: floors, no torch on the ground, a command line that starts at once."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "msgbench"


def test_the_floors_hold() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "Contracts: 4 kept, 0 broken" in done.stdout


def test_every_room_has_its_floor() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    named = {room.strip() for layer in contracts[0]["layers"] for room in layer.split("|")}
    rooms = {p.stem for p in PACKAGE.iterdir() if p.name not in ("__init__.py", "__pycache__")}
    assert rooms == named


@pytest.mark.parametrize("arguments", [["--help"], ["plan", "--help"], ["table", "--help"]])
def test_help_never_loads_torch(arguments: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['msgbench', *{arguments!r}]\n"
        "from msgbench.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = [m for m in ('torch', 'pandas', 'matplotlib', 'submitit', 'snakemake') if m in sys.modules]\n"
        "sys.exit(','.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_analysis_commands_never_load_torch() -> None:
    code = (
        "import sys, msgbench.analysis.tables, msgbench.analysis.figures, msgbench.analysis.report\n"
        "import msgbench.launch.submit, msgbench.analysis.cost\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_pickled_code_and_no_catch_all() -> None:
    bad = re.compile(
        r"weights_only\s*=\s*False|pickle\.loads?\(|except Exception\b|except:|# ?TODO|# ?FIXME"
    )
    found = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in sorted(PACKAGE.rglob("*.py"))
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if bad.search(line)
    ]
    assert found == []
