#!/usr/bin/env bash
# `etcdflock run`: what it starts, what it refuses to start, and what it says then.
# shellcheck disable=SC2016 # the scripts in single quotes are for another shell
set -euo pipefail
# shellcheck source-path=SCRIPTDIR disable=SC1091
. "$(dirname "$0")/../lib/common.sh"
# shellcheck source-path=SCRIPTDIR disable=SC1091
. "$(dirname "$0")/../lib/cli.sh"

# shellcheck disable=SC2034 # for suite_main
SUITE_MODES='two'

NOBODY=65534

# run HOST ARGS...: etcdflock run as on that host.
run() {
    local RUNDIR=${HOST_RUNDIR[$1]} host=$1
    shift
    cli run -c "${HOST_CONFIG[$host]}" "$@"
}

# refused WORD PROG ARGS...: `run` says no, with this word in the reason, and starts nothing.
refused() {
    local word=$1
    shift
    run a "$@"
    assertEquals "exit status of run $*; it says: $OUT $ERR" 111 "$STATUS"
    assertContains "the reason for $*" "$ERR" "$word"
    assertEquals 'one line' 1 "$(wc -l <"$ENV_DIR/cli.err")"
    assertEquals 'nothing was started' '' "$OUT"
}

testRunEndsAsTheProgramDoes() {
    run a sh -c 'exit 7'
    assertEquals 7 "$STATUS"
    run a -- sh -c 'kill -KILL $$'
    assertEquals 137 "$STATUS"
    run a printf '%s|' one 'two words' -c --help
    assertEquals 0 "$STATUS"
    assertEquals 'one|two words|-c|--help|' "$OUT"
}

testRunSetsTheEnvironment() {
    local library
    library=$(realpath "$TEST_BUILD/libetcdflock.so")
    run a sh -c 'echo "$LD_PRELOAD"; echo "$ETCDFLOCK_CONFIG"'
    assertEquals "$library"$'\n'"${HOST_CONFIG[a]}" "$OUT"
    # A relative file becomes absolute; without -c the variable stays as it is.
    cd "$ENV_DIR" || return
    cli run -c a.conf sh -c 'echo "$ETCDFLOCK_CONFIG"'
    assertEquals "${HOST_CONFIG[a]}" "$OUT"
    export ETCDFLOCK_CONFIG=./b.conf
    cli run sh -c 'echo "$ETCDFLOCK_CONFIG"'
    assertEquals ./b.conf "$OUT"
    unset ETCDFLOCK_CONFIG
    cd / || return
    # What is there already stays, behind.
    OUT=$(env "$ASAN_MAY_BE_LATE" LD_PRELOAD=libm.so.6 "$TEST_BUILD/etcdflock" run -c "${HOST_CONFIG[a]}" sh -c 'echo "$LD_PRELOAD"')
    assertEquals "$library:libm.so.6" "$OUT"
    # Once is enough.
    run a "$TEST_BUILD/etcdflock" run -c "${HOST_CONFIG[a]}" sh -c 'echo "$LD_PRELOAD"'
    assertEquals "$library" "$OUT"
}

testRunLocksAcrossHosts() {
    hold a run
    run b flock -n "$(file_of b run)" true
    assertEquals 1 "$STATUS"
    let_go "$HOLDER"
    run b flock -w 5 "$(file_of b run)" echo granted
    assertEquals granted "$OUT"
}

testRunWhatIsNoProgram() {
    printf '#!/no/such/interpreter\n' >"$(plain_of script)"
    printf '#!%s\n' "$(plain_of loop)" >"$(plain_of loop)"
    printf 'x' >"$(plain_of data)"
    chmod 755 "$(plain_of script)" "$(plain_of loop)"
    refused 'no such program in PATH' no-such-program-anywhere
    refused 'No such file' ./no/such/program
    refused 'not an executable file' "$(plain_of data)"
    refused 'not an executable file' "$ENV_DIR"
    refused "interpreter '/no/such/interpreter'" "$(plain_of script)"
    refused 'symbolic links' "$(plain_of loop)"
}

testRunStaticProgram() {
    local program
    program=$(plain_of static)
    if ! printf 'int main(void) { return 0; }\n' | ${CC:-gcc} -static -x c -o "$program" - 2>/dev/null; then
        skip 'no static C library'
        return
    fi
    refused 'is statically linked' "$program"
    # Through scripts too.
    printf '#! %s\n' "$program" >"$(plain_of static.1)"
    printf '#!%s -x\n' "$(plain_of static.1)" >"$(plain_of static.2)"
    printf '#!/usr/bin/env -S A=b %s\n' "$program" >"$(plain_of static.3)"
    chmod 755 "$(plain_of static.1)" "$(plain_of static.2)" "$(plain_of static.3)"
    refused "$program is statically linked" "$(plain_of static.1)"
    refused "$program is statically linked" "$(plain_of static.2)"
    refused "$program is statically linked" "$(plain_of static.3)"
}

testRunScripts() {
    printf '#!/bin/sh\necho "a $1"\n' >"$(plain_of good.1)"
    printf '#!/usr/bin/env sh\necho "b $1"\n' >"$(plain_of good.2)"
    printf 'echo "c $1"\n' >"$(plain_of good.3)" # execvp(3) gives it to the shell
    chmod 755 "$(plain_of good.1)" "$(plain_of good.2)" "$(plain_of good.3)"
    run a "$(plain_of good.1)" x
    assertEquals "$ERR" 'a x' "$OUT"
    run a "$(plain_of good.2)" x
    assertEquals "$ERR" 'b x' "$OUT"
    run a "$(plain_of good.3)" x
    assertEquals "$ERR" 'c x' "$OUT"
}

testRunGoProgram() {
    refused 'Go program' etcdctl version
    refused 'Go program' "$(type -P etcd)" --version
}

testRunOtherLoaders() {
    local program loader
    program=$(plain_of loader)
    for loader in /lib/ld-musl-x86_64.so.1 /no/such/ld.so; do
        if ! printf 'int main(void) { return 0; }\n' |
            ${CC:-gcc} "-Wl,--dynamic-linker=$loader" -x c -o "$program" - 2>/dev/null; then
            skip 'no compiler for that'
            return
        fi
        case $loader in
        *musl*) refused 'linked with musl' "$program" ;;
        *) refused "needs the loader $loader" "$program" ;;
        esac
    done
}

testRunOtherArchitecture() {
    local program
    program=$(plain_of foreign)
    cp "$(type -P true)" "$program"
    printf '\xb7\x00' | dd of="$program" bs=1 seek=18 conv=notrunc status=none # e_machine: arm64
    refused 'is a program for arm64, and the library is for' "$program"
    head -c 100 "$(type -P true)" >"$program"
    refused 'damaged' "$program"
}

testRunSetuidProgram() {
    local program
    program=$(plain_of setuid)
    if [[ $EUID -ne 0 ]]; then
        skip 'not root'
        return
    fi
    cp "$(type -P true)" "$program"
    chown "$NOBODY" "$program"
    chmod 4755 "$program"
    refused 'is setuid' "$program"
    chown "0:$NOBODY" "$program"
    chmod 2755 "$program"
    refused 'is setgid' "$program"
    # The bit changes nothing for the owner, and the loader knows.
    cp "$(type -P sh)" "$program"
    chmod 4755 "$program"
    run a "$program" -c 'grep -c libetcdflock /proc/self/maps >/dev/null && echo preloaded'
    assertEquals "$ERR" preloaded "$OUT"
}

testRunFileCapabilities() {
    local program
    program=$(plain_of capable)
    cp "$(type -P true)" "$program"
    if ! setcap cap_net_raw+ep "$program" 2>/dev/null; then
        skip 'setcap does not work here'
        return
    fi
    chmod 755 "$ENV_DIR" "$ENV_DIR/plain"
    STATUS=0
    ERR=$(setpriv --reuid="$NOBODY" --clear-groups "$TEST_BUILD/etcdflock" run -c "${HOST_CONFIG[a]}" "$program" 2>&1) ||
        STATUS=$?
    if [[ $STATUS -ge 126 ]]; then
        skip 'another user cannot reach the build'
        return
    fi
    assertEquals "$ERR" 111 "$STATUS"
    assertContains "$ERR" 'has file capabilities'
    run a "$program"
    assertEquals 'for root they change nothing' 0 "$STATUS"
}

suite_main "$@"
