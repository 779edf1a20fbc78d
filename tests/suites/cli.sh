#!/usr/bin/env bash
# The etcdflock command: what all of it has in common, `resolve` and `check`.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR disable=SC1091
. "$(dirname "$0")/../lib/common.sh"
# shellcheck source-path=SCRIPTDIR disable=SC1091
. "$(dirname "$0")/../lib/cli.sh"

# shellcheck disable=SC2034 # for suite_main
SUITE_MODES='two'

# ---- the command itself ----

testHelpAndVersion() {
    local word
    for word in help --help -h; do
        expect 0 "$word"
        assertContains "$OUT" 'status [-c FILE] [--json]'
    done
    for word in run status resolve check; do
        expect 0 "$word" --help
        assertContains "$OUT" 'usage: etcdflock'
    done
    expect 0 --version
    assertEquals 'etcdflock 0.1.0' "$OUT"
}

testMistakesInTheArguments() {
    expect 100
    assertContains "$ERR" 'usage: etcdflock'
    expect 100 statsu
    assertContains "$ERR" "did you mean 'status'?"
    expect 100 chekc
    assertContains "$ERR" "did you mean 'check'?"
    expect 100 $'wh\e[31mat'
    assertEquals "etcdflock: there is no command 'wh?[31mat'; see 'etcdflock --help'" "$ERR"
    expect 100 status --jsno
    assertContains "$ERR" "'status' has no option '--jsno'"
    expect 100 status -x
    assertContains "$ERR" "'status' has no option -x"
    expect 100 status extra
    expect 100 status -c
    assertContains "$ERR" "option '-c' needs the name of a file"
    expect 100 resolve
    expect 100 resolve --json /x
    expect 100 check one two
    expect 100 run
    expect 100 run --
}

testOutputThatCannotBeWritten() {
    local status=0
    "$TEST_BUILD/etcdflock" help >/dev/full 2>"$ENV_DIR/cli.err" || status=$?
    assertEquals 111 "$status"
    assertContains "$(<"$ENV_DIR/cli.err")" 'No space left'
}

testConfigurationIsReportedByLine() {
    local file word
    file=$(printf '[jobs]\npaht = /x\n' | config broken)
    for word in 'run true' status 'resolve /x'; do
        # shellcheck disable=SC2086 # words
        cli ${word%% *} -c "$file" ${word#"${word%% *}"}
        assertEquals "$word" 111 "$STATUS"
        assertContains "$word" "$ERR" "$file:4: "
        assertContains "$word" "$ERR" "'path'"
    done
    expect 111 check "$file"
    assertContains "$OUT" "FAIL  $file:4: "
    expect 111 status -c "$ENV_DIR/absent.conf"
    assertContains "$ERR" "$ENV_DIR/absent.conf: the configuration cannot be read: No such file"
}

# ---- resolve ----

testResolve() {
    local a=${HOST_DIR[a]}
    mkdir -p "$a/real/sub"
    ln -s "$a/real" "$(plain_of link)"
    ln -s real/../real/new "$a/dangling"
    ln -s loop "$a/loop"
    cd "$a" || return
    expect 0 resolve -c "${HOST_CONFIG[a]}" job "$(plain_of link)/sub/x" ./same//key real/../missing/../other dangling
    cd / || return
    assertEquals "PATH SECTION KEY ON_LOST
$a/job files /t/job term
$a/real/sub/x files /t/x term
$a/same/key one-key /one/key term
$a/other files /t/other term
$a/real/new files /t/new term" "$(tr -s ' ' <<<"$OUT")"
    expect 1 resolve -c "${HOST_CONFIG[a]}" /etc/passwd
    assertEquals 'etcdflock: /etc/passwd is not mapped' "$ERR"
    assertEquals '' "$OUT"
    expect 1 resolve -c "${HOST_CONFIG[a]}" "$a/job" "$(plain_of x)"
    assertContains "$OUT" /t/job
    assertEquals "etcdflock: $(plain_of x) is not mapped" "$ERR"
    expect 111 resolve -c "${HOST_CONFIG[a]}" "$a/loop"
    assertContains "$ERR" 'symbolic links'
    expect 111 resolve -c "${HOST_CONFIG[a]}" /etc/passwd/x ''
}

testResolveTemplatesAndOnLost() {
    local file
    file=$(config lost <<'END'
[mail]
path = /srv/mail/**
key = /locks/mail/{path}
on_lost = kill
[hup]
path = /srv/hup
key = /locks/hup
on_lost = signal:HUP
[none]
path = /srv/none
key = /locks/none
on_lost = ignore
END
)
    expect 0 resolve -c "$file" /srv/mail/a%b/c /srv/hup /srv/none
    assertEquals 'PATH SECTION KEY ON_LOST
/srv/mail/a%b/c mail /locks/mail/%2Fsrv%2Fmail%2Fa%25b%2Fc kill
/srv/hup hup /locks/hup signal:HUP
/srv/none none /locks/none ignore' "$(tr -s ' ' <<<"$OUT")"
    expect 111 resolve -c "$file" "/srv/mail/$(printf '%01100d' 0 | fold -w 200 | paste -sd/)"
    assertContains "$ERR" 'longer than 1024 bytes'
}

# ---- check ----

testCheckGood() {
    expect 0 check "${HOST_CONFIG[a]}"
    assertContains "$OUT" "ok    ${HOST_CONFIG[a]}: 2 sections, 1 endpoint"
    assertTrue "$OUT" "grep -qE '^ok    $ENDPOINT: etcd [0-9.]+, [0-9.]+ ms' '$ENV_DIR/cli.out'"
    assertContains "$OUT" "ok    runtime directory ${HOST_RUNDIR[a]}"
    assertEquals 3 "$(wc -l <<<"$OUT")"
    expect 0 check -c "${HOST_CONFIG[b]}"
    export ETCDFLOCK_CONFIG=${HOST_CONFIG[b]}
    expect 0 check
    assertContains "$OUT" "${HOST_CONFIG[b]}"
    unset ETCDFLOCK_CONFIG
}

testCheckEndpoints() {
    local file silent silent_pid
    serve silent
    silent=$SERVER
    silent_pid=$SERVER_PID
    serve garbage
    file=$(ENDPOINTS="http://127.0.0.1:1, $silent, $SERVER, $ENDPOINT, https://${ENDPOINT#*//}" config all <<<"$JOBS")
    expect 111 check "$file"
    assertTrue "took $TOOK ms" "[ $TOOK -lt 6000 ]"
    assertTrue "$OUT" "grep -q '^FAIL  http://127.0.0.1:1: .*; start etcd there' '$ENV_DIR/cli.out'"
    assertTrue "$OUT" "grep -q '^FAIL  $silent: .*timed out' '$ENV_DIR/cli.out'"
    assertTrue "$OUT" "grep -q '^FAIL  $SERVER: .*not as etcd does; is it' '$ENV_DIR/cli.out'"
    assertTrue "$OUT" "grep -q '^ok    $ENDPOINT: etcd' '$ENV_DIR/cli.out'"
    assertTrue "$OUT" "grep -q '^FAIL  https://.*speak TLS' '$ENV_DIR/cli.out'"
    kill_started "$silent_pid"
    kill_started "$SERVER_PID"
}

testCheckFiles() {
    local file
    file=$(printf 'user = u\npassword_file = %s/pw\ncacert = %s\n%s\n' "$ENV_DIR" "$ENV_DIR" "$JOBS" | config files)
    expect 111 check "$file"
    assertContains "$OUT" "FAIL  password_file $ENV_DIR/pw cannot be read: No such file or directory; correct the path"
    assertContains "$OUT" "FAIL  cacert $ENV_DIR is not a regular file"
    assertContains "$OUT" 'FAIL  the endpoints were not asked'
    expect 111 status -c "$file"
    assertContains "$ERR" "$ENV_DIR/pw"
}

testCheckRuntimeDirectory() {
    local config=${HOST_CONFIG[a]}
    RUNDIR=$ENV_DIR/open
    mkdir -m 777 "$RUNDIR"
    expect 111 check "$config"
    assertContains "$OUT" "FAIL  runtime directory $RUNDIR belongs to another user or others may write to it; remove it"
    RUNDIR=$ENV_DIR/not/there
    expect 111 check "$config"
    assertContains "$OUT" "cannot be made in $ENV_DIR/not"
    RUNDIR=$ENV_DIR/new
    expect 0 check "$config"
    assertContains "$OUT" "ok    runtime directory $RUNDIR can be made"
    assertFalse 'only looked' "[ -e '$RUNDIR' ]"
    RUNDIR=relative
    expect 111 check "$config"
    assertContains "$OUT" 'must be absolute'
    unset RUNDIR
}

testCheckAuthentication() {
    local endpoint file dir=$ENV_DIR/auth status=0
    endpoint=$("$TEST_ROOT/scripts/local-etcd" start "$dir") || fail 'no second etcd'
    (
        export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=$endpoint
        timeout 20 etcdctl user add root:secret && timeout 20 etcdctl user grant-role root root
        timeout 20 etcdctl user add jobs:word && timeout 20 etcdctl role add jobs
        timeout 20 etcdctl role grant-permission jobs readwrite /etcdflock/ --prefix
        timeout 20 etcdctl user grant-role jobs jobs && timeout 20 etcdctl auth enable
    ) >"$ENV_DIR/out/auth" 2>&1 || status=$?
    assertEquals "$(output auth)" 0 "$status"
    file=$(ENDPOINTS=$endpoint config nobody <<<"$JOBS")
    expect 111 check "$file"
    assertContains "$OUT" 'user name is empty; authentication is switched on there'
    printf 'wrong\n' >"$ENV_DIR/pw"
    file=$(ENDPOINTS=$endpoint config auth <<<"user = jobs
password_file = $ENV_DIR/pw
$JOBS")
    expect 111 check "$file"
    assertContains "$OUT" 'authentication failed'
    assertContains "$OUT" 'correct user in [etcd] or the password'
    assertContains 'others may read it' "$OUT" "note  password_file $ENV_DIR/pw"
    printf 'word\n' >"$ENV_DIR/pw"
    chmod 600 "$ENV_DIR/pw"
    expect 0 check "$file"
    assertContains "$OUT" "ok    password_file $ENV_DIR/pw can be read"
    # No right to the locks' keys: said at once, by the server's name.
    expect 111 status -c "$file"
    assertContains "$ERR" "$endpoint: etcdserver: permission denied"
    "$TEST_ROOT/scripts/local-etcd" stop "$dir"
    rm -f "$ENV_DIR/pw"
}

suite_main "$@"
