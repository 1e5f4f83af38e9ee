#!/bin/sh
# What Sidegate costs, side by side with nginx as a plain proxy and alternating in one run: CPU microseconds per request,
# then p50 and p99, with a fixed number of connections and in an open loop.
#
#   benches/compare/run.sh [--quick] [--json] [--plot FILE.svg] [--peer agentgateway=PATH] [--binary FILE]
#                          [--rounds N] [--seconds S] [--connections N] [--rate N] [--only NAME,...] [--keep]
#
# Uses --binary, or SIDEGATE_BINARY, or builds with `cargo build --release --locked`; with --quick it builds nothing and
# takes what was built before. --quick ends within 50 s, --quick --json prints five figures as its last line; all of it
# takes about 6 minutes. Loopback only; stops what it started. Needs nginx, wrk, openssl and python3, and h2load for HTTP/2
# (installed on Debian where allowed).
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/deploy/packages.sh"

need_nginx
need wrk wrk
need openssl openssl
need python3 python3
case " $* " in *' --quick '*) ;; *) need h2load nghttp2-client ;; esac
install_lacking

# Asked first, so that a wrong argument does not cost a build.
lacks_binary=$(python3 "$root/benches/compare/run.py" "$@" --lacks-binary)
case $lacks_binary in
    yes) build_release "$root" ;;
    quick)
        need_cargo "$(rust_version "$root")"
        SIDEGATE_BINARY=$(cd "$root" && target_directory)/release/sidegate
        export SIDEGATE_BINARY
        [ -x "$SIDEGATE_BINARY" ] ||
            die "There is no $SIDEGATE_BINARY, and --quick builds nothing: run cargo build --release --locked, or name one with --binary." ;;
esac
exec python3 "$root/benches/compare/run.py" "$@"
