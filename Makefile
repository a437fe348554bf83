# Everything a fresh clone needs: Python >= 3.11, Node and make. `make` alone lists the targets.

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
BUNDLE := nbtoolkit/static/board.js
LAB := nbtoolkit/static/lab
LINKS := $(addprefix $(VENV)/share/jupyter/,labextensions/nbtoolkit-landscape nbtoolkit/notebooks)
NODE_MODULES := js/node_modules/.installed
FIRST_RUN := notebooks/01_first_run.ipynb
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

# With a browser on the same cores, spinning OpenMP threads turn a 1 ms step into 100 ms.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: help venv js demo lab test lint types layers js-test chromium bench claims clean
.NOTPARALLEL:

help:
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

venv: $(VENV)/.installed  ## the environment, in .venv

# torch comes first and alone, so that no other package's wish for it brings another build.
$(VENV)/.torch:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	touch $@

# JupyterLab's extension and the companions are linked: what is built or edited later is what is found.
$(VENV)/.installed: $(VENV)/.torch pyproject.toml
	rm -rf $(LINKS)
	SKIP_JUPYTER_BUILDER=1 $(BIN)/python -m pip install --quiet --editable . --group test --group dev
	rm -rf $(LINKS)
	mkdir -p $(dir $(LINKS))
	ln -s ../../../../$(LAB) $(word 1,$(LINKS))
	ln -s ../../../../notebooks $(word 2,$(LINKS))
	touch $@

js: $(BUNDLE)  ## the bundle of the Board and the extension of JupyterLab, in nbtoolkit/static

$(NODE_MODULES): js/package.json js/package-lock.json
	cd js && npm ci --no-audit --no-fund
	touch $@

$(BUNDLE): $(NODE_MODULES) $(shell find js -name node_modules -prune -o -type f -print)
	cd js && npm run build
	touch $@

demo: venv js  ## run the first notebook in a kernel, leave it and its page in build/demo
	$(BIN)/python -m tests.notebooks.execute $(FIRST_RUN) build/demo

lab: venv js  ## open the first notebook in JupyterLab
	$(BIN)/jupyter lab $(AS_ROOT) $(FIRST_RUN)

# A browser on both cores would slow down what waits for it: its tests come alone. Of the others two at a time run with
# a thread each. What fails in the first part does not hide the second.
test: venv js chromium lint types layers js-test  ## everything that is checked
	OMP_NUM_THREADS=1 NBTOOLKIT_NO_SKIP=1 $(BIN)/python -m pytest -m "not browser" -n 2 --dist loadfile; first=$$?; \
	NBTOOLKIT_NO_SKIP=1 $(BIN)/python -m pytest -m browser && exit $$first

lint: venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: venv
	$(BIN)/pyright

layers: venv
	$(BIN)/lint-imports

js-test: $(NODE_MODULES)
	cd js && npm run check && npm test

chromium:
	@[ -n "$(CHROMIUM)" ] || command -v chromium >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
		then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; \
		else echo "The browser tests need Chromium: install it (Debian: apt-get install chromium)" \
			"or set CHROMIUM to its path."; exit 1; fi; }

bench: venv js chromium $(VENV)/.bench  ## cost of watching beside other loggers, of control, findings, stores, sweeps and the page
	$(BIN)/python -m tests.benchmarks
	$(BIN)/python -m tests.benchmarks.control
	$(BIN)/python -m tests.benchmarks.findings
	$(BIN)/python -m tests.benchmarks.ddp
	$(BIN)/python -m tests.benchmarks.store
	$(BIN)/python -m tests.benchmarks.sweep
	$(BIN)/python -m tests.benchmarks.page 1
	$(BIN)/python -m tests.benchmarks.control_page

$(VENV)/.bench: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --group bench
	touch $@

claims: venv  ## the numbers that the companions claim, on three seeds; how often healthy runs raise a finding
	$(BIN)/python -m tests.claims
	$(BIN)/python -m tests.analysis.healthy

clean:  ## remove all that these targets made
	rm -rf $(VENV) build dist $(BUNDLE) $(LAB) js/node_modules .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find nbtoolkit tests -name __pycache__ -type d -prune -exec rm -rf {} +
