# make demo   the main job, with its table and figure
# make test   everything that must pass
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo test lint native-test clean

setup: $(VENV)/.ready

# Editable: Python changes work at once; a change under native/ sets up again.
$(VENV)/.ready: constraints.txt pyproject.toml CMakeLists.txt $(shell find native -type f)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[train,dev]"
	touch $@

demo: setup
	$(BIN)/tilewise demo --json summary.json

test: setup lint native-test
	$(BIN)/python -m pytest -n auto

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The C++ tests under the address and undefined-behaviour sanitizers.
native-test: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake -G Ninja -S . -B build/sanitized -DTILEWISE_TESTS=ON -DTILEWISE_PYTHON=OFF -DTILEWISE_SANITIZE=ON
	$(BIN)/cmake --build build/sanitized
	$(BIN)/ctest --test-dir build/sanitized --output-on-failure

clean:
	rm -rf $(VENV) build
