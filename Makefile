# `make demo`: set up and run the default study.  `make test`: set up and run the tests.
# `make docs`: write the generated pages, build the site and open it.
PYTHON ?= python3
VENV ?= .venv
CORES ?= $(shell nproc)
BIN := $(VENV)/bin

.PHONY: setup demo test lint format docs clean
.DEFAULT_GOAL := help

help:
	@grep -E '^# `make' Makefile | sed 's/^# //'; echo "also: setup lint format clean"

setup: $(VENV)/.ready

# torch first, with its own dependencies; then every other pin as it stands in the lock file. Without
# `--no-deps`, mediapipe would bring a second OpenCV, which needs a system library and has no Haar cascades, and audiomentations an older soxr.
$(VENV)/.ready: requirements.lock pyproject.toml
	@echo "setting up $(VENV): some minutes and gigabytes"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip setuptools
	@echo "1 of 3: torch"
	$(BIN)/pip install --quiet $$(grep '^torch==' requirements.lock)
	@echo "2 of 3: all other libraries"
	$(BIN)/pip install --quiet --no-deps -r requirements.lock
	@echo "3 of 3: emoadapt"
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "$(VENV) is ready. Next:  . $(VENV)/bin/activate   then  emoadapt check --configfile my_study.yaml   or, for the demo,  make demo"

demo: setup
	$(BIN)/snakemake --cores $(CORES) --resources gpu=1

# A file of tests stays together, so that what its tests share is made once; the long ones begin. One process more than
# there are cores, since the tests of SLURM and of killed runs mostly wait.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $$(($(CORES) + 1)) --dist loadfile --no-loadscope-reorder

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules

docs: setup
	$(BIN)/emoadapt docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo "the site: $(CURDIR)/site/index.html"
	@if [ -t 1 ] && [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ]; then $(BIN)/python -m webbrowser "file://$(CURDIR)/site/index.html"; fi

clean:
	rm -rf results/[!R]* results/.cache logs .snakemake site
