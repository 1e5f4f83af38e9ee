#!/bin/sh
# What takes long: the same checks as tests/run.sh with the tests run several times over (5, or the number given), to
# find the ones that only pass on most days; then Sidegate is killed under load again and again, with each store; then a
# million generated cases of each property, from a seed of its own; then each fuzz target of tests/fuzz for a while,
# from its corpus; and last of all the instructions of five kinds of request are compared with what they were.
#
# SIDEGATE_KILLS=N                   how often it is killed (200)
# SIDEGATE_FUZZ_SECONDS=N            how long each target is fuzzed (300); 0 leaves it out
# SIDEGATE_CASES=N SIDEGATE_SEED=N    how many cases instead, and from which seed; a failure names both
set -eu
here=$(dirname "$0")
SIDEGATE_TEST_ROUNDS=${1:-5} "$here/run.sh"
echo "killed ${SIDEGATE_KILLS:-200} times with each store" >&2
SIDEGATE_KILLS=${SIDEGATE_KILLS:-200} "$here/run.sh" --test it crash:: -- --nocapture
SIDEGATE_CASES=${SIDEGATE_CASES:-1000000}
SIDEGATE_SEED=${SIDEGATE_SEED:-$(date +%s)}
export SIDEGATE_CASES SIDEGATE_SEED
echo "$SIDEGATE_CASES generated cases of each property from seed $SIDEGATE_SEED" >&2
"$here/run.sh" --release --test it generated:: -- --nocapture

seconds=${SIDEGATE_FUZZ_SECONDS:-300}
if [ "$seconds" -gt 0 ]; then
    cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz >&2
    for target in "$here"/fuzz/fuzz_targets/*.rs; do
        target=$(basename "$target" .rs)
        echo "fuzzing $target for $seconds s" >&2
        # What is found goes beside the corpus that is kept; coverage needs no nightly compiler, sanitizers would.
        found=$(mktemp -d)
        cargo fuzz run --fuzz-dir "$here/fuzz" --sanitizer none "$target" "$found" "$here/fuzz/corpus/$target" -- \
            -max_total_time="$seconds" -max_len=8192
        rm -rf "$found"
    done
fi

"$here/../benches/instructions.sh"
