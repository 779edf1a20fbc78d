#!/usr/bin/env bash
# Locks that get lost: the programs that hold them are stopped before anybody else has them. And clients that do not go on.
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
    begin=$(now_us)
    "$TEST_ROOT/scripts/local-etcd" resume "$ENV_DIR/etcd2"
    waited d outage
    between 'the other host after that' $((GRANTED - begin)) 0 $((ttl * 1000 + 4000))
    assertTrue 'one holder' "[ $LAST -lt $GRANTED ]"
    assert_status 0 on c flock -w 15 "$(file_of c outage)" true
    agent_end c
    agent_end d
    "$TEST_ROOT/scripts/local-etcd" stop "$ENV_DIR/etcd2"
}

# ---- a kernel lock alone is no grant ----

# kernel_only NAME HOW: a program on host a has the kernel's lock without a word to the cluster, then asks with flock HOW.
kernel_only() {
    local name=$1 expected=$2
    shift 2
    assert_status "$expected" on a bash -c 'exec 9>"$1"; shift; ETCDFLOCK_DISABLE=1 flock -n 9 && flock -n "$@" 9' \
        bash "$(file_of a "$name")" "$@"
}

testKernelLockIsNoGrant() {
    kernel_only free 0 -x
    kernel_only free 0 -s
    hold b kernel
    kernel_only kernel 1 -x
    kernel_only kernel 1 -s
    kill_started "$HOLDER"
    kernel_only kernel 0 -s
    # A shared lock that it has got this way keeps writers elsewhere out.
    start_on a alone bash -c 'exec 9>"$0"; ETCDFLOCK_DISABLE=1 flock 9; flock -s 9; echo held; exec sleep 60' "$(file_of a kernel)"
    until_true 10 output_has alone held || fail 'no lock'
    try b kernel 1
    try b kernel 0 -s
    kill_started "$STARTED"
    try b kernel 0
}

suite_main "$@"
