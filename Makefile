# The verbs of this project. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help setup demo test check fast bench soak docs clean

help:  ## list these verbs
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup:  ## install what is missing; build images and runtime releases (kept in the machine's cache)
	@scripts/setup

demo: setup  ## the main job: your own image becomes a Spark cluster behind the Databricks API
	@.venv/bin/python demo/run.py

test: setup  ## all tests, static checks included
	@scripts/test

fast:  ## the tests that need neither engine nor Spark, in seconds
	@.venv/bin/python -m pytest -q -m 'not engine and not spark' -n 2

check:  ## static checks: ruff, pyright, import layers
	@scripts/check

bench: setup  ## the benchmarks of docs/performance.md
	@for b in launch warm pull api startup rest many_nodes provision; do .venv/bin/python bench/$$b.py || exit 1; done

soak: setup  ## long campaigns: crashes, random wishes, the contract and requests of any shape, again with other seeds (ROUNDS=20); every runtime started; real clusters made and deleted (CYCLES=50), and given to people (PEOPLE=50)
	@for seed in $$(seq 1 $${ROUNDS:-20}); do \
	  .venv/bin/python -m pytest -q tests/compute/launch tests/contract tests/commands/test_crashes.py tests/clients/test_no_500.py \
	    --hypothesis-seed=$$seed || exit 1; done
	@ALL_RUNTIMES=1 .venv/bin/python -m pytest -q tests/e2e/test_runtimes.py
	@.venv/bin/python bench/cycles.py --cycles $${CYCLES:-50}
	@.venv/bin/python bench/provision.py --real $${PEOPLE:-50}

docs:  ## print docs/compatibility.md from the routing table
	@.venv/bin/boathouse compatibility > docs/compatibility.md

clean:  ## remove the virtual environment and build output (not the machine's cache)
	@rm -rf .venv build dist
