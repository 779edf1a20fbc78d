# shellcheck shell=bash
# The surroundings of a test: a private etcd and two "hosts" a and b, which are two configurations,
# each with an agent, a runtime directory and files of its own. MODE says how much of that is real:
#   bare   the plain kernel, no library: both hosts are this machine and see one file
#   one    the library on one host: a and b are the same configuration, agent and file
#   two    two hosts: a file each, one key in one etcd
# Source it, call env_setup, and env_teardown at the end.

TEST_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
TEST_BUILD=${TEST_BUILD:-$TEST_ROOT/build}
TEST_PRELOAD=${TEST_PRELOAD:-$TEST_BUILD/libetcdflock.so}
PROGRAMS=$TEST_BUILD/tests/programs
MODE=${MODE:-bare}
ON_SECONDS=${ON_SECONDS:-30} # longest life of a command under `on`
AGENT_STOP_SECONDS=10        # longest clean end of an agent
ENV_TTL=${ENV_TTL:-5}        # s, of the leases
export TEST_ROOT TEST_BUILD TEST_PRELOAD PROGRAMS

declare -A HOST_DIR HOST_CONFIG HOST_RUNDIR

# Why MODE cannot run here; prints nothing and fails if it can.
env_missing() {
    local file
    [[ $MODE == bare ]] && return 1
    for file in "$TEST_BUILD/libetcdflock.so" "$TEST_BUILD/etcdflockd" "$TEST_BUILD/etcdflock"; do
        if [[ ! -e $file ]]; then
            printf '%s is not built\n' "${file#"$TEST_ROOT"/}"
            return 0
        fi
    done
    return 1
}

programs_build() {
    make -s -C "$TEST_ROOT/tests/programs" "BUILD=$PROGRAMS"
}

env_config() {
    local host=$1
    cat <<END
[etcd]
endpoints = $ENDPOINT
[agent]
host = $host
ttl = $ENV_TTL
log = $ENV_DIR/$host.log
[one-key]
path = ${HOST_DIR[$host]}/same/*
key = /one/key
[files]
path = ${HOST_DIR[$host]}/**
key = /t/{name}
${ENV_CONFIG_MORE:-}
END
}

env_host() {
    local host=$1
    HOST_DIR[$host]=$ENV_DIR/$host
    HOST_CONFIG[$host]=$ENV_DIR/$host.conf
    HOST_RUNDIR[$host]=$ENV_DIR/r$host
    mkdir -p "${HOST_DIR[$host]}/same"
    mkdir -m 700 "${HOST_RUNDIR[$host]}"
    env_config "$host" >"${HOST_CONFIG[$host]}"
}

# b is another name for a.
env_same_host() {
    HOST_DIR[b]=${HOST_DIR[a]}
    HOST_CONFIG[b]=${HOST_CONFIG[a]}
    HOST_RUNDIR[b]=${HOST_RUNDIR[a]}
}

# Both agents are up and every part works, or the suite need not start.
env_warm_up() {
    local host
    for host in a b; do
        if ! on "$host" flock "$(file_of "$host" warm-up)" true; then
            printf 'env: a lock on host %s does not work in mode %s\n' "$host" "$MODE" >&2
            env_logs >&2
            return 1
        fi
    done
}

# Short names: the path of a UNIX socket has 107 bytes.
env_setup() {
    ENV_DIR=$(mktemp -d "${TMPDIR:-/tmp}/eft.XXXXXX") || return 1
    mkdir "$ENV_DIR/plain" "$ENV_DIR/out"
    export ETCDFLOCK_TEST_DIR=$ENV_DIR # marks every process of this test; the agent is known by its arguments
    programs_build || return 1
    ENDPOINT=''
    if [[ $MODE != bare ]]; then
        ENDPOINT=$("$TEST_ROOT/scripts/local-etcd" start "$ENV_DIR/etcd") || return 1
    fi
    env_host a
    if [[ $MODE == two ]]; then env_host b; else env_same_host; fi
    if [[ $MODE != bare ]]; then
        env_warm_up || return 1
    fi
}

# file_of HOST NAME: the path under which this host knows the file; its key is /t/NAME.
file_of() {
    printf '%s/%s\n' "${HOST_DIR[$1]}" "$2"
}

# plain_of NAME: a file that both hosts reach and that no configuration maps.
plain_of() {
    printf '%s/plain/%s\n' "$ENV_DIR" "$1"
}

# on HOST CMD...: runs a command as a program of that host, for ON_SECONDS at most.
on() {
    local host=$1
    shift
    if [[ $MODE == bare ]]; then
        timeout -k 2 "$ON_SECONDS" "$@"
        return
    fi
    timeout -k 2 "$ON_SECONDS" env "LD_PRELOAD=$TEST_PRELOAD" "ETCDFLOCK_CONFIG=${HOST_CONFIG[$host]}" \
        "ETCDFLOCK_RUNDIR=${HOST_RUNDIR[$host]}" "$@"
}

# start_on HOST NAME CMD...: the same in the background, its output in `output NAME`. STARTED is the
# pid of the command itself. Nothing bounds its life but env_teardown.
start_on() {
    local host=$1 name=$2
    local -a preload=()
    shift 2
    if [[ $MODE != bare ]]; then
        preload=(env "LD_PRELOAD=$TEST_PRELOAD" "ETCDFLOCK_CONFIG=${HOST_CONFIG[$host]}"
            "ETCDFLOCK_RUNDIR=${HOST_RUNDIR[$host]}")
    fi
    "${preload[@]}" "$@" </dev/null >"$ENV_DIR/out/$name" 2>&1 &
    # shellcheck disable=SC2034 # for the caller
    STARTED=$!
}

# env_for_python CMD...: with this environment in variables, as the modules in tests/lib read them.
env_for_python() {
    env ENV_DIR="$ENV_DIR" ENDPOINT="$ENDPOINT" MODE="$MODE" PYTHONPATH="$TEST_ROOT/tests/lib" PYTHONDONTWRITEBYTECODE=1 \
        HOST_DIR_a="${HOST_DIR[a]}" HOST_CONFIG_a="${HOST_CONFIG[a]}" HOST_RUNDIR_a="${HOST_RUNDIR[a]}" \
        HOST_DIR_b="${HOST_DIR[b]}" HOST_CONFIG_b="${HOST_CONFIG[b]}" HOST_RUNDIR_b="${HOST_RUNDIR[b]}" "$@"
}

# kill_started PID [SIGNAL]: ends what start_on started; it has ended when this returns.
kill_started() {
    kill "-${2:-KILL}" "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

output() {
    cat "$ENV_DIR/out/$1"
}

# until_true SECONDS CMD...: asks again every 10 ms until the command succeeds.
until_true() {
    local deadline=$((${EPOCHREALTIME/./} + $1 * 1000000))
    shift
    until "$@"; do
        ((${EPOCHREALTIME/./} < deadline)) || return 1
        sleep 0.01
    done
}

output_has() {
    grep -q -- "$2" "$ENV_DIR/out/$1" 2>/dev/null
}

# What a sleeping process sleeps in, and how often it has slept; nothing if it runs.
sleep_mark() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    [[ ${stat##*) } == S* ]] || return 1
    cut -d' ' -f1 "/proc/$1/syscall" 2>/dev/null || true
    grep ctxt "/proc/$1/status" 2>/dev/null || true
}

in_kernel_line() {
    grep -qE -- "-> FLOCK +[A-Z]+ +[A-Z]+ +$1 " /proc/locks
}

settled() {
    local mark
    mark=$(sleep_mark "$1") || return 1
    sleep 0.06
    [[ $mark == "$(sleep_mark "$1")" ]]
}

# waits_for_lock PID: true when the process waits for a lock. On the bare kernel /proc/locks says
# so; under the library it is a sleep (in recv) that does not end by itself for 60 ms.
waits_for_lock() {
    if [[ $MODE == bare ]]; then
        until_true 5 in_kernel_line "$1"
    else
        until_true 5 settled "$1"
    fi
}

ctl() {
    ETCDCTL_API=3 timeout 20 etcdctl --endpoints="$ENDPOINT" "$@"
}

# queue_of KEY: the keys in its queue, oldest first.
queue_of() {
    ctl get "$1/" --prefix --keys-only --sort-by=CREATE | sed '/^$/d'
}

queue_has() {
    [[ $(queue_of "$1" | wc -l) -eq $2 ]]
}

# The agents of this environment: by their name and by our directory in arguments or environment.
agents() {
    local proc
    while IFS= read -r proc; do
        if grep -qszF "$ENV_DIR/" "${proc%comm}cmdline" "${proc%comm}environ"; then
            cut -d/ -f3 <<<"$proc"
        fi
    done < <(grep -ls '^etcdflockd' /proc/[0-9]*/comm)
    return 0
}

no_agents() {
    [[ -z $(agents) ]]
}

# Programs that a test has left running: started since env_setup exported the mark. (The suite's own
# shell is older, and a shell's later exports do not show in /proc.)
stragglers() {
    local -a processes=(/proc/[0-9]*/environ) # now: the grep below carries the mark itself
    grep -lszxF "ETCDFLOCK_TEST_DIR=$ENV_DIR" "${processes[@]}" | cut -d/ -f3 || true
}

stragglers_kill() {
    local pid
    for pid in $(stragglers); do
        case $(cat "/proc/$pid/comm" 2>/dev/null) in
        etcd | etcdflockd*) continue ;; # the server and the agents end in their own way
        esac
        kill -KILL "$pid" 2>/dev/null || true
    done
}

# Ends the agents as an administrator would. Fails if one does not end by itself.
agents_stop() {
    local pid
    for pid in $(agents); do
        kill -TERM "$pid" 2>/dev/null || true
    done
    until_true "$AGENT_STOP_SECONDS" no_agents
}

# An agent that crashes is started again by the next program and takes up where it was: no other test
# would notice. Each one that says it serves must have said that it leaves. (Suites that kill agents
# set ENV_AGENTS_MAY_DIE.)
agents_died() {
    local log served left
    [[ -z ${ENV_AGENTS_MAY_DIE:-} ]] || return 1
    for log in "$ENV_DIR"/[ab].log; do
        served=$(grep -c ' agent [0-9]* serves ' "$log") || continue
        left=$(grep -cE ' leaving$' "$log") || true
        if ((served > left)); then
            printf '%s agents have served, %s have left in order; see %s\n' "$served" "$left" "${log##*/}"
            return 0
        fi
    done
    return 1
}

# After every program has ended: agents leave cleanly and etcd is as empty as it was. Prints what is wrong.
env_check() {
    local left
    [[ $MODE == bare ]] && return 0
    stragglers_kill
    if ! agents_stop; then
        printf 'agents did not end within %s s of SIGTERM: %s\n' "$AGENT_STOP_SECONDS" "$(agents | xargs)"
        return 1
    fi
    agents_died && return 1
    left=$(ctl get '' --from-key --keys-only | sed '/^$/d')
    if [[ -n $left ]]; then
        printf 'left in etcd: %s\n' "$(xargs <<<"$left")"
        return 1
    fi
}

env_logs() {
    local log
    for log in "$ENV_DIR"/*.log "$ENV_DIR/etcd/etcd.log"; do
        [[ -s $log ]] || continue
        printf -- '--- end of %s\n' "${log#"$ENV_DIR/"}"
        tail -n 25 "$log"
    done
}

env_teardown() {
    local pid
    [[ -n ${ENV_DIR:-} && -d $ENV_DIR ]] || return 0
    stragglers_kill
    agents_stop || true
    for pid in $(agents); do
        kill -KILL "$pid" 2>/dev/null || true
    done
    "$TEST_ROOT/scripts/local-etcd" stop "$ENV_DIR/etcd"
    if [[ -n ${ENV_KEEP:-} ]]; then
        printf 'kept: %s\n' "$ENV_DIR"
    else
        rm -rf "$ENV_DIR"
    fi
    unset ETCDFLOCK_TEST_DIR
}
