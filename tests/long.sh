#!/bin/sh
# What takes long: the same checks as tests/run.sh with the tests run several times over (5, or the number given), to
# find the ones that only pass on most days; then a million generated cases of each property, from a seed of its own.
#
# SIDEGATE_CASES=N SIDEGATE_SEED=N    how many cases instead, and from which seed; a failure names both
set -eu
here=$(dirname "$0")
SIDEGATE_TEST_ROUNDS=${1:-5} "$here/run.sh"
SIDEGATE_CASES=${SIDEGATE_CASES:-1000000}
SIDEGATE_SEED=${SIDEGATE_SEED:-$(date +%s)}
export SIDEGATE_CASES SIDEGATE_SEED
echo "$SIDEGATE_CASES generated cases of each property from seed $SIDEGATE_SEED" >&2
exec "$here/run.sh" --release --test it generated:: -- --nocapture
