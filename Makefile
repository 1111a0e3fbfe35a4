# Everything that is done to this repository by hand or by CI. `make` alone lists the recipes.
#
# The environment lives in .venv, installed from the hash-checked locks. A stamp in it remembers that; it is redone only
# when a lock or pyproject.toml changes. Nothing is downloaded after that.

SHELL = /bin/sh
MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
export PIP_DISABLE_PIP_VERSION_CHECK = 1

PY = .venv/bin/python
PIP = $(PY) -m pip --quiet --no-input
RUN = .venv/.stamp-run
DEV = .venv/.stamp-dev
DATA = data
SAMPLE = micropython-esp32
COMPILE = .venv/bin/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate

# AIRFREIGHT_STRICT=1 turns a skipped test into a failed one. ARGS goes to the command: make run ARGS="--devices 50".
STRICT = $(if $(filter 1,$(AIRFREIGHT_STRICT)),-p tests.strict)
PYTEST = $(PY) -m pytest --quiet $(STRICT)
WORKERS = -n auto --maxprocesses 4 --dist loadfile
PURE = tests/domain tests/formats

.PHONY: help venv dev run serve test check fmt bench lock

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' Makefile

venv: $(RUN) ## Install what the server needs into .venv (.venv/bin/airfreight)
	@:

dev: $(DEV) ## Install what development needs, too
	@:

$(RUN): requirements.lock requirements-build.lock pyproject.toml
	@if [ -n "$$PYTHON" ]; then set -- "$$PYTHON"; else set -- python3 python3.11 python3.12 python3.13 python3.14; fi; \
	for python; do \
		if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "Installing the locked packages into .venv ..." >&2; exec "$$python" -m venv .venv; fi; \
	done; \
	echo "Python 3.11 or newer with its venv module is needed; none of these is: $$*." \
		"Install it, or name one: make PYTHON=/path/to/python3.11" >&2; exit 1
	@$(PIP) install --require-hashes -r requirements.lock -r requirements-build.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $(RUN)

$(DEV): $(RUN) requirements-dev.lock
	@echo "Installing the locked development packages into .venv ..." >&2
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $(DEV)

run: $(RUN) ## Run a server with simulated devices, and watch a real image land on them
	@$(PY) tools/fetch_samples.py --only $(SAMPLE) samples >/dev/null 2>&1 \
		|| echo "The sample image could not be fetched; the demo makes one of its own." >&2
	@set --; if [ -f samples/$(SAMPLE).bin ]; then set -- --image samples/$(SAMPLE).bin; fi; \
		exec .venv/bin/airfreight demo --data $(DATA) "$$@" $(ARGS)

serve: $(RUN) ## Run the server alone, without simulated devices (http://127.0.0.1:8080)
	@exec .venv/bin/airfreight serve --data $(DATA) $(ARGS)

test: $(DEV) ## Run the tests on SQLite and PostgreSQL, the fast ones first
	$(PYTEST) $(ARGS) $(PURE)
	$(PYTEST) $(ARGS) $(WORKERS) $(PURE:%=--ignore=%)

check: $(DEV) ## Look for mistakes: lint, format, types, import contracts
	.venv/bin/ruff check --quiet .
	.venv/bin/ruff format --quiet --check .
	.venv/bin/mypy --no-error-summary
	.venv/bin/lint-imports --no-logo

fmt: $(DEV) ## Format, and mend what can be mended by itself
	.venv/bin/ruff check --quiet --fix-only .
	.venv/bin/ruff format --quiet .

bench: $(DEV) ## Measure the server beside nginx, goosebit and plain hashing (docs/benchmarks.md; keep it with ARGS=--write)
	$(PY) benchmarks/run.py $(ARGS)

lock: $(DEV) ## Write the three locks again; one package: make lock ARGS="--upgrade-package NAME"
	$(COMPILE) $(ARGS) pyproject.toml -o requirements.lock
	$(COMPILE) $(ARGS) pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock
	$(COMPILE) $(ARGS) --group build -c requirements.lock -o requirements-build.lock
