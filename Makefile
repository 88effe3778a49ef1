# labkit. Two commands do everything, also on a bare machine with Python 3.11 and make:
# `make lab` opens the lab, `make test` proves that it works.

SHELL := /bin/bash
PY := .venv/bin/python
# One thread a process: two processes share two cores better than the threads of one do.
PYTEST := OMP_NUM_THREADS=1 $(PY) -m pytest -q -n 2

# The Tiny-ImageNet archive, when it lies beside the project. LABKIT_DATA= (empty) does without.
ifeq ($(origin LABKIT_DATA),undefined)
export LABKIT_DATA := $(shell cd ../shared/data 2>/dev/null && pwd)
endif

.DEFAULT_GOAL := help
.PHONY: help setup lab test check notebooks train screenshots pins clean

help: ## show this list
	@printf 'labkit, from here:\n\n'
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'
	@printf '\nThen: .venv/bin/labkit --help\n'

setup: ## put everything that is needed into .venv (the others call this by themselves)
	@bash scripts/setup.sh

lab: setup ## open the lab: JupyterLab with the notebooks, and the apps
	@exec .venv/bin/labkit up

test: setup ## run every check: the fast ones, the slow ones, the notebooks, the browser
	@bash scripts/chromium.sh
	@$(MAKE) --no-print-directory check
	$(PYTEST) --dist loadfile -m "slow and not browser and not notebook"
	$(PYTEST) --dist worksteal -m notebook
	$(PYTEST) --dist loadfile -m "browser and not notebook"

check: setup ## lint, format, import rings and the fast tests
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PYTEST) --dist loadfile -m "not slow and not browser and not notebook"

notebooks: setup ## write each notebook's .ipynb anew from its .py, without outputs
	$(PY) scripts/notebooks.py

train: setup ## train the shipped checkpoints again (hours on two cores; needs LABKIT_DATA)
	.venv/bin/labkit train resnet --seed 0 --out data/weights/resnet.safetensors
	.venv/bin/labkit train vit --seed 0 --out data/weights/vit.safetensors

screenshots: setup ## take the pictures of the README and of docs/ anew, in Chromium
	@bash scripts/chromium.sh
	$(PY) scripts/screenshots.py

pins: setup ## resolve constraints.txt anew from pyproject.toml
	@bash scripts/pins.sh

clean: ## remove what can be made again (not the trained weights)
	rm -rf .venv .venv.lock build runs/*.log *.egg-info .pytest_cache .ruff_cache .hypothesis .gradio
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
