"""`python -m msgbench.launch REQUEST`: the process that submits a job and ends (see submit.py)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from msgbench.launch.submit import submit


def main(request: str) -> None:
    """Submit the job that the JSON object `request` describes."""
    asked = json.loads(request)
    submit(asked["argv"], Path(asked["run_dir"]))


if __name__ == "__main__":
    main(sys.argv[1])
