# `make demo` and `make test` work on a bare clone: they create the environment when it is missing.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= runs/demo

.PHONY: demo test lint types unit docs bench clean
.DEFAULT_GOAL := demo

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/.installed  ## train on bundled data and draw the result (a few minutes)
	$(BIN)/gsam demo --out $(OUT) --force

test: lint types unit docs  ## everything CI checks

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy

unit: $(VENV)/.installed
	$(BIN)/python -m pytest -n auto

docs: $(VENV)/.installed
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

# the other grids need data that have to be placed by hand
GRIDS := preset preset_transductive table3_open

bench: $(VENV)/.installed  ## every figure of the README, into benchmarks/results/ (hours)
	for script in $(filter-out %/bench_grid.py %/bench_kg_accuracy.py,$(wildcard benchmarks/bench_*.py)); do $(BIN)/python $$script || exit 1; done
	$(BIN)/python benchmarks/bench_episodes.py --threads 2
	$(BIN)/python benchmarks/bench_interval.py --dataset wordnet --split wordnet
	for set in wn18rr fb15k-237; do $(BIN)/python benchmarks/bench_kg_accuracy.py $$set || exit 1; done
	for grid in $(GRIDS); do $(BIN)/python benchmarks/bench_grid.py $$grid || exit 1; done

clean:
	rm -rf $(VENV) runs docs/_build build dist
