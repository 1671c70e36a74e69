# Two commands: `make demo` runs the main job, `make test` runs every check. Both set up .venv once.
PYTHON ?= python3
BIN := .venv/bin
export TF_CPP_MIN_LOG_LEVEL ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test clean

demo: .venv/demo.stamp
	$(BIN)/keras-dlopt demo $(ARGS)

# The conformance tables run on both backends; everything else on TensorFlow.
test: .venv/test.stamp
	$(BIN)/ruff check .
	KERAS_BACKEND=tensorflow $(BIN)/pytest -n 2 --dist worksteal $(ARGS)
	KERAS_BACKEND=jax $(BIN)/pytest -n 2 --dist worksteal -m both_backends $(ARGS)

clean:
	rm -rf .venv runs build *.egg-info

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/pip install --quiet --editable . --constraint constraints.txt
	touch $@

.venv/test.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/pip install --quiet --editable '.[test]' --constraint constraints.txt
	touch $@ .venv/demo.stamp
