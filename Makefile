# `make up` and `make test` do all their set-up themselves: Python >= 3.11, Node >= 20 and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: up test check lint types parity format mirror page synth docs clean help
.DEFAULT_GOAL := help

help:  ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

up: $(VENV)/laptop web/dist/index.html  ## page, API and model on http://127.0.0.1:7860
	@exec $(BIN)/easel up $(ARGS)

test: $(VENV)/dev node_modules web/dist/index.html  ## every test; installs what it needs
	$(BIN)/pytest $(ARGS)

check: lint types  ## lint, format and types; make -j2 check uses two cores

lint: $(VENV)/dev web/node_modules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cmp lambda/contract.py model_code/contract.py
	cmp model_importer/classes.py model_code/loading/classes.py
	cmp lambda/vocabulary.json models/emoji/vocabulary.json
	cd model_code && ../$(BIN)/mypy .
	cd lambda && ../$(BIN)/mypy .
	cd cloud9 && ../$(BIN)/mypy .
	cd tests/lambda && MYPYPATH=../../lambda ../../$(BIN)/mypy .
	npm --prefix web run check

types: $(VENV)/dev
	$(BIN)/mypy app.py stacks
	MYPYPATH=.:lambda:model_code:cloud9:training $(BIN)/mypy --explicit-package-bases --exclude tests/lambda easel bench tests notebooks/render.py notebooks/instance/idle_stop.py

parity: $(VENV)/dev node_modules  ## the serving image's own software against the laptop's: Linux, Java, Python 3.12, 6 GB
	$(BIN)/python -m tests.parity

format: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

mirror:  ## copy the contract and the embedded model's names to lambda/, and the known classes to the importer
	cp model_code/contract.py lambda/contract.py
	cp model_code/loading/classes.py model_importer/classes.py
	cp models/emoji/vocabulary.json lambda/vocabulary.json

page: web/dist/index.html  ## the page, built for a deploy

synth: $(VENV)/cloud node_modules page  ## the CloudFormation templates, without an account
	npx cdk synth --quiet
	@echo "The templates are in order. Next: $(BIN)/easel doctor"

docs: $(VENV)/dev  ## the notebook's rendered copy, drawn anew
	$(BIN)/python notebooks/render.py

clean:  ## everything that was installed or made here
	rm -rf $(VENV) node_modules web/node_modules web/dist .cache .easel out cdk.out *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Easel needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) -V`. Name another: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

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

node_modules: package-lock.json
	npm ci --no-audit --no-fund
	@touch $@

# `install`, since `ci` wants the optional packages of every platform in the lock.
web/node_modules: web/package-lock.json
	npm --prefix web install --no-save --no-audit --no-fund
	@touch $@

web/dist/index.html: web/node_modules $(shell find web/src web/public web/index.html web/vite.config.ts 2>/dev/null)
	npm --prefix web exec -- vite build web --logLevel warn
	@touch $@
