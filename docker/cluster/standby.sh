#!/bin/sh
# Copies the primary once, and follows it from then on.
set -e
if [ ! -s "$PGDATA/PG_VERSION" ]; then
	until PGPASSWORD=standby pg_basebackup --host=postgres --username=standby --pgdata="$PGDATA" --wal-method=stream --write-recovery-conf; do
		rm -rf "${PGDATA:?}"/*
		sleep 2
	done
	chown -R postgres:postgres "$PGDATA"
	chmod 700 "$PGDATA"
fi
exec docker-entrypoint.sh postgres -c max_connections=300 -c primary_conninfo='host=postgres user=standby password=standby application_name=standby'
