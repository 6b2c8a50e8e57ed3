# shellcheck shell=bash disable=SC2034,SC2154
# How each server is found, installed, started, checked and stopped. scripts/services sources
# this file and sets $dir (this set of servers), $root (the repository) and $durable.

marker=.gateway-services
start_seconds=90
install_seconds=600

say() { printf 'services: %s\n' "$*" >&2; }

die() {
	say "$*"
	exit 1
}

port_of() { cat "$dir/$1/port" 2>/dev/null; }

# running NAME: reports whether it was started here and is still running.
running() {
	if [ -f "$dir/$1/container" ]; then
		[ -n "$(compose ps --quiet --status running "$1" 2>/dev/null)" ]
		return
	fi
	alive "$dir/$1/pid"
}

describe() {
	if [ -f "$dir/$1/container" ]; then
		echo "in Docker"
	else
		echo "process $(sed -n 1p "$dir/$1/pid"), log $dir/$1/log"
	fi
}

# A process is identified by its number and its start time, since numbers are reused.
started_at() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

remember() { # FILE PID
	printf '%s\n%s\n' "$2" "$(started_at "$2")" >"$1"
}

alive() { # FILE
	local pid since
	[ -f "$1" ] || return 1
	pid=$(sed -n 1p "$1")
	since=$(sed -n 2p "$1")
	[ -n "$pid" ] && [ -n "$since" ] && [ "$(started_at "$pid")" = "$since" ]
}

# stop_process FILE SIGNAL: with the signal, then with SIGKILL.
stop_process() {
	local pid deadline=$((SECONDS + 30))
	if alive "$1"; then
		pid=$(sed -n 1p "$1")
		kill "-$2" "$pid" 2>/dev/null || true
		while alive "$1"; do
			if [ $SECONDS -ge $deadline ]; then
				say "process $pid does not exit; killing it"
				kill -KILL -- "-$pid" 2>/dev/null || true
				deadline=$((SECONDS + 5))
			fi
			sleep 0.1
		done
	fi
	rm -f "$1"
}

stop_servers() { # NAMES
	local server
	for server in $1; do
		if [ -f "$dir/$server/container" ]; then
			running "$server" || continue
			compose stop "$server" >&2
			say "stopped $server"
			continue
		fi
		if running "$server"; then
			case $server in
			postgres) stop_process "$dir/postgres/pid" INT ;; # a fast shutdown
			*) stop_process "$dir/$server/pid" TERM ;;
			esac
			say "stopped $server"
		fi
		[ "$server" != rabbitmq ] || stop_process "$dir/rabbitmq/epmd.pid" TERM
	done
}

# start NAME: from installed packages, or newly installed ones, or in Docker.
start() {
	if [ -f "$dir/$1/container" ]; then
		start_container "$1"
	elif installed "$1" || install "$1"; then
		mkdir -p "$dir/$1"
		keep_port "$dir/$1/port"
		if taken "$(port_of "$1")"; then
			say "port $(port_of "$1"), which $1 used here, is now used by another program; run down first"
			return 1
		fi
		say "starting $1 on 127.0.0.1:$(port_of "$1")"
		if ! "start_$1" || ! wait_for "$1"; then
			say "$1 did not start; the end of $dir/$1/log:"
			tail -n 30 "$dir/$1/log" >&2 2>/dev/null || true
			stop_servers "$1"
			return 1
		fi
	elif docker info >/dev/null 2>&1; then
		start_container "$1"
	else
		say "$1 is not installed, cannot be installed here, and Docker is not running"
		return 1
	fi
}

wait_for() {
	local deadline=$((SECONDS + start_seconds))
	while ! "ready_$1"; do
		if ! running "$1"; then
			say "$1 exited during its start"
			return 1
		fi
		if [ $SECONDS -ge $deadline ]; then
			say "$1 did not answer within $start_seconds seconds"
			return 1
		fi
		sleep 0.2
	done
}

# talk NAME TEXT N: prints the first N bytes of the answer to TEXT (a printf format), or nothing.
talk() {
	{
		exec 3<>"/dev/tcp/127.0.0.1/$(port_of "$1")" || return 0
		# shellcheck disable=SC2059 # the bytes are written as a format
		printf "$2" >&3
		timeout 2 head -c "$3" <&3 || true
	} 2>/dev/null
}

# taken PORT: reports whether a program listens there.
taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# keep_port FILE: prints a free port, the same one as long as the folder exists.
keep_port() {
	local port
	[ ! -s "$1" ] || return 0
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000)) # below the kernel's ephemeral range
		if ! taken "$port" && ! grep -qsx "$port" "$dir"/*/*port; then
			echo "$port" >"$1"
			return
		fi
	done
	die "no free port between 20000 and 32000"
}

# detached FILE COMMAND…: keeps running after this script, without the terminal's signals.
detached() {
	local file=$1
	shift
	setsid "$@" </dev/null >>"$(dirname "$file")/log" 2>&1 &
	remember "$file" $!
}

# --- packages

installed() {
	case $1 in
	postgres) [ -n "$(postgres_programs)" ] ;;
	redis) command -v redis-server >/dev/null ;;
	rabbitmq) [ -n "$(rabbitmq_program)" ] && command -v epmd >/dev/null ;;
	esac
}

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# install NAME: installs the package without starting its server.
install() {
	local package policy=/usr/sbin/policy-rc.d made="" log result=0
	command -v apt-get >/dev/null || return 1
	if [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
		say "$1 is not installed, and installing it needs root or sudo without a password"
		return 1
	fi
	case $1 in
	postgres) package=postgresql ;;
	*) package=$1-server ;;
	esac
	log=$dir/install.log
	say "installing $package (log: $log)"
	if [ ! -e $policy ]; then
		made=yes
		printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
		as_root chmod 755 $policy
	fi
	if [ ! -f "$dir/apt-updated" ]; then
		as_root timeout $install_seconds apt-get update >>"$log" 2>&1 || true
		: >"$dir/apt-updated"
	fi
	as_root timeout $install_seconds env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
		-o DPkg::Lock::Timeout=120 "$package" </dev/null >>"$log" 2>&1 || result=$?
	[ -z "$made" ] || as_root rm -f $policy
	if [ $result != 0 ] || ! installed "$1"; then
		say "$package cannot be installed; the end of $log:"
		tail -n 15 "$log" >&2
		return 1
	fi
}

# --- PostgreSQL

# Prints the folder with the programs of the newest version.
postgres_programs() {
	local found newest=
	for found in /usr/lib/postgresql/*/bin; do
		[ -x "$found/initdb" ] || continue
		if [ -z "$newest" ] || [ "$(basename "$(dirname "$found")")" -gt "$(basename "$(dirname "$newest")")" ]; then
			newest=$found
		fi
	done
	echo "$newest"
}

# PostgreSQL refuses to run as root.
postgres_user() {
	if id postgres >/dev/null 2>&1; then echo postgres; else echo nobody; fi
}

# Fills $lower with the command prefix that switches to that user.
lower_user() {
	lower=(env)
	if [ "$(id -u)" = 0 ]; then
		lower=(setpriv --reuid="$(id -u "$(postgres_user)")" --regid="$(id -g "$(postgres_user)")" --clear-groups env)
	fi
}

start_postgres() {
	local programs home=$dir/postgres lower
	programs=$(postgres_programs)
	lower_user
	if [ ! -f "$home/data/PG_VERSION" ]; then
		mkdir -p "$home/data"
		[ "$(id -u)" != 0 ] || chown "$(postgres_user)" "$home/data"
		if ! "${lower[@]}" test -w "$home/data"; then
			say "PostgreSQL's user $(postgres_user) cannot access $home; give a --dir that others can access"
			return 1
		fi
		"${lower[@]}" "$programs/initdb" --pgdata="$home/data" --username=postgres --auth=trust \
			--encoding=UTF8 --locale=C --no-sync >"$home/log" 2>&1 || return 1
	fi
	# Without fsync a killed server loses nothing; only a power failure loses data, and these are test data.
	local promises=(-c fsync=off -c full_page_writes=off -c max_wal_size=256MB)
	[ -z "$durable" ] || promises=()
	detached "$home/pid" "${lower[@]}" "$programs/postgres" -D "$home/data" -p "$(port_of postgres)" \
		-c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=300 ${promises[@]+"${promises[@]}"}
}

ready_postgres() {
	"$(postgres_programs)/pg_isready" -q -h 127.0.0.1 -p "$(port_of postgres)" -t 2 -d postgres -U postgres
}

# --- Redis

start_redis() {
	detached "$dir/redis/pid" redis-server --bind 127.0.0.1 --port "$(port_of redis)" --dir "$dir/redis" \
		--save '' --appendonly no --daemonize no
}

ready_redis() {
	local answer
	answer=$(talk redis 'PING\r\n' 5)
	[ "$answer" = +PONG ]
}

# --- RabbitMQ

# The server itself: the wrapper in /usr/sbin requires a certain user and folders.
rabbitmq_program() {
	local found
	for found in /usr/lib/rabbitmq/bin/rabbitmq-server /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server; do
		if [ -x "$found" ]; then
			echo "$found"
			return
		fi
	done
}

start_rabbitmq() {
	local home=$dir/rabbitmq
	mkdir -p "$home/conf.d" "$home/logs" "$home/mnesia"
	keep_port "$home/dist.port"
	keep_port "$home/epmd.port"
	: >"$home/rabbitmq.conf"
	: >"$home/rabbitmq-env.conf"
	echo '[].' >"$home/enabled_plugins"
	if [ ! -f "$home/.erlang.cookie" ]; then
		(umask 077 && head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$home/.erlang.cookie")
	fi
	chmod 400 "$home/.erlang.cookie"
	# Erlang's port mapper outlives the server; starting it here allows stopping it here.
	detached "$home/epmd.pid" env ERL_EPMD_ADDRESS=127.0.0.1 epmd -port "$(cat "$home/epmd.port")"
	while ! taken "$(cat "$home/epmd.port")"; do
		alive "$home/epmd.pid" || return 1
		sleep 0.1
	done
	detached "$home/pid" env HOME="$home" ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT="$(cat "$home/epmd.port")" \
		RABBITMQ_NODENAME="gateway@localhost" \
		RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT="$(port_of rabbitmq)" \
		RABBITMQ_DIST_PORT="$(cat "$home/dist.port")" \
		RABBITMQ_CONF_ENV_FILE="$home/rabbitmq-env.conf" RABBITMQ_CONFIG_FILE="$home/rabbitmq" \
		RABBITMQ_CONFIG_FILES="$home/conf.d" RABBITMQ_ADVANCED_CONFIG_FILE="$home/advanced" \
		RABBITMQ_ENABLED_PLUGINS_FILE="$home/enabled_plugins" RABBITMQ_PID_FILE="$home/rabbitmq.pid" \
		RABBITMQ_MNESIA_BASE="$home/mnesia" RABBITMQ_LOG_BASE="$home/logs" \
		RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}" \
		"$(rabbitmq_program)"
}

# It answers AMQP only when it is up: its first frame begins with 01.
ready_rabbitmq() {
	local answer
	answer=$(talk rabbitmq 'AMQP\000\000\011\001' 1 | od -An -tx1)
	[ "${answer// /}" = 01 ]
}

# --- Docker

compose() {
	POSTGRES_PORT=$(port_of postgres) REDIS_PORT=$(port_of redis) RABBITMQ_PORT=$(port_of rabbitmq) RABBITMQ_UI_PORT=0 \
		docker compose --project-name "gateway-services-$(printf %s "$dir" | cksum | cut -d' ' -f1)" \
		--file "$root/compose.yaml" "$@"
}

start_container() {
	mkdir -p "$dir/$1"
	keep_port "$dir/$1/port"
	: >"$dir/$1/container"
	say "starting $1 in Docker on 127.0.0.1:$(port_of "$1")"
	compose up --detach --wait --wait-timeout $start_seconds "$1" >&2 && return
	compose logs --tail 30 "$1" >&2 || true
	compose rm --force --stop "$1" >&2 || true
	return 1
}

remove_containers() {
	local file
	for file in "$dir"/*/container; do
		[ -f "$file" ] || continue
		compose down --volumes --remove-orphans >&2
		return
	done
}
