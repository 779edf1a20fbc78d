#!/usr/bin/env bash
# A program built without any project header, of which we have, so to speak, only the binary.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR disable=SC1091
. "$(dirname "$0")/../lib/common.sh"

TURNS=250

testCountsOverBothHosts() {
    local counter host pids=() pid
    counter=$(plain_of counter)
    for host in a b a b; do
        start_on "$host" "count.${#pids[@]}" "$PROGRAMS/closed" "$(file_of "$host" closed)" "$counter" "$TURNS"
        pids+=("$STARTED")
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || fail "a counting process ended with $?: $(cat "$ENV_DIR"/out/count.*)"
    done
    assertEquals 'increments kept' $((TURNS * 4)) "$(<"$counter")"
    assertEquals 'nothing printed' '' "$(cat "$ENV_DIR"/out/count.*)"
}

testWaitsForAnother() {
    local counter
    counter=$(plain_of waits)
    start_on a holder flock "$(file_of a waits)" sh -c 'echo held; exec sleep 60'
    local holder=$STARTED
    until_true 10 output_has holder held || fail 'not held'
    start_on b closed "$PROGRAMS/closed" "$(file_of b waits)" "$counter" 1
    waits_for_lock "$STARTED" || fail 'does not wait'
    assertEquals 'counted nothing yet' '' "$(<"$counter")"
    pkill -KILL -P "$holder"
    wait "$holder" 2>/dev/null || true
    wait "$STARTED" || fail "ended with $?"
    assertEquals 1 "$(<"$counter")"
}

testKilledOnesLoseNothing() {
    local counter pids=() pid host kept
    counter=$(plain_of killed)
    for host in a b a b; do
        start_on "$host" "killed.${#pids[@]}" "$PROGRAMS/closed" "$(file_of "$host" killed)" "$counter" 100000
        pids+=("$STARTED")
    done
    for pid in "${pids[@]}"; do
        sleep 0.2
        kill_started "$pid"
    done
    kept=$(<"$counter")
    assertTrue "something was counted: $kept" "[ $kept -gt 10 ]"
    assert_status 0 on a "$PROGRAMS/closed" "$(file_of a killed)" "$counter" 1
    assert_status 0 on b "$PROGRAMS/closed" "$(file_of b killed)" "$counter" 1
    assertEquals $((kept + 2)) "$(<"$counter")"
}

suite_main "$@"
