# `make check` is what CI runs. PYTHON chooses the interpreter: the checkout's .venv when there is one.
PYTHON ?= $(if $(wildcard .venv/bin/python),.venv/bin/python,python3)
JOBS ?= 2

.DEFAULT_GOAL := help
TESTS ?=  # for check-oldest: all of the fast ones
.PHONY: help install format lint types layers check check-oldest test test-slow bench matrix golden docs kernels site vendor readme picture

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install:  ## create .venv with everything for development
	python3 -m venv .venv
	.venv/bin/python -m pip install -e '.[dev]'

format:  ## rewrite the sources in the project's format
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

lint:  ## formatting and lint rules
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .

types:  ## mypy, strict
	$(PYTHON) -m mypy

layers:  ## imports point down; every heavy library has one home
	$(PYTHON) -c 'import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())'

check:  ## what CI runs: lint, types, layers, fast tests
	$(MAKE) --jobs 2 --output-sync=target types lint layers warm
	$(MAKE) test

warm:
	$(PYTHON) -m pimdse warmup

test:  ## fast tests
	$(PYTHON) -m pytest -q -n $(JOBS) --durations=10

check-oldest:  ## the fast tests (TESTS=... for some) with the oldest versions that pyproject.toml allows, in an environment of their own
	environment=$$(mktemp -d) && trap 'rm -rf "$$environment"' EXIT && \
	$(PYTHON) tests/oldest.py > "$$environment/oldest.txt" && $(PYTHON) -m venv "$$environment/venv" && \
	"$$environment/venv/bin/python" -m pip install --quiet --no-compile --constraint "$$environment/oldest.txt" --editable '.[dev]' && \
	"$$environment/venv/bin/python" -m pytest -q -n $(JOBS) $(TESTS)

test-slow:  ## end to end on real networks, the built wheel, real simulators when PIMSIM_NN names one
	$(PYTHON) -m pytest -q -m slow -n $(JOBS) --dist worksteal --durations=10

bench:  ## benchmarks of compile time, timeline and solvers
	$(PYTHON) -m pytest -q benchmarks --benchmark-enable -o testpaths=benchmarks -m ''

golden:  ## write tests/golden again: only for a change that is meant to change programs
	$(PYTHON) -m tests.golden.listings
	$(PYTHON) -m tests.golden.digests

matrix:  ## every network on every chip, docs/matrix.md: hours; run it again to go on
	$(PYTHON) benchmarks/matrix.py

docs:  ## regenerate docs/config-reference.md, configs/chip.schema.json, the lists of modules, prices and operators in docs/
	$(PYTHON) -m pimcomp.config.reference docs/config-reference.md
	$(PYTHON) -m pimdse.sweep.schema configs/chip.schema.json
	$(PYTHON) -m tests.docs.module_map
	$(PYTHON) -m tests.docs.price_table
	$(PYTHON) -m tests.docs.operator_table

kernels:  ## list again, in pimdse/foundation/kernels.json, what each command has to compile after an installation
	$(PYTHON) -m tests.pimdse.kernel_list

site:  ## the documentation as pages in results/site (needs `pip install -e '.[docs]'`); broken links are errors
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict --quiet

vendor:  ## fetch the report page's libraries again, in the versions named here (needs npm)
	npm pack --silent --pack-destination pimdse/report/vendor d3@7.9.2 @observablehq/plot@0.6.17
	cd pimdse/report/vendor; take() { tar -xzOf $$1.tgz package/$$2 > $$3; }; \
	take d3-7.9.2 dist/d3.min.js d3.min.js; take d3-7.9.2 LICENSE d3.LICENSE; \
	take observablehq-plot-0.6.17 dist/plot.umd.min.js plot.min.js; take observablehq-plot-0.6.17 LICENSE plot.LICENSE; rm *.tgz

readme:  ## the README's sweep and what it shows of it, after a change that is meant to change programs; ten minutes
	rm -rf results/isaac
	COLUMNS=132 $(PYTHON) -m pimdse sweep configs/isaac.yaml > results/isaac.txt
	$(PYTHON) -m tests.docs.readme_sweep < results/isaac.txt

picture:  ## docs/sweep-report.png, of the page that the README's sweep left in results/isaac (needs chromium)
	chromium --headless --no-sandbox --disable-gpu --disable-background-networking --no-first-run --hide-scrollbars \
	  --user-data-dir="$$(mktemp -d)" --window-size=1280,1960 --screenshot=docs/sweep-report.png file://$(CURDIR)/results/isaac/report.html
