#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs once, when the cluster is made: the database, and the role of collectd,
# which owns its schema and nothing else (docs/install.md). The view is that from
# which collectd's postgresql plugin reads the slow statements.
set -eu

psql -v ON_ERROR_STOP=1 -v password="$AURORE_PASSWORD" --no-psqlrc \
  --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE aurore LOGIN PASSWORD :'password';
CREATE DATABASE aurore_events TEMPLATE template0 ENCODING 'UTF8';
REVOKE ALL ON DATABASE aurore_events FROM PUBLIC;
GRANT CONNECT ON DATABASE aurore_events TO aurore;
GRANT pg_monitor TO aurore;
\connect aurore_events
CREATE SCHEMA aurore AUTHORIZATION aurore;
CREATE EXTENSION pg_stat_statements;
SQL
