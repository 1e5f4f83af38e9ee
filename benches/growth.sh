#!/bin/sh
# What happens to the cost of a call as one thing grows: agents, entries of the catalogue, the size of an answer, resting
# connections, event streams, replicas on one PostgreSQL; and whether an hour of load leaves memory and latency as they were.
#
#   benches/growth.sh [--only agents,entries,responses,connections,streams,replicas,soak] [--quick] [--json] [--binary FILE]
#                     [--rounds N] [--seconds S] [--soak SECONDS] [--rate N]
#
# Uses --binary, or SIDEGATE_BINARY, or builds with `cargo build --release --locked`. Loopback only; stops what it started.
# Needs nginx, wrk, openssl and python3, and PostgreSQL for replicas (installed on Debian where allowed).
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
needs=$(python3 "$root/benches/growth.py" "$@" --needs)
case $needs in *postgres*)
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || need initdb postgresql
    install_lacking ;;
esac
case $needs in *binary*)
    need_cargo "$(rust_version "$root")"
    need_build_tools
    install_lacking
    say 'Building Sidegate (release); the first time this takes 15 to 25 minutes on 2 cores.'
    SIDEGATE_BINARY=$(cd "$root" && target_directory)/release/sidegate
    export SIDEGATE_BINARY
    (cd "$root" && cargo build --release --locked --bin sidegate >&2) ;;
esac
exec python3 "$root/benches/growth.py" "$@"
