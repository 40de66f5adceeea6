# The two commands of the README (`make demo`, `make test`) and the ones developers use.
# Everything happens in ./.venv, which is made on the first use and kept up to date with
# pyproject.toml and constraints.txt by the stamp files in it.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# Spinning torch threads were seen to make a busy machine 14 times slower.
export OMP_WAIT_POLICY := PASSIVE

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint format docs bench clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

demo: $(VENV)/.installed-demo  ## train and score five agents on Maze (FULL=1 trains and plays longer; ARGS=... goes on)
	$(BIN)/lmrlgym demo $(if $(FULL),--full) $(ARGS)

test: $(VENV)/.installed-test  ## all tests but the slow ones (ARGS=... goes on to pytest)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -m "not slow" $(ARGS)

test-slow: $(VENV)/.installed-slow  ## the slow tests: packaging, real models, long training, the TextWorld engine, a Ray cluster
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow $(ARGS)

lint: $(VENV)/.installed-test  ## formatting, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict lmrlgym baselines

format: $(VENV)/.installed-test  ## rewrite the files as `make lint` wants them
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.installed-test  ## make docs/envs and docs/algorithms from the docstrings
	$(BIN)/python -m docs.make_pages

bench: $(VENV)/.installed-demo  ## the speed table (ARGS=... goes on)
	$(BIN)/python -m benchmarks.envs $(ARGS)

clean:  ## remove the environment, builds and caches; runs/ stays
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@test -n "$(PYTHON)" || { echo "no python3.11 found: name one, make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed-demo: $(VENV)/.created pyproject.toml constraints.txt
	@echo "installing into $(VENV) (once, about a minute)"
	$(PIP) --editable '.[baselines]'
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed-demo
	$(PIP) --editable '.[baselines,gguf,endpoint,chess,compare,dev]'
	@touch $@

$(VENV)/.installed-slow: $(VENV)/.installed-test
	$(PIP) --editable '.[baselines,gguf,endpoint,chess,textworld,compare,ray,dev]'
	@touch $@
