# Everything starts from here: `make quickstart` and `make test` need git, make and Python 3.11.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install quickstart test coverage test-deployed test-sweep lint docs settings clean

install: $(STAMP)

# Python compiles what it imports; to compile all of torch and Ray at once takes over a minute.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	touch $@

quickstart: $(STAMP)
	$(BIN)/fedsim run configs/quickstart.yaml --out runs/quickstart

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

# Python 3.11 traces lines by a hook that nearly doubles the time of the tests.
coverage: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term:skip-covered

test-deployed: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m deployed tests/integration

test-sweep: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m sweep -n 2 tests/unit

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

settings: $(STAMP)
	$(BIN)/python docs/extensions/settings_tables.py

docs: $(STAMP)
	$(BIN)/python -m sphinx --fresh-env --fail-on-warning --quiet -d build/doctrees docs build/docs

clean:
	rm -rf $(VENV) build *.egg-info
