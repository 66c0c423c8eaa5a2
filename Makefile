# `make demo` shows the main job, `make test` runs the tests. Both need python3 (3.11 or newer),
# make and a package index, and set up everything else themselves in .venv; the next call finds it
# ready. `make help` lists the rest.

PYTHON ?= python3
# What `make demo` hands on: a folder of real frames (default: simulated ones), frames per sample,
# and where the results go.
DATA ?=
FRAMES ?=
OUT ?= demo-output
# Where `make serve` listens, on this machine only; 0 takes a free port.
PORT ?= 8000
# More arguments for pytest, e.g. make test ARGS='tests/io -x'
ARGS ?=

BIN := .venv/bin
RUN_READY := .venv/.run-ready
DEV_READY := .venv/.dev-ready
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check

# py4xs' own environment; it needs Python 3.11 exactly.
PY4XS := .venv/py4xs
PY4XS_READY := $(PY4XS)/.ready
IS_3_11 := -c "import sys; sys.exit(sys.version_info[:2] != (3, 11))"
PY4XS_PYTHON ?= $(shell for p in $(PYTHON) python3.11; do \
    $$p $(IS_3_11) 2>/dev/null && echo $$p && break; done)

.PHONY: help demo serve beamline test test-py4xs test-versions bench lint format docs lock clean

help:
	@echo "make demo         run the main job; DATA=folder FRAMES=n OUT=folder change it"
	@echo "make serve        run the main job and serve its results; PORT=n, and as for demo"
	@echo "make beamline     IPython with a simulated beamline, live reduction and a server"
	@echo "make test         run the tests; ARGS='...' goes to pytest"
	@echo "make test-py4xs   run the tests against the ancestor, py4xs, in an environment of its own"
	@echo "make test-versions  the core tests with the lowest and the newest versions allowed"
	@echo "make bench        measure how fast it is, and put table and plot into the documentation"
	@echo "make lint         ruff, mypy, import-linter"
	@echo "make format       let ruff mend what it can"
	@echo "make docs         build the documentation: build/docs/index.html"
	@echo "make lock         pin the newest versions of all requirements anew"
	@echo "make clean        remove .venv and what tools left behind"

demo: $(RUN_READY)
	$(BIN)/h5xs demo --out "$(OUT)" $(if $(DATA),--data "$(DATA)") $(if $(FRAMES),--frames $(FRAMES))

# Before the demo, which takes half a minute, and not after it.
PORT_IN_USE := port $(PORT) is in use: stop what listens there, or take a free one: make serve PORT=0
CHECK_PORT := import socket, sys; \
    socket.socket().connect_ex(("127.0.0.1", $(PORT))) or sys.exit("$(PORT_IN_USE)")

serve: $(DEV_READY)
	@$(BIN)/python -c '$(CHECK_PORT)'
	$(BIN)/h5xs demo --out "$(OUT)" $(if $(DATA),--data "$(DATA)") $(if $(FRAMES),--frames $(FRAMES))
	$(BIN)/h5xs serve "$(OUT)/experiment" --port $(PORT)

beamline: $(DEV_READY)
	$(BIN)/ipython --profile-dir=profile

# A file's tests stay in one process; those that measure time follow, with nothing beside them.
TOGETHER := -m 'not alone' --numprocesses auto --maxprocesses 4 --dist loadfile

test: $(DEV_READY)
	$(BIN)/pytest --cov --cov-report= $(if $(ARGS),$(ARGS),$(TOGETHER))
	$(if $(ARGS),,$(BIN)/pytest --cov --cov-append --cov-report= -m alone)
	$(BIN)/coverage report

test-py4xs: $(DEV_READY) $(PY4XS_READY)
	H5XS_PY4XS_PYTHON="$(CURDIR)/$(PY4XS)/bin/python" $(BIN)/pytest -m py4xs $(ARGS)

# What consumes documents, reduces, writes, reads and serves; not what draws the documentation,
# drives browsers and notebooks, or builds the package. Half an hour. VERSIONS=highest takes one only.
VERSIONS ?= lowest-direct highest
CORE_TESTS ?= $(addprefix tests/,reduction config io callbacks plans catalogs api view magics session \
    tiled sim) --deselect tests/tiled/test_web_page.py
UV := build/versions/uv/bin/uv

$(UV): $(BIN)/python
	@$(BIN)/python -m venv --clear build/versions/uv
	@build/versions/uv/bin/python $(PIP_INSTALL) uv

test-versions: $(addprefix test-versions-,$(VERSIONS))

test-versions-%: $(UV)
	@echo "Installing the versions that are $* into build/versions/$*"
	@$(UV) venv --quiet --clear --python $(BIN)/python build/versions/$*
	@$(UV) pip install --quiet --python build/versions/$*/bin/python --resolution $* --editable '.[test]'
	@$(UV) pip freeze --quiet --python build/versions/$*/bin/python --exclude-editable > build/versions/$*.txt
	build/versions/$*/bin/python -m pytest -p no:cacheprovider $(CORE_TESTS) $(ARGS)

# Ten minutes. Against py4xs itself where it is installed: make .venv/py4xs/.ready
bench: $(DEV_READY)
	@mkdir -p build
	$(BIN)/python -m benchmarks --json build/benchmarks.json --docs docs $(ARGS)

lint: $(DEV_READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV_READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(DEV_READY)
	$(BIN)/sphinx-build -q -W --keep-going -b html docs build/docs
	@echo "build/docs/index.html"

# Says nothing if $(PYTHON) will do, otherwise why not.
CHECK_PYTHON := import sys; v = sys.version_info; v < (3, 11) and sys.exit("it is %d.%d" % v[:2]); \
    from importlib.util import find_spec; find_spec("ensurepip") or sys.exit("it has no ensurepip")
python_problem = $(shell { $(PYTHON) -c '$(CHECK_PYTHON)'; } 2>&1 || echo)
give_up = $(error $(PYTHON) will not do ($(1)): install Python 3.11 or newer with its venv module \
    (Debian: python3-venv), or name one, for example: make PYTHON=python3.12 $(MAKECMDGOALS))

$(BIN)/python:
	$(if $(python_problem),$(call give_up,$(python_problem)))
	@echo "Creating .venv with $(PYTHON)"
	@$(PYTHON) -m venv --clear .venv

$(RUN_READY): requirements.txt pyproject.toml setup.py h5xs_bluesky/reduction/integration/_kernel.c $(BIN)/python
	@echo "Installing what the package needs into .venv (the first time: about a minute)"
	@$(BIN)/python $(PIP_INSTALL) -r requirements.txt
	@$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV_READY): requirements-dev.txt $(RUN_READY)
	@echo "Installing what tests and checks need into .venv"
	@$(BIN)/python $(PIP_INSTALL) -r requirements-dev.txt
	@touch $@

$(PY4XS_READY): requirements-py4xs.txt $(BIN)/python
	$(if $(PY4XS_PYTHON),,$(error py4xs needs Python 3.11 exactly: install it and name it, \
	for example: make PY4XS_PYTHON=/path/to/python3.11 $(MAKECMDGOALS)))
	@echo "Installing py4xs into $(PY4XS) with $(PY4XS_PYTHON)"
	@$(PY4XS_PYTHON) -m venv --clear $(PY4XS)
	@$(PY4XS)/bin/python $(PIP_INSTALL) "pip==23.2.1"
	@$(PY4XS)/bin/python $(PIP_INSTALL) -r requirements-py4xs.txt
	@$(PY4XS)/bin/python $(PIP_INSTALL) --no-deps "py4xs==2023.1.23.0"
	@$(PY4XS)/bin/python -c "import py4xs.hdf"
	@touch $@

# A new environment, the extras on top of it, and `pip freeze` after each; setuptools belongs to the
# first because the package is built without a second environment.
LOCK := build/lock/bin/python
FREEZE := -m pip freeze --all --exclude pip --exclude h5xs_bluesky
LOCK_HEAD := \# Made by "make lock" ("pip freeze" in a new environment, Python 3.11).

lock:
	@$(PY4XS_PYTHON) -m venv --clear build/lock
	@$(LOCK) $(PIP_INSTALL) --upgrade setuptools .
	@$(LOCK) $(FREEZE) > build/lock/run.txt
	@$(LOCK) $(PIP_INSTALL) '.[test,lint,docs]'
	@$(LOCK) $(FREEZE) > build/lock/dev.txt
	@{ echo '# What the package needs to run, and setuptools, which builds it.'; \
	   echo '$(LOCK_HEAD)'; cat build/lock/run.txt; } > requirements.txt
	@{ echo '# What tests and checks need on top of requirements.txt.'; echo '$(LOCK_HEAD)'; \
	   echo '-r requirements.txt'; grep -vxFf build/lock/run.txt build/lock/dev.txt; } \
	   > requirements-dev.txt

clean:
	rm -rf .venv build dist *.egg-info .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache \
	    .import_linter_cache
