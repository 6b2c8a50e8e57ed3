#!/bin/sh
# A sentinel writes into its settings, so it gets a copy of its own.
set -e
cat >/tmp/sentinel.conf <<CONF
port 26379
dir /tmp
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel monitor gateway redis 6379 2
sentinel down-after-milliseconds gateway 3000
sentinel failover-timeout gateway 10000
sentinel parallel-syncs gateway 1
CONF
exec redis-sentinel /tmp/sentinel.conf
