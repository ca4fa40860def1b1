# One image for all services of ours and for Hadoop's, Spark's and MLflow's servers: see docker-compose.yml.
FROM debian:bookworm-slim AS base
# A slim image lacks the folder that Java's package links its manuals into.
# Debian's own updates decide about versions: a pinned one is gone from the mirrors with its first security fix.
# hadolint ignore=DL3008
RUN mkdir -p /usr/share/man/man1 \
    && apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl openjdk-17-jre-headless python3 tini \
    && rm -rf /var/lib/apt/lists/*
COPY conf/certificates/ /usr/local/share/ca-certificates/
RUN update-ca-certificates
ENV LANG=C.UTF-8 SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
WORKDIR /opt/millstream

# What the package's metadata is made from: with other tools' settings the layer of the dependencies stays as it is.
FROM base AS project
COPY pyproject.toml .
RUN awk '/^\[/ { kept = /^\[(build-system|project|tool\.hatch)/ } kept' pyproject.toml >/pyproject.toml

FROM base AS dependencies
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends git python3-venv \
    && rm -rf /var/lib/apt/lists/*
# Only what decides about the dependencies: with other code than this the layer stays as it is.
COPY --from=project /pyproject.toml .
COPY requirements.txt .
COPY conf/requirements-bootstrap.txt conf/requirements-build.txt conf/requirements-java.txt \
    conf/jars.txt conf/jars-hadoop.txt conf/jars-kafka.txt conf/
COPY spark_jobs/scala spark_jobs/scala
COPY spark_jobs/millstream/__init__.py spark_jobs/millstream/errors.py spark_jobs/millstream/
COPY stack/bootstrap.sh stack/
COPY stack/millstream_stack/__init__.py stack/millstream_stack/
COPY stack/millstream_stack/install stack/millstream_stack/install
# Compiled here, because nothing can be written there when the containers run.
RUN mkdir -p plugins/millstream_airflow demo/millstream_demo \
    && touch README.md \
    && UV_COMPILE_BYTECODE=1 stack/bootstrap.sh hadoop \
    && JAVA_HOME=$(cat .millstream/bootstrap/java_home) .venv/bin/python -m millstream_stack.install.jars kafka \
    && rm -rf .millstream/cache .millstream/tmp .millstream/bootstrap/bin .millstream/bootstrap/lib

FROM base
# The owner of the data and of the secrets: on the machine it should be the person who starts the containers.
ARG UID=1000
RUN useradd --uid "$UID" --user-group --no-create-home --shell /usr/sbin/nologin millstream \
    && for folder in /var/lib/millstream /var/lib/hadoop; do install -d -o millstream -g millstream "$folder"; done
COPY --from=dependencies /opt/millstream/.venv .venv
COPY --from=dependencies /opt/millstream/.millstream .millstream
COPY . .
# A new volume takes the owner of the folder that it is mounted on.
RUN python3 -m compileall -q dags demo plugins spark_jobs stack \
    && for folder in artifacts broker demo lineage logs logs/airflow scratch streams; do \
        install -d -o millstream -g millstream "/var/lib/millstream/$folder"; done
ARG CODE_VERSION=unknown
ENV MILLSTREAM_HOME=/var/lib/millstream MILLSTREAM_CODE_VERSION=$CODE_VERSION PATH=/opt/millstream/.venv/bin:$PATH
USER $UID
ENTRYPOINT ["tini", "--", "python", "-m", "millstream_stack.cluster.launch"]
