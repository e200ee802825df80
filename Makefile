# Everything runs in .venv, which each target sets up by itself. Nothing is installed again
# until pyproject.toml changes. `make help` lists the targets.

# The first Python on the path that is new enough; `make test PYTHON=python3.12` chooses another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)
VENV ?= .venv
PIP_INSTALL = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check
RUN = $(VENV)/bin/python

# Recorded exchanges with Polar to check against: POLAR_RECORDINGS=PATH make test
RECORDINGS = $(if $(POLAR_RECORDINGS),--polar-recordings=$(POLAR_RECORDINGS))
# Two processes where no coverage is counted; a file's tests stay together, because those of one
# server are in one file.
PARALLEL = -n 2 --dist loadfile
# More for pytest: make test ARGS="-k webhook"
ARGS ?=

.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo serve test test-services test-browser lint format bench docs \
	services-deps browser-deps clean

help:  ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(VENV)/.base  ## Mirror a fake Polar (or yours: POLAR_ACCESS_TOKEN) into SQLite, and report
	@$(RUN) example_project/demo.py

serve: $(VENV)/.base  ## The demo, left running with the Django admin until Ctrl-C
	@$(RUN) example_project/demo.py --serve

test: $(VENV)/.test  ## Every test that needs no server, on SQLite, with coverage
	@$(RUN) -m coverage erase
	$(RUN) -m coverage run -m pytest $(RECORDINGS) $(ARGS)
	@$(RUN) -m coverage report $(if $(ARGS),--fail-under=0)

test-services: $(VENV)/.services  ## Every test, on PostgreSQL and MariaDB, with Redis and RabbitMQ
	@$(RUN) -m tests.servers
	TEST_DATABASE=postgresql $(RUN) -m pytest $(PARALLEL) -m "not browser" $(RECORDINGS) $(ARGS)
	TEST_DATABASE=mariadb $(RUN) -m pytest $(PARALLEL) -m "not browser" $(RECORDINGS) $(ARGS)

test-browser: $(VENV)/.browser  ## The tests that need Chromium
	$(RUN) -m pytest -m browser $(ARGS) || [ $$? -eq 5 ]  # 5: there are none

lint: $(VENV)/.lint  ## Style, types, layers, migrations
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports
	DJANGO_SETTINGS_MODULE=tests.settings $(RUN) -m django makemigrations --check --dry-run

format: $(VENV)/.lint  ## Let ruff repair what it can
	$(RUN) -m ruff check --fix
	$(RUN) -m ruff format

bench: .venv-bench/.bench  ## Figures of speed and memory, as one JSON object
	@.venv-bench/bin/python bench/run.py $(ARGS)

docs: $(VENV)/.docs  ## The documentation as a site, in site/
	$(RUN) -m mkdocs build --strict --quiet

clean:  ## Remove what the other targets made
	rm -rf .venv .venv-* demo site dist build .coverage* htmlcov

# What the database drivers are built with and the servers they talk to; as root, on Debian.
services-deps:  ## Install PostgreSQL, MariaDB, Redis, RabbitMQ and headers (Debian, as root)
	apt-get install -y --no-install-recommends gcc pkg-config libc6-dev python3-dev \
		libmariadb-dev postgresql mariadb-server redis-server rabbitmq-server

browser-deps:  ## Install Chromium (Debian, as root)
	apt-get install -y --no-install-recommends chromium chromium-driver

$(VENV)/bin/python:
	@[ -n "$(PYTHON)" ] || { echo "No Python 3.11 or newer on the path; say which: make PYTHON=…"; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) || { echo "$(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv"; exit 1; }

# Dependency groups need a pip from 2025.
$(VENV)/.pip: | $(VENV)/bin/python
	@$(PIP_INSTALL) --upgrade "pip>=25.1"
	@touch $@

$(VENV)/.base: pyproject.toml $(VENV)/.pip
	@$(PIP_INSTALL) --editable .
	@touch $@

# mysqlclient is Django's own recommendation for MariaDB and has no wheels for Linux, so only
# the targets that need it ask for a compiler and the headers.
$(VENV)/.services: pyproject.toml $(VENV)/.pip
	@$(RUN) -c "import MySQLdb" 2>/dev/null \
		|| command -v mariadb_config >/dev/null || command -v mysql_config >/dev/null \
		|| pkg-config --exists libmariadb 2>/dev/null \
		|| { echo "The MariaDB driver needs its headers: make services-deps (Debian, as root)"; exit 1; }
	@$(PIP_INSTALL) --editable . --group test --group services
	@touch $@

$(VENV)/.%: pyproject.toml $(VENV)/.pip
	@$(PIP_INSTALL) --editable . --group $*
	@touch $@

.venv-bench/.bench: pyproject.toml
	@$(MAKE) --silent --no-print-directory VENV=.venv-bench .venv-bench/.pip
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --editable . --group bench
	@touch $@
