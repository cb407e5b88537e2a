# Everything that a clean clone needs is a target here. `make` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
# Recipes share one virtual environment, so they run one after the other.
.NOTPARALLEL:

VENV := .venv
BIN := $(VENV)/bin
# The first Python that is new enough; `make demo PYTHON=…` names another.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
  command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)
FAST := not slow and not engines and not docker and not train and not ray
# A folder of your own photos for `make demo`.
PHOTOS ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# $(call install,EXTRAS): the package, editable, with these extras.
define install
	@echo "== installing stair-search[$(1)] into $(VENV) (pip keeps its downloads: a second time is quick)"
	@SECONDS=0; $(BIN)/python -m pip install --quiet --editable '.[$(1)]' && echo "== installed in $$SECONDS s, $$(du -sm $(VENV) | cut -f1) MB in $(VENV)"
	@touch $@
endef

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/.installed-demo ## a first look: real photos, a few questions, hits with reasons; PHOTOS=dir takes yours
	$(BIN)/stair-search demo $(if $(PHOTOS),'$(PHOTOS)')

.PHONY: check
check: $(VENV)/.installed-test lint types ## lint, types, fast tests on every core; no engine, no torch
	$(BIN)/python -m pytest -q -n auto -m "$(FAST)"

.PHONY: test
test: $(VENV)/.installed-all lint types package ## everything, engines included; the first time installs torch
	$(BIN)/python -m pytest

.PHONY: lint
lint: $(VENV)/.installed-test ## ruff: rules and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

.PHONY: format
format: $(VENV)/.installed-test ## ruff: put right what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: types
types: $(VENV)/.installed-test ## mypy --strict
	$(BIN)/mypy

.PHONY: package
package: $(VENV)/.installed-test ## build the sdist, the wheel from it, install that and run it
	$(BIN)/python -m tests.house.package

.PHONY: engines
engines: $(VENV)/.installed-test ## start OpenSearch and Elasticsearch 7 (no Docker needed), print their URLs, leave them running
	$(BIN)/python -m tests.nodes start

.PHONY: engines-stop
engines-stop: ## end what `make engines` started
	$(BIN)/python -m tests.nodes stop

.PHONY: starter
starter: $(VENV)/.installed-train ## train the starter model's weights anew
	$(BIN)/python -m stair_search.training.starter

.PHONY: clean
clean: ## remove the virtual environment and what was built
	rm -rf $(VENV) dist build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python >= 3.11 found (looked for python3.11 … python3.14, python3). Install one, or: make PYTHON=/path/to/python …" >&2; exit 1; }
	@echo "== making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make a virtual environment. On Debian or Ubuntu: apt-get install python3-venv" >&2; rm -rf $(VENV); exit 1; }

# What is installed already; pyproject.toml changed: pip looks again.
$(VENV)/.installed-demo: pyproject.toml | $(BIN)/python
	$(call install,demo)
	@$(BIN)/python -m pip install --quiet --no-deps scikit-image # for its photos alone
$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	$(call install,test)
$(VENV)/.installed-train: pyproject.toml | $(BIN)/python
	@echo "== torch comes with CUDA from PyPI on Linux: about 3 GB to download, 6 GB on disk, once"
	$(call install,train)
$(VENV)/.installed-all: pyproject.toml | $(BIN)/python
	@echo "== torch comes with CUDA from PyPI on Linux: about 3 GB to download, 6 GB on disk, once"
	$(call install,all)
	@touch $(VENV)/.installed-demo $(VENV)/.installed-test $(VENV)/.installed-train
