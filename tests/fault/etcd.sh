#!/usr/bin/env bash
# etcd that is not there, is something else, forgets, refuses, or loses answers on the way.
# shellcheck disable=SC2153 # ENDPOINT is of env.sh
set -euo pipefail
# shellcheck source-path=SCRIPTDIR disable=SC1091
. "$(dirname "$0")/../lib/common.sh"
# shellcheck source-path=SCRIPTDIR disable=SC1091
. "$(dirname "$0")/hosts.sh"

# shellcheck disable=SC2034 # for suite_main
SUITE_MODES=two
ENOLCK_STATUS=71 # of flock(1) when the call fails with ENOLCK
TRY_MS=2000      # longest time of a try
START_MS=1000    # an agent's start on a busy machine

# A port on which nobody listens.
dead_port() {
    /usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# refused HOST PATTERN...: a try on the host fails in time with ENOLCK; the one line on stderr matches the patterns.
refused() {
    local host=$1 begin took status=0 lines pattern
    begin=$(now_us)
    on "$host" flock -n "$(file_of "$host" refused)" true >"$ENV_DIR/out/refused.$host" 2>&1 || status=$?
    took=$(($(now_us) - begin))
    assertEquals "$host: status; $(output "refused.$host")" "$ENOLCK_STATUS" "$status"
    between "$host: the failure" "$took" 0 $((TRY_MS + START_MS))
    lines=$(grep '^etcdflock: ' "$ENV_DIR/out/refused.$host")
    assertEquals "$host: lines of ours" 1 "$(wc -l <<<"$lines")"
    assertContains "$host" "$lines" "$(file_of "$host" refused)"
    for pattern in "${@:2}"; do
        [[ $lines =~ $pattern ]] || fail "$host: no '$pattern' in: $lines"
    done
}

# The same for several hosts at a time: HOST, a tab, PATTERN.
refused_all() {
    local line host pids=() pid
    while IFS= read -r line; do
        host=${line%%$'\t'*}
        (
            refused "$host" "${ENDPOINT_OF[$host]}: " "${line#*$'\t'}" >"$ENV_DIR/out/result.$host"
            on "$host" flock -n "$(plain_of "$host")" true || fail "$host: an unmapped file" >>"$ENV_DIR/out/result.$host"
        ) &
        pids+=("$!")
        # Two or three at a time: this is about time, too.
        if [[ ${#pids[@]} -eq 3 ]]; then
            wait "${pids[0]}" || true
            pids=("${pids[@]:1}")
        fi
    done <<<"$1"
    for pid in "${pids[@]}"; do
        wait "$pid" || true
    done
    while IFS= read -r line; do
        host=${line%%$'\t'*}
        [[ -e $ENV_DIR/out/result.$host ]] || fail "$host: no result"
        [[ ! -s $ENV_DIR/out/result.$host ]] || fail "$(output "result.$host")"
        agents_of "$host" | xargs -r kill -TERM
    done <<<"$1"
}

declare -A ENDPOINT_OF

bad_host() {
    ENDPOINT_OF[$1]=$2
    host_add "$1" "$2" 5 "${3:-}"
}

nothing_at() {
    [[ -z $(ENDPOINT=$1 ctl get "$2" --prefix --keys-only) ]]
}

# ---- nobody there ----

testNotReachable() {
    bad_host closed "http://127.0.0.1:$(dead_port)"
    bad_host noname http://no-such-host.invalid:2379
    bad_host https "https://127.0.0.1:${ENDPOINT##*:}"
    refused_all "closed	([Cc]onnect|refused)
noname	[Rr]esolve
https	(SSL|TLS|ssl|wrong version)"
}

# Accepts, or does not even that: the listener's queue is full.
testStopped() {
    local endpoint
    endpoint=$("$TEST_ROOT/scripts/local-etcd" start "$ENV_DIR/etcd3")
    bad_host stopped "$endpoint"
    "$TEST_ROOT/scripts/local-etcd" pause "$ENV_DIR/etcd3"
    refused stopped "$endpoint: " '[Tt]ime'
    "$TEST_ROOT/scripts/local-etcd" resume "$ENV_DIR/etcd3"
    try stopped refused 0
    agent_end stopped
    "$TEST_ROOT/scripts/local-etcd" stop "$ENV_DIR/etcd3"
}

# ---- somebody else there ----

testServersThatAreNoEtcd() {
    local kind dir
    local kinds=(silent closes bytes ssh html empty text null array object ttltext ttlobject header responses
        nosession deep deepobject nul error streamerror s404 s500 s503 redirect lengths chunks half halfhead huge slow)
    dir=$ENV_DIR/ports
    mkdir "$dir"
    start_python bad bad_etcd.py "$dir" "${kinds[@]}"
    local server=$SERVER
    until_true 5 test -s "$dir/slow.port" || fail "no servers: $(output bad)"
    for kind in "${kinds[@]}"; do
        bad_host "$kind" "http://127.0.0.1:$(<"$dir/$kind.port")"
    done
    refused_all "$(for kind in "${kinds[@]}"; do
        case $kind in
        silent | slow) printf '%s\t[Tt]ime\n' "$kind" ;;
        error) printf 'error\tetcdserver: mean\n' ;;
        streamerror) printf 'streamerror\tno leader\n' ;;
        s503) printf 's503\tetcdserver: too slow\n' ;;
        s404 | s500) printf '%s\t%s\n' "$kind" "${kind#s}" ;;
        *) printf '%s\t[a-z]{3}\n' "$kind" ;;
        esac
    done)"
    kill_started "$server"
}

# ---- some endpoints are bad ----

testFirstEndpointDead() {
    local begin
    host_add first "http://127.0.0.1:$(dead_port), $ENDPOINT" 5
    begin=$(now_us)
    try first first 0
    between 'a dead one first' $(($(now_us) - begin)) 0 1500
    try first first 0
    agent_end first
    host_add last "$ENDPOINT, http://127.0.0.1:$(dead_port)" 5
    try last first 0
    agent_end last
}

testFirstEndpointSilent() {
    local begin dir
    dir=$ENV_DIR/mute.ports
    mkdir "$dir"
    start_python silent bad_etcd.py "$dir" silent
    local server=$SERVER
    until_true 5 test -s "$dir/silent.port"
    host_add mute "http://127.0.0.1:$(<"$dir/silent.port"), $ENDPOINT" 5
    begin=$(now_us)
    assert_status 0 on mute flock "$(file_of mute silent)" true
    between 'a silent one first' $(($(now_us) - begin)) 0 4000
    begin=$(now_us)
    try mute silent 0
    between 'from then on' $(($(now_us) - begin)) 0 500
    agent_end mute
    kill_started "$server"
}

# ---- waiting for etcd ----

testBlockingCallWaitsForEtcd() {
    local endpoint begin signal
    endpoint=$("$TEST_ROOT/scripts/local-etcd" start "$ENV_DIR/etcd4")
    "$TEST_ROOT/scripts/local-etcd" stop "$ENV_DIR/etcd4"
    host_add late "$endpoint" 5
    wait_for late late
    still_waits 2.5
    "$TEST_ROOT/scripts/local-etcd" start "$ENV_DIR/etcd4" >/dev/null
    begin=$(now_us)
    waited late late
    between 'the lock' $((GRANTED - begin)) -500 3500
    assertEquals 'silent' 1 "$(output wait.late.late | wc -l)"
    # And a waiter that gives up leaves nothing behind there either.
    "$TEST_ROOT/scripts/local-etcd" stop "$ENV_DIR/etcd4"
    assert_status 1 on late flock -w 0.5 "$(file_of late late)" true
    for signal in INT KILL; do
        start_on late gives env --default-signal=INT flock "$(file_of late late)" true
        sleep 0.3
        kill_started "$STARTED" "$signal"
    done
    "$TEST_ROOT/scripts/local-etcd" start "$ENV_DIR/etcd4" >/dev/null
    assert_status 0 on late flock -w 5 "$(file_of late late)" true
    agent_end late
    nothing_at "$endpoint" / || fail 'something is left'
    "$TEST_ROOT/scripts/local-etcd" stop "$ENV_DIR/etcd4"
}

testTimeout() {
    local begin status=0
    bad_host brief "http://127.0.0.1:$(dead_port)" 'timeout = 1'
    begin=$(now_us)
    on brief flock "$(file_of brief timeout)" true >"$ENV_DIR/out/timeout" 2>&1 || status=$?
    between 'the failure' $(($(now_us) - begin)) 900 2500
    assertEquals 'status' "$ENOLCK_STATUS" "$status"
    assertContains "$(output timeout)" "${ENDPOINT_OF[brief]}"
    begin=$(now_us)
    status=0
    on brief flock "$(file_of brief timeout)" true >/dev/null 2>&1 || status=$?
    between 'the second one' $(($(now_us) - begin)) 900 2000
    agent_end brief
}

# A time-out is about etcd, not about other holders.
testTimeoutIsNotForHolders() {
    host_add patient "$ENDPOINT" 5 'timeout = 0.5'
    hold b patient
    wait_for patient patient
    still_waits 1.5
    kill_started "$HOLDER"
    waited patient patient
    agent_end patient
}

# ---- outages while locks are held ----

testGrantLivesThroughAnOutage() {
    local endpoint begin
    endpoint=$("$TEST_ROOT/scripts/local-etcd" start "$ENV_DIR/etcd5")
    host_add c "$endpoint" 8
    host_add d "$endpoint" 8
    hold c outage -s
    wait_for d outage
    sleep 0.3
    "$TEST_ROOT/scripts/local-etcd" pause "$ENV_DIR/etcd5"
    sleep 0.3
    begin=$(now_us)
    try c outage 0 -s
    between 'a reader beside the reader' $(($(now_us) - begin)) 0 500
    try c outage 1
    sleep 2
    "$TEST_ROOT/scripts/local-etcd" resume "$ENV_DIR/etcd5"
    still_waits 2
    assertFalse 'the holder lives' "gone $HOLDER"
    assertNotContains "$(cat "$ENV_DIR/c.log")" ' is lost'
    # etcd itself is killed and started again: the lease is in its data.
    kill -KILL "$(<"$ENV_DIR/etcd5/etcd.pid")"
    sleep 0.5
    "$TEST_ROOT/scripts/local-etcd" start "$ENV_DIR/etcd5" >/dev/null
    still_waits 2
    assertFalse 'the holder lives' "gone $HOLDER"
    begin=$(now_us)
    kill_started "$HOLDER"
    waited d outage
    between 'the hand-over' $((GRANTED - begin)) 0 2500
    agent_end c
    agent_end d
    "$TEST_ROOT/scripts/local-etcd" stop "$ENV_DIR/etcd5"
}

# A release that cannot be told yet is told later.
testReleaseDuringAnOutage() {
    local endpoint begin
    endpoint=$("$TEST_ROOT/scripts/local-etcd" start "$ENV_DIR/etcd6")
    host_add e "$endpoint" 8
    host_add f "$endpoint" 8
    hold e release
    wait_for f release
    sleep 0.3
    "$TEST_ROOT/scripts/local-etcd" pause "$ENV_DIR/etcd6"
    kill_started "$HOLDER"
    sleep 2
    begin=$(now_us)
    "$TEST_ROOT/scripts/local-etcd" resume "$ENV_DIR/etcd6"
    waited f release
    between 'the hand-over' $((GRANTED - begin)) 0 2500
    until_true 3 nothing_at "$endpoint" /t/ || fail 'an entry is left'
    agent_end e
    agent_end f
    "$TEST_ROOT/scripts/local-etcd" stop "$ENV_DIR/etcd6"
}

# ---- those who give up ----

testWhoGivesUpLeavesNothing() {
    local host name
    hold a givesup
    for host in a b; do
        assert_status 1 on "$host" flock -w 0.3 "$(file_of "$host" givesup)" true
        assert_status 1 on "$host" flock -s -w 0.3 "$(file_of "$host" givesup)" true
        assert_status 1 on "$host" flock -n "$(file_of "$host" givesup)" true
        for name in INT TERM KILL HUP; do
            start_on "$host" gives env --default-signal=INT flock "$(file_of "$host" givesup)" true
            waits_for_lock "$STARTED" || fail 'it does not wait'
            kill_started "$STARTED" "$name"
        done
    done
    until_true 2 queue_has /t/givesup 1 || fail "left: $(queue_of /t/givesup)"
    assertEquals 'questions' '' "$(ctl get /etcdflock/ask/ --prefix --keys-only)"
    kill_started "$HOLDER"
    try b givesup 0
}

testCompactionWhileWaiting() {
    local begin revision
    hold a compact
    wait_for b compact
    until_true 5 queue_has /t/compact 2 || fail 'the waiter is not in the queue'
    for _ in 1 2 3; do
        ctl put /noise 1 >/dev/null
        ctl del /noise >/dev/null
        revision=$(ctl get / -w json | jq .header.revision)
        ctl compact "$revision" >/dev/null
        sleep 0.2
    done
    still_waits 1
    begin=$(now_us)
    kill_started "$HOLDER"
    waited b compact
    between 'the hand-over' $((GRANTED - begin)) 0 500
}

# ---- users and passwords ----

auth_ctl() {
    ENDPOINT=$AUTH ctl --user root:secret "$@"
}

auth_host() {
    local name=$1 user=$2 password=$3 endpoint=$4
    printf '%s\n' "$password" >"$ENV_DIR/$name.password"
    host_config "$name" "[etcd]
endpoints = $endpoint
user = $user
password_file = $ENV_DIR/$name.password
[agent]
host = $name
ttl = 5
log = $ENV_DIR/$name.log
[files]
path = DIR/**
key = /t/{name}"
    ENDPOINT_OF[$name]=$endpoint
}

testUsers() {
    AUTH=$("$TEST_ROOT/scripts/local-etcd" start "$ENV_DIR/etcd7")
    {
        auth_ctl user add root:secret
        auth_ctl user grant-role root root
        auth_ctl role add locks
        auth_ctl role grant-permission locks --prefix=true readwrite /t/
        auth_ctl role grant-permission locks --prefix=true readwrite /etcdflock/
        auth_ctl user add worker:pass
        auth_ctl user grant-role worker locks
        auth_ctl role add little
        auth_ctl role grant-permission little --prefix=true readwrite /etcdflock/
        auth_ctl user add narrow:pass
        auth_ctl user grant-role narrow little
        auth_ctl auth enable
    } >/dev/null 2>&1 || fail 'etcd could not be prepared'

    auth_host m worker pass "$AUTH"
    auth_host n worker pass "$AUTH"
    hold m users
    try n users 1
    wait_for n users
    sleep 0.3
    kill_started "$HOLDER"
    waited n users
    # A restart of etcd makes all tokens worthless.
    hold m users
    "$TEST_ROOT/scripts/local-etcd" stop "$ENV_DIR/etcd7"
    "$TEST_ROOT/scripts/local-etcd" start "$ENV_DIR/etcd7" >/dev/null
    wait_for n users
    still_waits 2
    assertFalse 'the holder lives' "gone $HOLDER"
    kill_started "$HOLDER"
    waited n users

    auth_host wrong worker nonsense "$AUTH"
    auth_host nobody nosuchuser pass "$AUTH"
    auth_host narrow narrow pass "$AUTH"
    host_add anonymous "$AUTH" 5
    ENDPOINT_OF[anonymous]=$AUTH
    refused wrong "$AUTH: " 'authentication failed'
    refused nobody "$AUTH: " 'authentication failed'
    refused narrow "$AUTH: " 'permission denied'
    refused anonymous "$AUTH: " 'user name is empty'

    # A blocking call with a wrong password does not keep etcd busy: a login costs it 70 ms.
    start_proxy auth "$AUTH" none 0 lost
    auth_host busy worker nonsense "$PROXY"
    start_on busy busy flock "$(file_of busy users)" true
    sleep 4
    between 'logins, as if they were ms' $(($(count_of /v3/auth/authenticate) * 1000)) 2 12
    kill_started "$STARTED"
    for name in m n wrong nobody narrow anonymous busy; do
        agent_end "$name"
    done
    kill_started "$SERVER"
    "$TEST_ROOT/scripts/local-etcd" stop "$ENV_DIR/etcd7"
}

suite_main "$@"
