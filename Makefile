# Each target does its own set-up and is quick when nothing changed.
PYTHON ?= python3
VENV ?= .venv
# Exact CPU versions where there is no GPU; GPU users get the newest that fit pyproject.toml.
CONSTRAINTS ?= $(if $(wildcard /proc/driver/nvidia),,-c constraints-cpu.txt)
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test quick check install clean

demo: $(INSTALLED)
	$(BIN)/babelscope demo

test: $(INSTALLED) check
	$(BIN)/python -m pytest

quick: $(INSTALLED) check
	$(BIN)/python -m pytest -m "not ray and not long"

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints-cpu.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) --editable ".[dev]"
	touch $(INSTALLED)

clean:
	rm -rf $(VENV) runs build *.egg-info .pytest_cache .mypy_cache .ruff_cache
