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

need_nginx
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
    build_release "$root" ;;
esac
exec python3 "$root/benches/growth.py" "$@"
