#!/usr/bin/env bash
# Between the agents and etcd requests are dropped, come late, or are carried out and their answers get lost: no entry is
# left that nobody knows of, nobody holds beside another, and it does not take many more requests.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR disable=SC1091
. "$(dirname "$0")/../lib/common.sh"
# shellcheck source-path=SCRIPTDIR disable=SC1091
. "$(dirname "$0")/hosts.sh"

# shellcheck disable=SC2034 # for suite_main
SUITE_MODES=two

declare -A PROXY_OF

# count_through HOW PERCENT PAIRS: two hosts count together behind proxies that hurt transactions.
count_through() {
    local how=$1 percent=$2 pairs=$3 host counter pids=() pid servers=() txns=0 hurt=0
    counter=$(plain_of "count.$how")
    echo 0 >"$counter"
    for host in x y; do
        start_proxy "$how.$host" "$ENDPOINT" /v3/kv/txn "$percent" "$how" "$((pairs + ${#servers[@]}))"
        servers+=("$SERVER")
        host_add "$host$how" "$PROXY" 5
        PROXY_OF[$host$how]=$PROXY
        start_on "$host$how" "count.$host$how" "$PROGRAMS/closed" "$(file_of "$host$how" "$how")" "$counter" "$pairs"
        pids+=("$STARTED")
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || fail "$how: a counting process ended with $?: $(output "count.x$how") $(output "count.y$how")"
    done
    assertEquals "$how: increments kept" $((2 * pairs)) "$(<"$counter")"
    until_true 3 queue_has "/t/$how" 0 || fail "$how: left: $(queue_of "/t/$how")"
    for host in x y; do
        PROXY=${PROXY_OF[$host$how]}
        txns=$((txns + $(count_of /v3/kv/txn)))
        hurt=$((hurt + $(count_of hurt)))
        assertNotContains "$how" "$(cat "$ENV_DIR/$host$how.log")" ' is lost'
        agent_end "$host$how"
    done
    assertTrue "$how: some were hurt" "[ $hurt -gt 0 ]"
    # An acquisition is an enqueue, a check or two, and a release.
    assertTrue "$how: $txns transactions for $((2 * pairs)) pairs, $hurt hurt" "[ $txns -lt $((2 * pairs * 6 + hurt * 12 + 40)) ]"
    for pid in "${servers[@]}"; do
        kill_started "$pid"
    done
}

testLostAnswers() {
    count_through lost 5 100
}

testDroppedRequests() {
    count_through dropped 5 100
}

# Carried out after it has been given up: the new nonce must have killed it.
testDelayedRequests() {
    count_through delayed 5 60
}

testLateAnswers() {
    count_through late 3 25
}

testTriesWithLostAnswers() {
    local i status
    start_proxy tries "$ENDPOINT" /v3/kv/txn 15 lost
    host_add t "$PROXY" 5
    for i in $(seq 25); do
        try t tries 0
        status=0
        if ((i % 5 == 0)); then
            hold b tries
            on t flock -n "$(file_of t tries)" true || status=$?
            assertEquals 'really held' 1 "$status"
            kill_started "$HOLDER"
        fi
    done
    until_true 3 queue_has /t/tries 0 || fail "left: $(queue_of /t/tries)"
    assertEquals 'questions' '' "$(ctl get /etcdflock/ask/ --prefix --keys-only)"
    agent_end t
    kill_started "$SERVER"
}

# The request for the lease itself: carried out, its answer lost. A blocking call must not fail for that.
testLostLease() {
    local path name
    for path in /v3/lease/grant /v3/lease/keepalive /v3/auth/authenticate /v3/watch; do
        name=${path##*/}
        start_proxy "$name" "$ENDPOINT" "$path" -2 lost
        host_add "$name" "$PROXY" 3
        assert_status 0 on "$name" flock -w 8 "$(file_of "$name" lostlease)" true
        hold "$name" lostlease
        try b lostlease 1
        sleep 3
        assertFalse "$path: the holder lives" "gone $HOLDER"
        kill_started "$HOLDER"
        try b lostlease 0
        agent_end "$name"
        kill_started "$SERVER"
    done
}

suite_main "$@"
