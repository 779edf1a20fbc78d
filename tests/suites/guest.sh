#!/usr/bin/env bash
# The library is a guest in somebody else's program: what it may use, and what it must leave as it was.
# shellcheck disable=SC2016 # the scripts in single quotes are for another shell
set -euo pipefail
# shellcheck source-path=SCRIPTDIR disable=SC1091
. "$(dirname "$0")/../lib/common.sh"
# shellcheck source-path=SCRIPTDIR disable=SC1091
. "$(dirname "$0")/../fault/hosts.sh"

# shellcheck disable=SC2034 # for suite_main
SUITE_MODES=one

# ---- what it consists of ----

testExportsTheHooksAndNothingElse() {
    assertEquals '__fcntl fcntl fcntl64 flock lockf lockf64' \
        "$(nm -D --defined-only "$TEST_BUILD/libetcdflock.so" | awk '{ print $3 }' | sort | xargs)"
}

# No heap, no stdio, no lock, no thread, no exit. dladdr and dlsym are called from the constructor; mmap is for
# anonymous memory; strings and system calls are the rest.
testImportsLittle() {
    local allowed='^(__errno_location|__environ|environ|__stack_chk_fail|dladdr|dlsym|getauxval|syscall|geteuid|getpid'
    allowed+='|clock_gettime|f?stat|readlink|mmap|munmap|mem(chr|cmp|cpy|move|set)|__mem(cpy|move|set)_chk'
    allowed+='|str(chr|rchr|len|nlen|cmp|ncmp|str))$'
    assertEquals 'imports that need a reason' '' \
        "$(nm -D --undefined-only "$TEST_BUILD/libetcdflock.so" | awk '$1 == "U" { sub(/@.*/, "", $2); print $2 }' | grep -vE "$allowed")"
}

testNeedsLibcAlone() {
    assertEquals 'libc.so.6' "$(readelf -dW "$TEST_BUILD/libetcdflock.so" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | xargs)"
    assertEquals 'no executable stack, no memory that is both written and executed' '' \
        "$(readelf -lW "$TEST_BUILD/libetcdflock.so" | grep -E 'RWE')"
    assertEquals 'no relocations of code' '' "$(readelf -dW "$TEST_BUILD/libetcdflock.so" | grep TEXTREL)"
}

# ---- calls that are not ours ----

same_as_without() {
    local plain ours
    plain=$("$PROGRAMS/guest" "$1" "$(plain_of "$1.plain")" 2>&1)
    ours=$(on a "$PROGRAMS/guest" "$1" "$2" 2>&1)
    assertEquals "$1 on $2" "$plain" "$ours"
}

testErrno() {
    same_as_without errno "$(plain_of errno)"
    same_as_without errno "$(file_of a errno)"
}

testOtherFcntlCommands() {
    same_as_without fcntl "$(plain_of fcntl)"
    same_as_without fcntl "$(file_of a fcntl)"
}

testRecordLocks() {
    same_as_without record "$(plain_of record)"
    local output
    output=$(on a "$PROGRAMS/guest" record "$(file_of a record)" 2>"$ENV_DIR/out/record")
    assertEquals "$(
        cat <<'END'
fcntl(fd, F_SETLK, &read): ENOLCK
fcntl(fd, F_SETLK, &write): ENOLCK
fcntl(fd, F_SETLKW, &write): ENOLCK
fcntl(fd, F_GETLK, &get): ENOLCK
fcntl(fd, F_SETLK, &none): ok
fcntl(fd, F_SETLKW, &none): ok
fcntl(fd, F_OFD_SETLK, &write): ENOLCK
fcntl(fd, F_OFD_SETLKW, &write): ENOLCK
fcntl(fd, F_OFD_GETLK, &get): ENOLCK
fcntl(fd, F_OFD_SETLK, &none): ok
lockf(fd, F_LOCK, 5): ENOLCK
lockf(fd, F_TLOCK, 5): ENOLCK
lockf(fd, F_TEST, 5): ENOLCK
lockf(fd, F_ULOCK, 5): ok
lockf64(fd, F_TLOCK, 5): ENOLCK
lockf64(fd, F_ULOCK, 5): ok
END
    )" "$output"
    # One line for each kind of call, not one for each call.
    assertEquals 'lines' 2 "$(wc -l <"$ENV_DIR/out/record")"
    assertContains "$(output record)" "fcntl on $(file_of a record) fails with ENOLCK"
    assertContains "$(output record)" "lockf on $(file_of a record) fails with ENOLCK"
}

# ---- programs in odd states ----

testNoDescriptorIsLeft() {
    hold a held
    host_add dead http://127.0.0.1:1 5
    assertEquals 'free and held' compared "$(on a "$PROGRAMS/guest" fds "$(file_of a free)" "$(file_of a held)" 2>/dev/null)"
    assertEquals 'no etcd' compared "$(on dead "$PROGRAMS/guest" fds "$(file_of dead free)" 2>/dev/null)"
    kill_started "$HOLDER"
    agent_end dead
}

# The call, each message, the result; and not a word of it without the variable.
testTraceSaysWhatHappens() {
    local file trace
    file=$(file_of a traced)
    touch "$file"
    trace=$(on a env ETCDFLOCK_DEBUG=1 flock -n "$file" true 2>&1 | sed 's/^etcdflock: *//')
    assertEquals "flock(3, LOCK_EX|LOCK_NB) on $file|library: ACQUIRE|agent: GO|library: LOCKED|agent: OK|flock(3, LOCK_EX|LOCK_NB) on $file: locked" \
        "$(paste -sd'|' <<<"$trace")"
    assertEquals '' "$(on a flock -n "$file" true 2>&1)"
}

testNoWordsInTheProgramsFiles() {
    local expected='stderr: ENOLCK nothing: ENOLCK data: ENOLCK pipe: ENOLCK silence socket: ENOLCK silence'
    host_add mute "$ENDPOINT" 5
    HOST_RUNDIR["mute"]=not/absolute # no lock works, and that shows at once
    printf data >"$(plain_of data)"
    assertEquals "$expected" "$(on mute "$PROGRAMS/guest" closed "$(file_of mute closed)" "$(plain_of data)" 2>"$ENV_DIR/out/words" | xargs)"
    assertEquals 'said where it is read' 1 "$(grep -c '^etcdflock: ' "$ENV_DIR/out/words")"
    # Descriptors 0 and 2 were closed before the program began.
    assertEquals "$expected" \
        "$(on mute "$PROGRAMS/guest" closed "$(file_of mute closed)" "$(plain_of data)" 0<&- 2>&- | xargs)"
    assertEquals data "$(<"$(plain_of data)")"
}

testAllDescriptorsClosed() {
    local file
    file=$(file_of a closeall)
    touch "$file"
    assert_status 0 on a "$PROGRAMS/guest" closeall "$file"
    agent_end a
    assert_status 0 on a "$PROGRAMS/guest" closeall "$file"
    # The new agent has nothing where 0, 1 and 2 belong but /dev/null.
    one_agent a
    assertEquals '/dev/null /dev/null /dev/null' "$(readlink "/proc/$AGENT/fd/"{0,1,2} | xargs)"
}

testVforkAndClone() {
    assertEquals $'child: 0\nflock(fd, LOCK_EX | LOCK_NB): ok\nclone: 0\nflock(fd, LOCK_UN): ok' \
        "$(on a "$PROGRAMS/guest" vfork "$(file_of a vfork)" 2>&1)"
    agent_end a
    assertEquals 'the child starts the agent' $'child: 0\nflock(fd, LOCK_EX | LOCK_NB): ok\nclone: 0\nflock(fd, LOCK_UN): ok' \
        "$(on a "$PROGRAMS/guest" vfork "$(file_of a vfork)" 2>&1)"
}

testSignalHandler() {
    local size
    # SIGSTKSZ of old, which programs still have in them, and more. The agent is there, or must be started.
    for size in 0 32768 16384; do
        assertEquals "a stack of $size" 'handler: 0' "$(on a "$PROGRAMS/guest" handler "$(file_of a handler)" "$size" 2>&1)"
        assertEquals "unmapped, a stack of $size" 'handler: 0' "$(on a "$PROGRAMS/guest" handler "$(plain_of handler)" "$size" 2>&1)"
        agent_end a
        assertEquals "a stack of $size, no agent" 'handler: 0' "$(on a "$PROGRAMS/guest" handler "$(file_of a handler)" "$size" 2>&1)"
    done
    assertEquals "unmapped, a stack of 8192" 'handler: 0' "$(on a "$PROGRAMS/guest" handler "$(plain_of handler)" 8192 2>&1)"
}

testManyThreadsAtOnce() {
    assertEquals 'failed 0 counted 200' "$(on a "$PROGRAMS/guest" threads "$(file_of a threads)" 50 2>&1)"
    agent_end a
    assertEquals 'and start the agent' 'failed 0 counted 200' "$(on a "$PROGRAMS/guest" threads "$(file_of a threads)" 50 2>&1)"
    assertEquals 'unmapped' 'failed 0 counted 200' "$(on a "$PROGRAMS/guest" threads "$(plain_of threads)" 50 2>&1)"
}

testThreadWithItsOwnDescriptors() {
    assertEquals $'flock(30, LOCK_EX | LOCK_NB): ok\nflock(30, LOCK_EX | LOCK_NB): ok' \
        "$(on a "$PROGRAMS/guest" tables "$(file_of a tables)" "$(plain_of tables)" 2>&1)"
    hold a tables
    assertEquals $'flock(30, LOCK_EX | LOCK_NB): ok\nflock(30, LOCK_EX | LOCK_NB): EWOULDBLOCK' \
        "$(on a "$PROGRAMS/guest" tables "$(file_of a tables)" "$(plain_of tables)" 2>&1)"
    kill_started "$HOLDER"
}

testFewDescriptors() {
    assertEquals 'ENOLCK, then it works' "$(on a "$PROGRAMS/guest" nofile "$(file_of a nofile)" 2>/dev/null)"
    assertContains "$(on a "$PROGRAMS/guest" nofile "$(file_of a nofile)" 2>&1)" 'too many open files in this process'
    assertEquals 'works without any' "$(on a "$PROGRAMS/guest" nofile "$(plain_of nofile)" 2>&1)"
    agent_end a
    assertEquals 'ENOLCK, then it works' "$(on a "$PROGRAMS/guest" nofile "$(file_of a nofile)" 2>/dev/null)"
}

testDisabled() {
    hold a disabled
    assert_status 1 on a flock -n "$(file_of a disabled)" true
    ETCDFLOCK_DISABLE=1 same_as_without record "$(file_of a inert)"
    local before
    before=$(ctl get / -w json | jq .header.revision)
    ETCDFLOCK_DISABLE=1 assert_status 0 on a flock -n "$(file_of a inert)" true
    assertEquals 'etcd has heard nothing' "$before" "$(ctl get / -w json | jq .header.revision)"
    ETCDFLOCK_DISABLE=0 same_as_without errno "$(file_of a inert)"
    kill_started "$HOLDER"
    # Without any configuration, too.
    ETCDFLOCK_DISABLE=1 ETCDFLOCK_CONFIG=/nowhere LD_PRELOAD=$TEST_PRELOAD flock -n "$(plain_of inert)" true || fail 'not inert'
}

# A program in a chroot without /proc: locks on what it had open go on or fail, but are never taken on this host alone.
testChroot() {
    local root output
    root=$ENV_DIR/root
    mkdir -p "$root"
    hold a elsewhere
    output=$(on a "$PROGRAMS/guest" chroot "$(file_of a chroot)" "$root" /inside 2>&1)
    assertContains 'before' "$output" 'flock(before, LOCK_EX | LOCK_NB): ok'
    assertContains 'a release' "$output" 'flock(before, LOCK_UN): ok'
    assertEquals 'the rest' '' "$(grep '^flock' <<<"$output" | sed 1d | grep -v LOCK_UN | grep -v ENOLCK)"
    assertContains 'the line' "$output" 'etcdflock: '
    kill_started "$HOLDER"
    until_true 2 queue_has /t/chroot 0 || fail "left: $(queue_of /t/chroot)"
}

# ---- programs of every kind ----

testOrdinaryProgramsAreAsEver() {
    local program checked=0 plain ours plain_status ours_status
    for program in awk bash bc cat chmod cp cut date dash dd df diff du env expr find flock gcc git grep gzip head id ls make \
        mkdir mv nm perl php ps python3 readelf rm ruby sed sort ssh sqlite3 stat strace tail tar tee touch uname wc xargs xz; do
        [[ -x /usr/bin/$program ]] || continue
        plain_status=0 ours_status=0
        plain=$(timeout 10 "/usr/bin/$program" --version </dev/null 2>&1) || plain_status=$?
        ours=$(on a "/usr/bin/$program" --version </dev/null 2>&1) || ours_status=$?
        assertEquals "$program" "$plain_status $plain" "$ours_status $ours"
        checked=$((checked + 1))
    done
    assertTrue "$checked programs" "[ $checked -ge 30 ]"
}

# A program that never locks does not start an agent.
testNoAgentForNothing() {
    agent_end a
    on a ls / >/dev/null
    on a bash -c 'exec 9>"$0"' "$(file_of a nothing)"
    on a flock -n "$(plain_of nothing)" true
    assertEquals 'agents' '' "$(agents_of a)"
}

testBesideAnotherPreloadLibrary() {
    local order log
    for order in "$TEST_PRELOAD $PROGRAMS/counting.so" "$PROGRAMS/counting.so $TEST_PRELOAD"; do
        log=$(plain_of counting)
        rm -f "$log"
        TEST_PRELOAD=$order assert_status 0 on a env COUNTING_FILE="$log" flock -n "$(file_of a stacked)" true
        grep -q '^flock [1-9]' "$log" || fail "$order: it has seen no call: $(<"$log")"
        rm -f "$log"
        TEST_PRELOAD=$order assert_status 0 on a env COUNTING_FILE="$log" flock -n "$(plain_of stacked)" true
        grep -q '^flock [1-9]' "$log" || fail "$order, unmapped: it has seen no call: $(<"$log")"
        hold a stacked
        TEST_PRELOAD=$order assert_status 1 on a flock -n "$(file_of a stacked)" true
        kill_started "$HOLDER"
    done
}

suite_main "$@"
