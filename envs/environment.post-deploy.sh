#!/usr/bin/env bash
# Runs in the new conda environment, in the folder snakemake was started in: the same exact versions as
# .venv, and msgbench from its sources.
set -euo pipefail
python -m pip install --quiet --constraint envs/constraints.txt setuptools
python -m pip install --quiet --constraint envs/constraints.txt --no-build-isolation --editable '.[lsun]'
