#!/bin/sh
# Run once, when the primary's data folder is made: the role and the access of the standby. That
# commits wait for it comes last, and counts from the start that follows: nobody answers yet.
set -e
psql --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --command "CREATE ROLE standby REPLICATION LOGIN PASSWORD 'standby'"
echo 'host replication standby all scram-sha-256' >>"$PGDATA/pg_hba.conf"
psql --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --command "ALTER SYSTEM SET synchronous_standby_names = 'standby'"
