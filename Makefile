# `make run` and `make test` need nothing but Python >= 3.11 and make: each makes .venv first if it is not there.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := export,cpu,rtx,openvino,report,data,test,lint

# Rows, builds and tests are hundreds of processes. Where the environment keeps Python from storing compiled code, as
# images of containers often do, each of them would compile the package anew, for half a second.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install run reference docs test proof test-device lint format bench bench-noise catalogue catalogue-latency vgg-listing page study wild int8-peers inferred-shapes int8-recipes half-speed tune-search mix-prediction torture gpu parity pycuda install-matrix surfaces stubs claims-full claims-mutations clean

help:  ## What can be made.
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(VENV)/.installed  ## Make .venv with pinned dependencies.

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "deploykit needs Python 3.11 or later: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[$(EXTRAS)]"
	@touch $@

run: install  ## The main job: networks to engines, profile, claims and summary, in results/, which git ignores.
	$(BIN)/deploykit run

reference: install  ## The same into reports/, which is committed: on an idle machine, then `make docs`.
	$(BIN)/deploykit run --reports reports

docs: install  ## Write the pages of docs/ that are made from the code, and the README's table of results.
	$(BIN)/python scripts/make_docs.py

claims-full: install  ## All claims with what they take, measured and trained here, into reports/claims_full.csv and pictures; goes on.
	$(BIN)/deploykit claims --measure --train --csv reports/claims_full.csv \
	  --profile reports/study.csv --profile reports/vgg_listing.csv
	$(BIN)/python -m studies.claims_pictures

claims-mutations: install  ## Change what each claim rests on, and print the share of verdicts that moved; goes on.
	$(BIN)/python -m studies.mutations

test: install  ## All tests, a process per core.
	$(BIN)/python -m pytest -n auto --dist worksteal

proof: install  ## The tests that are too long for `make test`: the large networks.
	$(BIN)/python -m pytest -n auto --dist worksteal -m proof

test-device: install  ## All tests once more, with a simulated GPU listed.
	DEPLOYKIT_TEST_DEVICE=1 $(BIN)/python -m pytest -n auto --dist worksteal

lint: install  ## ruff, mypy --strict, import-linter.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install  ## Format the code.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install  ## Speed and memory of the commands themselves, into reports/benchmarks.csv.
	$(BIN)/python -m benchmarks

bench-noise: install  ## False alarms and slowdowns found, over hundreds of comparisons; hours, goes on where it stopped.
	$(BIN)/python -m benchmarks interleaved stored

catalogue: install  ## Every network through export, precisions and builders, into reports/catalogue.csv; goes on.
	$(BIN)/python -m studies.catalogue

catalogue-latency: install  ## Latency of every network on the processor, into reports/catalogue_latency.csv and catalogue.csv; idle machine, goes on.
	$(BIN)/python -m studies.catalogue_latency

# A pass takes long: each is kept by itself, so that a run that was broken off goes on with the other.
LISTING := build/vgg-listing
$(LISTING)/%.csv: | install
	@mkdir -p $(LISTING)
	$(BIN)/deploykit profile --preset vgg-listing --pass $* --csv $@ || { rm -f $@; exit 1; }

vgg-listing: $(LISTING)/forward.csv $(LISTING)/forward_backward.csv  ## The listing's benchmark of VGG-16, batch 32, mean and deviation of 100 batches, into reports/vgg_listing.csv; long, goes on.
	{ cat $(LISTING)/forward.csv; tail -n +2 $(LISTING)/forward_backward.csv; } > reports/vgg_listing.csv

page: install  ## The page of the committed profile, into reports/report.html, and a picture of it; needs Chromium.
	$(BIN)/deploykit report reports/profile.csv -o reports/report.html
	chromium --headless=new --no-sandbox --disable-gpu --hide-scrollbars --window-size=1200,1380 \
	  --screenshot=reports/report.png "file://$(CURDIR)/reports/report.html"

study: install  ## Train and measure size against accuracy on Fashion-MNIST, into reports/; STUDY='--budget 600' and the like.
	$(BIN)/python -m studies.fashion_mnist $(STUDY)

wild: install  ## Networks that packages on the public index ship, through profile and build, into reports/wild.csv.
	$(BIN)/python -m studies.wild

int8-peers: install  ## int8 against ONNX Runtime's own quantiser on the networks of `wild`, into reports/int8_peers.csv.
	$(BIN)/python -m benchmarks.int8_peers --csv reports/int8_peers.csv

inferred-shapes: install  ## MACs from shapes followed without a run, beside those of a run, on the networks of `wild`.
	$(BIN)/python -m benchmarks.inferred_shapes --csv reports/inferred_shapes.csv

# NNCF pins what it depends on: it goes beside .venv, with the same runtimes.
.venv-peers/.installed: | install
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --constraint constraints.txt nncf==3.4.0 onnx onnxruntime openvino
	@touch $@

int8-recipes: .venv-peers/.installed  ## Each step of int8 and the quantisers of others on Fashion-MNIST, into reports/int8_recipes.csv.
	$(BIN)/python -m benchmarks.int8_recipes --csv reports/int8_recipes.csv

half-speed: install  ## bf16 and fp16 against fp32 on the processor, in turns, into reports/half_speed.csv.
	$(BIN)/python -m benchmarks.half_speed --csv reports/half_speed.csv

mix-prediction: install  ## Predicted against measured mixes of int8 and fp32 on 20 networks, into reports/mix_prediction.csv; goes on.
	$(BIN)/python -m benchmarks.mix_prediction $(NETWORKS) --csv reports/mix_prediction.csv --time 36000

tune-search: install  ## tune's answer against an exhaustive search on 12 networks, into reports/tune_search.csv; up to 11 minutes for each by its bounds, goes on. NETWORKS=resnet18 for one.
	$(BIN)/python -m benchmarks.tune_search $(NETWORKS) --csv reports/tune_search.csv --time 36000

torture: install  ## Damaged files, kills, failing writes, hostile data, into reports/torture.json; 40 minutes.
	$(BIN)/python -m studies.torture

gpu: install  ## A GPU box on trial, at most ten minutes, into reports/gpu.json, gpu.csv and gpu.md; 3 without a GPU.
	$(BIN)/python -m studies.gpu

# torchvision's and timm's wheels ask for another torch: they go beside .venv's, without what they depend on.
.venv-parity/.installed: | install
	$(PYTHON) -m venv --without-pip .venv-parity
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	  > "$$(.venv-parity/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/base.pth"
	$(BIN)/python -m pip --python .venv-parity/bin/python install --quiet --no-deps torchvision==0.29.2 timm==1.0.31
	$(BIN)/python -m pip --python .venv-parity/bin/python install --quiet huggingface_hub pyyaml
	@touch $@

parity: .venv-parity/.installed  ## Equal weights, equal logits: against torchvision and timm, into reports/parity.csv.
	PYTHONPATH=. .venv-parity/bin/python scripts/parity.py

pycuda: install  ## The real PyCUDA, compiled with the CUDA toolkit, on a simulated driver, into reports/pycuda.json.
	$(BIN)/python scripts/prove_pycuda.py .venv-pycuda

install-matrix: install  ## Resolve every extra in a clean environment, into reports/install-matrix.csv; needs the network.
	$(BIN)/python scripts/install_matrix.py

stubs:  ## Write the stubs that mypy reads for NVIDIA's bindings, from tests/surfaces.
	$(PYTHON) scripts/make_stubs.py

surfaces:  ## Record anew what NVIDIA's bindings offer, into tests/surfaces; needs the network and the CUDA toolkit.
	$(PYTHON) scripts/record_surfaces.py

clean:  ## Remove what the commands above made, reports and the study's trainings excepted.
	rm -rf results $(VENV) .venv-parity .venv-peers .venv-pycuda .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find engines -mindepth 1 ! -name README.md -delete
	find deploykit tests studies benchmarks scripts -name __pycache__ -prune -exec rm -rf {} +
