# Each target makes .venv with plain pip if it is not there yet.
PYTHON ?= python3.11
BIN := .venv/bin
# Tests start many processes: the code is compiled once, not by each.
unexport PYTHONDONTWRITEBYTECODE
# A file's tests share a process, and so what they train once.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -q

.PHONY: demo test coverage test-slow lint docs clean

demo: .venv/installed
	$(BIN)/distill bench experiments/digits/bench.yaml --out runs/demo

test: .venv/installed
	$(PYTEST)

coverage: .venv/installed
	$(PYTEST) --cov

test-slow: .venv/installed
	$(BIN)/python -m pytest -q -m slow

lint: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

docs: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf .venv runs site
