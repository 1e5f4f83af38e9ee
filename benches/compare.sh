#!/bin/sh
# CPU microseconds per request, side by side in one run: nginx as a plain proxy, Sidegate's tools/call with and
# without a record, its tools/list.
#
#   benches/compare.sh [--binary FILE] [--json] [--rounds N] [--seconds S] [--connections N] [--only nginx,call,record,bare,list]
#
# Uses --binary, or SIDEGATE_BINARY, or builds with `cargo build --release --locked`. Loopback only; under a minute when
# there is a binary; stops what it started. Needs nginx, wrk, openssl and python3 (installed on Debian where allowed).
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/deploy/packages.sh"

# Debian keeps nginx out of an ordinary user's path.
PATH=$PATH:/usr/sbin:/sbin
export PATH
need nginx nginx-light
need wrk wrk
need openssl openssl
need python3 python3
install_lacking

# Asked first, so that a wrong argument does not cost a build.
lacks_binary=$(python3 "$root/benches/compare.py" "$@" --lacks-binary)
if [ "$lacks_binary" = yes ]; then
    need_cargo "$(rust_version "$root")"
    need_build_tools
    install_lacking
    say 'Building Sidegate (release); the first time this takes 10 to 15 minutes on 2 cores.'
    SIDEGATE_BINARY=$(cd "$root" && target_directory)/release/sidegate
    export SIDEGATE_BINARY
    (cd "$root" && cargo build --release --locked --bin sidegate >&2)
fi
exec python3 "$root/benches/compare.py" "$@"
