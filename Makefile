# make demo   a first GAN, trained and scored on this machine
# make test   the tests, as CI runs them
# make help   all targets

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTHONS := 3.11 3.12 3.13

.DEFAULT_GOAL := help
.PHONY: help install demo test test-lowest test-all slow faults slurm-test lint format lock audit benchmark gallery compare clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# The stamp holds until the lock or the metadata changes. --no-deps: the lock has everything, with hashes.
$(VENV)/.installed: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

install: $(VENV)/.installed ## create .venv and install from the lock

demo: install ## train a DCGAN on real digits, two to six minutes on two cores
	$(BIN)/python train.py

test: install ## the tests, as CI runs them
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist worksteal -m "not slow"

# uv: pip has no such resolution. Packages that pyproject.toml does not name are as new as the others allow.
.venv-lowest/.installed: pyproject.toml
	$(PYTHON) -m venv --clear .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv-lowest/bin/uv pip install --quiet --python .venv-lowest --resolution lowest-direct --editable '.[dev]'
	touch $@

test-lowest: .venv-lowest/.installed ## the same with the lowest version of each package that pyproject.toml allows
	OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest -n 3 --dist worksteal -m "not slow"

test-all: ## the same with the lock and each supported Python that is installed, in .venv-3.11 and so on
	@for version in $(PYTHONS); do \
		if ! python$$version -c '' 2> /dev/null; then absent="$$absent $$version"; \
		elif $(MAKE) test VENV=.venv-$$version PYTHON=python$$version; then passed="$$passed $$version"; \
		else failed="$$failed $$version"; fi; \
	done; \
	echo "Python: passed:$${passed:- none}; failed:$${failed:- none}; not installed:$${absent:- none}"; \
	test -z "$$failed" -a -n "$$passed"

slow: install ## the long tests
	$(BIN)/python -m pytest -m slow

faults: install ## kill -9, full disks, closed ports: the faults of docs/reliability.md, about an hour
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/faults

slurm-test: install ## docs/cluster.md on a SLURM that is started and stopped here; needs root, which installs it by apt
	$(BIN)/python tests/faults/slurm.py
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/faults/test_cluster.py tests/faults/test_cluster_page.py

lint: install ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install ## let ruff format and mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark: install ## ratios against straightforward code on one thread, about twenty minutes
	$(BIN)/python benchmarks/loader.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/step.py --memory
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/evaluation.py --against 10000 --rounds 1
	$(BIN)/python benchmarks/report.py

gallery: install ## every model on MNIST, four minutes of training a row, and docs/systems.md from it; can be resumed
	$(BIN)/python docs/gallery.py

compare: install ## five comparisons with three seeds, about an hour, and their pages in docs/compare; can be resumed
	$(BIN)/python docs/compare.py

lock: install ## renew requirements.lock for all supported Pythons and platforms
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --extra dev --no-emit-index-url --no-header \
		--upgrade -o requirements.lock pyproject.toml

audit: install ## known vulnerabilities of what the lock holds; asks the network
	$(BIN)/pip-audit --strict --require-hashes --disable-pip -r requirements.lock

clean: ## remove the environment and caches; outputs stay
	rm -rf .venv .venv-* .pytest_cache .mypy_cache .ruff_cache
