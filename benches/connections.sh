#!/bin/sh
# What idle and slow connections, and open event streams, cost the calls beside them: latency, throughput and memory, side by side in one run.
#
#   benches/connections.sh [--binary FILE] [--json] [--rounds N] [--seconds S] [--idle N] [--slow N] [--streams N] [--callers N]
#
# Uses --binary, or SIDEGATE_BINARY, or builds with `cargo build --release --locked`. Loopback only; a minute or two when
# there is a binary; stops what it started. Needs python3 (installed on Debian where allowed).
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/deploy/packages.sh"
need python3 python3
install_lacking

# Asked first, so that a wrong argument does not cost a build.
lacks_binary=$(python3 "$root/benches/connections.py" "$@" --lacks-binary)
[ "$lacks_binary" = no ] || build_release "$root"
exec python3 "$root/benches/connections.py" "$@"
