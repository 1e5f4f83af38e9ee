#!/bin/sh
# Builds Sidegate and runs `sidegate demo` with the arguments given, for example: deploy/demo.sh --json --port 0
# On Debian it installs what the build lacks (cmake, a C compiler, make). stdout belongs to the demo alone.
# SIDEGATE_DEMO_RELEASE=1 builds with optimisation, which takes longer.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
. deploy/packages.sh

need_cargo "$(rust_version .)"
need_build_tools
install_lacking

profile=debug
if [ "${SIDEGATE_DEMO_RELEASE:-0}" = 1 ]; then
    profile=release
fi
binary="$(target_directory)/$profile/sidegate"
if [ ! -x "$binary" ]; then
    if [ "$profile" = release ]; then
        say 'Building Sidegate (release): about 15 to 25 minutes on 2 cores the first time, about 6 later on.'
    else
        say 'Building Sidegate: about 5 to 10 minutes on 2 cores the first time, under a minute later on.'
    fi
fi
if [ "$profile" = release ]; then
    cargo build --locked --release --bin sidegate >&2
else
    cargo build --locked --bin sidegate >&2
fi
exec "$binary" demo "$@"
