#!/usr/bin/env bash
# Unmodified programs in six languages on two hosts: python3, perl, php, ruby, bash, dash. Each has a
# small program in lockers/ that does the same four things in the way of its language:
#   count FILE COUNTER TURNS   hold FILE sh|ex   try FILE sh|ex   limited FILE sh|ex SECONDS
set -euo pipefail
# shellcheck source-path=SCRIPTDIR disable=SC1091
. "$(dirname "$0")/../lib/common.sh"

LOCKERS=$TEST_ROOT/tests/apps/lockers
TURNS=40 # increments of each of four processes

# The words that run a language's program, in LOCKER.
locker_of() {
    case $1 in
    python) LOCKER=(/usr/bin/python3 "$LOCKERS/locker.py") ;;
    perl) LOCKER=(/usr/bin/perl "$LOCKERS/locker.pl") ;;
    php) LOCKER=(/usr/bin/php "$LOCKERS/locker.php") ;;
    ruby) LOCKER=(/usr/bin/ruby "$LOCKERS/locker.rb") ;;
    bash) LOCKER=(/bin/bash "$LOCKERS/locker.sh") ;;
    dash) LOCKER=(/bin/dash "$LOCKERS/locker.sh") ;;
    esac
}

missing() {
    locker_of "$1"
    [[ ! -x ${LOCKER[0]} ]]
}

hold_on() {
    local host=$1 name=$2 language=$3 mode=$4
    locker_of "$language"
    start_on "$host" "hold.$name" "${LOCKER[@]}" hold "$(file_of "$host" "$name")" "$mode"
    until_true 10 output_has "hold.$name" held || fail "$language on host $host does not get $mode"
}

tries_on() {
    local host=$1 name=$2 language=$3 mode=$4 expected=$5
    locker_of "$language"
    assertEquals "$language on $host tries $mode" "$expected" \
        "$(on "$host" "${LOCKER[@]}" try "$(file_of "$host" "$name")" "$mode")"
}

counts() {
    local language=$1 name=count.$1 host pids=() pid counter
    missing "$language" && skip "$language is not installed" && return
    counter=$(plain_of "$name")
    echo 0 >"$counter"
    for host in a b a b; do
        start_on "$host" "$name.${#pids[@]}" "${LOCKER[@]}" count "$(file_of "$host" "$name")" "$counter" "$TURNS"
        pids+=("$STARTED")
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || fail "$language: a counting process ended with status $?"
    done
    assertEquals "increments kept" $((TURNS * 4)) "$(<"$counter")"
}

excludes() {
    local language=$1 name=exclude.$1
    missing "$language" && skip "$language is not installed" && return
    hold_on a "$name" "$language" ex
    tries_on b "$name" "$language" ex busy
    tries_on b "$name" "$language" sh busy
    tries_on a "$name" "$language" ex busy
    kill_started "$STARTED"
    tries_on b "$name" "$language" ex ok
    tries_on a "$name" "$language" ex ok
}

shares() {
    local language=$1 name=share.$1 first
    missing "$language" && skip "$language is not installed" && return
    hold_on a "$name" "$language" sh
    first=$STARTED
    tries_on b "$name" "$language" sh ok
    tries_on b "$name" "$language" ex busy
    tries_on a "$name" "$language" ex busy
    kill_started "$first"
    tries_on b "$name" "$language" ex ok
}

# The time limit of the language's own kind ends the wait, and the waiter leaves nothing behind.
times_out() {
    local language=$1 name=limit.$1 holder begin took
    missing "$language" && skip "$language is not installed" && return
    hold_on a "$name" "$language" ex
    holder=$STARTED
    begin=${EPOCHREALTIME/./}
    assertEquals "$language waits for 1 s" timeout \
        "$(on b "${LOCKER[@]}" limited "$(file_of b "$name")" ex 1)"
    took=$((${EPOCHREALTIME/./} - begin))
    assertTrue "took $took us" "[ $took -ge 900000 -a $took -lt 4000000 ]"
    kill_started "$holder"
    tries_on a "$name" "$language" ex ok
    assertEquals ok "$(on b "${LOCKER[@]}" limited "$(file_of b "$name")" ex 5)"
}

testPythonCounts() { counts python; }
testPythonExcludes() { excludes python; }
testPythonShares() { shares python; }
testPythonTimesOut() { times_out python; }
testPerlCounts() { counts perl; }
testPerlExcludes() { excludes perl; }
testPerlShares() { shares perl; }
testPerlTimesOut() { times_out perl; }
testPhpCounts() { counts php; }
testPhpExcludes() { excludes php; }
testPhpShares() { shares php; }
testPhpTimesOut() { times_out php; }
testRubyCounts() { counts ruby; }
testRubyExcludes() { excludes ruby; }
testRubyShares() { shares ruby; }
testRubyTimesOut() { times_out ruby; }
testBashCounts() { counts bash; }
testBashExcludes() { excludes bash; }
testBashShares() { shares bash; }
testBashTimesOut() { times_out bash; }
testDashCounts() { counts dash; }
testDashExcludes() { excludes dash; }
testDashShares() { shares dash; }
testDashTimesOut() { times_out dash; }

# All of them in one queue, three on each host.
testAllLanguagesCountTogether() {
    local language host pids=() pid counter name=together
    counter=$(plain_of "$name")
    echo 0 >"$counter"
    for language in python perl php ruby bash dash; do
        missing "$language" && continue
        host=a
        ((${#pids[@]} % 2)) && host=b
        start_on "$host" "$name.$language" "${LOCKER[@]}" count "$(file_of "$host" "$name")" "$counter" "$TURNS"
        pids+=("$STARTED")
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || fail "a counting process ended with status $?"
    done
    assertEquals "increments kept" $((TURNS * ${#pids[@]})) "$(<"$counter")"
}

suite_main "$@"
