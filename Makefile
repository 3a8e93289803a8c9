# Two commands do everything on a machine with Python and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
CLOUD := .venv-cloud
RUNTIME := .venv-lambda
RIVAL := .venv-bench
RIVALS := dlt singer singer-s3
BIN := $(VENV)/bin
PIP := -m pip --disable-pip-version-check --quiet install
export PIP_NO_INPUT = 1

.DEFAULT_GOAL := help
.PHONY: help demo test again check bench faults mutants live lambda lock clean

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo $(CLOUD)/.installed ## scans from a simulated scanner to S3 and files, with everything that can die dying
	@$(BIN)/scribe-export demo

test: $(VENV)/.dev $(CLOUD)/.installed $(RUNTIME)/.installed check ## lint, types and every fast test
	@$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not slow and not again"

again: $(VENV)/.dev $(CLOUD)/.installed ## the tests of AWS once more, on moto
	@$(BIN)/pytest -n 2 --dist loadfile -m "again and not slow"

check: $(VENV)/.dev ## lint, types and layering
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/.dev $(CLOUD)/.installed $(RIVALS:%=$(RIVAL)/%/.installed) ## docs/benchmarks.md anew: 20 minutes; BENCH_ONLY=files, s3, clouds, stages or core
	@PYTHONPATH=tests $(BIN)/python -W ignore -m benchmarks

faults: $(VENV)/.dev $(CLOUD)/.installed ## the fault plan with what takes long, and a report; FAULT=F-05 for one row
	@$(BIN)/pytest -n 2 --dist loadfile --faults=$(or $(FAULT),all)

mutants: $(VENV)/.dev $(CLOUD)/.installed ## break each promise on purpose: one test each has to notice (one alone: MUTANT=name)
	@PYTHONPATH=tests $(BIN)/python -m mutants $(MUTANT)

live: $(VENV)/.dev ## the contract suites on your own accounts, those that SCRIBE_LIVE_... name (docs/guide/live.md)
	@$(BIN)/pytest tests/live

lambda: $(VENV)/bin/python ## the zip of a function in AWS Lambda: make lambda CONFIG=export.yaml
	@$(BIN)/python infra/aws/lambda/build.py --config $(or $(CONFIG),infra/aws/lambda/export.yaml)

lock: $(VENV)/.dev ## resolve the locked environments anew
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile --quiet pyproject.toml --all-extras --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -o requirements/demo.lock
	@$(BIN)/uv pip compile --quiet pyproject.toml --all-extras --group dev --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -o requirements/dev.lock
	@$(BIN)/uv pip compile --quiet requirements/cloud.in --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -o requirements/cloud.lock
	@$(BIN)/uv pip compile --quiet pyproject.toml --extra aws -c requirements/demo.lock --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -o requirements/lambda.lock
	@$(BIN)/uv pip compile --quiet requirements/lambda-runtime.in --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -o requirements/lambda-runtime.lock
	@for rival in $(RIVALS); do $(BIN)/uv pip compile --quiet requirements/bench-$$rival.in --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -o requirements/bench-$$rival.lock || exit 1; done
	@$(BIN)/uv pip compile --quiet requirements/pip.in --universal --python-version 3.11 --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-find-links --no-header -o requirements/pip.lock

clean: ## forget the environments and what they built
	rm -rf $(VENV) $(CLOUD) $(RUNTIME) $(RIVAL) build dist demo

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "scribe-export needs Python 3.11 or newer; set PYTHON=")'
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python $(PIP) --require-hashes -r requirements/pip.lock

$(VENV)/.demo: requirements/demo.lock pyproject.toml | $(VENV)/bin/python
	@echo "Installing scribe-export into $(VENV): about 85 MB to download, once."
	@$(BIN)/python $(PIP) --require-hashes -r requirements/demo.lock
	@$(BIN)/python $(PIP) --no-deps -e .
	@touch $@

$(VENV)/.dev: requirements/dev.lock pyproject.toml | $(VENV)/bin/python
	@echo "Installing the development environment into $(VENV): about 120 MB to download, once."
	@$(BIN)/python $(PIP) --require-hashes -r requirements/dev.lock
	@$(BIN)/python $(PIP) --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.demo

$(CLOUD)/.installed: requirements/cloud.lock
	@echo "Installing the local cloud's servers into $(CLOUD): about 60 MB to download, once."
	@$(PYTHON) -m venv $(CLOUD)
	@$(CLOUD)/bin/python $(PIP) --require-hashes -r requirements/pip.lock
	@$(CLOUD)/bin/python $(PIP) --require-hashes -r requirements/cloud.lock
	@touch $@

$(RUNTIME)/.installed: requirements/lambda-runtime.lock requirements/lambda.lock | $(VENV)/bin/python
	@echo "Installing AWS Lambda's runtime client into $(RUNTIME), and fetching what a function's zip holds: about 40 MB, once."
	@$(PYTHON) -m venv $(RUNTIME)
	@$(RUNTIME)/bin/python $(PIP) --require-hashes -r requirements/pip.lock
	@$(RUNTIME)/bin/python $(PIP) --require-hashes -r requirements/lambda-runtime.lock
	@$(BIN)/python infra/aws/lambda/build.py --dependencies --python $$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
	@touch $@

$(RIVAL)/%/.installed: requirements/bench-%.lock
	@echo "Installing what $* needs, to be measured beside it, into $(RIVAL)/$*: about 115 MB to download for all, once."
	@$(PYTHON) -m venv $(RIVAL)/$*
	@$(RIVAL)/$*/bin/python $(PIP) --require-hashes -r requirements/bench-$*.lock
	@touch $@
