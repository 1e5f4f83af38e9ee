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
demo=
relay=
finish() {
    [ -z "$relay" ] || kill "$relay" 2>/dev/null || true
    [ -z "$demo" ] || kill "$demo" 2>/dev/null || true
    [ -z "$relay" ] || wait "$relay" 2>/dev/null || true
    [ -z "$demo" ] || wait "$demo" 2>/dev/null || true
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
demo=$!
first_line "$work/demo" "$demo" 'sidegate demo'
"$node" "$suite/relay.mjs" "$work/demo" >"$work/relay" 2>"$work/relay.err" &
relay=$!
first_line "$work/relay" "$relay" 'the relay'
url=$(cat "$work/relay")

escape=$(printf '\033')
failed=
for revision in $revisions; do
    listed=$root/tests/it/conformance-expected-failures-$revision.yml
    [ -f "$listed" ] || die "$listed is not there: is $revision a revision that the suite has requirements for?"
    status=0
    "$node" "$suite/node_modules/@modelcontextprotocol/conformance/dist/index.js" server --url "$url" \
        --requirements "$revision" --expected-failures "$listed" -o "$work/$revision" \
        >"$work/$revision.log" 2>&1 || status=$?
    "$node" "$suite/summary.mjs" "$revision" "$work/$revision" || status=1
    # The suite's own verdict, without its colours: it alone knows the list.
    sed "s/$escape\[[0-9;]*m//g" "$work/$revision.log" |
        sed -n '/^\(Expected failures\|Stale baseline\|Unexpected failures\|Baseline \)/,$p'
    [ "$status" -eq 0 ] || failed="$failed $revision"
done
[ ! -s "$work/demo.err" ] || { say 'sidegate demo said:'; cat "$work/demo.err" >&2; }
if [ -n "$failed" ]; then
    say "Not conformant:$failed. Everything that was seen is in $work."
    exit 1
fi
finish
demo=
relay=
rm -rf "$work"
