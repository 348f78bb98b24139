# Each target makes what it needs first: `make demo` and `make test` work in a clean clone.
#   PYTHON  the interpreter that .venv is made from     TORCH   another torch, "torch==2.11.0", or
#   VENV    another environment                                 "system": the one that PYTHON has
#   ARGS    extra arguments for demo, test and bench    JOBS    compilers at once
PYTHON ?= python3
VENV ?= .venv
TORCH ?=
ARGS ?=
JOBS ?= $(shell nproc)
BUILD ?= build/dev

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

BIN = $(abspath $(VENV))/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check
SAY = @printf '\033[1m==> %s\033[0m\n'
# A change of TORCH or of pyproject.toml makes the environment stale.
READY = $(VENV)/.ready-$(or $(subst $() ,_,$(subst =,-,$(TORCH))),default)
LINTERS = $(VENV)/.linters
PLOTS = $(VENV)/.plots
CMAKE = $(BIN)/cmake -G Ninja -DCMAKE_MAKE_PROGRAM=$(BIN)/ninja -DPython_EXECUTABLE=$(BIN)/python \
	-DDISTOS_COLL_TESTS=ON -DDISTOS_COLL_WERROR=ON
# Ninja takes no lock of its own; two makes in one tree would write the same files.
NINJA = flock $(1)/.lock $(BIN)/cmake --build $(1) -j $(JOBS)
CPP = $(shell find cpp -name '*.cc' -o -name '*.h')

.PHONY: help demo test build cpp-test asan tsan test-torch test-torch-full test-faults soak fuzz bench peers check lint format typecheck arm pythons tidy wheel clean
help: ## these lines
	@grep -E '^[a-z -]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

demo: build ## train on handwritten digits with distos and with gloo, and compare
	$(BIN)/distos-coll demo $(ARGS)

test: cpp-test ## every test that needs no special machine
	$(SAY) "Python tests"
	$(BIN)/python -m pytest $(ARGS)

build: $(BUILD)/build.ninja ## compile into the source tree, for the editable install in .venv
	$(SAY) "Compiling (only what changed)"
	@$(call NINJA,$(BUILD))

cpp-test: build ## the core's own tests
	@$(call NINJA,$(BUILD)) --target cpp_tests limits
	$(SAY) "C++ tests"
	@$(BIN)/ctest --test-dir $(BUILD) --output-on-failure --no-tests=ignore -j $(JOBS)

asan tsan: $(READY) ## the core's tests under AddressSanitizer with UBSan, or ThreadSanitizer
	$(SAY) "C++ tests under $@"
	@mkdir -p build/$@
	@$(CMAKE) -S . -B build/$@ -DCMAKE_BUILD_TYPE=RelWithDebInfo -DDISTOS_COLL_PYTHON=OFF \
		-DDISTOS_COLL_SANITIZE=$(if $(filter asan,$@),address,thread) >build/$@/configure.log \
		|| { cat build/$@/configure.log; exit 1; }
	@$(call NINJA,build/$@) --target cpp_tests
	@setarch -R $(BIN)/ctest --test-dir build/$@ --output-on-failure --no-tests=ignore -j $(JOBS)

test-torch: build ## torch's own DistributedTest against distos, 3 ranks
	$(SAY) "torch's DistributedTest, 3 ranks"
	$(BIN)/python tests/torch/torch_suite.py --world-size 3 $(ARGS)

test-torch-full: build ## the same at 3 and 4 ranks; reports in build/torch-suite-*.md
	for n in 3 4; do \
		$(BIN)/python tests/torch/torch_suite.py --world-size $$n --markdown build/torch-suite-$$n.md $(ARGS); \
	done

test-faults: build ## every rank killed in every collective; `make test` kills one rank in each
	$(SAY) "Every rank killed in every collective"
	DISTOS_TEST_ALL=1 $(BIN)/python -m pytest tests/faults $(ARGS)

soak: build ## random collectives over random subgroups for half an hour: no wrong result, no growth
	$(SAY) "Soak: 4 ranks, 30 minutes"
	$(BIN)/python bench/soak.py $(ARGS)

fuzz: build ## what reads topologies, ten minutes of CPU time a format; ARGS="--format lspci --minutes 1"
	$(SAY) "Fuzzing what reads topologies"
	$(BIN)/python tools/fuzz_topology.py $(ARGS)

bench: build ## all_reduce through torch, distos beside gloo
	$(BIN)/python bench/torch_vs_gloo.py $(ARGS)

peers: build $(PLOTS) ## distos, gloo, Open MPI, MPICH and the machine's limits in one run
	@$(call NINJA,$(BUILD)) --target peers
	$(SAY) "Peers (results in build/peers)"
	$(BIN)/python -m bench.peers --build $(BUILD) $(ARGS)

check: lint typecheck ## everything that reads the code without running it

lint: $(LINTERS) ## format, style, layers and sizes
	$(SAY) "Lint"
	@failed=(); run() { echo "+ $$*" | cut -c-120; "$$@" || failed+=("$$1 $${2:-}"); }; \
	cd "$(CURDIR)"; PATH="$(BIN):$$PATH"; \
	run ruff format --check; \
	run ruff check; \
	run clang-format --dry-run --Werror $(CPP); \
	run lint-imports --no-logo; \
	run python tools/check_includes.py; \
	run python tools/check_size.py; \
	[ $${#failed[@]} = 0 ] || { printf 'failed: %s\n' "$${failed[@]}" >&2; exit 1; }

format: $(LINTERS) ## rewrite what lint complains about where a tool can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix
	$(BIN)/clang-format -i $(CPP)

typecheck: $(LINTERS) ## mypy, strict
	$(SAY) "Types"
	$(BIN)/mypy

arm: $(READY) ## parse the core for aarch64, where there is a cross-compiler
	$(SAY) "aarch64"
	$(BIN)/python tools/check_aarch64.py

tidy: $(LINTERS) build ## clang-tidy over the C++ files that differ from BASE (default: origin/main)
	$(SAY) "clang-tidy"
	$(BIN)/python tools/tidy.py --build $(BUILD) $(if $(BASE),--base $(BASE)) $(ARGS)

pythons: build ## tests of the array door under the other Pythons that are installed here
	$(SAY) "Other Pythons"
	$(BIN)/python tools/check_pythons.py

wheel: $(READY) ## a wheel in dist/ for this Python and this torch
	$(PIP) wheel --no-build-isolation --no-deps -w dist .

clean: ## remove all that was built; the environment stays
	rm -rf build dist distos_coll/*.so distos_coll/programs.bin distos_coll/torch/*.so distos_coll/torch/_built.json

# ---- the environment
$(VENV)/bin/python:
	$(SAY) "Making the environment $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python 3.10 or newer is needed; pass PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import pathlib, sysconfig as s; sys_h = pathlib.Path(s.get_paths()["include"], "Python.h"); raise SystemExit(not sys_h.exists())' || \
		{ echo "Python.h is missing. On Debian: apt-get install python3-dev" >&2; exit 1; }
	@command -v g++ >/dev/null || [ -n "$${CXX:-}" ] || \
		{ echo "No C++ compiler. On Debian: apt-get install g++" >&2; exit 1; }
	@$(PYTHON) -m venv $(if $(filter system,$(TORCH)),--system-site-packages) $(VENV) || \
		{ rm -rf $(VENV); echo "python3 -m venv failed. On Debian: apt-get install python3-venv" >&2; exit 1; }

$(READY): pyproject.toml tools/requirements.py | $(VENV)/bin/python
	@rm -f $(VENV)/.ready-*
ifneq ($(TORCH),system)
	$(SAY) "Installing torch (about 200 MB, once)"
	$(PIP) install $(if $(TORCH),"$(TORCH)",$$($(BIN)/python tools/requirements.py torch))
endif
	$(SAY) "Installing build and test tools"
	@$(BIN)/python tools/requirements.py build-system runtime build test >$(VENV)/requirements.txt
	$(PIP) install -r $(VENV)/requirements.txt
	@# Apart, because Open MPI brings a bin/mpirun and a libmpi.so as well.
	$(PIP) install --no-deps --ignore-installed --prefix $(abspath $(VENV))/mpich mpich
	$(SAY) "Registering the source tree in $(VENV)"
	$(PIP) install --no-build-isolation --no-deps -C wheel.cmake=false -C editable.mode=inplace -e .
	@touch $@

$(LINTERS): pyproject.toml tools/requirements.py | $(READY)
	$(SAY) "Installing the linters"
	@$(BIN)/python tools/requirements.py lint >$(VENV)/requirements-lint.txt
	$(PIP) install -r $(VENV)/requirements-lint.txt
	@touch $@

$(PLOTS): pyproject.toml tools/requirements.py | $(READY)
	$(SAY) "Installing matplotlib"
	@$(BIN)/python tools/requirements.py plots >$(VENV)/requirements-plots.txt
	$(PIP) install -r $(VENV)/requirements-plots.txt
	@touch $@

$(BUILD)/build.ninja: $(READY)
	$(SAY) "Configuring $(BUILD)"
	@mkdir -p $(BUILD)
	@flock $(BUILD)/.lock $(CMAKE) -S . -B $(BUILD) -DDISTOS_COLL_INPLACE=ON
	@touch $@
