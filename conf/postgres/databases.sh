#!/bin/bash
# Run once by PostgreSQL's image on an empty volume: a database and its owner each for Airflow and MLflow.
set -euo pipefail

make_database() {
    local name=$1 password
    password=$(<"/run/secrets/${name}_database_password")
    if [ "${#password}" -lt 24 ]; then
        echo "the secret ${name}_database_password is a placeholder or too short: delete the file, and" \
            "\`make secrets\` writes another" >&2
        exit 1
    fi
    # By standard input: an argument would show the password to every process.
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username postgres <<SQL
\set password \`cat /run/secrets/${name}_database_password\`
CREATE ROLE $name LOGIN PASSWORD :'password';
CREATE DATABASE $name OWNER $name;
REVOKE CONNECT ON DATABASE $name FROM PUBLIC;
SQL
}

make_database airflow
make_database mlflow
