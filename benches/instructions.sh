#!/bin/sh
# Instructions per request of five kinds, counted by valgrind: the same on a busy machine as on an idle one, so that a change
# for the worse shows. Compares them with benches/instructions.json and fails where one has grown by more than 10 %.
#
#   benches/instructions.sh [--binary FILE] [--save] [--keep]
#
# Uses --binary, or SIDEGATE_BINARY, or builds with `cargo build --release --locked`. --save writes the file anew. Loopback
# only; half a minute when there is a binary; stops what it started. Needs valgrind, nginx, openssl and python3 (installed
# on Debian where allowed).
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/deploy/packages.sh"

need valgrind valgrind
need_nginx
need openssl openssl
need python3 python3
install_lacking

# Asked first, so that a wrong argument does not cost a build.
lacks_binary=$(python3 "$root/benches/instructions.py" "$@" --lacks-binary)
[ "$lacks_binary" = no ] || build_release "$root"
exec python3 "$root/benches/instructions.py" "$@"
