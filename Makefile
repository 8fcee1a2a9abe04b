# The habits of the project, one word each.  `make dev` first; the other targets use the environment that it fills.

PYTHON ?= python
C_SOURCES := $(sort $(shell find csrc -name '*.c'))
# ops.def is a table set by hand: clang-format would break its rows.
C_FILES := $(sort $(shell find csrc tests/c -name '*.[ch]' -o -name '*.inc'))

.PHONY: help dev build test bench accuracy ops peers lint lint-ruff lint-format lint-c lint-cython lint-types format stubs docs asan qemu clean

help:
	@echo "dev     editable install with every tool"
	@echo "build   rebuild the extension in place, with warnings"
	@echo "test    pytest"
	@echo "asan    C unit tests under the address and undefined-behaviour sanitizers"
	@echo "qemu    C unit tests for AArch64 (NEON) under qemu's user-mode emulation"
	@echo "bench   the benchmarks"
	@echo "accuracy  measure every function against mpmath: writes docs/accuracy.md and docs/ops.md"
	@echo "peers   derivatives against PyTorch, TensorFlow and JAX, in an environment of its own"
	@echo "ops     write docs/ops.md out of the op table"
	@echo "lint    ruff, clang-format, cython-lint, mypy"
	@echo "format  let ruff and clang-format rewrite the files"
	@echo "stubs   compare the type stubs with the modules"
	@echo "docs    run every example in README.md, docs/ and the docstrings"

dev:
	WENGERT_DEV=1 $(PYTHON) -m pip install --editable '.[dev]'

build:
	WENGERT_DEV=1 $(PYTHON) setup.py --quiet build_ext --inplace

test:
	$(PYTHON) -m pytest

docs:
	$(PYTHON) -m pytest tests/test_docs.py

bench:
	$(PYTHON) benchmarks/import_time.py
	$(PYTHON) -m benchmarks.decisions
	$(PYTHON) -m benchmarks kernels
	$(PYTHON) -m benchmarks train
	$(PYTHON) -m benchmarks eager
	$(PYTHON) -m benchmarks pinn
	$(PYTHON) -m benchmarks graph
	$(PYTHON) -m benchmarks derivatives
	$(PYTHON) benchmarks/memory.py

accuracy:
	$(PYTHON) -m benchmarks.accuracy
	$(MAKE) ops

ops:
	$(PYTHON) docs/ops.py

# Where pip finds builds of torch without CUDA is a matter of its configuration (PIP_EXTRA_INDEX_URL).
PEERS := build/peers

$(PEERS)/installed:
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet '.[test]' torch==2.13.0 tensorflow-cpu jax
	@touch $@

peers: $(PEERS)/installed
	$(PEERS)/bin/pip install --quiet --no-deps --force-reinstall .
	$(PEERS)/bin/pytest tests/peers

lint: lint-ruff lint-format lint-c lint-cython lint-types

lint-ruff:
	$(PYTHON) -m ruff check --output-format=concise .

lint-format:
	$(PYTHON) -m ruff format --check --output-format=concise .

lint-c:
	clang-format --dry-run -Werror $(C_FILES)

lint-cython:
	cython-lint src

lint-types:
	$(PYTHON) -m mypy

format:
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .
	clang-format -i $(C_FILES)

stubs:
	$(PYTHON) -m mypy.stubtest wengert._core
	$(PYTHON) -m mypy.stubtest --mypy-config-file pyproject.toml --allowlist .ci/stubtest-allowlist wengert

# ---- C unit tests ------------------------------------------------------------------------------------------------
# Every tests/c/test_*.c is a program of its own, linked with the whole core.  One whose name ends in _deep runs with a
# stack of 256 kB: no walk over a tape may recurse.  The same rules serve another processor: `qemu` names its compiler,
# and the emulator that runs what it makes (which lays out a guest's stack itself, hence -s).  test_pool stays out of it:
# it forks beside running threads, and qemu 7.2 fails an assertion of its own there.

comma := ,
OUT := build/asan
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all
export UBSAN_OPTIONS := print_stacktrace=1
export ASAN_OPTIONS := detect_leaks=1
RUN :=
RUN_DEEP := ulimit -s 256 &&
C_FLAGS := -std=c11 -O1 -g -ffp-contract=off -fno-math-errno -fno-omit-frame-pointer -Wall -Wextra -Wpedantic -Werror \
           -Icsrc -MMD -MP $(SANITIZE)
C_TESTS := $(patsubst tests/c/%.c,%,$(sort $(wildcard tests/c/test_*.c)))
C_OBJECTS := $(C_SOURCES:csrc/%.c=$(OUT)/csrc/%.o)

asan: $(C_TESTS:%=$(OUT)/%.passed)
	@echo "$(OUT): $(words $(C_TESTS)) programs passed"

qemu:
	@$(MAKE) --no-print-directory asan OUT=build/aarch64 CC=aarch64-linux-gnu-gcc SANITIZE=-static \
		C_TESTS='$(filter-out test_pool,$(C_TESTS))' \
		RUN=qemu-aarch64 RUN_DEEP='qemu-aarch64 -s 262144'

$(OUT)/csrc/%.o: csrc/%.c
	@mkdir -p $(@D)
	$(CC) $(C_FLAGS) -c $< -o $@

$(OUT)/test_%: tests/c/test_%.c $(C_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(C_FLAGS) $< $(C_OBJECTS) -o $@ -lm -pthread $(LINK)

$(OUT)/test_allocations: LINK := $(patsubst %,-Wl$(comma)--wrap=%,malloc calloc realloc aligned_alloc)

$(OUT)/%.passed: $(OUT)/%
	$(if $(filter %_deep,$*),$(RUN_DEEP),$(RUN)) $<
	@touch $@

-include $(C_OBJECTS:.o=.d) $(C_TESTS:%=$(OUT)/%.d)

.SECONDARY:

clean:
	rm -rf build dist src/wengert.egg-info src/wengert/_core.c src/wengert/*.so
