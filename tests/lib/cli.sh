# shellcheck shell=bash
# For the suites of the etcdflock command; after common.sh.
# shellcheck disable=SC2034 # results in variables for the caller

# A build with sanitizers complains when something is preloaded before its run-time library.
ASAN_MAY_BE_LATE=ASAN_OPTIONS=verify_asan_link_order=0

# cli ARGS...: output in $OUT, messages in $ERR, exit status in $STATUS, milliseconds in $TOOK.
cli() {
    local begin=${EPOCHREALTIME/./}
    STATUS=0
    { # where bash says that a program was killed
        timeout -k 2 20 env "$ASAN_MAY_BE_LATE" "ETCDFLOCK_RUNDIR=${RUNDIR:-${HOST_RUNDIR[a]}}" "$TEST_BUILD/etcdflock" "$@" \
            >"$ENV_DIR/cli.out" 2>"$ENV_DIR/cli.err" </dev/null || STATUS=$?
    } 2>/dev/null
    OUT=$(<"$ENV_DIR/cli.out")
    ERR=$(<"$ENV_DIR/cli.err")
    TOOK=$(((${EPOCHREALTIME/./} - begin) / 1000))
}

# expect STATUS ARGS...: no message where all is well.
expect() {
    local expected=$1
    shift
    cli "$@"
    assertEquals "exit status of etcdflock $*; it says: $OUT $ERR" "$expected" "$STATUS"
    [[ $expected -ne 0 ]] || assertEquals "messages of etcdflock $*" '' "$ERR"
}

# config NAME: a configuration with the text on stdin after [etcd] and its endpoints; prints its path.
config() {
    {
        printf '[etcd]\nendpoints = %s\n' "${ENDPOINTS:-$ENDPOINT}"
        cat
    } >"$ENV_DIR/$1.conf"
    printf '%s\n' "$ENV_DIR/$1.conf"
}

JOBS='[jobs]
path = /srv/jobs/*
key = /t/{name}'

# hold HOST NAME FLOCK-OPTION...: until let_go PID.
hold() {
    local host=$1 name=$2
    shift 2
    start_on "$host" "hold.$host.$name" flock "$@" "$(file_of "$host" "$name")" sh -c 'echo held; exec sleep 60'
    HOLDER=$STARTED
    until_true 10 output_has "hold.$host.$name" held || fail "host $host does not get $name"
}

let_go() {
    pkill -KILL -P "$1" || kill_started "$1"
    wait "$1" 2>/dev/null || true
}

# A server that accepts and never answers, or answers with what is no etcd; SERVER is its endpoint.
serve() {
    /usr/bin/python3 - "$1" >"$ENV_DIR/out/server" <<'END' &
import socket, sys, threading
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen(16)
print("http://127.0.0.1:%d" % server.getsockname()[1], flush=True)
kept = []
while True:
    connection, _ = server.accept()
    kept.append(connection)
    if sys.argv[1] == "garbage":
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwhat")
END
    SERVER_PID=$!
    until_true 5 output_has server http || fail 'the server does not start'
    SERVER=$(output server)
}
