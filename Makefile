PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test lint docs clean

demo: .venv/installed
	L402_DEV=1 PYTHONPATH=examples $(BIN)/python -m file_conversion

test: .venv/installed
	$(BIN)/python -m pytest

lint: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: .venv/installed
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

.venv/installed: pyproject.toml Makefile
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group develop
	touch $@

clean:
	rm -rf .venv .lab .demo docs/_build
