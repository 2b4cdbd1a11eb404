# make demo: everything on a fresh clone. make test, make lint: for developers. All of them set up first if needed.
SHELL := /bin/bash
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.set-up
DEMO := render_results/demo/obama_1.mp4
# PyPI's torch for Linux carries CUDA, gigabytes that nothing here uses: the same version is taken from the CPU index
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
PYTHON ?=

# `make lock` and `make audit` have their tools to themselves
TOOLS := build/tools
LOCK_FROM = $(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS),--extra-index-url $(TORCH_INDEX) --index-strategy unsafe-best-match)

.PHONY: setup demo avatar page figures specification left-out test lint format clean lock audit fuzz faults

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
	@echo "compiling the kernels, once: about a minute"; $(PY) -m demos.compile_kernels
	@touch $(STAMP)

demo: $(STAMP)
	$(PY) inference.py -i ./demos/examples/1.jpg -d ./demos/drivers/obama --enhanced -o $(DEMO)
	$(PY) -m demos.contact_sheet $(DEMO)

# The demo's avatar as one HTML file, which opens by double click; --webcam fetches 7 MB once
avatar: $(STAMP)
	$(PY) -m core.export -i ./demos/examples/1.jpg -d ./demos/drivers/obama -o render_results/demo/avatar.html

# The page in the browser, for this machine alone; `python -m core.page --help` for more
page: $(STAMP)
	$(PY) -m core.page --open

# The pictures of the README; the speed plot wants a quiet machine and ../shared/data
figures: $(STAMP)
	$(PY) -m benchmarks.figures

MEASURED := --model lifted --frames 120 --variants off temporal detail expression gaze all

# The tables in IMPROVEMENTS_README.md, from clips that are not part of the repository; it goes on where it was stopped
specification: $(STAMP)
	$(PY) -m core.evaluation.ablation --pairs benchmarks/pairs_self.yaml --tracking-noise --poor-driver --poor-photo $(MEASURED) \
		--out build/ablation/self
	$(PY) -m core.evaluation.ablation --pairs benchmarks/pairs_cross.yaml $(MEASURED) --out build/ablation/cross
	$(PY) -m core.evaluation.specification_table build/ablation/self build/ablation/cross --into IMPROVEMENTS_README.md
	$(PY) -m core.evaluation.specification_table build/ablation/self --poor --into IMPROVEMENTS_README.md

# The same for a head that was made without the clip that is measured: six heads, then all four against none
left-out: $(STAMP)
	@mkdir -p build/heads; for clip in obama d0 d10 d13 d19 s18; do head=build/heads/without-$$clip.npz; \
		[ -f $$head ] || $(PY) -m tools.build_open_head --data ../shared/data --exclude $$clip --out $$head || exit; done
	$(PY) -m core.evaluation.ablation --pairs benchmarks/pairs_left_out.yaml --poor-driver --poor-photo --model lifted \
		--frames 60 --variants off all --no-oracles --out build/ablation/left_out

# Three processes, as many tests wait for a browser or a worker; each file's in one of them: what libraries load is loaded once
test: $(STAMP)
	$(PY) -m pytest -n 3 --dist loadfile

lint: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: $(STAMP)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

# What `make setup` installs on Linux x86_64 with Python 3.11, all of it, with hashes
lock: $(TOOLS)/.set-up
	$(TOOLS)/bin/uv pip compile --quiet --generate-hashes --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
		--custom-compile-command "make lock" $(LOCK_FROM) --no-emit-find-links --no-emit-index-url \
		--output-file requirements.lock requirements.txt requirements-dev.txt

# Known vulnerabilities of what is locked; skipped, and said so, where their database cannot be reached
audit: $(STAMP)
	@if $(PY) -c 'import urllib.request as u; u.urlopen("https://pypi.org/pypi/pip/25.0/json", timeout=5)' 2>/dev/null; then \
		$(MAKE) --no-print-directory $(TOOLS)/.set-up && sed 's/+cpu / /' requirements.lock > build/audit.txt && \
		$(TOOLS)/bin/pip-audit --progress-spinner off --disable-pip --require-hashes -r build/audit.txt $(AUDIT); \
	else echo "audit skipped: the database of vulnerabilities (pypi.org) cannot be reached"; fi

$(TOOLS)/.set-up: requirements-tools.txt $(STAMP)
	@$(PY) -m venv $(TOOLS)
	@$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-tools.txt
	@touch $@

# The long forms of what `make test` does shortly: some minutes each
fuzz: $(STAMP)
	FUZZ=long $(PY) -m pytest tests/test_fuzz.py
	$(PY) tests/fuzz_readers.py --files 5000 --seed $$RANDOM --keep build/fuzz

faults: $(STAMP)
	$(PY) -m benchmarks.faults

clean:
	rm -rf $(VENV) render_results .pytest_cache .ruff_cache .mypy_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
