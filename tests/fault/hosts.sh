# shellcheck shell=bash
# More hosts for a suite of faults, and what the faults have in common. Source it after common.sh.
# shellcheck disable=SC2034,SC2153,SC2154,SC2004 # variables that the suites read, or common.sh sets; its arrays have names as keys

# host_config NAME FILE: makes a host of that configuration. "DIR" in the text stands for the host's files.
host_config() {
    local name=$1 text=$2
    HOST_DIR[$name]=$ENV_DIR/$name
    HOST_CONFIG[$name]=$ENV_DIR/$name.conf
    HOST_RUNDIR[$name]=$ENV_DIR/r$name
    mkdir -p "${HOST_DIR[$name]}"
    [[ -d ${HOST_RUNDIR[$name]} ]] || mkdir -m 700 "${HOST_RUNDIR[$name]}"
    printf '%s\n' "${text//DIR/${HOST_DIR[$name]}}" >"${HOST_CONFIG[$name]}"
}

# host_add NAME ENDPOINTS TTL [MORE]: a host with its files under /t/; MORE are lines of its rule.
host_add() {
    host_config "$1" "[etcd]
endpoints = $2
[agent]
host = $1
ttl = $3
log = $ENV_DIR/$1.log
[files]
path = DIR/**
key = /t/{name}
${4:-}"
}

# The environment of a program of the host, for those that cannot run under `on`.
host_env() {
    printf '%s\n' "LD_PRELOAD=$TEST_PRELOAD" "ETCDFLOCK_CONFIG=${HOST_CONFIG[$1]}" "ETCDFLOCK_RUNDIR=${HOST_RUNDIR[$1]}"
}

# The agents of one host.
agents_of() {
    local pid
    for pid in $(agents); do
        if { tr '\0' '\n' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -qxF -- "${HOST_CONFIG[$1]}"; then
            printf '%s\n' "$pid"
        fi
    done
}

no_agents_of() {
    [[ -z $(agents_of "$1") ]]
}

# one_agent HOST: AGENT is the pid of the host's only agent.
one_agent() {
    AGENT=$(agents_of "$1")
    [[ $AGENT =~ ^[0-9]+$ ]] || fail "not one agent on host $1: $(xargs <<<"$AGENT")"
}

# Ends the host's agent in order.
agent_end() {
    local pid
    for pid in $(agents_of "$1"); do
        kill -TERM "$pid"
    done
    until_true 5 no_agents_of "$1" || fail "the agent of $1 does not end"
}

# hold HOST NAME [OPTION...]: HOLDER, one process without children, holds the file until it is killed.
hold() {
    local host=$1 name=$2
    shift 2
    rm -f "$ENV_DIR/out/hold.$host.$name" # of an earlier one
    # shellcheck disable=SC2016 # for the other shell
    start_on "$host" "hold.$host.$name" bash -c 'exec 9>"$1"; shift; flock "$@" 9 && echo held && exec sleep 120' \
        bash "$(file_of "$host" "$name")" "$@"
    HOLDER=$STARTED
    until_true 10 output_has "hold.$host.$name" held || fail "host $host does not get $name: $(output "hold.$host.$name")"
}

# wait_for HOST NAME [OPTION...]: WAITER waits, and tells when it has got the lock, in microseconds.
wait_for() {
    local host=$1 name=$2
    shift 2
    # shellcheck disable=SC2016 # for the other shell
    start_on "$host" "wait.$host.$name" bash -c 'exec 9>"$1"; shift; flock "$@" 9 && echo "${EPOCHREALTIME/./}"' \
        bash "$(file_of "$host" "$name")" "$@"
    WAITER=$STARTED
}

# waited HOST NAME: GRANTED is the moment at which WAITER got the lock.
waited() {
    wait "$WAITER" || fail "the waiter ended with $?: $(output "wait.$1.$2")"
    GRANTED=$(output "wait.$1.$2" | tail -n 1)
}

# still_waits SECONDS: WAITER has nothing yet when these are over.
still_waits() {
    sleep "$1"
    kill -0 "$WAITER" 2>/dev/null || fail 'the waiter has ended'
}

try() {
    local host=$1 name=$2 expected=$3
    shift 3
    assert_status "$expected" on "$host" flock -n "$@" "$(file_of "$host" "$name")" true
}

now_us() {
    printf '%s\n' "${EPOCHREALTIME/./}"
}

# It has ended, or is only waiting to be waited for.
gone() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    [[ ${stat##*) } == [ZX]* ]]
}

# between WHAT MICROSECONDS LEAST MOST, the bounds in milliseconds.
between() {
    if (($2 < $3 * 1000 || $2 > $4 * 1000)); then
        fail "$1: after $(($2 / 1000)) ms, not between $3 and $4"
    fi
}

sessions() {
    ctl get /etcdflock/session/ --prefix --keys-only | sed '/^$/d'
}

# The entries of a key that are of one host, by the name that is shown to people.
entry_of_host() {
    local name
    for name in $(queue_of "$1"); do
        if ctl get "$name" --print-value-only | jq -e --arg host "$2" '.host == $host' >/dev/null; then
            printf '%s\n' "$name"
        fi
    done
}

median() {
    printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"
}

# ---- servers ----

# start_python NAME SCRIPT ARGUMENT...: SERVER is its pid.
start_python() {
    local name=$1
    shift
    /usr/bin/python3 "$TEST_ROOT/tests/fault/$1" "${@:2}" </dev/null >"$ENV_DIR/out/$name" 2>&1 &
    SERVER=$!
}

# start_proxy NAME ENDPOINT PATH PERCENT HOW: PROXY is its endpoint.
start_proxy() {
    local file
    file=$ENV_DIR/port.$1
    start_python "proxy.$1" proxy.py "$file" "${2##*:}" "${@:3}"
    until_true 5 test -s "$file" || fail "no proxy: $(output "proxy.$1")"
    PROXY=http://127.0.0.1:$(<"$file")
}

# count_of PATH: how many requests for it the proxy has seen.
count_of() {
    local count
    count=$(curl -s --max-time 5 "$PROXY/stats" | sed -n "s|^$1 ||p")
    printf '%s\n' "${count:-0}"
}
