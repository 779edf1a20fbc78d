#!/usr/bin/env bash
# Holders, agents and leases that end when nobody expects it.
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
        start_on "$host" "load.$host" "$PROGRAMS/closed" "$(file_of "$host" load)" "$counter" 1000
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
    assertEquals 'increments kept' 2000 "$(<"$counter")"
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
    for limit in 'ulimit -f 0' 'ulimit -Sn 16' 'ulimit -Su 400' 'ulimit -Ss 64' 'ulimit -c 0' 'ulimit -Sl 0'; do
        agent_end a
        assertEquals "$limit" 'granted' \
            "$(on a bash -c "$limit"'; exec 9<"$0"; flock -n 9 && echo granted' "${HOST_DIR[a]}" 2>&1)"
        try b after 0
        try a after 0
    done
    agent_end a
}

# ---- a client that does not go on ----

testStoppedClientBlocksNobody() {
    local begin pid
    try a pinned 0
    start_on a pinned env -u LD_PRELOAD /usr/bin/python3 "$TEST_ROOT/tests/fault/wire_client.py" \
        "${HOST_RUNDIR[a]}" pin "$(file_of a pinned)"
    pid=$STARTED
    until_true 5 output_has pinned pinned || fail "no pin: $(output pinned)"
    kill -STOP "$pid"
    begin=$(now_us)
    assert_status 0 on a flock "$(file_of a pinned)" true
    between 'the same host' $(($(now_us) - begin)) 0 1000
    kill_started "$pid"

    start_on a pinned2 env -u LD_PRELOAD /usr/bin/python3 "$TEST_ROOT/tests/fault/wire_client.py" \
        "${HOST_RUNDIR[a]}" pin "$(file_of a pinned)"
    pid=$STARTED
    until_true 5 output_has pinned2 pinned || fail "no pin: $(output pinned2)"
    kill -STOP "$pid"
    begin=$(now_us)
    assert_status 0 on b flock "$(file_of b pinned)" true
    between 'the other host' $(($(now_us) - begin)) 0 1000
    kill_started "$pid"
}

# ---- loss ----

# hold_stubbornly HOST NAME: HOLDER notes the time every 10 ms, and signals instead of ending.
hold_stubbornly() {
    local host=$1 name=$2 fifo
    fifo=$(plain_of "fifo.$host.$name")
    [[ -p $fifo ]] || mkfifo "$fifo"
    TICKS=$(plain_of "ticks.$host.$name")
    rm -f "$TICKS" "$ENV_DIR/out/hold.$host.$name"
    start_on "$host" "hold.$host.$name" bash -c '
        for signal in TERM USR1; do trap "echo $signal >>\"$2\"" "$signal"; done
        exec 9>"$1" 8<>"$3"
        flock 9
        echo held
        while :; do echo "${EPOCHREALTIME/./}" >>"$2"; read -r -t 0.01 -u 8 _; done
    ' bash "$(file_of "$host" "$name")" "$TICKS" "$fifo"
    HOLDER=$STARTED
    until_true 10 output_has "hold.$host.$name" held || fail "host $host does not get $name"
}

# The holder has ended; LAST is the last moment at which it was alive.
last_tick() {
    until_true 8 gone "$HOLDER" || fail 'the holder lives on'
    LAST=$(grep '^[0-9]' "$TICKS" | tail -n 1)
}

# lose HOST NAME CMD...: the command takes the lock away; the holder must be gone within 2 s, and only then host b may have it.
lose() {
    local host=$1 name=$2 begin
    shift 2
    hold_stubbornly "$host" "$name"
    wait_for b "$name"
    until_true 5 queue_has "/t/$name" 2 || fail 'the waiter is not in the queue'
    begin=$(now_us)
    "$@" >/dev/null
    waited b "$name"
    last_tick
    between "$name: the holder's end" $((LAST - begin)) 0 2000
    assertTrue "$name: two holders for $(((LAST - GRANTED) / 1000)) ms" "[ $LAST -le $GRANTED ]"
    between "$name: the other host's lock" $((GRANTED - begin)) 0 4000
    kill_started "$HOLDER"
    until_true 3 queue_has "/t/$name" 0 || fail "left: $(queue_of "/t/$name")"
    try "$host" "$name" 0
}

delete_entry() {
    ctl del "$(entry_of_host "$1" "$2")"
}

revoke_lease() {
    local entry
    entry=$(entry_of_host "$1" "$2")
    entry=${entry##*/}
    ctl lease revoke "${entry%-*}"
}

testEntryDeleted() {
    lose a deleted delete_entry /t/deleted a
    assertContains "$(<"$TICKS")" TERM
}

testLeaseRevoked() {
    lose a revoked revoke_lease /t/revoked a
    assertContains "$(<"$TICKS")" TERM
}

# With the default TTL the next keep-alive is 5 s away.
testLongLeaseRevoked() {
    host_add l "$ENDPOINT" 15
    lose l longlease revoke_lease /t/longlease l
    assertContains "$(<"$TICKS")" TERM
    agent_end l
}

testSessionDeleted() {
    local entry
    hold_stubbornly a session
    entry=$(queue_of /t/session)
    entry=${entry##*/}
    local begin
    begin=$(now_us)
    ctl del "/etcdflock/session/${entry%-*}" >/dev/null
    last_tick
    between "the holder's end" $((LAST - begin)) 0 $((ENV_TTL * 1000 + 2000))
    kill_started "$HOLDER"
    until_true $((ENV_TTL + 3)) queue_has /t/session 0 || fail "left: $(queue_of /t/session)"
    try b session 0
}

testOnLostKill() {
    host_add k "$ENDPOINT" 3 'on_lost = kill'
    lose k lostkill revoke_lease /t/lostkill k
    assertNotContains "$(<"$TICKS")" TERM
    agent_end k
}

testOnLostSignal() {
    host_add u "$ENDPOINT" 3 'on_lost = signal:USR1'
    lose u lostsignal revoke_lease /t/lostsignal u
    assertContains "$(<"$TICKS")" USR1
    assertNotContains "$(<"$TICKS")" TERM
    agent_end u
}

testOnLostIgnore() {
    host_add i "$ENDPOINT" 3 'on_lost = ignore'
    hold_stubbornly i lostignore
    wait_for b lostignore
    until_true 5 queue_has /t/lostignore 2 || fail 'the waiter is not in the queue'
    revoke_lease /t/lostignore i >/dev/null
    waited b lostignore
    sleep 1
    assertFalse 'the holder lives' "gone $HOLDER"
    assertNotContains "$(<"$TICKS")" TERM
    try i lostignore 1 # the kernel's lock is still its
    kill_started "$HOLDER"
    try i lostignore 0
    agent_end i
}

# The holder that ends at SIGTERM: the other host has it after that, and no later than need be.
testPoliteHolderIsGoneAtOnce() {
    local begin
    hold a polite
    begin=$(now_us)
    delete_entry /t/polite a >/dev/null
    until_true 4 gone "$HOLDER" || fail 'it lives on'
    between "the holder's end" $(($(now_us) - begin)) 0 1500
    try a polite 0
}

# ---- etcd stands still ----

testEtcdStopsAndGoesOn() {
    local endpoint ttl=4 begin
    endpoint=$("$TEST_ROOT/scripts/local-etcd" start "$ENV_DIR/etcd2")
    host_add c "$endpoint" "$ttl"
    host_add d "$endpoint" "$ttl"
    hold_stubbornly c outage
    wait_for d outage
    sleep 0.5
    begin=$(now_us)
    "$TEST_ROOT/scripts/local-etcd" pause "$ENV_DIR/etcd2"
    last_tick
    between "the holder's end" $((LAST - begin)) $((ttl * 750 - ttl * 1000 / 3 - 200)) $((ttl * 950))
    assertContains "$(<"$TICKS")" TERM
    sleep 2
    assertFalse 'the waiter waits' "gone $WAITER"
    "$TEST_ROOT/scripts/local-etcd" resume "$ENV_DIR/etcd2"
    begin=$(now_us)
    waited d outage
    between 'the other host after that' $((GRANTED - begin)) 0 $((ttl * 1000 + 4000))
    assertTrue 'one holder' "[ $LAST -lt $GRANTED ]"
    assert_status 0 on c flock -w 15 "$(file_of c outage)" true
    agent_end c
    agent_end d
    "$TEST_ROOT/scripts/local-etcd" stop "$ENV_DIR/etcd2"
}

suite_main "$@"
