#!/usr/bin/env bash
# Clients that do not keep to the protocol between library and agent: the agent lives on, serves others and leaks nothing.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR disable=SC1091
. "$(dirname "$0")/../lib/common.sh"
# shellcheck source-path=SCRIPTDIR disable=SC1091
. "$(dirname "$0")/hosts.sh"

# shellcheck disable=SC2034 # for suite_main
SUITE_MODES=one

client() {
    timeout 30 /usr/bin/python3 "$TEST_ROOT/tests/fault/wire_client.py" "${HOST_RUNDIR[a]}" "$@"
}

# The agent of before, the number of its descriptors, and the files it has open.
setUp() {
    [[ $MODE != bare ]] || return 0
    try a before 0
    one_agent a
    BEFORE=$AGENT
    until_true 3 nothing_open
    OPEN=$(descriptors)
}

descriptors() {
    find "/proc/$BEFORE/fd" -mindepth 1 2>/dev/null | wc -l
}

# Neither a file of ours nor a client's process: nothing is left from any request.
nothing_open() {
    [[ -z $(find "/proc/$BEFORE/fd" -lname "${HOST_DIR[a]}/*" -o -lname 'anon_inode:*pidfd*' 2>/dev/null) ]]
}

# Connections to etcd that curl keeps may be one or two more.
few_open() {
    (($(descriptors) <= OPEN + 3))
}

agent_is_well() {
    until_true 3 nothing_open || fail "left open: $(find "/proc/$BEFORE/fd" -printf '%l ')"
    until_true 3 few_open || fail "$(descriptors) descriptors, before it were $OPEN"
    try a after 0
    try a case 0
    one_agent a
    assertEquals 'the same agent' "$BEFORE" "$AGENT"
    until_true 2 queue_has /t/case 0 || fail "left: $(queue_of /t/case)"
}

# Processor time of the agent, in clock ticks of 10 ms.
ticks_of_agent() {
    local stat
    stat=$(<"/proc/$BEFORE/stat")
    read -ra stat <<<"${stat##*) }"
    printf '%s\n' $((stat[11] + stat[12]))
}

testGarbage() {
    local answers line
    touch "$(file_of a case)"
    answers=$(client garbage "$(file_of a case)") || fail 'the client failed'
    assertEquals 'cases' 25 "$(wc -l <<<"$answers")"
    while IFS= read -r line; do
        case ${line#*: } in
        closed* | FAILED*) ;;
        *) fail "not refused: $line" ;;
        esac
    done <<<"$answers"
    assertContains "$(grep 'another version' <<<"$answers")" 'different versions'
    assertEquals 'a message of nothing is the end' 'closed closed' "$(client empty "$(file_of a case)" | xargs)"
    agent_is_well
}

testDescriptors() {
    touch "$(file_of a case)"
    assertEquals "$(
        cat <<'END'
several: GO
very many: GO
pipe: UNMAPPED
pipe's other end: UNMAPPED
socket: UNMAPPED
memfd: UNMAPPED
eventfd: UNMAPPED
device: UNMAPPED
proc: UNMAPPED
directory of none: UNMAPPED
unmapped: UNMAPPED
the real thing: GO
wrong hash: FAILED
END
    )" "$(touch "$(plain_of unmapped)" && client descriptors "$(file_of a case)" "$(plain_of unmapped)")"
    agent_is_well
}

# An open of them could wait for ever or do something.
testSpecialFiles() {
    mkfifo "$(file_of a fifo)"
    mknod "$(file_of a device)" c 1 5
    /usr/bin/python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$(file_of a socket)"
    local name
    for name in fifo device socket; do
        assertEquals "$name" FAILED "$(client device_rule "$(file_of a "$name")" 2>&1 || true)"
    done
    # shellcheck disable=SC2016 # for the other shell
    assertNotEquals 'flock on a FIFO' 0 "$(on a bash -c 'exec 9<>"$0"; flock -n 9 2>/dev/null; echo $?' "$(file_of a fifo)")"
    agent_is_well
}

testOutOfTurn() {
    touch "$(file_of a case)"
    local answers
    answers=$(client turn "$(file_of a case)") || fail "the client failed: $answers"
    assertEquals 'every wrong word' '' "$(grep 'after GO' <<<"$answers" | grep -vE '(closed|FAILED)$|^LOCKED')"
    assertContains 'the agent believes who says so' "$answers" 'LOCKED after GO: OK'
    assertContains 'once only' "$answers" 'and once more: closed'
    agent_is_well
}

testLiesAboutALock() {
    hold a lie
    assertEquals $'waiting: silent\nLOCKED without GO: closed' "$(client lie "$(file_of a lie)" "$HOLDER")"
    try a lie 1
    kill_started "$HOLDER"
    try a lie 0
    agent_is_well
}

# Its pin has ended when it takes the kernel's lock: the agent's word decides, and the lock counts if it stands.
testLate() {
    touch "$(file_of a case)"
    local answer
    answer=$(client late "$(file_of a case)" | tail -n 1)
    [[ $answer == OK || $answer == REVOKED ]] || fail "late: $answer"
    agent_is_well
}

testCloseAtEveryPoint() {
    touch "$(file_of a case)"
    assertEquals closed "$(client close "$(file_of a case)" 2>&1)"
    agent_is_well
}

testCloseWhileWaiting() {
    hold a case
    assertEquals closed "$(client close_waiting "$(file_of a case)" 2>&1)"
    until_true 2 queue_has /t/case 1 || fail "left: $(queue_of /t/case)"
    kill_started "$HOLDER"
    agent_is_well
}

testSilentFlood() {
    local flood ticks
    start_on a flood env -u LD_PRELOAD /usr/bin/python3 "$TEST_ROOT/tests/fault/wire_client.py" "${HOST_RUNDIR[a]}" flood 300
    flood=$STARTED
    until_true 10 output_has flood flooded || fail "no flood: $(output flood)"
    try a flood 0
    hold a flood
    try a flood 1
    kill_started "$HOLDER"
    ticks=$(ticks_of_agent)
    sleep 1
    assertTrue 'the agent sleeps' "[ $(($(ticks_of_agent) - ticks)) -le 10 ]"
    kill_started "$flood"
    agent_is_well
}

# More connections than the agent has descriptors: it must neither burn the processor nor stay deaf.
testFloodBeyondTheLimit() {
    local flood ticks
    prlimit --pid "$BEFORE" --nofile=64:64
    start_on a flood env -u LD_PRELOAD /usr/bin/python3 "$TEST_ROOT/tests/fault/wire_client.py" "${HOST_RUNDIR[a]}" flood 100
    flood=$STARTED
    until_true 10 output_has flood flooded || fail "no flood: $(output flood)"
    sleep 0.5
    ticks=$(ticks_of_agent)
    sleep 1
    ticks=$(($(ticks_of_agent) - ticks))
    assertTrue "the agent sleeps; it used $ticks of 100 ticks" "[ $ticks -le 20 ]"
    kill_started "$flood"
    agent_is_well
    agent_end a # the next one has its limit back
}

# The socket of the agent of one user is no way in for another.
testOtherUsersAreKeptOut() {
    local answer
    touch "$(file_of a case)"
    chmod 755 "$ENV_DIR" "${HOST_RUNDIR[a]}" "${HOST_RUNDIR[a]}"/*
    answer=$(timeout 10 setpriv --reuid=65534 --regid=65534 --clear-groups /usr/bin/python3 \
        "$TEST_ROOT/tests/fault/wire_client.py" "${HOST_RUNDIR[a]}" device_rule "$(file_of a case)" 2>&1 | tail -n 1) || true
    assertContains "$answer" PermissionError
    chmod 700 "${HOST_RUNDIR[a]}" "${HOST_RUNDIR[a]}"/*/
    agent_is_well
}

suite_main "$@"
