# The two commands of the README are `make demo` and `make test`. Both work on a fresh clone with nothing but
# Python 3.11 or newer, pip, gcc and make: they create .venv and install into it. Another Python: make PYTHON=...

VENV := .venv
BIN := $(VENV)/bin
ARGS :=
COUNT := 1000000
KILLS := 200
EXAMPLES := 100
# So many processes share the tests out; `make test WORKERS=0` has one, as a debugger wants it.
WORKERS := 2
# The methods that two programs reach each other by, as tests/two_programs writes them.
FAULTY := 'unix:{name}' '{name}' 'pipe:{name}' 'mq:{name}' 'tcp://127.0.0.1:{port}' 'http://127.0.0.1:{port}' \
	'json+unix:{name}' 'sqlite:{dir}/alice.db'
MAPPED := 'mmap:{dir}/board' 'text+mmap:{dir}/line'
# Every method that a stranger can reach; strangers.py adds the certificates of `tls=yes` itself.
DOORS := 'unix:{name}' 'tcp://127.0.0.1:{port}' 'pipe:{name}' '{name}' 'shm:{name}' 'mq:{name}' 'mp:{name}' \
	'tcp://127.0.0.1:{port}?key=secret&key_name=bob' 'tcp://127.0.0.1:{port}?tls=yes' 'http://127.0.0.1:{port}' \
	'mp://127.0.0.1:{port}?authkey=secret' 'jsonrpc+tcp://127.0.0.1:{port}' 'json+tcp://127.0.0.1:{port}' \
	'text+tcp://127.0.0.1:{port}'
WIRES := $(basename $(notdir $(wildcard src/tincans/wires/[a-z]*.py)))
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	$$python -c '$(NEW_ENOUGH)' 2>/dev/null && { echo $$python; break; }; done)
# A change to any of these installs again; a change to a Python file needs no install.
BUILD_FILES := pyproject.toml $(wildcard setup.py src/tincans/_speed/*.c src/tincans/_speed/*.h)

.PHONY: help demo test lint format table bench openapi fuzz faults ring clean
.DELETE_ON_ERROR:

help:
	@echo "make demo     Alice and Bob, two programs, talk over every method that is here"
	@echo "make test     all tests            (make test ARGS='-k pipe' for some)"
	@echo "make lint     ruff, mypy --strict, import-linter"
	@echo "make format   let ruff format the code"
	@echo "make table    the tables in README.md and docs/, from the code"
	@echo "make bench    speed side by side, into docs/benchmarks.* (nothing else should run; ARGS=--quick: about 5 minutes)"
	@echo "make openapi  100 requests made up for each operation of our OpenAPI (EXAMPLES=...)"
	@echo "make fuzz     a million mutated frames into every parser, 50,000 files (COUNT=... for another number)"
	@echo "make faults   200 kills on each method, strangers, idle clients, a crowd on each (KILLS=...)"
	@echo "make ring     the proofs of the C ring: sanitizers, hostile states, kills, models"
	@echo "make clean    remove .venv and what builds and tools left"

demo: $(VENV)/installed-cli
	@$(BIN)/python -m tincans demo $(ARGS)

test: $(VENV)/installed-test
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal $(ARGS)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/installed-dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

table: $(VENV)/installed-test
	$(BIN)/python docs/table.py

bench: $(VENV)/installed-bench
	$(BIN)/python -m tincans.bench $(ARGS)

openapi: $(VENV)/installed-test
	EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest tests/own/test_http_interop.py -k schemathesis $(ARGS)

fuzz: $(VENV)/installed-test
	$(BIN)/python tests/fuzz/framing.py $(COUNT)
	$(BIN)/python tests/fuzz/plain.py $(COUNT)
	$(BIN)/python tests/fuzz/mp_handshake.py $(COUNT)
	$(BIN)/python tests/fuzz/json_rpc.py $(COUNT)
	$(BIN)/python tests/fuzz/handshake.py $(COUNT)
	$(BIN)/python tests/fuzz/web.py $(COUNT)
	$(BIN)/python tests/fuzz/files.py $(shell expr $(COUNT) / 20 + 1)
	@for wire in $(WIRES); do echo "wire $$wire"; $(BIN)/python tests/fuzz/wires.py $$wire $(COUNT) || exit 1; done

faults: $(VENV)/installed-test
	@for method in $(FAULTY) stdio; do $(BIN)/python tests/faults/kills.py "$$method" $(KILLS) || exit 1; done
	@$(BIN)/python tests/faults/system_calls.py
	@$(BIN)/python tests/faults/waiting_calls.py $(KILLS)
	@for method in $(DOORS); do $(BIN)/python tests/faults/strangers.py "$$method" || exit 1; done
	@$(BIN)/python tests/faults/idle.py
	@$(BIN)/python tests/faults/crowd.py
	@$(BIN)/python tests/faults/redis_kills.py $(shell expr $(KILLS) / 4 + 1)
	@for method in $(MAPPED); do $(BIN)/python tests/faults/mapped.py "$$method" 60 || exit 1; done
	@$(BIN)/python tests/faults/document.py $(KILLS)
	@$(BIN)/python tests/faults/toggles.py 100000

ring:
	$(MAKE) -C tests/ring all

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests -name __pycache__ -prune -exec rm -rf {} +
	find src -name '*.so' -delete

# An interpreter without ensurepip cannot put pip into a virtual environment; its own pip then installs into it.
$(BIN)/python:
	@$(or $(PYTHON),false) -c '$(NEW_ENOUGH)' || \
		{ echo "Tincans needs Python 3.11 or newer. If you have one: make PYTHON=/path/to/python3" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || $(PYTHON) -m venv --clear --without-pip $(VENV)

# What is measured beside ours: all at once, or, when one of them cannot be had here, one by one without that one.
$(VENV)/installed-bench: $(VENV)/installed-test
	@echo "Installing tincans[bench] into $(VENV) ..." >&2
	@if $(BIN)/python -m pip --version >/dev/null 2>&1; \
		then pip="$(BIN)/python -m pip"; else pip="$(PYTHON) -m pip --python $(BIN)/python"; fi; \
	wanted=$$($(BIN)/python -m tincans.bench.requirements); \
	$$pip install --quiet --only-binary :all: $$wanted || for each in $$wanted; do \
		$$pip install --quiet --only-binary :all: "$$each" || echo "left out, for it cannot be installed: $$each" >&2; done
	@touch $@

$(VENV)/installed-%: $(BUILD_FILES) | $(BIN)/python
	@echo "Installing tincans[$*] into $(VENV) ..." >&2
	@if $(BIN)/python -m pip --version >/dev/null 2>&1; \
		then $(BIN)/python -m pip install --quiet --editable '.[$*]'; \
		else $(PYTHON) -m pip --python $(BIN)/python install --quiet --editable '.[$*]'; fi
	@touch $@
