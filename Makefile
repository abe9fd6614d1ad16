# Every target builds the environment first where it is missing or requirements.lock has changed: .venv, or, where a
# virtualenv or conda environment is active, that one (`make env` installs into it; nothing else does).

SUITE ?= demo
CORES ?= all
SAMPLE ?= 3
PYTHON ?= python3.11 python3.12 python3.13 python3.14 python3
PIP_FLAGS ?= --quiet --disable-pip-version-check
SNAKEMAKE_FLAGS ?=
PYTEST_FLAGS ?=
# processes side by side, a file of tests in one of them; each takes some 2 GB
TEST_WORKERS ?= 2
VERIFY_FLAGS ?=
PLAN_FLAGS ?=
LAB_FLAGS ?=
BENCH_FLAGS ?=
REPORTS = $(or $(KDLIB_REPORTS),reports)

SHELL := bash
export PYTHONNOUSERSITE := 1
export PIP_DEFAULT_TIMEOUT ?= 60

# the first of the active environments that exists, unless it is .venv itself; conda's base does not count
ACTIVE := $(shell \
	[ "$$CONDA_DEFAULT_ENV" = base ] && CONDA_PREFIX= ; \
	for each in "$$VIRTUAL_ENV" "$$CONDA_PREFIX"; do \
		[ -x "$$each/bin/python" ] || continue; \
		[ "$$each" -ef .venv ] || echo "$$each"; \
		break; \
	done)

ifeq ($(ACTIVE),)
BIN := $(CURDIR)/.venv/bin
READY := .venv/installed.lock
else
BIN := $(ACTIVE)/bin
READY := active-environment
endif

# commands find papermill and the others of the same environment
export PATH := $(BIN):$(PATH)

# uv takes a third of pip's time; pip, which knows more of how machines reach their packages, steps in where uv cannot
INSTALL = .venv/bin/python -m pip install $(PIP_FLAGS) "$$(grep '^uv==' requirements.lock)" && \
	{ $(UV_INDEX); .venv/bin/uv pip install --quiet --compile-bytecode --python .venv/bin/python -r requirements.lock -e .; } || \
	.venv/bin/python -m pip install $(PIP_FLAGS) -r requirements.lock -e .
UV_INDEX = index=$${PIP_INDEX_URL:-$$("$(BIN)/python" -m pip config get global.index-url 2>/dev/null)}; \
	[ -z "$$index" ] || export UV_DEFAULT_INDEX="$$index"

.DEFAULT_GOAL := help
.PHONY: help env reports plan docs verify test bench gpu-check lab setup-git lint lock release clean python active-environment

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/\1@\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F@ '{ printf "make %-10s %s\n", $$1, $$2 }'

reports: $(READY)  ## run what is missing of a suite and write reports/<suite>/index.html (SUITE=demo, CORES=all)
	@"$(BIN)/python" -m kdlib reports $(SUITE) --cores $(CORES) $(SNAKEMAKE_FLAGS)
	@[ ! -e "$(REPORTS)/$(SUITE)/index.html" ] || echo "The report is $(REPORTS)/$(SUITE)/index.html"

docs: $(READY)  ## write the API reference to reports/<suite>/api, where the report leads to it
	@# papermill first, because it imports kdsuite.runs.engine in turn; then absolute paths are made relative
	@"$(BIN)/python" -W ignore -c "import papermill, pdoc.__main__ as pdoc; pdoc.cli()" kdlib kdsuite --docformat restructuredtext \
		--template-directory kdsuite/analysis/pages/templates/pdoc --output-directory "$(REPORTS)/$(SUITE)/api"
	@HERE="$(CURDIR)" ABOVE="$(dir $(CURDIR))" find "$(REPORTS)/$(SUITE)/api" -type f \
		-exec perl -pi -e 's/\Q$$ENV{HERE}\E/./g; s/\Q$$ENV{ABOVE}\E/..\//g' {} +

verify: $(READY)  ## repeat a sample of a suite's finished runs and list each number that differs (SUITE=demo, SAMPLE=3)
	@"$(BIN)/python" -m kdlib reproduce $(SUITE) --sample $(SAMPLE) $(VERIFY_FLAGS)

plan: $(READY)  ## what a suite will cost before it is started: runs, FLOPs, hours, memory, disk (SUITE=paper, CORES=all)
	@"$(BIN)/python" -m kdlib plan $(SUITE) $(addprefix --cores ,$(filter-out all,$(CORES))) $(PLAN_FLAGS)

test: $(READY)  ## run the tests (PYTEST_FLAGS="-k losses")
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} "$(BIN)/python" -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_FLAGS)

bench: $(READY)  ## measure how fast the suite is and write reports/benchmarks/README.md (BENCH_FLAGS="floor --quick")
	@"$(BIN)/python" -m benchmarks $(BENCH_FLAGS)

gpu-check: $(READY)  ## what this GPU does: right results, no waits, ms and TFLOP/s of each network; `make plan` uses them
	@"$(BIN)/python" -m benchmarks.gpu_check $(BENCH_FLAGS)

lab: $(READY)  ## open the notebooks in JupyterLab
	@# kdsuite.paths first: it makes relative folders absolute, for kernels start in another one
	@KDLIB_GPU_SHARE=0 "$(BIN)/python" -c "import kdsuite.paths, jupyterlab.labapp as lab; lab.main()" notebooks $(LAB_FLAGS)

setup-git: $(READY)  ## in this clone, let git compare and merge notebooks by cells (nbdime) and commit them without outputs (nbstripout)
	@# which files, says .gitattributes; what a comparison leaves out, nbdime_config.json
	@git config diff.jupyternotebook.command '"$(BIN)/git-nbdiffdriver" diff'
	@git config merge.jupyternotebook.name "notebooks by cells, with nbdime"
	@git config merge.jupyternotebook.driver '"$(BIN)/git-nbmergedriver" merge %O %A %B %L %P'
	@git config filter.nbstripout.clean '"$(BIN)/nbstripout" --keep-id --extra-keys "metadata.papermill cell.metadata.papermill cell.metadata.execution metadata.widgets"'
	@git config filter.nbstripout.smudge cat

lint: $(READY)  ## check the code's style with ruff
	@"$(BIN)/ruff" check .

lock: $(READY)  ## write requirements.lock from pyproject.toml (LOCK_FLAGS=--upgrade takes newer versions)
	@$(UV_INDEX); "$(BIN)/uv" pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate --no-emit-index-url \
		$(LOCK_FLAGS) --output-file requirements.lock pyproject.toml

release: $(READY)  ## build the sdist and the wheel of this version into dist/
	@"$(BIN)/hatchling" build --directory dist

clean:  ## remove .venv and the caches; data/ and reports/ stay
	rm -rf .venv .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The first Python on PATH that runs (pyenv's shims may not), is 3.11 to 3.14, and is not that of .venv itself.
define FIND_PYTHON
right='import os, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14) or os.path.realpath(sys.prefix) == os.path.realpath(".venv"))'; \
python=; bare=; \
for each in $$(type -aP $(PYTHON)); do \
	"$$each" -c "$$right" 2>/dev/null || continue; \
	if "$$each" -c 'import ensurepip, venv' 2>/dev/null; then python=$$each; break; else bare=$$each; fi; \
done; \
if [ -z "$$python$$bare" ]; then \
	echo "kdlib needs Python 3.11 to 3.14 and finds none on PATH: install one, or name one with 'make PYTHON=/path/to/python3.12 env'." >&2; exit 1; \
elif [ -z "$$python" ]; then \
	echo "$$bare cannot make virtual environments, for lack of its ensurepip module: install it (on Debian and Ubuntu: apt-get install python3-venv)." >&2; exit 1; \
fi
endef

python:
	@$(FIND_PYTHON); echo "$$python"

ifeq ($(ACTIVE),)
env: $(READY)  ## build the environment and do nothing else

# a .venv of another or a removed Python is cleared; the copy of the lock is written last, so a build that broke off goes on
$(READY): requirements.lock pyproject.toml
	@if ! .venv/bin/python -c 'import sys, pip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then \
		$(FIND_PYTHON); \
		echo "Building .venv with $$python from requirements.lock: 3 GB to download, some minutes." >&2; \
		"$$python" -m venv --clear .venv || exit 1; \
	else echo "Bringing .venv to requirements.lock." >&2; fi; \
	$(INSTALL) && cp requirements.lock $@
else
env:
	@echo "Installing requirements.lock and kdlib into the active environment $(ACTIVE)." >&2
	@"$(BIN)/python" -m pip install $(PIP_FLAGS) -r requirements.lock -e .

active-environment:
	@"$(BIN)/python" -I .ci/active_environment.py
endif
