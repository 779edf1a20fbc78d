#!/usr/bin/env bash
# Holders and agents that end when nobody expects it, and agents as guests of the programs that start them.
# shellcheck disable=SC2016,SC2153 # the scripts in single quotes are for another shell; ENDPOINT is of env.sh
set -euo pipefail
# shellcheck source-path=SCRIPTDIR disable=SC1091
. "$(dirname "$0")/../lib/common.sh"
# shellcheck source-path=SCRIPTDIR disable=SC1091
. "$(dirname "$0")/hosts.sh"

# shellcheck disable=SC2034 # for suite_main
SUITE_MODES=two
# shellcheck disable=SC2034 # for env_setup
ENV_TTL=3
# shellcheck disable=SC2034 # for env_check
ENV_AGENTS_MAY_DIE=1
HAND_OVER_MS=100 # from the end of a holder to the next one's lock

# ---- the end of a holder ----

# hand_over HOST: TOOK is the microseconds from the SIGKILL of a holder on host a to the lock of a waiter on HOST.
hand_over() {
    local begin
    hold a killed
    wait_for "$1" killed
    waits_for_lock "$WAITER" || fail 'the waiter does not wait'
    [[ $1 == a ]] || until_true 5 queue_has /t/killed 2 || fail 'the waiter is not in the queue'
    begin=$(now_us)
    kill -KILL "$HOLDER"
    waited "$1" killed
    wait "$HOLDER" 2>/dev/null || true
    TOOK=$((GRANTED - begin))
}

testKilledHolder() {
    local host times
    for host in a b; do
        times=()
        for _ in 1 2 3 4 5 6 7; do
            hand_over "$host"
            times+=("$TOOK")
        done
        between "to host $host (${times[*]} us)" "$(median "${times[@]}")" 0 "$HAND_OVER_MS"
    done
}

testChildKeepsTheLock() {
    local child
    start_on a parent flock "$(file_of a child)" sh -c 'echo held; exec sleep 60'
    until_true 10 output_has parent held || fail 'no lock'
    child=$(pgrep -P "$STARTED")
    kill_started "$STARTED"
    try a child 1
    try b child 1
    kill -KILL "$child"
    until_true 1 queue_has /t/child 0 || fail 'the entry stays'
    try b child 0
}

# ---- the end of an agent ----

testKilledAgentNobodyReturns() {
    local begin
    hold a noreturn
    wait_for b noreturn
    until_true 5 queue_has /t/noreturn 2 || fail 'the waiter is not in the queue'
    begin=$(now_us)
    one_agent a
    kill -KILL "$AGENT"
    waited b noreturn
    # The lease was renewed a third of its time ago at most; the waiter grants the holders two seconds more.
    between 'the other host' $((GRANTED - begin)) $((ENV_TTL * 667)) $((ENV_TTL * 1000 + 2000 + 1000))
    kill_started "$HOLDER"
}

testKilledAgentIsFollowed() {
    local before agent
    hold a adopted
    wait_for b adopted
    until_true 5 queue_has /t/adopted 2 || fail 'the waiter is not in the queue'
    before=$(queue_of /t/adopted)
    one_agent a
    agent=$AGENT
    kill -KILL "$agent"
    until_true 2 gone "$agent"
    try a other 0
    one_agent a
    assertNotEquals 'a new agent' "$agent" "$AGENT"
    try a adopted 1
    still_waits $((ENV_TTL + 1))
    assertEquals 'the same entries' "$before" "$(queue_of /t/adopted)"
    local begin
    begin=$(now_us)
    kill_started "$HOLDER"
    waited b adopted
    between 'the hand-over' $((GRANTED - begin)) 0 500
    assertEquals 'nothing is left' '' "$(queue_of /t/adopted)"
}

testKilledAgentAndNobodyHoldsAnyMore() {
    local agent
    hold a orphan
    one_agent a
    agent=$AGENT
    kill -KILL "$agent"
    kill_started "$HOLDER"
    until_true 2 gone "$agent"
    try a other 0
    until_true 2 queue_has /t/orphan 0 || fail "left: $(queue_of /t/orphan)"
    try b orphan 0
}

testKilledAgentOfAWaiter() {
    local agent
    hold b waiter
    wait_for a waiter
    until_true 5 queue_has /t/waiter 2 || fail 'the waiter is not in the queue'
    one_agent a
    agent=$AGENT
    kill -KILL "$agent"
    until_true 5 waits_for_lock "$WAITER" || fail 'it does not wait on'
    one_agent a
    assertNotEquals 'a new agent' "$agent" "$AGENT"
    still_waits 1.5
    until_true 5 queue_has /t/waiter 2 || fail "not the holder and one waiter: $(queue_of /t/waiter)"
    local begin
    begin=$(now_us)
    kill_started "$HOLDER"
    waited a waiter
    between 'the hand-over' $((GRANTED - begin)) 0 500
}

testKilledAgentWithReaders() {
    local agent first
    hold a readers -s
    first=$HOLDER
    hold b readers -s
    one_agent a
    agent=$AGENT
    kill -KILL "$agent"
    until_true 2 gone "$agent"
    try a readers 0 -s
    try a readers 1
    try b readers 1
    kill_started "$HOLDER"
    try b readers 1
    kill_started "$first"
    try b readers 0
}

# Killed again and again under load: nothing is lost.
testKilledAgentsUnderLoad() {
    local counter host pids=() pid i
    counter=$(plain_of load)
    echo 0 >"$counter"
    for host in a b; do
        start_on "$host" "load.$host" "$PROGRAMS/closed" "$(file_of "$host" load)" "$counter" 300
        pids+=("$STARTED")
    done
    for i in 1 2 3 4 5 6; do
        sleep 0.2
        if ((i % 2)); then host=a; else host=b; fi
        agents_of "$host" | xargs -r kill -KILL
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || fail "a counting process ended with $?"
    done
    assertEquals 'increments kept' 600 "$(<"$counter")"
}

# ---- leaving ----

testIdleAgentLeavesAtOnce() {
    local agent begin
    try a idle 0
    one_agent a
    agent=$AGENT
    assertEquals 'sessions before' 2 "$(sessions | wc -l)"
    begin=$(now_us)
    kill -TERM "$agent"
    until_true 2 gone "$agent" || fail 'it stays'
    between 'its end' $(($(now_us) - begin)) 0 700
    assertEquals 'sessions after' 1 "$(sessions | wc -l)"
    assertEquals 'leases after' 1 "$(ctl lease list | grep -cE '^[0-9a-f]+$')"
}

testAgentWithALockStaysUntilItIsReleased() {
    local agent
    hold a stays
    one_agent a
    agent=$AGENT
    kill -TERM "$agent"
    sleep $((ENV_TTL + 1))
    assertTrue 'the agent is there' "kill -0 $agent"
    try b stays 1
    kill_started "$HOLDER"
    until_true 2 gone "$agent" || fail 'it stays'
    assertEquals 'sessions after' 1 "$(sessions | wc -l)"
    try b stays 0
}

testSecondSignalMeansAtOnce() {
    local agent
    hold a twice
    one_agent a
    agent=$AGENT
    kill -TERM "$agent"
    sleep 0.2
    kill -TERM "$agent"
    until_true 1 gone "$agent" || fail 'it stays'
    try b twice 1
    try a other 0 # a new agent, which takes the lock over
    try b twice 1
    kill_started "$HOLDER"
    until_true 2 queue_has /t/twice 0 || fail 'the entry stays'
}

testIdleExit() {
    local begin
    agent_end a
    "$TEST_BUILD/etcdflockd" --config "${HOST_CONFIG[a]}" --rundir "${HOST_RUNDIR[a]}" --idle-exit 1 \
        </dev/null >"$ENV_DIR/out/idle" 2>&1 &
    until_true 3 eval '[[ $(sessions | wc -l) -eq 2 ]]' || fail 'no session'
    sleep 0.5
    try a idle 0
    begin=$(now_us)
    until_true 5 no_agents_of a || fail 'it stays'
    between 'its end' $(($(now_us) - begin)) 700 2500
    assertEquals 'sessions after' 1 "$(sessions | wc -l)"
    try a idle 0
}

testManyStartOne() {
    local i pids=() pid
    agent_end a
    for i in $(seq 20); do
        start_on a "start.$i" flock "$(file_of a "start.$i")" true
        pids+=("$STARTED")
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || fail "one ended with $?"
    done
    until_true 2 eval '[[ $(agents_of a | wc -l) -eq 1 ]]' || fail "agents: $(agents_of a | xargs)"
    assertEquals 'sessions' 2 "$(sessions | wc -l)"
    for i in $(seq 20); do
        assertEquals 'silent' '' "$(output "start.$i")"
    done
}

# ---- the agent and the program that started it ----

testTheProgramSeesNoChild() {
    agent_end a
    assertEquals 'signals 0 wait ECHILD zombies 0' "$(on a "$PROGRAMS/family" "$(file_of a family)" 1)"
    assertNotEquals 'an agent runs' '' "$(agents_of a)"
    agent_end a
    assertEquals 'signals 0 wait ECHILD zombies 0' "$(on a "$PROGRAMS/family" "$(file_of a family)" 1 subreaper)"
    agent_end a
}

no_sessions_but() {
    [[ $(sessions | wc -l) -eq $1 ]]
}

testAsPidOne() {
    host_add p "$ENDPOINT" 2
    assertEquals 'signals 0 wait ECHILD zombies 0' \
        "$(on p unshare -pf --mount-proc "$PROGRAMS/family" "$(file_of p family)" 1)"
    # Its agent has died with the namespace.
    until_true 8 no_sessions_but "$(agents | wc -l)" || fail "sessions: $(sessions)"
}

testAgentsThatEndedAreNoZombies() {
    host_add z "$ENDPOINT" 2
    assertEquals 'as PID 1: signals 0 wait ECHILD zombies at most 1' \
        "as PID 1: $(on z unshare -pf --mount-proc "$PROGRAMS/family" "$(file_of z family)" 4 |
            sed 's/zombies [01]$/zombies at most 1/')"
    assertEquals 'as a subreaper: signals 0 wait ECHILD zombies at most 1' \
        "as a subreaper: $(on z "$PROGRAMS/family" "$(file_of z family)" 4 subreaper | sed 's/zombies [01]$/zombies at most 1/')"
    agent_end z
    until_true 8 no_sessions_but "$(agents | wc -l)" || fail "sessions: $(sessions)"
}

testAgentIsItsOwnMan() {
    local agent fd
    agent_end a
    (
        exec 5<"$(file_of a ours)" 77>"$(plain_of inherited)" 8</dev/zero
        cd "${HOST_DIR[a]}"
        trap '' TERM HUP
        on a sh -c 'flock "$0" true' "$(file_of a ours)"
    ) 5<>"$(file_of a ours)"
    one_agent a
    agent=$AGENT
    assertEquals 'cwd' / "$(readlink "/proc/$agent/cwd")"
    assertEquals 'session' "$agent" "$(ps -o sid= -p "$agent" | tr -d ' ')"
    assertNotEquals 'parent' "$$" "$(ps -o ppid= -p "$agent" | tr -d ' ')"
    assertEquals 'environment' 'PATH=/usr/sbin:/usr/bin:/sbin:/bin' "$(tr '\0' '\n' <"/proc/$agent/environ")"
    assertEquals 'umask' 0077 "$(sed -n 's/^Umask:\t//p' "/proc/$agent/status")"
    for fd in 0 1 2; do
        assertEquals "descriptor $fd" /dev/null "$(readlink "/proc/$agent/fd/$fd")"
    done
    assertEquals 'nothing inherited' '' \
        "$(find "/proc/$agent/fd" -lname "${HOST_DIR[a]}/*" -o -lname "$ENV_DIR/plain/*" -o -lname /dev/zero)"
    kill -TERM "$agent"
    until_true 2 gone "$agent" || fail 'it ignores SIGTERM as the program did'
}

# What a program may do to itself must not bring down the agent that serves all the others.
testLimitsOfTheProgramAreNotTheAgents() {
    local limit
    if ldd "$TEST_BUILD/etcdflockd" | grep -q libtsan; then
        skip 'ThreadSanitizer itself does not start under ulimit -f 0'
        return
    fi
    touch "$(file_of a limits)"
    for limit in 'ulimit -f 0' 'ulimit -Sn 16' 'ulimit -Su 400' 'ulimit -Ss 64' 'ulimit -c 0' 'ulimit -Sl 0'; do
        agent_end a
        assertEquals "$limit" 'granted' \
            "$(on a bash -c "$limit"'; exec 9<"$0"; flock -n 9 && echo granted' "$(file_of a limits)" 2>&1)"
        try b after 0
        try a after 0
    done
    agent_end a
}

suite_main "$@"
