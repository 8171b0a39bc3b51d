# Two commands do all the set-up: 'make run' and 'make test'.
# They need Python (3.11 or later), pip and make, and nothing else.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TEST_JOBS ?= 2
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: run test lint floors bench packages screenshots clean

run: $(VENV)/.run
	$(BIN)/dasktune make -f pipelines/digits.py

test: $(VENV)/.test
	$(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadgroup

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Everything that is measured, beside its rivals; they have an environment of their own. An hour.
bench: $(VENV)-bench/.bench $(VENV)/.test
	$(VENV)-bench/bin/python benchmarks/bench_rivals.py --write
	$(VENV)-bench/bin/python benchmarks/bench_overhead.py --write
	$(VENV)-bench/bin/python benchmarks/bench_scale.py --write
	$(VENV)-bench/bin/python benchmarks/bench_noop.py
	$(VENV)-bench/bin/python benchmarks/bench_reading.py --write
	$(VENV)-bench/bin/python benchmarks/bench_data.py
	$(BIN)/python -m pytest -q benchmarks/bench_parts.py --benchmark-enable

$(VENV)-bench/.bench: pyproject.toml constraints.txt benchmarks/requirements.txt
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  -e '.[dashboard,export,plot,tensorboard]' -r benchmarks/requirements.txt
	@touch $@

# The pictures in docs/images, of sweeps that are really made; needs Debian's chromium.
screenshots: $(VENV)/.test
	$(BIN)/python scripts/take-report-screenshots
	$(BIN)/python scripts/take-dashboard-screenshots

# What tests need of Debian's packages; without them those tests skip, and say so.
packages:
	scripts/install-debian-packages

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "dasktune needs Python 3.11 or later; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) -e '.[dashboard]'
	@touch $@

$(VENV)/.test: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) -e '.[dashboard,hpc,test]'
	@touch $@ $(VENV)/.run

clean:
	rm -rf $(VENV) $(VENV)-bench dist
