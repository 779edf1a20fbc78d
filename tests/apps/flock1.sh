#!/usr/bin/env bash
# util-linux flock(1), unmodified, in every form of its manual page.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR disable=SC1091
. "$(dirname "$0")/../lib/common.sh"

# hold HOST NAME [OPTION...]: flock(1) holds the file while a sleep runs; HOLDER is its pid.
hold() {
    local host=$1 name=$2
    shift 2
    start_on "$host" "hold.$name" flock "$@" "$(file_of "$host" "$name")" sh -c 'echo held; exec sleep 60'
    HOLDER=$STARTED
    until_true 10 output_has "hold.$name" held || fail "host $host does not get $name ($*)"
}

# The command that flock(1) runs has inherited the descriptor. flock(1) ends after its command has:
# when it has been waited for, nobody has the lock.
let_go() {
    pkill -KILL -P "$HOLDER" || kill_started "$HOLDER"
    wait "$HOLDER" 2>/dev/null || true
}

# try HOST NAME EXPECTED [OPTION...]: the exit status of a non-blocking flock.
try() {
    local host=$1 name=$2 expected=$3
    shift 3
    assert_status "$expected" on "$host" flock -n "$@" "$(file_of "$host" "$name")" true
}

testCommandAndItsStatus() {
    local file
    file=$(file_of a status)
    assert_status 0 on a flock "$file" true
    assert_status 7 on a flock "$file" sh -c 'exit 7'
    assertEquals 'two words' "$(on a flock "$file" printf '%s' 'two words')"
    assertTrue 'the file is made' "[ -e '$file' ]"
}

testShellCommand() {
    local file
    file=$(file_of a shell)
    assertEquals 'a b' "$(on a flock "$file" -c 'echo a; echo b' | xargs)"
    assert_status 3 on a flock "$file" -c 'exit 3'
}

testExclusiveIsTheDefault() {
    hold a exclusive
    try b exclusive 1
    try b exclusive 1 -s
    try a exclusive 1 -x
    let_go
    try b exclusive 0
}

testExclusiveOptionsByEachName() {
    local option
    for option in -x -e --exclusive; do
        hold a names "$option"
        try b names 1
        let_go
        try b names 0 "$option"
    done
}

testSharedOptionsByEachName() {
    local option
    for option in -s --shared; do
        hold a shared "$option"
        try b shared 0 "$option"
        try b shared 1
        try a shared 1
        let_go
        try b shared 0
    done
}

testNonBlockingByEachName() {
    local option file
    hold a nonblock
    file=$(file_of b nonblock)
    for option in -n --nb --nonblock; do
        assert_status 1 on b flock "$option" "$file" true
    done
    let_go
}

testConflictExitCode() {
    local file
    hold a code
    file=$(file_of b code)
    assert_status 77 on b flock -n -E 77 "$file" true
    assert_status 78 on b flock -w 0.2 --conflict-exit-code 78 "$file" true
    assert_status 0 on b flock -n -E 0 "$file" false
    let_go
    assert_status 5 on b flock -n -E 77 "$file" sh -c 'exit 5'
}

testWaitForALimitedTime() {
    local file begin took option
    hold a limit
    file=$(file_of b limit)
    for option in -w --wait --timeout; do
        begin=${EPOCHREALTIME/./}
        assert_status 1 on b flock "$option" 0.5 "$file" true
        took=$((${EPOCHREALTIME/./} - begin))
        assertTrue "$option took $took us" "[ $took -ge 450000 -a $took -lt 3000000 ]"
    done
    let_go
    assert_status 0 on b flock -w 5 "$file" true
    try a limit 0
}

testWaitEndsWhenTheHolderDoes() {
    hold a wait
    start_on b waiter flock -w 20 "$(file_of b wait)" echo granted
    waits_for_lock "$STARTED" || fail 'does not wait'
    let_go
    wait "$STARTED" || fail "the waiter ended with $?"
    assertEquals granted "$(output waiter)"
}

testTimedOutWaiterIsInNobodysWay() {
    local i
    hold a gone
    for i in 1 2 3; do
        assert_status 1 on b flock -w 0.1 "$(file_of b gone)" true
    done
    let_go
    try a gone 0
    try b gone 0
}

testDescriptorNumber() {
    hold a number
    assert_status 1 on b sh -c 'flock -n 8' 8>"$(file_of b number)"
    let_go
    assert_status 0 on b sh -c 'flock -n 8' 8>"$(file_of b number)"
}

# The form of the manual page: ( flock -n 9 || exit 1; commands ) 9>file
testDescriptorOfASubshell() {
    # shellcheck disable=SC2016
    local script='( flock -n 9 || exit 1; echo in; read _ ) 9>"$1"'
    local gate
    gate=$(plain_of gate)
    mkfifo "$gate"
    start_on a subshell bash -c "exec <'$gate'; $script" sh "$(file_of a subshell)"
    exec 7>"$gate"
    until_true 10 output_has subshell in || fail 'does not get in'
    assert_status 1 on b bash -c "$script" sh "$(file_of b subshell)" </dev/null
    echo >&7
    exec 7>&-
    wait "$STARTED"
    assertEquals in "$(on b bash -c "$script" sh "$(file_of b subshell)" </dev/null | head -n 1)"
}

testUnlockOfADescriptor() {
    local other
    other=$(file_of b unlock)
    # shellcheck disable=SC2016
    assertEquals 'held free held' "$(
        # $1 as host a, tried by a flock(1) that runs as host b.
        on a bash -c '
            try() { if env "${b[@]}" flock -n "$2" true; then echo free; else echo held; fi; }
            b=("${@:3}")
            exec 9>"$1"
            flock 9; try "$1" "$2"
            flock -u 9; try "$1" "$2"
            flock -s 9; flock -x 9; try "$1" "$2"
        ' sh "$(file_of a unlock)" "$other" "ETCDFLOCK_CONFIG=${HOST_CONFIG[b]:-}" \
            "ETCDFLOCK_RUNDIR=${HOST_RUNDIR[b]:-}" | xargs
    )"
    try b unlock 0
}

# -o: the command does not inherit the lock; flock(1) itself holds it as long as the command runs.
testCloseBeforeTheCommand() {
    local option
    for option in -o --close; do
        start_on a close flock "$option" "$(file_of a close)" sh -c 'echo held; exec sleep 60'
        until_true 10 output_has close held || fail 'not held'
        try b close 1
        HOLDER=$STARTED
        let_go
        # shellcheck disable=SC2016
        on a flock "$option" "$(file_of a close)" sh -c 'sleep 60 >/dev/null & echo $! >"$0"' "$(plain_of child)"
        try b close 0
        kill -KILL "$(<"$(plain_of child)")"
    done
}

# Without -o the background process goes on holding what it has inherited.
testChildInheritsTheLock() {
    # shellcheck disable=SC2016
    on a flock "$(file_of a inherit)" sh -c 'sleep 60 >/dev/null & echo $! >"$0"' "$(plain_of child)"
    try b inherit 1
    kill -KILL "$(<"$(plain_of child)")"
    assert_status 0 on b flock -w 10 "$(file_of b inherit)" true
}

testNoFork() {
    flock --help | grep -q -- --no-fork || {
        skip 'this flock(1) has no --no-fork'
        return
    }
    start_on a nofork flock -F "$(file_of a nofork)" sh -c 'echo held; exec sleep 60'
    until_true 10 output_has nofork held || fail 'not held'
    assertEquals 'flock has become its command' sleep "$(cat "/proc/$STARTED/comm")"
    try b nofork 1
    kill_started "$STARTED"
    try b nofork 0
}

testVerbose() {
    local said
    said=$(on a flock --verbose "$(file_of a verbose)" true 2>&1)
    assertContains "$said" 'getting lock took'
    assertContains "$said" 'executing'
    hold a verbose
    said=$(on b flock --verbose -n "$(file_of b verbose)" true 2>&1)
    assertContains "$said" 'failed to get lock'
    said=$(on b flock --verbose -w 0.2 "$(file_of b verbose)" true 2>&1)
    assertContains "$said" 'timeout while waiting to get lock'
    let_go
}

testDirectory() {
    mkdir -p "$(file_of a dir)" "$(file_of b dir)"
    hold a dir
    try b dir 1
    let_go
    try b dir 0
}

# [ "${FLOCKER}" != "$0" ] && exec env FLOCKER="$0" flock -en "$0" "$0" "$@" || :
testScriptThatLocksItself() {
    local host script
    for host in a b; do
        script=$(file_of "$host" self)
        # shellcheck disable=SC2016
        printf '%s\n' '#!/bin/bash' \
            '[ "${FLOCKER}" != "$0" ] && exec env FLOCKER="$0" flock -en "$0" "$0" "$@" || :' \
            'echo "runs $1"; [ "$1" = short ] || exec sleep 60' >"$script"
        chmod +x "$script"
    done
    start_on a self "$(file_of a self)" long
    HOLDER=$STARTED
    until_true 10 output_has self 'runs long' || fail 'does not run'
    assertEquals '' "$(on b "$(file_of b self)" short)"
    let_go
    assertEquals 'runs short' "$(on b "$(file_of b self)" short)"
    # A file that somebody has open for writing cannot be executed: the agent must not.
    assertEquals 'runs short' "$(on a "$(file_of a self)" short)"
}

testPathsThatLeadToTheFile() {
    local dir
    dir=$(dirname "$(file_of b path)")
    hold a path
    : >"$(file_of b path)"
    ln -sf path "$dir/path.link"
    assert_status 1 on b sh -c "cd '$dir' && flock -n path true"
    assert_status 1 on b sh -c "cd '$dir/same' && flock -n ../path true"
    assert_status 1 on b flock -n "$dir/path.link" true
    assert_status 1 on b flock -n "$dir//./path" true
    let_go
    assert_status 0 on b sh -c "cd '$dir/same' && flock -n ../path true"
}

testErrorsAreFlocksOwn() {
    assert_status 66 on a flock -n "$(file_of a 'no/such/directory')" true
    assert_status 69 on a flock "$(file_of a command)" /no/such/command
    assert_status 65 on a flock -n 8 8<&-
    try b command 0
}

# A wrapped command knows nothing of the lock and runs undisturbed.
testLongPipelines() {
    local file
    file=$(file_of a pipeline)
    assertEquals 100000 "$(on a flock "$file" sh -c 'seq 100000 | sort -n | wc -l')"
}

testCountsOverBothHosts() {
    local counter turns=30 host pids=() pid
    counter=$(plain_of counter)
    echo 0 >"$counter"
    for host in a b a b; do
        # shellcheck disable=SC2016
        start_on "$host" "count.${#pids[@]}" sh -c '
            i=0
            while [ $i -lt "$3" ]; do
                flock "$1" -c "read -r n <\"$2\"; echo \$((n + 1)) >\"$2\"" || exit 1
                i=$((i + 1))
            done' sh "$(file_of "$host" count)" "$counter" "$turns"
        pids+=("$STARTED")
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || fail "a counting loop ended with $?"
    done
    assertEquals $((turns * 4)) "$(<"$counter")"
}

# Jobs of cron: twenty come at once, on both hosts; with -n exactly one runs.
testOneOfManyTries() {
    local i host pids=() pid ran
    for i in $(seq 10); do
        for host in a b; do
            start_on "$host" "one.$host.$i" flock -n "$(file_of "$host" one)" sh -c 'echo ran; sleep 3'
            pids+=("$STARTED")
        done
    done
    for pid in "${pids[@]}"; do
        wait "$pid"
    done
    ran=$(cat "$ENV_DIR"/out/one.* | grep -c ran)
    assertEquals 'jobs that ran' 1 "$ran"
}

suite_main "$@"
