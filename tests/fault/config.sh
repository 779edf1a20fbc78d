#!/usr/bin/env bash
# Configurations and runtime directories as they should not be. Whatever is wrong: a lock on a mapped file fails with
# ENOLCK and one line that says what is wrong where, and files that are not mapped go on as ever.
# shellcheck disable=SC2016,SC2154 # the scripts in single quotes are for another shell; names of hosts are no variables
set -euo pipefail
# shellcheck source-path=SCRIPTDIR disable=SC1091
. "$(dirname "$0")/../lib/common.sh"
# shellcheck source-path=SCRIPTDIR disable=SC1091
. "$(dirname "$0")/hosts.sh"

# shellcheck disable=SC2034 # for suite_main
SUITE_MODES=one
ENOLCK_STATUS=71 # of flock(1)
NOBODY=65534
OTHER=65533

# ---- what must be seen ----

# locked HOST: a lock on its file works and is known to etcd.
locked() {
    assert_status 0 on "$1" sh -c 'flock -n 9 && ETCDFLOCK_DISABLE=1 sh -c "$1" >&2' sh \
        "ETCDCTL_API=3 etcdctl --endpoints=$ENDPOINT get /t/ --prefix --keys-only | grep -q '^/t/locked/'" 9>"$(file_of "$1" locked)"
}

# refused HOST NAME PART...: ENOLCK, and one line of ours with these parts.
refused() {
    local host=$1 name=$2 part status=0 lines
    shift 2
    on "$host" flock -n "$(file_of "$host" "$name")" true >"$ENV_DIR/out/refused" 2>&1 || status=$?
    assertEquals "$host: status; $(output refused)" "$ENOLCK_STATUS" "$status"
    lines=$(grep '^etcdflock: ' "$ENV_DIR/out/refused") || true
    assertEquals "$host: lines of ours in: $(output refused)" 1 "$(grep -c . <<<"$lines")"
    for part in "$(file_of "$host" "$name")" "$@"; do
        assertContains "$host: $part" "$lines" "$part"
    done
}

unmapped_works() {
    assertEquals "$1: unmapped and silent" granted "$(on "$1" flock -n "$(plain_of unmapped)" echo granted 2>&1)"
    # It is a real lock.
    on "$1" flock -n "$(plain_of unmapped)" sh -c 'flock -n "$0" true; exit $?' "$(plain_of unmapped)"
    assertEquals "$1: unmapped and held" 1 $?
}

# A host whose files lie under /t/ and whose configuration is line for line as the cases count on.
good_config() {
    cat <<END
[etcd]
endpoints = $ENDPOINT
[agent]
ttl = 5
[jobs]
path = DIR/**
key = /t/{name}
END
}

# As this user, with the host's environment: as_user UID HOST CMD...
as_user() {
    local uid=$1 host=$2
    shift 2
    local -a environment
    mapfile -t environment < <(host_env "$host")
    timeout 30 setpriv --reuid="$uid" --regid="$uid" --clear-groups env "${environment[@]}" "$@"
}

# A user other than root can reach the build and the test's directory.
users_work() {
    chmod 755 "$ENV_DIR" "$ENV_DIR/plain"
    setpriv --reuid=$NOBODY --regid=$NOBODY --clear-groups test -x "$TEST_BUILD/etcdflockd" 2>/dev/null
}

# ---- mistakes in the text: line, tab, part of the message, tab, a sed script that makes the mistake ----

mistakes() {
    cat <<'END'
5	there is no section [etcd]	1,2d
2	'endpoint' in [etcd]; did you mean 'endpoints'?	s/^endpoints/endpoint/
2	begins neither with http://	s|http://||
2	a port out of range	s|:[0-9]*$|:99999|
2	a port that is no number	s|:[0-9]*$|:port|
2	has no value	s/^endpoints.*/endpoints =/
2	empty place	s/^endpoints.*/&,,http:\/\/b/
4	did you mean the section [agent]?	s/^\[agent\]/[Agent]/
4	'tl' in [agent]; did you mean 'ttl'?	s/^ttl/tl/
4	out of range	s/^ttl.*/ttl = 1/
4	not a whole number	s/^ttl.*/ttl = 5s/
4	ttl	s/^ttl.*/ttl = -5/
5	one word	s/^\[jobs\]/[our jobs]/
5	is no section header	s/^\[jobs\]/[jobs/
5	the section has no name	s/^\[jobs\]/[]/
6	did you mean 'path'?	s/^path/pth/
6	is not absolute	s|^path = /|path = |
6	is not absolute	s|^path = |path = .|
6	is not absolute	s|^path = \(.*\)|path = "\1"|
6	path	s|^path.*|&/[a-|
6	neither a section nor an option	s/^path = /path /
7	did you mean 'key'?	s/^key/Key/
7	key	s/{name}/{nam}/
7	key	s/{name}/{name/
7	key	s|/t/{name}|/t/{name}/|
7	key	s|/t/{name}|/t//{name}|
5	has no 'key'	7d
8	already given in line 7	$akey = /u/{name}
8	already there in line 1	$a[etcd]
8	did you mean 'on_lost'?	$aon-lost = kill
8	on_lost	$aon_lost = explode
8	did you mean 'signal:HUP'?	$aon_lost = signal:HPU
8	timeout = 'soon' is not a number	$atimeout = soon
8	merge = 'maybe' is neither yes nor no	$amerge = maybe
8	'ttl' is no option of [jobs]; move it to [agent]	$attl = 5
8	control character	$aa\x01b
8	no option before the '='	$a= x
10	may lie inside one of	$a[more]\npath = /more\nkey = /t/x/y
END
}

testMistakesInTheText() {
    local number=0 line rest
    while IFS=$'\t' read -r line rest; do
        number=$((number + 1))
        host_config "m$number" "$(good_config)"
        sed -i "${rest#*$'\t'}" "${HOST_CONFIG[m$number]}"
        refused "m$number" file "${HOST_CONFIG[m$number]}:$line: " "${rest%%$'\t'*}"
        unmapped_works "m$number"
    done < <(mistakes)
    assertTrue "$number mistakes" "[ $number -ge 25 ]"
    for number in $(seq "$number"); do
        assertNull "m$number: an agent runs: $(xargs -a "${HOST_CONFIG[m$number]}")" "$(agents_of "m$number")"
    done
}

testMistakesOfTheWholeFile() {
    host_config zero "$(good_config)"
    printf 'a\0b\n' >>"${HOST_CONFIG[zero]}"
    refused zero file "${HOST_CONFIG[zero]}:8: " 'zero byte'
    host_config large "$(good_config)"
    head -c 1200000 /dev/zero | tr '\0' '#' | fold -w 1000 >>"${HOST_CONFIG[large]}"
    refused_anyhow large "${HOST_CONFIG[large]}: cannot read the configuration (file too large)"
    host_config long "$(good_config)"
    { echo -n '#' && head -c 100000 /dev/zero | tr '\0' x; } >>"${HOST_CONFIG[long]}"
    refused long file "${HOST_CONFIG[long]}:8: " 'longer than'
    # Others are only unusual.
    host_config dos "$(good_config | sed 's/$/\r/')"
    locked dos
    host_config bom "$(printf '\xef\xbb\xbf' && good_config)"
    locked bom
    agent_end dos
    agent_end bom
}

# Nobody can say which files are mapped: none can be locked.
testNoConfiguration() {
    local host record
    for host in missing directory dangling fifo; do
        host_config "$host" ''
        rm "${HOST_CONFIG[$host]}"
    done
    mkdir "${HOST_CONFIG[directory]}"
    ln -s /nowhere/at/all "${HOST_CONFIG[dangling]}"
    mkfifo "${HOST_CONFIG[fifo]}"
    refused_anyhow missing 'no such file or directory'
    refused_anyhow directory 'directory'
    refused_anyhow dangling 'no such file or directory'
    refused_anyhow fifo 'cannot read the configuration'
    # Records, too, and never by waiting for a writer of the FIFO.
    for host in missing fifo; do
        record=$(on "$host" /usr/bin/python3 -c 'import fcntl, sys; fcntl.lockf(open(sys.argv[1], "w"), fcntl.LOCK_EX)' \
            "$(file_of "$host" record)" 2>&1) && fail "$host: a record lock"
        assertContains "$record" 'No locks available'
    done
}

# refused_anyhow HOST PART: as refused, but neither the call nor the message knows about the file.
refused_anyhow() {
    local status=0
    on "$1" flock -n "$(plain_of anyhow)" true >"$ENV_DIR/out/anyhow" 2>&1 || status=$?
    assertEquals "$1: status; $(output anyhow)" "$ENOLCK_STATUS" "$status"
    assertContains "$1" "$(output anyhow)" "$2"
    assertEquals "$1: one line" 1 "$(grep -c '^etcdflock: ' "$ENV_DIR/out/anyhow")"
}

testUnreadableConfiguration() {
    users_work || { skip 'the build is not readable for other users'; return; }
    host_config secret "$(good_config)"
    chmod 600 "${HOST_CONFIG[secret]}"
    chown $NOBODY "${HOST_RUNDIR[secret]}" "${HOST_DIR[secret]}"
    local output
    output=$(as_user $NOBODY secret flock -n "$(file_of secret file)" true 2>&1) && fail 'a lock'
    assertContains "$output" 'permission denied'
    assertContains "$output" "${HOST_CONFIG[secret]}"
}

testNamesThatAreTooLong() {
    local long
    long=$ENV_DIR/$(printf 'x%.0s' {1..250})/$(printf 'y%.0s' {1..250})
    mkdir -p "$long"
    host_config path "$(good_config)"
    HOST_CONFIG[path]=$long/long.conf
    good_config | sed "s|DIR|${HOST_DIR[path]}|" >"${HOST_CONFIG[path]}"
    refused_named_too_long path "$(file_of path file)"
    # Not some other directory than the one that was asked for.
    host_config run "$(good_config)"
    HOST_RUNDIR[run]=$long
    refused_named_too_long run "$(file_of run file)"
    # But longer than the address of a socket is no trouble.
    host_config medium "$(good_config)"
    HOST_RUNDIR[medium]=$ENV_DIR/$(printf 'z%.0s' {1..200})
    locked medium
    agent_end medium
}

refused_named_too_long() {
    local status=0
    on "$1" flock -n "$2" true >"$ENV_DIR/out/long" 2>&1 || status=$?
    assertEquals "$1: status; $(output long)" "$ENOLCK_STATUS" "$status"
    assertContains "$1" "$(output long)" 'etcdflock: '
    assertNotContains "$1: another configuration than the one that was named" "$(output long)" /etc/etcdflock.conf
    assertNull "$1: agents" "$(agents_of "$1")"
}

# ---- configurations that change ----

testConfigurationIsEdited() {
    host_config edit "$(good_config | sed 's|DIR/\*\*|DIR/old/*|')"
    mkdir -p "${HOST_DIR[edit]}/old" "${HOST_DIR[edit]}/new" "$ENV_DIR/out/hold.edit.old"
    hold edit old/first
    one_agent edit
    local agent=$AGENT
    # A new rule works for new files; what is held stays.
    printf '[new]\npath = %s/new/*\nkey = /new/{name}\n' "${HOST_DIR[edit]}" >>"${HOST_CONFIG[edit]}"
    hold2 edit new/second
    queue_has /new/second 1 || fail 'the new rule does not count'
    queue_has /t/first 1 || fail 'what is held has gone'
    # An edit that breaks it: the old rules count, and what it maps by a slip fails and says why.
    printf '[typo]\npth = %s/typo/*\nkey = /typo/{name}\n' "${HOST_DIR[edit]}" >>"${HOST_CONFIG[edit]}"
    mkdir "${HOST_DIR[edit]}/typo"
    assert_status 1 on edit flock -n "$(file_of edit old/first)" true
    assert_status 1 on edit flock -n "$(file_of edit new/second)" true
    assert_status 0 on edit flock -n "$(file_of edit new/third)" true
    refused edit typo/file "${HOST_CONFIG[edit]}:12: " "did you mean 'path'?"
    unmapped_works edit
    # Mended.
    sed -i 's/^pth/path/' "${HOST_CONFIG[edit]}"
    assert_status 0 on edit flock -n "$(file_of edit typo/file)" true
    # Taken away altogether: programs that run know it still, new ones cannot.
    mv "${HOST_CONFIG[edit]}" "$ENV_DIR/away"
    refused_anyhow edit 'no such file or directory'
    mv "$ENV_DIR/away" "${HOST_CONFIG[edit]}"
    assert_status 1 on edit flock -n "$(file_of edit old/first)" true
    one_agent edit
    assertEquals 'one agent through all of it' "$agent" "$AGENT"
    kill_started "$HOLDER"
    kill_started "$FIRST"
    agent_end edit
}

hold2() {
    FIRST=$HOLDER
    mkdir -p "$ENV_DIR/out/hold.$1.${2%/*}"
    hold "$@"
}

# A program that runs already and has locked the file before, when it was not mapped.
testRunningProgramHearsOfANewRule() {
    local gate
    host_config running "$(good_config | sed 's|DIR/\*\*|DIR/old/*|')"
    mkdir "${HOST_DIR[running]}/new"
    touch "$(file_of running new/file)"
    sleep 1.2 # older than what may be remembered of a file
    gate=$(plain_of gate.running)
    mkfifo "$gate"
    start_on running running /usr/bin/python3 -c '
import fcntl, sys
file = open(sys.argv[1])
for _ in range(3):
    fcntl.flock(file, fcntl.LOCK_EX)
    fcntl.flock(file, fcntl.LOCK_UN)
print("unmapped", flush=True)
open(sys.argv[2]).read()
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
open(sys.argv[2]).read()
' "$(file_of running new/file)" "$gate"
    until_true 5 output_has running unmapped || fail "no lock: $(output running)"
    printf '[new]\npath = %s/new/*\nkey = /new/{name}\n' "${HOST_DIR[running]}" >>"${HOST_CONFIG[running]}"
    sleep 0.3 # a running program looks at the file's date four times a second
    : >"$gate"
    until_true 5 output_has running locked || fail "no lock: $(output running)"
    assertEquals 'the cluster knows it' 1 "$(queue_of /new/file | wc -l)"
    : >"$gate"
    wait "$STARTED" || fail "it ended with $?"
    agent_end running
}

# ---- runtime directories ----

testRuntimeDirectoryOfSomebodyElse() {
    host_config theirs "$(good_config)"
    chown $NOBODY "${HOST_RUNDIR[theirs]}"
    refused theirs file "${HOST_RUNDIR[theirs]}" 'another user'
    host_config group "$(good_config)"
    chmod 770 "${HOST_RUNDIR[group]}"
    refused group file "${HOST_RUNDIR[group]}" 'others may write'
    host_config world "$(good_config)"
    chmod 1777 "${HOST_RUNDIR[world]}"
    refused world file "${HOST_RUNDIR[world]}" 'others may write'
    assertEquals 'no agent runs' '' "$(agents_of theirs)$(agents_of group)$(agents_of world)"
    unmapped_works theirs
}

# The directory was good when the agent was started, and is another's now.
testRuntimeDirectoryIsTakenOver() {
    local dir
    host_config taken "$(good_config)"
    locked taken
    dir=$(echo "${HOST_RUNDIR[taken]}"/*)
    chown $NOBODY "$dir"
    refused taken file "$dir" 'another user'
    chown root "$dir"
    chmod 777 "$dir"
    refused taken file "$dir" 'others may write'
    chmod 700 "$dir"
    locked taken
    agent_end taken
}

# A socket in our directory behind which somebody else sits.
testImpostor() {
    local dir
    host_config impostor "$(good_config)"
    locked impostor
    agent_end impostor
    dir=$(echo "${HOST_RUNDIR[impostor]}"/*)
    /usr/bin/python3 -c '
import os, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
os.chdir(sys.argv[1])
s.bind("agent.sock")
os.setresuid(65534, 65534, 65534)
s.listen()
print("ready", flush=True)
time.sleep(60)
' "$dir" >"$ENV_DIR/out/impostor" &
    local impostor=$!
    until_true 5 output_has impostor ready || fail 'no impostor'
    refused impostor file "$dir" 'another user'
    kill_started "$impostor"
    locked impostor # its socket is left over, and replaced
    agent_end impostor
}

testRuntimeDirectoryThatIsNone() {
    host_config file "$(good_config)"
    rmdir "${HOST_RUNDIR[file]}"
    touch "${HOST_RUNDIR[file]}"
    refused file file "${HOST_RUNDIR[file]}"
    host_config noparent "$(good_config)"
    HOST_RUNDIR[noparent]=$ENV_DIR/no/such/parent
    refused noparent file "${HOST_RUNDIR[noparent]}" 'No such file'
    host_config relative "$(good_config)"
    HOST_RUNDIR[relative]=run/here
    refused relative file 'absolute'
    # Through a link: refused, or the same directory.
    host_config link "$(good_config)"
    mv "${HOST_RUNDIR[link]}" "$ENV_DIR/rlinked"
    ln -s "$ENV_DIR/rlinked" "${HOST_RUNDIR[link]}"
    refused link file "${HOST_RUNDIR[link]}"
    host_config above "$(good_config)"
    ln -s "$ENV_DIR/rlinked" "$ENV_DIR/labove"
    HOST_RUNDIR[above]=$ENV_DIR/labove/below
    locked above
    agent_end above
    # Full, or read-only.
    host_config full "$(good_config)"
    mount -t tmpfs -o size=8k,nr_inodes=2,mode=700 none "${HOST_RUNDIR[full]}" 2>/dev/null || { skip 'no mount here'; return; }
    refused full file "${HOST_RUNDIR[full]}"
    umount "${HOST_RUNDIR[full]}"
    mount -t tmpfs -o ro,mode=700 none "${HOST_RUNDIR[full]}"
    refused full file "${HOST_RUNDIR[full]}"
    umount "${HOST_RUNDIR[full]}"
}

# The file system with the agent's log and state is full: locks go on.
testFullRuntimeDirectory() {
    host_config brim "$(good_config)"
    mount -t tmpfs -o size=64k,mode=700 none "${HOST_RUNDIR[brim]}" 2>/dev/null || { skip 'no mount here'; return; }
    locked brim
    head -c 1000000 /dev/zero >"${HOST_RUNDIR[brim]}/fill" 2>/dev/null || true
    locked brim
    agent_end brim
    locked brim
    agent_end brim
    umount "${HOST_RUNDIR[brim]}"
}

testAnotherUser() {
    users_work || { skip 'the build is not readable for other users'; return; }
    host_config user "$(good_config)"
    chown $NOBODY "${HOST_RUNDIR[user]}" "${HOST_DIR[user]}"
    as_user $NOBODY user flock -n "$(file_of user file)" true || fail 'no lock'
    one_agent user
    assertEquals 'the agent is theirs' $NOBODY "$(stat -c %u "/proc/$AGENT")"
    # root may use it; another user is refused.
    locked_by_root=$(on user flock -n "$(file_of user file)" echo granted 2>&1) || true
    assertContains "$locked_by_root" 'another user'
    chmod 666 "$(file_of user file)"
    local output
    output=$(as_user $OTHER user flock -n "$(file_of user file)" true 2>&1) && fail 'a lock for another user'
    assertContains "$output" "${HOST_RUNDIR[user]}"
    agent_end user
    # A directory that is theirs and closed even to them.
    chmod 000 "${HOST_RUNDIR[user]}"
    output=$(as_user $NOBODY user flock -n "$(file_of user file)" true 2>&1) && fail 'a lock'
    assertContains "$output" "${HOST_RUNDIR[user]}"
    assertContains "$output" 'ermission denied'
    # One of root's in which they may not write.
    host_config roots "$(good_config)"
    chmod 755 "${HOST_RUNDIR[roots]}"
    chmod 777 "${HOST_DIR[roots]}"
    output=$(as_user $NOBODY roots flock -n "$(file_of roots file)" true 2>&1) && fail 'a lock'
    assertContains "$output" "${HOST_RUNDIR[roots]}"
}

# ---- the agent's program ----

testNoAgentProgram() {
    local lonely=$ENV_DIR/lonely
    mkdir "$lonely"
    cp "$TEST_BUILD/libetcdflock.so" "$lonely"
    host_config lonely "$(good_config)"
    [[ ! -e /usr/local/sbin/etcdflockd ]] || { skip 'an agent is installed'; return; }
    TEST_PRELOAD=$lonely/libetcdflock.so refused lonely file 'etcdflockd not found beside the library'
    TEST_PRELOAD=$lonely/libetcdflock.so unmapped_works lonely
    printf 'no program\n' >"$lonely/etcdflockd"
    TEST_PRELOAD=$lonely/libetcdflock.so refused lonely file 'etcdflockd not found beside the library'
    chmod +x "$lonely/etcdflockd"
    TEST_PRELOAD=$lonely/libetcdflock.so refused lonely file 'agent'
    printf '#!/bin/sh\nexit 3\n' >"$lonely/etcdflockd"
    TEST_PRELOAD=$lonely/libetcdflock.so refused lonely file 'agent'
    rm "$lonely/etcdflockd"
    cp "$TEST_BUILD/etcdflockd" "$lonely"
    TEST_PRELOAD=$lonely/libetcdflock.so locked lonely
    agent_end lonely
}

testOptionsOfTheAgent() {
    local option
    for option in --nonsense 'extra' '--idle-exit soon' '--ready-fd x'; do
        # shellcheck disable=SC2086 # two words
        assert_status 100 timeout 5 "$TEST_BUILD/etcdflockd" $option 2>/dev/null
    done
    assert_status 0 timeout 5 "$TEST_BUILD/etcdflockd" --help >/dev/null
    assert_status 111 timeout 5 "$TEST_BUILD/etcdflockd" --config /nowhere 2>/dev/null
}

suite_main "$@"
