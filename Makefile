# Every target installs what it needs first (stack/bootstrap.sh does nothing when nothing has changed).
RUN := stack/run
STACK := $(RUN) python -m millstream_stack

.DEFAULT_GOAL := help
# Every target that the list shows is a command, whatever files there are.
.PHONY: $(shell sed -n 's/^\([a-z0-9-]*\):.*## .*/\1/p' $(MAKEFILE_LIST))

help: ## Show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  make %-13s %s\n", $$1, $$2}'

demo: ## Run the whole chain: sources to lake to model to predictions, with live progress
	@$(STACK) demo

up: ## Start the embedded stack (Airflow, MLflow, Spark Connect, demo sources)
	@$(STACK) up

streams-up: ## Start the stack with Kafka, the stream to silver.flight_events and the demo's live events
	@$(STACK) streams-up

demo-streams: ## Send a day of flights through Kafka to silver in two minutes, and compare
	@$(STACK) demo-streams

down: ## Stop it
	@$(STACK) down

status: ## Show every service's health, process and address, and the logins
	@$(STACK) status

logs: ## Show the end of the services' logs (S=mlflow for one of them, N=200 for more lines)
	@$(STACK) logs $(S) $(if $(N),--lines $(N))

# Through the environment and as given: neither the shell nor make reads quotes, backticks and dollar signs.
sql: override export Q := $(value Q)
sql: override export FORMAT := $(value FORMAT)
sql: ## Query the lake, read-only: make sql Q="select count(*) from silver.flights" (FORMAT=csv, json or parquet); lists all tables without Q
	@$(STACK) sql --format "$$FORMAT" -- "$$Q"

expectations: override export DATASET := $(value DATASET)
expectations: ## Propose an expectation suite from the rows of a dataset or a mart: make expectations DATASET=flights
	@$(STACK) expectations "$$DATASET"

new: override export DATASET := $(value DATASET)
new: override export MART := $(value MART)
new: override export MODEL := $(value MODEL)
new: override export KEY := $(value KEY)
new: override export NAMES := $(value NAMES)
new: override export LABEL := $(value LABEL)
new: override export TEXT := $(value TEXT)
# The stack's processes have a home of their own: what `~` means is said here.
new: override export FROM := $(patsubst ~/%,$(HOME)/%,$(value FROM))
new: ## Write what a dataset, mart or model needs: make new DATASET=orders FROM=/data/orders.csv (KEY=id says its key, ALL=1 looks at every row for it, NAMES=id,day names columns), MART=sales FROM=silver.orders, or MODEL=big FROM=silver.orders LABEL="amount > 900" (or a column of classes or numbers; TEXT=note reads words)
	@$(STACK) new --dataset "$$DATASET" --mart "$$MART" --model "$$MODEL" --from "$$FROM" --label="$$LABEL" --text "$$TEXT" --key "$$KEY" --names "$$NAMES" \
		--all "$(ALL)"

new-project: override export DIR := $(patsubst ~/%,$(HOME)/%,$(value DIR))
new-project: ## Make a folder of your own for datasets, marts and models, in a git of its own: make new-project DIR=~/shop
	@$(STACK) new-project "$$DIR"

plan: override export DAG := $(value DAG)
plan: override export PARTITION := $(value PARTITION)
plan: ## Show what a run would touch: make plan DAG=ingest_flights PARTITION=2013-01 (or 2013-01:2013-03)
	@$(STACK) plan "$$DAG" "$$PARTITION"

reconcile: ## Compare landing, tables, ledger and asset events; repair lost events
	@$(STACK) reconcile

check: lint ## Check style and types, and run the tests that start neither Spark nor MLflow: some two minutes
	@$(RUN) pytest -n 2 -m "not spark and not mlflow" tests/unit tests/contract tests/dags tests/demo tests/docs tests/stack

test: ## Run the tests
	@$(RUN) pytest -n 2

test-thorough: ## Run what `make test` leaves out because it repeats a case with other data
	@$(RUN) pytest -n 2 --thorough -m "thorough and not fault"

test-sources: ## Read files and tables from real servers: SFTP (needs sshd), S3 (needs go, which builds it), HTTP, HDFS, PostgreSQL, MariaDB
	@$(RUN) pytest -n 2 --thorough tests/contract

test-streams: ## Run every test of streams, then a month of flights by events and by files through all four ways (DAYS=365: the year)
	@$(RUN) pytest --thorough --days $(or $(DAYS),31) \
		$$(grep -lE "millstream\.streams|support\.streaming" tests/spark/test_*.py) tests/streams

test-faults: ## Kill servers at every point, many seeds each (SEEDS=20): hours; writes the table of cases
	@$(RUN) pytest tests/fault tests/streams/test_kills.py tests/e2e/test_faults.py --fault-seeds $(or $(SEEDS),20) --fault-report .millstream/faults.md

test-yarn: ## Run what needs HDFS and YARN: real servers, in a network of their own
	@stack/bootstrap.sh dev
	@$(RUN) python -m tests.support.hadoop >/dev/null
	@tests/support/loopback_only.sh $(RUN) pytest --cluster tests/yarn

e2e: ## Run the tests on the whole stack; `make test` runs them with fewer cases
	@$(RUN) pytest --thorough -m "not fault" tests/e2e

lint: ## Check style and types
	@$(RUN) ruff check
	@$(RUN) ruff format --check
	@$(RUN) mypy

# Strict, because a package that could not be asked about would otherwise count as one without weaknesses.
audit: ## Ask PyPI's advisory database about every locked package (needs the internet)
	@$(RUN) pip-audit --strict --requirement requirements.txt --requirement conf/requirements-dev.txt \
		--require-hashes --disable-pip --progress-spinner off

bench: ## Measure the chain against hand-written scripts (see bench/README.md)
	@$(RUN) python -m bench

clean: ## Stop the stack and remove its data (lake, models, logs, logins); keeps what was installed
	@$(STACK) clean

# Containers run as the person who starts them and whose secrets they read; root's run as the user 1000.
CLUSTER_USER := $(or $(MILLSTREAM_UID),$(patsubst 0,1000,$(shell id -u)))
CODE_VERSION := $(shell git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null || echo unknown)
CLUSTER := MILLSTREAM_UID=$(CLUSTER_USER) MILLSTREAM_CODE_VERSION=$(CODE_VERSION)
COMPOSE := $(CLUSTER) docker compose

secrets: ## Write the cluster's passwords and keys that are missing, each into a file of its own
	@PYTHONPATH=spark_jobs:stack python3 -m millstream_stack.cluster.secret_files secrets $(if $(filter 0,$(shell id -u)),$(CLUSTER_USER))

cluster-up: secrets ## Build and start the cluster of docker-compose.yml (needs Docker with Compose)
	@$(COMPOSE) build --quiet
	@$(COMPOSE) up --wait --wait-timeout 600

cluster-down: ## Stop it; its data stays
	@$(COMPOSE) --profile '*' down

cluster-status: ## Show its services' health, and how much memory each uses
	@$(COMPOSE) ps --all
	@$(COMPOSE) stats --no-stream

cluster-demo: cluster-up ## Run the whole chain on it
	@$(COMPOSE) run --rm demo

cluster-backup: ## Copy its databases, artifacts and lake into a new folder (TO=backups/…), while it runs
	@$(CLUSTER) stack/cluster-backup save $(or $(TO),backups/$(shell date -u +%Y%m%dT%H%M%SZ))

# Not `secrets`: new ones would not open what the backup has.
cluster-restore: ## Fill an empty cluster with a backup (FROM=folder), by the secrets of its time, and start it
	@$(COMPOSE) build --quiet
	@$(CLUSTER) stack/cluster-backup load $(or $(FROM),$(error which backup? make cluster-restore FROM=backups/…))

test-cluster: test-yarn ## Run the cluster's tests; where no container engine runs, root starts one of its own
	@$(RUN) tests/cluster/with_engine.sh pytest tests/cluster

test-cluster-faults: ## Kill, stop and stall the cluster's containers under a running DAG (SEEDS=1): hours; writes the table of cases
	@stack/bootstrap.sh dev
	@$(RUN) tests/cluster/with_engine.sh pytest tests/cluster/test_faults.py --fault-seeds $(or $(SEEDS),1) --fault-report .millstream/cluster-faults.md
