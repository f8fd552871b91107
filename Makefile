# make demo | make test: each sets up .venv first, once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint clean

demo: $(READY)
	@$(BIN)/python -m benchmarks.demo

test: $(READY) lint
	@$(BIN)/python -m pytest --cov --cov-report=term --cov-fail-under=90

lint: $(READY)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

# Everything is installed once, at the versions that were tested, and again only if these files change.
$(READY): pyproject.toml constraints.txt tools/make_venv.sh
	@tools/make_venv.sh $(PYTHON) $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) demo build dist *.egg-info .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis
