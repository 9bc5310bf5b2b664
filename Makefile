# make run: the main job on a real clip.  make test: lint, types, tests.  Both set up first.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SOURCE ?= sample:carphone
# What a fixed camera is watched for; leave it empty for one that moves: make run SOURCE=mine.mp4 WATCH=
WATCH ?= --changed --rules docs/rules.yaml --events out/events

.PHONY: setup run test test-survival test-models test-chart test-gpu gpu-clips test-gpu-video fuzz audit lint bench bench-gpu bench-service benchmarks soak churn clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "vwt-stream needs Python 3.11 or newer; found $$($(PYTHON) --version). Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (the first time takes a few minutes: PyTorch is large)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[samples,dev]'
	@touch $@

run: setup
	@mkdir -p out
	$(BIN)/vwt run $(SOURCE) $(WATCH) --out out/results.jsonl --annotate out/annotated.mp4

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Where a process of tests is lost its test is named and the run ends; another one in its place may wait for ever.
test: lint
	$(BIN)/pytest -m "not gpu and not survival and not models" -n 2 --dist loadfile --max-worker-restart=0

# Kills parts of a real service, waits until results flow again, and writes the table of deploy/README.md.
test-survival: setup
	$(BIN)/pytest -m survival tests/survival

# Damaged clips, images, vocabularies, streams and settings to all that reads them, and the properties tried on
# more examples. The seed 0 makes the same damage each time: make fuzz FUZZ="--cases 20000 --seed 7"
FUZZ ?= --cases 2500
fuzz: setup
	$(BIN)/python -m tests.fuzz $(FUZZ)
	$(BIN)/pytest --hypothesis-profile fuzz $$(git ls-files 'tests/*_properties.py')

# Known faults of the packages that are installed; asks PyPI's advisories, so it needs the network.
audit: setup
	$(BIN)/pip-audit --skip-editable --progress-spinner off

# Renders the Helm chart by Helm's own engine. That is a package of native code which has ended a process of tests by
# a signal, so it is installed here alone; there are wheels for Linux on x86_64.
test-chart: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'helm-python-sdk==0.2.2'
	$(BIN)/pytest tests/deploy/test_helm.py

# Loads and runs every model of timm as far as shapes go. Twenty minutes of one core.
test-models: setup
	$(BIN)/pytest -m models -n 2 tests/pipeline/models

# Needs Python, torch, timm and OpenCV only, so that it runs on a GPU machine without a network: make
# $(GPU_CLIPS) here (`make gpu-clips`) and take the file along.
GPU_CLIPS := build/gpu-clips.npz
GPU_PYTHON ?= $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))

gpu-clips: $(GPU_CLIPS)

$(GPU_CLIPS):
	$(GPU_PYTHON) -m tests.gpu.clips $@

test-gpu: $(GPU_CLIPS)
	$(GPU_PYTHON) -m tests.gpu --clips $(GPU_CLIPS)

# Decoding on the GPU needs the whole project installed.
test-gpu-video: setup
	$(BIN)/pytest -m gpu

# Writes BENCHMARKS.md and its picture. Ten minutes on two quiet cores.
CLIPS ?= sample:bikes sample:bunny sample:carphone
benchmarks: setup
	$(BIN)/vwt bench $(CLIPS) --json benchmarks/results/bench.json --plot docs/frontier.png
	$(BIN)/python -m benchmarks.document

# The same table on a GPU machine with the whole project installed, at three batches and two sizes.
bench-gpu: setup
	@mkdir -p out
	for size in 224 448; do for batch in 1 8 64; do \
		$(BIN)/vwt bench $(CLIPS) --device cuda --size $$size --batch $$batch \
			--json out/bench-gpu-$$size-$$batch.json || exit 1; \
	done; done

# A quarter of an hour on two quiet cores. benchmarks/ has more: drift, fit, rolling, start, single_images.
bench: setup
	$(BIN)/python -m benchmarks.preprocess
	$(BIN)/python -m benchmarks.tokenizers --quick
	$(BIN)/python -m benchmarks.run_overhead
	$(BIN)/python -m benchmarks.memory

# Ten minutes; or one part: python -m benchmarks.service latency
bench-service: setup
	$(BIN)/python -m benchmarks.service

# Half an hour of streams that come and go, and of faults.
soak: setup
	$(BIN)/python -m benchmarks.soak

# Whether a service grows as thousands of streams come and go.
churn: setup
	$(BIN)/python -m benchmarks.churn

clean:
	rm -rf $(VENV) out build *.egg-info .mypy_cache .pytest_cache .ruff_cache
