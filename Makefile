# Two commands matter: `make demo` runs the example through files and through the store, `make test` passes the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
VERSIONS ?= 3.11 3.12 3.13
export DO_NOT_TRACK = 1

.PHONY: demo test coverage test-short test-portable test-wheel test-bench test-all lint format bench bench-scale bench-values bench-peers \
  bench-pipeline bench-runners bench-tiers docs stress e2e lock clean

demo: $(VENV)/.installed
	$(BIN)/bodega demo

test: $(VENV)/.installed
	$(BIN)/pytest -n 2 --dist worksteal

test-bench: $(VENV)/.bench
	$(BIN)/pytest -n 2 --dist worksteal benchmarks/tests

# The wheel, built and used from an empty folder in an environment of its own.
test-wheel: $(VENV)/.installed
	rm -rf dist .venv-wheel
	$(BIN)/python -m hatchling build -t wheel
	$(PYTHON) -m venv .venv-wheel
	.venv-wheel/bin/python -m pip install --quiet "$$(echo dist/bodega-*.whl)"
	cd "$$(mktemp -d)" && BODEGA_ROOT="$$PWD/root" "$(abspath .venv-wheel)/bin/python" -c \
	  "import bodega; store = bodega.open(); store['x'] = [1, 2]; assert store['x'] == [1, 2]" && \
	  BODEGA_ROOT="$$PWD/root" "$(abspath .venv-wheel)/bin/bodega" ls

# The portable paths: every capability of the kernel switched off.
test-portable: $(VENV)/.installed
	BODEGA_WITHOUT=all $(BIN)/pytest -n 2 --dist worksteal tests/memory tests/test_store.py

# What differs between Python versions: the lease, the mapping, pickling.
test-short: $(VENV)/.installed
	$(BIN)/pytest -n 2 --dist worksteal -q tests/memory tests/codecs tests/test_store.py tests/format

# The tests of the core, what they leave out of it, and an error where that is more than it was.
coverage: $(VENV)/.installed
	rm -f .coverage .coverage.*
	COVERAGE_CORE=$$($(BIN)/python -c 'import sys; print("sysmon" if sys.version_info >= (3, 12) else "ctrace")') \
	  $(BIN)/coverage run -m pytest -n 2 --dist worksteal -q tests/memory tests/tiers tests/format tests/codecs \
	  tests/test_store.py tests/test_streams.py
	find . -maxdepth 1 -name '.coverage.*' -empty -delete # Of processes that were killed.
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

test-all:
	set -e; for version in $(VERSIONS); do \
	  $(MAKE) $(or $(TARGET),test) VENV=.venv-$$version PYTHON="$$(scripts/find-python $$version)"; \
	done

lint: $(VENV)/.bench
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# The benchmarks are a distribution of their own, installed beside the library when one is run. Each prints tables and
# writes to bench-results; ARGS="--json" and the like goes to it. With BASE=COMMIT: this checkout beside an older commit.
bench: $(VENV)/.bench
	$(BIN)/bodega bench $(if $(BASE),against $(BASE),micro) $(ARGS)

# Values of many small parts, beside pickle's own dump and load.
bench-values: $(VENV)/.bench
	$(BIN)/bodega bench values $(ARGS)

# Few and many names and runs: what an operation costs wherever it is.
bench-scale: $(VENV)/.bench
	$(BIN)/bodega bench scale $(ARGS)

# Warm puts, moves between tiers and many objects, beside the best that the machine does at the same time.
bench-tiers: $(VENV)/.bench
	$(BIN)/bodega bench tiers $(ARGS)

# The example under Kedro's runners and bodega's.
bench-runners: $(VENV)/.bench
	$(BIN)/bodega bench runners $(ARGS)

# Beside other ways to share, each in an environment of its own.
bench-peers: $(VENV)/.bench
	$(BIN)/bodega bench store $(ARGS)

# The example through every medium, at growing scales: hours, up to x2000. Less with ARGS="--scales 1,10".
bench-pipeline: $(VENV)/.bench
	$(BIN)/bodega bench pipeline --resume $(ARGS)

stress: $(VENV)/.installed
	BODEGA_STRESS=1 $(BIN)/pytest -s --durations 0 --durations-min 1 \
	  tests/memory/test_races.py tests/memory/test_lease_machine.py tests/memory/test_interrupts.py tests/faults tests/tiers

# On a real Kubernetes of two hosts, which a tool outside the project starts on this machine; see CONTRIBUTING.md.
e2e: $(VENV)/.installed
	$(BIN)/pytest -s -v --durations 0 --durations-min 1 tests/e2e

# The documentation is Markdown: its examples run, and its links lead somewhere.
docs: $(VENV)/.installed
	$(BIN)/pytest -q tests/test_docs.py

lock:
	uv pip compile pyproject.toml benchmarks/pyproject.toml --all-extras --group dev --universal --generate-hashes \
	  --no-emit-index-url --no-emit-package bodega --no-emit-package bodega-bench --no-header --python-version 3.11 -o requirements.lock

$(VENV)/.installed: pyproject.toml requirements.lock
ifdef UV
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	$(UV) pip install --quiet --python $(BIN)/python --requirement requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
else
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet hatchling editables
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
endif
	touch $@

$(VENV)/.bench: $(VENV)/.installed benchmarks/pyproject.toml
ifdef UV
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable benchmarks
else
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable benchmarks
endif
	touch $@

clean:
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
