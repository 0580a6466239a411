# `make demo` and `make test` set themselves up: Python 3.11+ and a package registry are enough.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Two processes, each with whole files: what a file prepares is prepared once. In the order of
# tests/conftest.py: the longest first.
PYTEST_FLAGS ?= --numprocesses=2 --dist=loadfile --no-loadscope-reorder

.PHONY: demo test test_rest test_all lint docs fuzz canary format dist clean

demo: $(VENV)/.demo
	$(BIN)/python -m care_keras.convert --int8

# Minutes: a third of the cases, and no test that takes more than three seconds (tests/tiers.py).
test: $(VENV)/.test
	$(BIN)/python -m pytest --tier=fast $(PYTEST_FLAGS)

# What `make test` leaves out, and both together.
test_rest: $(VENV)/.test
	$(BIN)/python -m pytest --tier=rest $(PYTEST_FLAGS)

test_all: $(VENV)/.test
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The site, as pages in build/site that open without a server.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The same mutants for the same seed: another one looks elsewhere.
FUZZ_FLAGS ?= --seconds=600 --seed=0
fuzz: $(VENV)/.test
	$(BIN)/python -m tests.fuzz $(FUZZ_FLAGS)

# The core of the tests on the lower bounds, on the newest versions and on those of the night.
CANARY_SETS ?= lowest newest nightly
canary: $(VENV)/.test
	@failed=; for set in $(CANARY_SETS); do echo "== $$set"; \
		$(BIN)/python -m tests.canary --set=$$set || failed="$$failed $$set"; done; \
		test -z "$$failed" || { echo "error: broken:$$failed" >&2; exit 1; }

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The wheel and the source distribution, as a registry takes them. What an earlier build has left in
# build/ would go into the wheel.
dist: $(VENV)/.dist
	rm -rf build dist care_keras.egg-info
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed: make PYTHON=python3.11 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: setup.cfg setup.py | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.test: setup.cfg setup.py | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@

$(VENV)/.dist: | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet 'build>=1.6.1' 'twine>=7.0.0'
	@touch $@

$(VENV)/.docs: setup.cfg setup.py | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
