PYTHON ?= python3
BIN = .venv/bin
PIP = $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: demo test test-lowest test-python lint bench soak crashes flood outage fuzz mutants docs clean

# Half a virtual environment (Debian without python3-venv) must not pass for a whole one the next time.
.DELETE_ON_ERROR:

demo: .venv/demo
	L402_DEV=1 PYTHONPATH=examples $(BIN)/python -m file_conversion

test: .venv/test
	$(BIN)/python -m pytest

# What depends on the frameworks and on Python.
MATTERING = -m "not slow" tests/adapters tests/audit tests/core tests/paywall

# The test clients of these versions leave streams open.
test-lowest: .venv-lowest/installed
	.venv-lowest/bin/python -m pytest -p tests.older_frameworks -W ignore::ResourceWarning \
		-W ignore::pytest.PytestUnraisableExceptionWarning $(MATTERING)

# With another Python: make test-python PYTHON=python3.13
test-python: .venv-python/installed
	.venv-python/bin/python -m pytest $(MATTERING)

lint: .venv/lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# Parts of the bench: make bench PARTS="verification wire".
PARTS ?=

bench: .venv/test .venv-peers/installed
	$(BIN)/python -m bench $(PARTS)

# How many workers to kill.
KILLS ?= 200

soak: .venv/test
	$(BIN)/python -m tests.faults.soak $(KILLS)

# Each point of a purchase so often, twice, against two servers: 5 are 200 kills of the paying client.
ROUNDS ?= 5

crashes: .venv/test
	CRASH_ROUNDS=$(ROUNDS) $(BIN)/python -m pytest -q tests/client/test_crashes.py

outage: .venv/test
	$(BIN)/python -m tests.faults.node_outage

# How long, in seconds, for each server.
flood: SECONDS = 60
flood: .venv/test
	$(BIN)/python -m tests.faults.flood $(SECONDS)

# How many inputs for each target, and after how many seconds to end it anyway (0: never).
RUNS ?= 100000
SECONDS ?= 0

fuzz: .venv/fuzz
	$(BIN)/python -m tests.fuzz --runs $(RUNS) --seconds $(SECONDS)

# Which functions: a pattern such as 'l402_middleware.core.keys.*'; all where there is none.
OF ?=

mutants: .venv/mutants
	$(BIN)/python -m tests.mutants $(OF)

docs: .venv/docs
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs docs/_build/html

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(PIP) install --upgrade 'pip>=25.1'

# What we are compared with brings dependencies of its own, and stays away from ours.
.venv-peers/installed: pyproject.toml
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	.venv-peers/bin/python -m pip install --quiet --editable '.[fastapi,flask,dev]' --group peers
	touch $@

.venv-lowest/installed .venv-python/installed: pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]' --group $(GROUP)
	touch $@

.venv-lowest/installed: EXTRAS = starlette,fastapi,flask,limits,redis,postgres,dev,testing
.venv-lowest/installed: GROUP = lowest
.venv-python/installed: EXTRAS = starlette,fastapi,flask,limits,redis,postgres,dev,testing
.venv-python/installed: GROUP = test
.venv/demo: EXTRAS = starlette,dev
.venv/test .venv/lint .venv/docs .venv/mutants: EXTRAS = starlette,fastapi,flask,lnurl,nwc,requests,limits,redis,postgres,dev,testing
.venv/fuzz: EXTRAS = dev
.venv/demo .venv/test .venv/lint .venv/docs .venv/fuzz .venv/mutants: .venv/bin/python pyproject.toml
	$(PIP) install --editable '.[$(EXTRAS)]' --group $(@F)
	touch $@

clean:
	rm -rf .venv .venv-lowest .venv-peers .venv-python .lab .demo .fuzz mutants docs/_build
