# Everything that people do with this repository. `make` alone lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed

.PHONY: help setup servers demo sandbox sandbox-down test test-quick lint format types bench lab lock clean

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.lock pyproject.toml setup.sh
	@./setup.sh python "$(PYTHON)" "$(VENV)"

setup: $(READY) servers ## Make the virtual environment and see that the servers are there

servers: ## Install redis-server, prometheus and postgresql where that is possible, else say how
	@./setup.sh servers

demo: setup ## Practise site up, triage, one fault, triage again, both reports, all down again
	@$(BIN)/python -m sandbox.demo

sandbox: setup ## Start the practice site and leave it running
	@$(BIN)/python -m sandbox up

sandbox-down: $(READY) ## Stop the practice site
	@$(BIN)/python -m sandbox down

lab: $(READY) ## Open JupyterLab on the runbooks, on this machine only
	@$(BIN)/runbooks lab

test: setup ## All tests: lint, types, library, site, sandbox, notebooks
	@$(BIN)/ruff format --check --quiet . || { echo "not formatted: run 'make format'"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@cd sandbox/site && ../../$(BIN)/python manage.py test --verbosity 1
	@tests/lanes.sh $(BIN)/python

test-quick: $(READY) ## Unit tests only: no server, some seconds
	@$(BIN)/python -m pytest tests/unit -q

lint: $(READY) ## Style of code and notebooks
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .

types: $(READY) ## Types of the library
	@$(BIN)/mypy

format: $(READY) ## Put code and notebooks into form, take outputs out of notebooks
	@$(BIN)/ruff check --quiet --fix-only . ; $(BIN)/ruff format --quiet . ; $(BIN)/python tests/strip_notebooks.py

bench: setup ## Measure what this project promises; writes benchmarks/latest.json
	@$(BIN)/python -m benchmarks

lock: ## Resolve pyproject.toml again into requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --no-header --upgrade --extra sandbox --extra dev pyproject.toml --output-file requirements.lock

clean: ## Remove what was made here, except the runs and the ledger
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m sandbox down || true; fi
	@rm -rf $(VENV) .sandbox .sandbox-cache .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
