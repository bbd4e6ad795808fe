"""`python -m msgbench.launch ORDER`: the process that submits a job and ends (see submit.py)."""

from __future__ import annotations

import sys

from msgbench.errors import LaunchError
from msgbench.launch.order import Order
from msgbench.launch.submit import submit


def main(order: str) -> None:
    """Submit the job that the JSON object `order` describes; an error is the last line on stderr."""
    try:
        submit(Order.from_json(order))
    except LaunchError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1])
