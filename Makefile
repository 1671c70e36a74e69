# Two commands: `make demo` runs the main job, `make test` runs every check. Both set up .venv once.
PYTHON ?= python3
BIN := .venv/bin
export TF_CPP_MIN_LOG_LEVEL ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test chromium frontend clean

demo: .venv/demo.stamp
	$(BIN)/keras-dlopt demo $(ARGS)

# The conformance tables run on both backends; everything else on TensorFlow.
test: .venv/test.stamp chromium
	$(BIN)/ruff check .
	KERAS_BACKEND=tensorflow $(BIN)/pytest -n 2 --dist worksteal $(ARGS)
	KERAS_BACKEND=jax $(BIN)/pytest -n 2 --dist worksteal -m both_backends $(ARGS)

# A browser for the tests of the TensorBoard plugin.
chromium:
	@command -v chromium > /dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null \
		&& apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } \
		|| { echo "The browser tests need Debian's chromium: apt-get install chromium" >&2; exit 1; }

# The TensorBoard plugin's module, from its source; for developers, needs npm.
frontend:
	cd keras_dlopt/tensorboard/frontend && npm ci --no-audit --no-fund && npm run build

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
