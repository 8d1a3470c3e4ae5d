# Each target makes what it needs: a virtual environment below .venv, no more than Python 3.11+ and git.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: estimate test lint docs package bench clean

estimate: $(VENV)/.installed
	$(BIN)/lstmsim estimate --device zcu104

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.installed-docs
	$(BIN)/python docs/generate_cli.py --check
	$(BIN)/mkdocs build --strict

package:
	bash tests/packaging/check.sh $(PYTHON)

bench: $(VENV)/.installed-test
	$(BIN)/python tests/bench/startup.py
	$(BIN)/python tests/bench/simulate.py
	$(BIN)/python tests/bench/explore.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

# torch is installed on its own: the version that is named has small builds without CUDA on the common indexes
$(VENV)/.installed-test: pyproject.toml tests/requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	$(BIN)/python -m pip install --quiet --requirement tests/requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps hls4ml
	touch $(VENV)/.installed $@

$(VENV)/.installed-docs: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) build dist site
