#!/bin/sh
# The official MCP conformance suite against `sidegate demo`, one run for each revision: by default both that the suite
# has requirements for. A debug build with the feature `conformance`, which adds the suite's fixtures.
#
#   tests/conformance.sh [--no-build] [REVISION...]
#
# Ends with 0 if every scored scenario passes or stands in tests/it/conformance-expected-failures-REVISION.yml; a scenario
# that is listed there and passes is a failure too. --no-build takes the binary of the last run.
#
# SIDEGATE_TEST_CACHE=DIR        the suite's packages are kept there instead of beside tests/clients
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
. deploy/packages.sh

build=yes
revisions=
for argument; do
    case $argument in
        --no-build) build= ;;
        -*) die "usage: tests/conformance.sh [--no-build] [REVISION...]" ;;
        *) revisions="$revisions $argument" ;;
    esac
done
[ -n "$revisions" ] || revisions='2026-07-28 2025-11-25'
list_of() { echo "$root/tests/it/conformance-expected-failures-$1.yml"; }
for revision in $revisions; do
    [ -f "$(list_of "$revision")" ] || die "the suite has no requirements for the revision $revision, or it has no list here."
done

need_cargo "$(rust_version .)"
[ -z "$build" ] || need_build_tools
need npm npm
install_lacking

# The suite and the Node 22 that it needs, in a directory named after what pins them; with its final name it is whole.
suite=$root/tests/conformance
cache=${SIDEGATE_TEST_CACHE:-$root/tests/clients/.cache}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
packages_at=$cache/conformance-$(cat "$suite/package-lock.json" "$suite/.npmrc" | sha256sum | cut -c 1-16)
if [ ! -d "$packages_at" ]; then
    say "Fetching the conformance suite into $packages_at."
    making=$(mktemp -d "$cache/making.XXXXXX")
    cp "$suite/package.json" "$suite/package-lock.json" "$suite/.npmrc" "$making/"
    (cd "$making" && npm ci --no-fund --no-audit --ignore-scripts </dev/null >&2)
    chmod 755 "$making"
    mv -T "$making" "$packages_at" 2>/dev/null || rm -rf "$making"
fi
[ -L "$suite/node_modules" ] || rm -rf "$suite/node_modules"
ln -sfn "$packages_at/node_modules" "$suite/node_modules"
for node in "$packages_at"/node_modules/node-linux-*/bin/node; do :; done
"$node" --version >/dev/null 2>&1 || die "the Node 22 of tests/conformance does not run on this machine ($(uname -sm))."

# A copy: the next build with other features puts another binary in its place.
target=$(target_directory)
sidegate=$target/debug/sidegate-conformance
if [ -n "$build" ]; then
    cargo build --locked --features conformance >&2
    cp -f "$target/debug/sidegate" "$sidegate.new"
    mv -f "$sidegate.new" "$sidegate"
fi
[ -x "$sidegate" ] || die "$sidegate is not there: run this once without --no-build."

work=$(mktemp -d)
keep=
running=
finish() {
    for process in $running; do
        kill "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    [ -n "$keep" ] || rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

# first_line FILE PID WHAT: waits until WHAT, which runs as PID, has written a line to FILE.
first_line() {
    tries=0
    until grep -q . "$1" 2>/dev/null; do
        tries=$((tries + 1))
        kill -0 "$2" 2>/dev/null && [ "$tries" -lt 600 ] || die "$3 did not start: $(cat "$1.err")"
        sleep 0.1
    done
}

TMPDIR=$work "$sidegate" demo --json --port 0 >"$work/demo" 2>"$work/demo.err" &
running=$!
first_line "$work/demo" "$!" 'sidegate demo'
"$node" "$suite/relay.mjs" "$work/demo" >"$work/relay" 2>"$work/relay.err" &
running="$! $running"
first_line "$work/relay" "$!" 'the relay'
url=$(cat "$work/relay")

escape=$(printf '\033')
failed=
for revision in $revisions; do
    status=0
    "$node" "$suite/node_modules/@modelcontextprotocol/conformance/dist/index.js" server --url "$url" \
        --requirements "$revision" --expected-failures "$(list_of "$revision")" -o "$work/$revision" \
        >"$work/$revision.log" 2>&1 || status=$?
    "$node" "$suite/summary.mjs" "$revision" "$work/$revision" || status=1
    # The suite's own verdict, without its colours: it alone knows the list.
    sed "s/$escape\[[0-9;]*m//g" "$work/$revision.log" |
        sed -n '/^\(Expected failures\|Stale baseline\|Unexpected failures\|Baseline \)/,$p'
    [ "$status" -eq 0 ] || failed="$failed $revision"
done
[ ! -s "$work/demo.err" ] || { say 'sidegate demo said:'; cat "$work/demo.err" >&2; }
[ -z "$failed" ] || {
    keep=yes
    die "Not conformant:$failed. Everything that was seen is in $work."
}
