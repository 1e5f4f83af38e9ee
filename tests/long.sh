#!/bin/sh
# The same checks as tests/run.sh with the tests run several times over (5, or the number given), to find the ones that
# only pass on most days.
set -eu
SIDEGATE_TEST_ROUNDS=${1:-5}
export SIDEGATE_TEST_ROUNDS
exec "$(dirname "$0")/run.sh"
