# shellcheck shell=bash
# What every shunit2 suite starts with:   . "$(dirname "$0")/../lib/common.sh"
# and ends with:                          suite_main "$@"
# Its test functions then run in each mode (SUITE_MODES, default all three), in an environment of
# env.sh made for that mode, followed by the test that nothing is left in etcd. What a name begins
# with says where it runs: testLibrary… not on the bare kernel, testTwo… only across two hosts.
#
#   suite [--mode MODE]... [TEST...]
#
# The last line is "N passed, N failed, N skipped".

# shellcheck source-path=SCRIPTDIR disable=SC1091
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

SHUNIT2=${SHUNIT2:-/usr/share/shunit2/shunit2}
SUITE_PASSED=0
SUITE_FAILED=0
SUITE_SKIPPED=0

# In a test:   skip "why"; return
skip() {
    printf '# skip %s (%s): %s\n' "${FUNCNAME[1]}" "$MODE" "$*"
    printf '.' >>"$SUITE_DIR/skipped"
}

# assert_status EXPECTED CMD...
assert_status() {
    local expected=$1 status=0
    shift
    "$@" || status=$?
    assertEquals "exit status of: $*" "$expected" "$status"
}

testNothingIsLeft() {
    local wrong
    if ! wrong=$(env_check); then
        fail "$wrong"
    fi
}

suite_tests() {
    if [[ ${#SUITE_CHOSEN[@]} -gt 0 ]]; then
        printf '%s\n' "${SUITE_CHOSEN[@]}"
    else
        sed -n 's/^\(test[A-Za-z0-9_]*\)() *{.*/\1/p' "$0"
    fi | case $MODE in
    bare) grep -v -e '^testLibrary' -e '^testTwo' ;;
    one) grep -v '^testTwo' ;;
    two) cat ;;
    esac
}

# In a subshell of its own: shunit2 ends the shell that runs it.
# shellcheck disable=SC2317 # shunit2 calls these
suite_shunit() {
    set +eu
    MODE=$1
    export MODE
    set --
    suite() {
        local name
        for name in $(suite_tests); do
            suite_addTest "$name"
        done
        suite_addTest testNothingIsLeft
    }
    oneTimeSetUp() {
        env_setup
    }
    # shellcheck disable=SC2154 # shunit2's
    oneTimeTearDown() {
        printf '%s %s\n' "$__shunit_testsPassed" "$__shunit_testsFailed" >"$SUITE_DIR/counts"
        if [[ $__shunit_testsFailed -gt 0 && $MODE != bare ]]; then
            env_logs
        fi
        env_teardown
    }
    # shellcheck disable=SC2034 # for shunit2
    SHUNIT_COLOR=none
    # shellcheck disable=SC1090,SC1091
    . "$SHUNIT2"
}

suite_mode() {
    local why passed=0 failed=0 skipped=0 status=0
    MODE=$1
    if why=$(env_missing); then
        printf '# skip mode %s: %s\n' "$MODE" "$why"
        SUITE_SKIPPED=$((SUITE_SKIPPED + 1))
        return
    fi
    printf '== %s, mode %s\n' "$(basename "$0")" "$MODE"
    SUITE_DIR=$(mktemp -d "${TMPDIR:-/tmp}/efs.XXXXXX")
    : >"$SUITE_DIR/skipped"
    (suite_shunit "$MODE") || status=$?
    if [[ -s $SUITE_DIR/counts ]]; then
        read -r passed failed <"$SUITE_DIR/counts"
        skipped=$(wc -c <"$SUITE_DIR/skipped")
    fi
    if [[ $failed -eq 0 && ($status -ne 0 || $passed -eq 0) ]]; then
        printf 'not ok: mode %s ended with status %s before its tests had run\n' "$MODE" "$status"
        failed=1
    fi
    rm -rf "$SUITE_DIR"
    SUITE_PASSED=$((SUITE_PASSED + passed - skipped))
    SUITE_FAILED=$((SUITE_FAILED + failed))
    SUITE_SKIPPED=$((SUITE_SKIPPED + skipped))
}

suite_main() {
    local mode
    local -a modes=()
    SUITE_CHOSEN=()
    while [[ $# -gt 0 ]]; do
        case $1 in
        --mode)
            modes+=("$2")
            shift 2
            ;;
        -*)
            printf 'usage: %s [--mode bare|one|two]... [TEST...]\n' "$0" >&2
            exit 100
            ;;
        *)
            SUITE_CHOSEN+=("$1")
            shift
            ;;
        esac
    done
    if [[ ${#modes[@]} -eq 0 ]]; then
        read -ra modes <<<"${SUITE_MODES:-bare one two}"
    fi
    if [[ ! -r $SHUNIT2 ]]; then
        printf 'not ok: %s is missing (Debian package shunit2)\n0 passed, 1 failed, 0 skipped\n' "$SHUNIT2"
        exit 1
    fi
    trap 'SUITE_STOPPED=1' TERM # the running mode cleans up; then this shell goes on to its closing line
    for mode in "${modes[@]}"; do
        [[ -z ${SUITE_STOPPED:-} ]] || break
        suite_mode "$mode"
    done
    if [[ -n ${SUITE_STOPPED:-} ]]; then
        printf 'not ok: stopped by SIGTERM in mode %s\n' "$MODE"
        SUITE_FAILED=$((SUITE_FAILED + 1))
    fi
    printf '%d passed, %d failed, %d skipped\n' "$SUITE_PASSED" "$SUITE_FAILED" "$SUITE_SKIPPED"
    [[ $SUITE_FAILED -eq 0 ]]
}
