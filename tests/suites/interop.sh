#!/usr/bin/env bash
# Programs that lock in etcd themselves share our queues: `etcdctl lock` (which is Go's
# concurrency.Mutex) and the v3 Lock RPC, called raw with curl. Each holds while ours wait and waits
# while ours hold, and all are served in the order in which they came.
# shellcheck disable=SC2016 # the scripts in single quotes are for another shell
set -euo pipefail
# shellcheck source-path=SCRIPTDIR disable=SC1091
. "$(dirname "$0")/../lib/common.sh"

# shellcheck disable=SC2034 # for suite_main
SUITE_MODES='one two'

# start_etcdctl NAME KEY CMD...: `etcdctl lock` runs the command when it has the lock.
start_etcdctl() {
    local name=$1 key=$2
    shift 2
    ETCDCTL_API=3 etcdctl --endpoints="$ENDPOINT" lock --ttl "${ETCDCTL_TTL:-10}" "$key" -- "$@" \
        </dev/null >"$ENV_DIR/out/$name" 2>&1 &
    STARTED=$!
}

# hold_by_etcdctl NAME: holds /t/NAME until release_etcdctl.
hold_by_etcdctl() {
    local name=$1
    mkfifo "$(plain_of "gate.$name")"
    start_etcdctl "ctl.$name" "/t/$name" sh -c 'echo held; read -r _ <"$0"' "$(plain_of "gate.$name")"
    CTL=$STARTED
    until_true 10 output_has "ctl.$name" held || fail "etcdctl does not get $name: $(output "ctl.$name")"
}

release_etcdctl() {
    echo >"$(plain_of "gate.$1")"
    wait "$CTL" || fail "etcdctl ended with $?"
}

hold() {
    local host=$1 name=$2
    shift 2
    start_on "$host" "hold.$host.$name" flock "$@" "$(file_of "$host" "$name")" sh -c 'echo held; exec sleep 60'
    HOLDER=$STARTED
    until_true 10 output_has "hold.$host.$name" held || fail "host $host does not get $name"
}

let_go() {
    pkill -KILL -P "$HOLDER" || kill_started "$HOLDER"
    wait "$HOLDER" 2>/dev/null || true
}

try() {
    local host=$1 name=$2 expected=$3
    shift 3
    assert_status "$expected" on "$host" flock -n "$@" "$(file_of "$host" "$name")" true
}

# A call of etcd's JSON gateway.
rpc() {
    curl -sS --max-time 30 "$ENDPOINT/v3/$1" -d "$2"
}

base64_of() {
    printf '%s' "$1" | base64 -w0
}

lease() {
    rpc lease/grant '{"TTL":"20"}' | jq -r .ID
}

# rpc_lock KEY LEASE: waits for the lock and prints the owned key, as the RPC encodes it.
rpc_lock() {
    rpc lock/lock "{\"name\":\"$(base64_of "$1")\",\"lease\":\"$2\"}" | jq -r .key
}

rpc_unlock() {
    rpc lock/unlock "{\"key\":\"$1\"}" >/dev/null
}

testEtcdctlHoldsOursAreRefused() {
    local host
    hold_by_etcdctl refused
    for host in a b; do
        try "$host" refused 1
        try "$host" refused 1 -s
        assert_status 1 on "$host" flock -w 0.3 "$(file_of "$host" refused)" true
    done
    assertEquals 'refused tries and waits leave no entry' 1 "$(queue_of /t/refused | wc -l)"
    release_etcdctl refused
    try a refused 0
    try b refused 0
}

testEtcdctlHoldsOursWait() {
    local host pid pids=()
    hold_by_etcdctl wait
    for host in a b; do
        start_on "$host" "waiter.$host" flock "$(file_of "$host" wait)" echo granted
        waits_for_lock "$STARTED" || fail "host $host does not wait"
        pids+=("$STARTED")
    done
    release_etcdctl wait
    for pid in "${pids[@]}"; do
        wait "$pid" || fail "a waiter ended with $?"
    done
    assertEquals 'granted granted' "$(output waiter.a) $(output waiter.b)"
}

testEtcdctlHoldsOurReadersWait() {
    local host
    hold_by_etcdctl readers
    for host in a b; do
        start_on "$host" "reader.$host" flock -s "$(file_of "$host" readers)" sh -c 'echo granted; exec sleep 60'
        waits_for_lock "$STARTED" || fail "host $host does not wait"
    done
    release_etcdctl readers
    # Both at the same time.
    until_true 10 output_has reader.a granted || fail 'host a has not got it'
    until_true 10 output_has reader.b granted || fail 'host b has not got it'
    stragglers_kill
}

testOursHoldEtcdctlWaits() {
    hold a ctlwaits
    start_etcdctl waiter /t/ctlwaits echo granted
    until_true 5 queue_has /t/ctlwaits 2 || fail 'etcdctl does not queue'
    sleep 0.3
    assertEquals 'not yet' '' "$(output waiter)"
    let_go
    wait "$STARTED" || fail "etcdctl ended with $?"
    assertEquals granted "$(output waiter)"
    try b ctlwaits 0
}

testOurReaderHoldsEtcdctlWaits() {
    hold b reader -s
    start_etcdctl waiter /t/reader sh -c 'echo granted; exec sleep 2'
    until_true 5 queue_has /t/reader 2 || fail 'etcdctl does not queue'
    sleep 0.2
    assertEquals 'not yet' '' "$(output waiter)"
    let_go
    until_true 10 output_has waiter granted || fail 'etcdctl does not get it'
    try a reader 1 -s
    wait "$STARTED" || fail "etcdctl ended with $?"
    try a reader 0 -s
}

testBothReadersMustGoBeforeEtcdctl() {
    local first
    hold a both -s
    first=$HOLDER
    hold b both -s
    start_etcdctl waiter /t/both echo granted
    sleep 0.3
    let_go
    sleep 0.3
    assertEquals 'not yet' '' "$(output waiter)"
    HOLDER=$first
    let_go
    wait "$STARTED" || fail "etcdctl ended with $?"
    assertEquals granted "$(output waiter)"
}

# A lock that we downgrade is still in etcdctl's way; one that we upgrade, too.
testConversionsKeepEtcdctlOut() {
    local gate
    gate=$(plain_of gate.convert)
    mkfifo "$gate"
    start_on a convert bash -c '
        exec 9>"$1" 8<>"$2"
        flock 9; echo ex; read -r _ <&8
        flock -s 9; echo sh; read -r _ <&8
        flock 9; echo again; read -r _ <&8
    ' sh "$(file_of a convert)" "$gate"
    local shell=$STARTED mode
    exec 7<>"$gate"
    start_etcdctl waiter /t/convert echo granted
    until_true 5 queue_has /t/convert 2 || fail 'etcdctl does not queue'
    for mode in ex sh; do
        until_true 10 output_has convert "$mode" || fail "no $mode"
        sleep 0.2
        assertEquals "not beside $mode" '' "$(output waiter)"
        echo >&7
    done
    # From SH to EX with a foreign waiter: who comes first is the queue's choice; both get it in the end.
    until_true 10 output_has convert again || fail 'the upgrade does not end'
    echo >&7
    exec 7>&-
    wait "$shell" || fail "the shell ended with $?"
    wait "$STARTED" || fail "etcdctl ended with $?"
    assertEquals granted "$(output waiter)"
}

testKilledEtcdctlHoldsUntilItsLeaseEnds() {
    local begin took
    ETCDCTL_TTL=2 hold_by_etcdctl lease
    kill_started "$CTL"
    try a lease 1
    begin=${EPOCHREALTIME/./}
    assert_status 0 on b flock -w 15 "$(file_of b lease)" true
    took=$((${EPOCHREALTIME/./} - begin))
    assertTrue "took $took us" "[ $took -gt 500000 ]"
    echo >"$(plain_of gate.lease)" # its command has run on
}

testInterruptedEtcdctlWaiterIsInNobodysWay() {
    hold a interrupted
    start_etcdctl waiter /t/interrupted echo granted
    local ctl=$STARTED
    until_true 5 queue_has /t/interrupted 2 || fail 'etcdctl does not queue'
    start_on b ours flock "$(file_of b interrupted)" echo granted
    local ours=$STARTED
    until_true 5 queue_has /t/interrupted 3 || fail 'ours does not queue'
    kill -INT "$ctl"
    until_true 5 queue_has /t/interrupted 2 || fail 'etcdctl has not left the queue'
    let_go
    wait "$ours" || fail "ours ended with $?"
    assertEquals granted "$(output ours)"
}

testKilledWaiterOfOursIsNotInEtcdctlsWay() {
    hold_by_etcdctl killed
    start_on b ours flock "$(file_of b killed)" true
    until_true 5 queue_has /t/killed 2 || fail 'ours does not queue'
    kill_started "$STARTED"
    until_true 5 queue_has /t/killed 1 || fail 'ours has not left the queue'
    release_etcdctl killed
}

testLockRpcHolds() {
    local id key
    id=$(lease)
    key=$(rpc_lock /t/rpc "$id")
    try a rpc 1
    try b rpc 1 -s
    start_on b ours flock "$(file_of b rpc)" echo granted
    waits_for_lock "$STARTED" || fail 'ours does not wait'
    assertEquals 'not yet' '' "$(output ours)"
    rpc_unlock "$key"
    wait "$STARTED" || fail "ours ended with $?"
    assertEquals granted "$(output ours)"
    rpc lease/revoke "{\"ID\":\"$id\"}" >/dev/null
}

testLockRpcWaits() {
    local id caller
    id=$(lease)
    hold b rpcwaits
    (rpc_lock /t/rpcwaits "$id" >"$ENV_DIR/out/rpc") &
    caller=$!
    until_true 5 queue_has /t/rpcwaits 2 || fail 'the RPC does not queue'
    sleep 0.2
    assertEquals 'not yet' '' "$(output rpc)"
    let_go
    wait "$caller" || fail "the call ended with $?"
    assertContains "$(output rpc | base64 -d)" /t/rpcwaits/
    try a rpcwaits 1
    rpc_unlock "$(output rpc)"
    try a rpcwaits 0
    rpc lease/revoke "{\"ID\":\"$id\"}" >/dev/null
}

testServedInOrder() {
    local log id pids=() pid expected='ctl1 b rpc ctl2' entries=1
    log=$(plain_of order)
    id=$(lease)
    hold a order
    join() {
        pids+=("$!")
        entries=$((entries + 1))
        until_true 5 queue_has /t/order "$entries" || fail "waiter $entries does not queue"
    }
    start_etcdctl ctl1 /t/order sh -c 'echo ctl1 >>"$0"' "$log"
    join
    start_on b b flock "$(file_of b order)" sh -c 'echo b >>"$0"' "$log"
    join
    (key=$(rpc_lock /t/order "$id") && echo rpc >>"$log" && rpc_unlock "$key") &
    join
    if [[ $MODE == two ]]; then
        start_on a a flock "$(file_of a order)" sh -c 'echo a >>"$0"' "$log"
        join
        expected='ctl1 b rpc a ctl2'
    fi
    start_etcdctl ctl2 /t/order sh -c 'echo ctl2 >>"$0"' "$log"
    join
    let_go
    for pid in "${pids[@]}"; do
        wait "$pid" || fail "a waiter ended with $?"
    done
    assertEquals "$expected" "$(xargs <"$log")"
    rpc lease/revoke "{\"ID\":\"$id\"}" >/dev/null
}

testAllCountTogether() {
    local counter host pids=() pid
    counter=$(plain_of together)
    echo 0 >"$counter"
    for host in a b; do
        start_on "$host" "ours.$host" "$PROGRAMS/closed" "$(file_of "$host" together)" "$counter" 200
        pids+=("$STARTED")
    done
    (
        for _ in $(seq 15); do
            start_etcdctl count /t/together sh -c 'read -r n <"$0"; echo $((n + 1)) >"$0"' "$counter"
            wait "$STARTED" || exit 1
        done
    ) &
    pids+=("$!")
    (
        id=$(lease)
        for _ in $(seq 15); do
            key=$(rpc_lock /t/together "$id")
            read -r n <"$counter"
            echo $((n + 1)) >"$counter"
            rpc_unlock "$key"
        done
        rpc lease/revoke "{\"ID\":\"$id\"}" >/dev/null
    ) &
    pids+=("$!")
    for pid in "${pids[@]}"; do
        wait "$pid" || fail "a counting process ended with $?"
    done
    assertEquals 'increments kept' 430 "$(<"$counter")"
}

suite_main "$@"
