# `make smoke` and `make test`: set up .venv if needed and run. Nothing here that you could not type.
#
# A Python other than the first one found:  make PYTHON=/path/to/python3.12 smoke
# pip's own settings (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, pip.conf) are honoured.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup smoke test lint schema constraints clean-smoke

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)
# Processes of `make test`; 0: none beside pytest's own.
WORKERS ?= 2
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint envs/constraints.txt

help:
	@echo "make smoke        the whole workflow in minutes on two CPU cores, on images it draws itself"
	@echo "make test         the tests"
	@echo "make lint         formatting, lint, types, floors, workflow, generated documents"
	@echo "make setup        only .venv, with the exact versions of envs/constraints.txt"
	@echo "make schema       write workflow/schemas/config.schema.json anew from the configuration models"
	@echo "make constraints  write envs/constraints.txt anew from .venv"
	@echo "make clean-smoke  remove results/smoke"

setup: .venv/.installed

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "msgbench needs Python >= 3.11, and `python3 --version 2>&1` is the newest found; name another: make PYTHON=/path/to/python3.12 setup" >&2; exit 2; fi
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "msgbench needs Python >= 3.11, but $(PYTHON) is `"$(PYTHON)" --version 2>&1`; name another: make PYTHON=/path/to/python3.12 setup" >&2; exit 2; }
	@echo "setup: making .venv with `"$(PYTHON)" --version`"
	@"$(PYTHON)" -m venv .venv || { rm -rf .venv; exit 2; }

.venv/.installed: pyproject.toml envs/constraints.txt | $(BIN)/python
	@echo "setup: installing the exact versions of envs/constraints.txt into .venv (once; a few minutes)"
	@$(PIP) setuptools
	@$(PIP) --no-build-isolation --editable '.[dev,lsun]'
	@touch $@
	@echo "setup: done"

# The tier and the folder are named, so that the command does the same whatever config.yaml says. Snakemake
# has a line of its own: without a shell between, a signal for make reaches it.
smoke: .venv/.installed
	@date +%s > .venv/.smoke-began
	@$(BIN)/snakemake --cores 2 all --quiet host reason --config tier=smoke results=results
	@took=$$((`date +%s` - `cat .venv/.smoke-began`)); \
	printf 'smoke: done in %d:%02d; the report is %s/results/smoke/report/index.html\n' \
		$$((took / 60)) $$((took % 60)) "$$PWD"

test: .venv/.installed
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

lint: .venv/.installed
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/msgbench schema | diff workflow/schemas/config.schema.json -
	$(BIN)/msgbench results-table --check
	$(BIN)/msgbench performance-page --check
	$(BIN)/msgbench walkthrough results/published/cifar10-first-training.json --out docs/first-training.md --check

schema: .venv/.installed
	$(BIN)/msgbench schema > workflow/schemas/config.schema.json

constraints: .venv/.installed
	@{ sed -n '/^#/p' envs/constraints.txt; \
	$(BIN)/python -m pip freeze --all --exclude-editable | grep -v -E '^(#|-e|pip==)' \
		| sed -E 's/\+(cpu|cu[0-9]+)$$//' | LC_ALL=C sort -f; } > envs/.constraints.new
	@mv envs/.constraints.new envs/constraints.txt
	@touch .venv/.installed

clean-smoke:
	rm -rf results/smoke
