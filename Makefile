# Nothing but make and Python 3.11 or newer with its venv module has to be there; everything else goes to .venv.
#
#   make demo     simulate a night of three cameras with one transit, and reduce it
#   make test     run the tests
#   make quick    run those that are fast: less than a minute on two cores
#   make lint     style, types, and that imports go downwards only
#   make docs     the documentation, as docs/_build/html/index.html
#   make bench    the benchmarks, and docs/benchmarks.md anew
#   make dist     build the package, check it, and install it in a fresh environment
#   make clean    remove everything that the above made
#
# Another Python: make test PYTHON=python3.12        Fewer tests: make test PYTEST="tests/test_noise.py"

PYTHON ?= python3
VENV ?= .venv

# The night of the demonstration, in the words of `reduce simulate`.
NIGHT ?= --frames 40 --exposure 20

# In as many processes as there are cores, but for large machines.
PROCESSES = -n auto --maxprocesses 4
PYTEST ?= $(PROCESSES) tests examples/potpyri-like-hall42/tests examples/potpyri-like-extras/tests

BIN = $(VENV)/bin
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
MADE = $(VENV)/.made-by-python$(VERSION)
PROJECTS = pyproject.toml $(wildcard examples/*/pyproject.toml)
PIP = $(BIN)/python -m pip --disable-pip-version-check --quiet --no-input install

.PHONY: help demo test quick lint docs bench dist clean
.DELETE_ON_ERROR:

help:
	@sed -n '2,/^$$/s/^# \{0,1\}//p' Makefile

demo: $(VENV)/.run
	rm -rf demo && mkdir demo
	$(BIN)/reduce simulate OPTICAM demo/night $(NIGHT) | tee demo/simulated
	$$(tail -n 1 demo/simulated | sed 's|^reduce |$(BIN)/reduce |')
	@echo
	@echo "The night's page:  demo/night/red/report.html"
	@echo "The light curves:" && find demo/night/red -name lightcurve.ecsv | sort | sed 's/^/  /'
	@echo "What is true of the night stands in demo/night/truth.ecsv."

test: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST)

quick: $(VENV)/.test
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q $(PROCESSES) --dist loadfile -m "not slow" tests

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.docs
	cd docs && $(abspath $(BIN))/sphinx-build -W --keep-going -q -j 2 -b html . _build/html
	@echo "The documentation: docs/_build/html/index.html"

bench: $(VENV)/.run
	@$(BIN)/python -m pip install --quiet --no-deps profe astroalign tqdm || echo "profe and astroalign cannot be had"
	@for name in medians photometry report; do \
		echo "== $$name"; OMP_NUM_THREADS=1 $(BIN)/python benchmarks/$$name.py || exit 1; \
	done

dist: $(VENV)/.dist
	rm -rf dist build/fresh
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m twine check --strict dist/*
	$(PYTHON) -m venv build/fresh
	build/fresh/bin/python -m pip --disable-pip-version-check --quiet --no-input install dist/*.whl
	cd build/fresh && unset PYTHONPATH && bin/reduce --version && bin/reduce instruments

clean:
	rm -rf $(VENV) demo build dist docs/_build docs/api .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# -- setting up: each stamp is as old as what was installed; a changed pyproject.toml makes it anew -------------------

$(VENV)/.run: $(MADE) $(PROJECTS)
	@echo "Installing potpyri_like in $(VENV) ..."
	@$(PIP) --editable .
	@touch $@

$(VENV)/.test: $(MADE) $(PROJECTS)
	@echo "Installing potpyri_like, its tests and the example plugin in $(VENV) ..."
	@$(PIP) --editable '.[test]' --editable examples/potpyri-like-hall42 --editable examples/potpyri-like-extras
	@touch $@

$(VENV)/.lint $(VENV)/.docs $(VENV)/.dist: $(VENV)/.%: $(MADE) $(PROJECTS)
	@echo "Installing potpyri_like and its tools ($*) in $(VENV) ..."
	@$(PIP) --editable '.[$*]'
	@touch $@

$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or newer is needed, and $(PYTHON) is not that; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Making a virtual environment of Python $(VERSION) in $(VENV) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@
