# `make help` lists the targets. Everything runs in .venv, which is made on first use.
PYTHON ?= python3
STUDY ?=
SET ?=
RESULTS ?= results
A ?=
B ?=
DATASET ?=
TRIAL ?=
NODES ?= 3
CPUS ?= 1
TO ?= csv
OUT ?=
FORCE ?=
PORT ?= 8080

VENV := .venv
RUN := $(VENV)/bin/python
# Each word of SET in quotes, which braces and stars mean nothing to a shell in; one who quotes in SET has done it.
OVERRIDES = $(if $(findstring ',$(SET))$(findstring ",$(SET))$(findstring \,$(SET)),$(SET),$(foreach word,$(SET),'$(word)'))
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help install study resume front report figures export dashboard status watch compare verify retrain describe fields list cluster cluster-stop test faults check bench gallery \
	evidence clean

help: ## list the targets
	@echo "make study STUDY=label_noise      run a study, print its front, write the page"
	@echo '    SET="key=value ..."           override fields; no spaces within a value:'
	@echo '                                  SET="dataset=cifar10 methods=[bsd,cs_kd]"'
	@echo "    RESULTS=folder                where results go: a folder (default: results)"
	@echo "                                  or s3://bucket/folder"
	@echo "make resume STUDY=name            finish a run that was interrupted"
	@echo "make front STUDY=name             print and draw the front of the newest run"
	@echo "make report STUDY=name            write the page, print every statistic"
	@echo "make figures STUDY=name           figures (PNG, SVG, PDF) and tables (LaTeX,"
	@echo "                                  Markdown) for a paper"
	@echo "make export STUDY=name OUT=path   the tables as CSV files (TO=duckdb: as a"
	@echo "                                  database; FORCE=1: replace an earlier one)"
	@echo "make dashboard STUDY=name         the searches in optuna-dashboard, for this"
	@echo "                                  machine alone (PORT=8080)"
	@echo "make status                       all runs, newest first, with the time left"
	@echo "make watch STUDY=name             follow a run that is at work elsewhere"
	@echo "make compare A=name B=folder      two runs side by side: study, code, results"
	@echo "make verify STUDY=name            compute every number of the newest run again;"
	@echo "                                  name the first that differs"
	@echo "make retrain STUDY=name TRIAL=id  train one trial again outside Ray and compare"
	@echo "                                  (TRIAL=knee: an operating point)"
	@echo "make describe STUDY=name          say what a study will do before it does it"
	@echo "make list                         list the studies"
	@echo "make fields                       every field of a study file, with its meaning"
	@echo "make cluster [NODES=3 CPUS=1]     start a Ray cluster here, for RAY_ADDRESS=auto"
	@echo "make cluster-stop                 stop it"
	@echo "make test                         run the tests, but for the long ones of faults"
	@echo "make faults                       run those: killed drivers, full disks, S3"
	@echo "                                  and clusters (many minutes)"
	@echo "make check                        lint and type check"
	@echo "make bench                        speed against baselines of the same run"
	@echo "make gallery DATASET=digits       one image under every corruption: gallery.png"
	@echo "make evidence DATASET=cifar10     every method on 40 % wrong labels, as a table"
	@echo "                                  of three seeds (an hour or more)"
	@echo "make install                      only set up .venv (PYTHON=python3.12: by"
	@echo "                                  this interpreter)"
	@echo "make clean                        remove .venv and caches, never results"

install: $(READY) ## only set up

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: Python 3.11 or newer is needed, but $(PYTHON) is $$($(PYTHON) --version 2>&1). Try make $(MAKECMDGOALS) PYTHON=python3.12"; exit 2; }
	@echo "Setting up $(VENV): about 3 minutes and 6 GB, once."
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

study: $(READY) ## run a study
	@test -n "$(STUDY)" || { echo "error: which study? make study STUDY=name, with one of:"; $(RUN) -m studies list; exit 2; }
	@$(RUN) -m studies run "$(STUDY)" $(OVERRIDES) --results "$(RESULTS)"

resume: $(READY) ## finish an interrupted run
	@test -n "$(STUDY)" || { echo "error: which study? make resume STUDY=name"; exit 2; }
	@$(RUN) -m studies resume "$(STUDY)" --results "$(RESULTS)"

front: $(READY) ## print and draw the front
	@test -n "$(STUDY)" || { echo "error: which study? make front STUDY=name"; exit 2; }
	@$(RUN) -m studies front "$(STUDY)" --results "$(RESULTS)"

report: $(READY) ## every statistic
	@test -n "$(STUDY)" || { echo "error: which study? make report STUDY=name"; exit 2; }
	@$(RUN) -m studies report "$(STUDY)" --results "$(RESULTS)"

figures: $(READY) ## for a paper
	@test -n "$(STUDY)" || { echo "error: which study? make figures STUDY=name"; exit 2; }
	@$(RUN) -m studies figures "$(STUDY)" --results "$(RESULTS)"

export: $(READY) ## tables for other programs
	@test -n "$(STUDY)" && test -n "$(OUT)" || { echo "error: which study, and where to? make export STUDY=name OUT=folder"; exit 2; }
	@$(RUN) -m studies export "$(STUDY)" --to "$(TO)" --out "$(OUT)" $(if $(filter 1 yes,$(FORCE)),--force) --results "$(RESULTS)"

dashboard: $(READY) ## optuna-dashboard on the searches
	@test -n "$(STUDY)" || { echo "error: which study? make dashboard STUDY=name"; exit 2; }
	@$(RUN) -m studies dashboard "$(STUDY)" --port "$(PORT)" --results "$(RESULTS)"

status: $(READY) ## all runs
	@$(RUN) -m studies status --results "$(RESULTS)"

watch: $(READY) ## follow a run
	@test -n "$(STUDY)" || { echo "error: which study? make watch STUDY=name"; exit 2; }
	@$(RUN) -m studies watch "$(STUDY)" --results "$(RESULTS)"

compare: $(READY) ## two runs side by side
	@test -n "$(A)" && test -n "$(B)" || { echo "error: which runs? make compare A=study B=run-folder"; exit 2; }
	@$(RUN) -m studies compare "$(A)" "$(B)" --results "$(RESULTS)"

verify: $(READY) ## compute every number again
	@test -n "$(STUDY)" || { echo "error: which study? make verify STUDY=name"; exit 2; }
	@$(RUN) -m studies verify "$(STUDY)" --results "$(RESULTS)"

retrain: $(READY) ## one trial again, outside Ray
	@test -n "$(STUDY)" && test -n "$(TRIAL)" || { echo "error: which trial? make retrain STUDY=name TRIAL=id"; exit 2; }
	@$(RUN) -m studies retrain "$(STUDY)" "$(TRIAL)" --results "$(RESULTS)"

describe: $(READY) ## what a study will do
	@test -n "$(STUDY)" || { echo "error: which study? make describe STUDY=name, with one of:"; $(RUN) -m studies list; exit 2; }
	@$(RUN) -m studies describe "$(STUDY)" $(OVERRIDES)

fields: $(READY) ## every field of a study file
	@$(RUN) -m studies fields

list: $(READY) ## the studies
	@$(RUN) -m studies list

cluster: $(READY) ## a Ray cluster on this machine
	@$(RUN) -m studies.local_cluster start --nodes "$(NODES)" --cpus "$(CPUS)"

cluster-stop: $(READY) ## stop it
	@$(RUN) -m studies.local_cluster stop

test: $(READY) ## run the tests
	@$(RUN) -m pytest

faults: $(READY) ## the long tests of what can die
	@$(RUN) -m pytest -m faults --durations=15

check: $(READY) ## lint and type check
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

bench: $(READY) ## measure speed
	@$(RUN) -m tests.benchmarks

gallery: $(READY) ## every corruption of one image
	@$(RUN) -m studies gallery --dataset "$(or $(DATASET),digits)" --out gallery.png

evidence: $(READY) ## every method on noisy labels, several seeds, one table
	@$(RUN) -m tests.benchmarks.evidence --dataset "$(or $(DATASET),cifar10)" --out "$(RESULTS)/evidence.jsonl"

clean: ## remove what can be made again
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
