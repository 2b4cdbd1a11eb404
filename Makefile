# make demo: everything on a fresh clone. make test, make lint: for developers. All of them set up first if needed.
SHELL := /bin/bash
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.set-up
DEMO := render_results/demo/obama_1.mp4
# PyPI's torch for Linux carries CUDA, gigabytes that nothing here uses: the same version is taken from the CPU index
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
PYTHON ?=

.PHONY: setup demo test lint format clean

setup: $(STAMP)

$(STAMP): requirements.txt requirements-dev.txt
	@rm -f $(STAMP)
	@good='import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))'; \
	for python in $(PYTHON) python3.11 python3.12 python3 python; do \
		if "$$python" -c "$$good" 2>/dev/null; then found="$$python"; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "error: Python 3.11 or 3.12 is needed (found: $$(python3 --version 2>&1 | head -n 1)); install one, or name it: make PYTHON=/path/to/python3.11" >&2; \
		exit 2; \
	fi; \
	if ! $(PY) -c "$$good" 2>/dev/null; then rm -rf $(VENV); "$$found" -m venv $(VENV); fi
	@if [ "$$(uname -s)" = Linux ] && ! $(PY) -c 'import torch' 2>/dev/null; then \
		$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --retries 0 --timeout 30 \
			--index-url $(TORCH_INDEX) "$$(grep '^torch==' requirements.txt)" 2>/dev/null \
			|| echo "$(TORCH_INDEX) cannot be reached: taking torch from the default index"; \
	fi
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-dev.txt
	@$(PY) -c 'import cv2' || { echo "error: OpenCV cannot be loaded; on Debian or Ubuntu: apt install libgl1 libglib2.0-0" >&2; exit 2; }
	@touch $(STAMP)

demo: $(STAMP)
	$(PY) inference.py -i ./demos/examples/1.jpg -d ./demos/drivers/obama -o $(DEMO)
	$(PY) -m demos.contact_sheet $(DEMO)

test: $(STAMP)
	$(PY) -m pytest

lint: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

format: $(STAMP)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

clean:
	rm -rf $(VENV) render_results .pytest_cache .ruff_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
