#!/usr/bin/env bash
# Mutual exclusion under stress: four workers on each host, shared and exclusive mixed, tries among
# them, workers killed and interrupted. Every interval in which the lock was held is checked afterwards.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR disable=SC1091
. "$(dirname "$0")/../lib/common.sh"

STRESS_TOTAL=${STRESS_TOTAL:-20000}
STRESS_SECONDS=${STRESS_SECONDS:-240}
STRESS_WORKERS=${STRESS_WORKERS:-4}

stress() {
    env_for_python timeout -k 5 $((STRESS_SECONDS + 60)) /usr/bin/python3 "$TEST_ROOT/tests/lib/stress.py" "$@"
}

testNoTwoHoldersAndNothingLost() {
    assert_status 0 stress "$STRESS_TOTAL" "$STRESS_SECONDS" "$STRESS_WORKERS"
}

# The checker itself must see what it is there to see.
testTheCheckerSeesOverlapsAndLosses() {
    assert_status 0 env_for_python /usr/bin/python3 "$TEST_ROOT/tests/lib/intervals_test.py"
}

suite_main "$@"
