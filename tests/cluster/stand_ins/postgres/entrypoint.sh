#!/bin/bash
# As the official image does on an empty volume: makes the cluster, runs the scripts of /docker-entrypoint-initdb.d
# with the server on its socket alone, then serves.
set -euo pipefail
if ! whoami >/dev/null 2>&1; then
    export LD_PRELOAD=/usr/lib/x86_64-linux-gnu/libnss_wrapper.so NSS_WRAPPER_PASSWD=/tmp/passwd NSS_WRAPPER_GROUP=/etc/group
    echo "postgres:x:$(id -u):$(id -g)::$PGDATA:/bin/false" >/tmp/passwd
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    mkdir -p "$PGDATA"
    initdb --username postgres --pwfile "$POSTGRES_PASSWORD_FILE" ${POSTGRES_INITDB_ARGS:-} >/dev/null
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    PGPASSWORD=$(<"$POSTGRES_PASSWORD_FILE")
    export PGPASSWORD
    pg_ctl --wait --silent --options "-c listen_addresses=''" start
    for script in /docker-entrypoint-initdb.d/*.sh; do "$script" || { pg_ctl --wait stop; rm -r "$PGDATA"; exit 1; }; done
    pg_ctl --wait --silent stop
    unset PGPASSWORD
fi
exec postgres -c 'listen_addresses=*'
