# make demo    four nodes pair, fly, and bring a sealed flight to the cloud; installs only what that needs
# make test    the test suite with coverage
# make test-slow  what takes longer, and every property with many more examples (half an hour)
# make check   lint, format, types, the import law, the pages
# make docs    the pages as HTML, from build/html/docs/index.html on
# make bench   the benchmark beside its peers (minutes); ARGS="--quick --json"
# make lock    pin the newest versions anew (needs the index)
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One more than a small machine has cores: much of what the tests do is waiting.
JOBS ?= 3
ARGS ?=
# Without its cache of compiled modules every process that a test starts compiles the project anew, and pytest its tests.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check install

.PHONY: help demo test test-slow check docs bench lock format clean

help:
	@sed -n 's/^# //p' Makefile

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Aerolink needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)

# Pinned with hashes; the project itself is installed in place, without its own resolution.
$(VENV)/.run: requirements/run.txt pyproject.toml | $(BIN)/python
	$(PIP) --require-hashes -r requirements/run.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.bench: requirements/bench.txt $(VENV)/.run
	$(PIP) --require-hashes -r requirements/bench.txt
	@touch $@

# The checks read the benchmark too, so they need what it imports.
$(VENV)/.dev: requirements/dev.txt $(VENV)/.bench
	$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@

# trio's DTLS works with an older pyOpenSSL than aioquic wants.
$(VENV)/.bench-dtls/.done: requirements/bench-dtls.txt | $(BIN)/python
	$(BIN)/python -m venv $(VENV)/.bench-dtls
	$(VENV)/.bench-dtls/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/bench-dtls.txt
	@touch $@

# node-mavlink, one of the ground stations in tests, which say that they skip it where there is no npm.
$(VENV)/node/.done: $(addprefix tests/tools/node/,package.json package-lock.json .npmrc) | $(BIN)/python
	mkdir -p $(@D) && cp $^ $(@D)
	if command -v npm > /dev/null; then cd $(@D) && npm ci --silent && touch .done; fi

demo: $(VENV)/.run
	$(BIN)/aerolink demo

# What runs without coverage, which trebles the time: tests/conftest.py.
test: $(VENV)/.dev $(VENV)/node/.done
	$(BIN)/pytest -n $(JOBS) --dist worksteal -q -m "not slow" --cov --cov-report=
	$(BIN)/coverage report
	$(BIN)/coverage report --include='protocols/guards/*,protocols/codec.py,protocols/noise/*' --fail-under=100

test-slow: $(VENV)/.dev $(VENV)/node/.done
	AEROLINK_THOROUGH=1 $(BIN)/pytest -n $(JOBS) --dist worksteal -q -m slow tests
	AEROLINK_THOROUGH=1 $(BIN)/pytest -n $(JOBS) --dist worksteal -q -m "not slow" tests/property tests/unit

check: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory docs

# What Sphinx has read it does not read again, and a warning that it does not repeat would be one that nobody minds.
docs: $(VENV)/.dev
	$(BIN)/sphinx-build -b html -c docs -d build/doctrees -j $(JOBS) -q -W --keep-going . build/html || { rm -rf build/doctrees; exit 1; }

bench: $(VENV)/.bench $(VENV)/.bench-dtls/.done
	$(BIN)/aerolink bench $(ARGS)

format: $(VENV)/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: $(VENV)/.dev
	set -e; for name in run dev bench bench-dtls; do $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 requirements/$$name.in -o requirements/$$name.txt; done

clean:
	rm -rf $(VENV) build docs/reference/*.rst .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache dist
