#!/usr/bin/env bash
# `etcdflock status`: who holds and who waits, on all hosts, for people and for programs.
# shellcheck disable=SC2016 # the scripts in single quotes are for another shell
set -euo pipefail
# shellcheck source-path=SCRIPTDIR disable=SC1091
. "$(dirname "$0")/../lib/common.sh"
# shellcheck source-path=SCRIPTDIR disable=SC1091
. "$(dirname "$0")/../lib/cli.sh"

# shellcheck disable=SC2034 # for suite_main
SUITE_MODES='two'

status_of() {
    cli status -c "${HOST_CONFIG[a]}" "$@"
    assertEquals "exit status; it says: $ERR" 0 "$STATUS"
}

# json FILTER: what jq makes of the output.
json() {
    jq -c "$1" <<<"$OUT" || fail "not JSON: $OUT"
}

line_of() {
    grep -E -- "$1" <<<"$OUT" | tr -s ' '
}

testStatusOfNothing() {
    status_of
    assertEquals 'No lock is held or waited for.' "$OUT"
    status_of --json
    assertEquals '[]' "$(json .)"
}

testStatusOfHolderAndWaiter() {
    local waiter
    hold a task
    start_on b waiter flock "$(file_of b task)" true
    waiter=$STARTED
    waits_for_lock "$waiter" || fail 'host b does not wait'
    status_of
    assertEquals 3 "$(wc -l <<<"$OUT")"
    assertEquals 'KEY MODE STATE HOST PID COMMAND PATH AGE TOKEN' "$(line_of ^KEY)"
    assertContains "$(line_of ' held ')" "/t/task ex held a $HOLDER flock $(file_of a task) "
    assertContains "$(line_of ' waiting ')" "/t/task ex waiting b $waiter flock $(file_of b task) "
    assertTrue 'an age' "grep -qE ' held .* [0-9]+s +[0-9]+$' '$ENV_DIR/cli.out'"
    # Columns stand below their headers.
    assertEquals '5 5' "$(awk 'NR == 1 { at = index($0, "STATE") } NR > 1 { printf "%s%d", sep, index($0, $3) == at ? 5 : 0; sep = " " }' <<<"$OUT")"
    assertFalse 'no blanks at the end' "grep -q ' $' '$ENV_DIR/cli.out'"
    status_of --json
    assertEquals '["held","waiting"]' "$(json 'map(.state)')"
    assertEquals '[["/t/task","ex","a","flock"],["/t/task","ex","b","flock"]]' "$(json 'map([.key,.mode,.host,.command])')"
    assertEquals "[$HOLDER,$waiter]" "$(json 'map(.pid)')"
    assertEquals '[true,"files",false]' "$(json '[.[0].age_s < 20, .[0].section, .[0].foreign]')"
    assertEquals 'true' "$(json '.[0].token < .[1].token')"
    assertEquals 'the token is the revision' "$(ctl get /t/task/ --prefix --sort-by=CREATE -w json | jq .kvs[0].create_revision)" \
        "$(json '.[0].token')"
    let_go "$HOLDER"
    wait "$waiter" || fail "the waiter ended with $?"
    status_of
    assertEquals 'No lock is held or waited for.' "$OUT"
}

testStatusOfReadersAndWriter() {
    local first second writer
    hold a shared -s
    first=$HOLDER
    hold b shared -s
    second=$HOLDER
    start_on b writer flock "$(file_of b shared)" true
    writer=$STARTED
    until_true 5 queue_has /t/shared 3 || fail 'the writer does not queue'
    status_of --json
    assertEquals '["sh held","sh held","ex waiting"]' "$(json 'map(.mode + " " + .state)')"
    let_go "$first"
    let_go "$second"
    wait "$writer" || fail "the writer ended with $?"
}

testStatusOfEtcdctl() {
    local ctl
    mkfifo "$(plain_of gate)"
    ETCDCTL_API=3 etcdctl --endpoints="$ENDPOINT" lock --ttl 10 /t/ctl -- \
        sh -c 'read -r _ <"$0"' "$(plain_of gate)" </dev/null >/dev/null 2>&1 &
    ctl=$!
    until_true 5 queue_has /t/ctl 1 || fail 'etcdctl does not lock'
    start_on a waiter flock "$(file_of a ctl)" true
    until_true 5 queue_has /t/ctl 2 || fail 'ours does not queue'
    local lease
    lease=$(queue_of /t/ctl | head -n 1)
    lease=${lease##*/}
    RUNDIR=/no/such/directory # nobody is asked but etcd
    status_of
    assertContains "$(line_of ' held ')" "/t/ctl ex held - - foreign lease $lease - "
    assertContains "$(line_of ' waiting ')" '/t/ctl ex waiting a '
    status_of --json
    unset RUNDIR
    assertEquals '[[true,"foreign",null,null,null]]' "$(json 'map(select(.foreign) | [.foreign,.command,.host,.pid,.age_s])')"
    assertEquals "\"$lease\"" "$(json '.[0].lease')"
    echo >"$(plain_of gate)"
    wait "$ctl" || fail "etcdctl ended with $?"
    wait "$STARTED" || fail "the waiter ended with $?"
}

# Only what lies in a queue of a mapped key: neither the agents' own keys nor anybody else's.
testStatusKeepsToItsKeys() {
    local key
    hold a own
    assertNotEquals 'the agents have keys' '' "$(ctl get /etcdflock/ --prefix --keys-only)"
    for key in /t /t/own /tt/x/1 /other/x/1 /one/key /one/key2/1 /one/other/1 plain; do
        ctl put "$key" '' >/dev/null
    done
    status_of --json
    assertEquals '["/t/own"]' "$(json 'map(.key)')"
    # What lies deeper blocks `etcdctl lock` and ours, and is shown with the lock that it blocks.
    ctl put /one/key/deep/1 '' >/dev/null
    status_of --json
    assertEquals '["/one/key","/t/own"]' "$(json 'map(.key)')"
    for key in /t /t/own /tt/x/1 /other/x/1 /one/key /one/key2/1 /one/other/1 plain /one/key/deep/1; do
        ctl del "$key" >/dev/null
    done
    let_go "$HOLDER"
}

testStatusSortsByKeyThenRevision() {
    local name
    for name in b/2 a/9 b/1 a/1 a.x/1; do
        ctl put "/t/$name" '' >/dev/null
    done
    status_of --json
    assertEquals '["/t/a/9","/t/a/1","/t/a.x/1","/t/b/2","/t/b/1"]' "$(json 'map(.entry)')"
    assertEquals '["held","waiting","held","held","waiting"]' "$(json 'map(.state)')"
    ctl del /t/ --prefix >/dev/null
}

# Every kind of template: none or hardly a prefix, several rules with one prefix or one inside another, braces.
testStatusOfOtherTemplates() {
    local file key
    file=$(config templates <<END
[whole]
path = /srv/whole/**
key = {path}
[narrow]
path = /srv/narrow/**
key = /q/x-{dir}
[spool]
path = /srv/spool/**
key = /q/{name}
[braces]
path = /srv/braces
key = /b/{{x}}
END
)
    local -a keys=(%2Fsrv%2Fwhole%2Ff/1 relative/1 /q/a/1 /q/x-%2Fsrv/1 '/b/{x}/1' /b/x/1 /q/a/b/1)
    for key in "${keys[@]}"; do
        ctl put "$key" '' >/dev/null
    done
    expect 0 status -c "$file" --json
    assertEquals '["%2Fsrv%2Fwhole%2Ff whole","/b/{x} braces","/q/a spool","/q/a spool","/q/x-%2Fsrv narrow"]' \
        "$(json 'map(.key + " " + .section)')"
    printf '[names]\npath = /srv/names/*\nkey = {name}\n' >>"$file"
    expect 0 status -c "$file" --json
    assertEquals '["%2Fsrv%2Fwhole%2Ff whole","/b/{x} braces","/q/a spool","/q/a spool","/q/x-%2Fsrv narrow","relative names"]' \
        "$(json 'map(.key + " " + .section)')"
    for key in "${keys[@]}"; do
        ctl del "$key" >/dev/null
    done
}

testStatusOfHostileNames() {
    local value
    value='{"v":1,"mode":"ex","host":"h\u001b[2Jx","pid":1,"cmd":"c\nmd","path":"/\u202e/ü","since":1}'
    ctl put $'/t/evil\e[31m\xff\xc3\xa4/0123456789abcdef-1' "$value" >/dev/null
    ctl put $'/t/value/0123456789abcdef-1' $'{"v":1,"mode":"ex","host":"\xff\xfe","pid":-5,"since":9e99}' >/dev/null
    ctl put '/t/garbage/0123456789abcdef-1' '{"v":1,' >/dev/null
    status_of
    assertEquals 4 "$(wc -l <<<"$OUT")"
    assertFalse 'no control characters' "LC_ALL=C grep -q '[[:cntrl:]]' '$ENV_DIR/cli.out'"
    assertContains "$(line_of evil)" '/t/evil?[31m?ä ex held h?[2Jx 1 c?md /?/ü '
    assertContains "$(line_of /t/value)" '/t/value ex held ?? - - - - '
    assertContains "$(line_of garbage)" '/t/garbage ex held - - foreign no lease - '
    status_of --json
    iconv -f UTF-8 -t UTF-8 "$ENV_DIR/cli.out" >/dev/null || fail 'not UTF-8'
    assertEquals 3 "$(json length)"
    assertEquals '["h\u001b[2Jx","c\nmd"]' "$(json '[.[] | select(.pid == 1) | .host, .command]')"
    /usr/bin/python3 -c 'import json, sys; json.load(sys.stdin)' <"$ENV_DIR/cli.out" || fail 'not JSON for Python'
    ctl del /t/ --prefix >/dev/null
}

testStatusAges() {
    local now age
    now=$(($(date +%s) * 1000))
    for age in 0:'0s|1s' 3:'[345]s' 130:'2m1[0-2]s' 18001:5h 93700:1d2h -100:0s; do
        ctl put /t/age/0123456789abcdef-1 "{\"v\":1,\"mode\":\"sh\",\"since\":$((now - ${age%%:*} * 1000))}" >/dev/null
        status_of
        assertTrue "age ${age%%:*}: $OUT" "grep -qE ' (${age#*:}) +[0-9]+$' '$ENV_DIR/cli.out'"
    done
    ctl del /t/ --prefix >/dev/null
}

testStatusWithoutEtcd() {
    local file
    file=$(ENDPOINTS=http://127.0.0.1:1 config dead <<<"$JOBS")
    expect 111 status -c "$file"
    assertContains "$ERR" 'http://127.0.0.1:1: '
    assertTrue "took $TOOK ms" "[ $TOOK -lt 2000 ]"
    # The next endpoint is asked.
    file=$(ENDPOINTS="http://127.0.0.1:1, $ENDPOINT" config half <<<"$JOBS")
    expect 0 status -c "$file"
    serve silent
    file=$(ENDPOINTS="$SERVER, http://127.0.0.1:1" config silent <<<"$JOBS")
    expect 111 status -c "$file"
    assertContains "$ERR" "$SERVER: "
    assertContains "$ERR" 'http://127.0.0.1:1: '
    assertTrue "took $TOOK ms" "[ $TOOK -lt 6000 ]"
    kill_started "$SERVER_PID"
}

suite_main "$@"
