# Sourced by deploy/demo.sh, tests/run.sh and the benches: finds what a machine lacks, installs it where it may, and otherwise says
# in one sentence what to install. Everything it says goes to stderr; it asks nothing.

lacking=      # commands, for the reader
packages=     # Debian packages, for apt-get

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# need COMMAND PACKAGE: notes the package when the command is not there.
need() {
    command -v "$1" >/dev/null 2>&1 || lack "$1" "$2"
}

lack() {
    lacking="${lacking:+$lacking, }$1"
    packages="${packages:+$packages }$2"
}

# How to run something as root: as_root, which is empty for root.
find_root() {
    as_root=
    [ "$(id -u)" -ne 0 ] || return 0
    as_root='sudo -n'
    command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null
}

# One stale list among many fails the update and need not hinder what follows.
update_lists() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 update ||
        say 'apt-get update failed; trying with the lists that are here.'
}

# unpack PACKAGE DIRECTORY: puts the files of Debian's package there. Nothing is installed: no root is needed where the
# lists are good, no user is made, and no service is started.
unpack() {
    sentence="Debian's package $1 cannot be had; install it and run this again"
    command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1 ||
        die "$sentence (there is no apt-get or dpkg-deb here to do it)."
    say "Fetching Debian's package $1 into $2."
    unpacking=$(mktemp -d "$2.XXXXXX")
    {
        (cd "$unpacking" && apt-get -q download "$1") || {
            find_root && update_lists
            (cd "$unpacking" && apt-get -q download "$1")
        } && dpkg-deb -x "$unpacking"/"$1"_*.deb "$unpacking"
    } >&2 </dev/null || die "$sentence (apt-get failed, see above)."
    rm -f "$unpacking"/"$1"_*.deb
    chmod 755 "$unpacking"
    mv -T "$unpacking" "$2" 2>/dev/null || rm -rf "$unpacking"
}

install_lacking() {
    [ -n "$packages" ] || return 0
    sentence="Missing here: $lacking; install Debian's packages for it: apt-get install $packages"
    command -v apt-get >/dev/null 2>&1 || die "$sentence (there is no apt-get here to do it)."
    find_root || die "$sentence (this user is neither root nor allowed sudo without a password)."
    say "Installing $packages (for $lacking)."
    # shellcheck disable=SC2086 # both are lists of words
    {
        update_lists
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
            install --no-install-recommends $packages
    } >&2 </dev/null || die "$sentence (apt-get failed, see above)."
    lacking=
    packages=
}

# What `cargo build` needs beside Rust: the compression and TLS libraries are compiled from C.
need_build_tools() {
    need cmake cmake
    need cc gcc
    need make make
    # gcc alone brings no C library headers.
    [ -e /usr/include/stdio.h ] || lack 'the C library headers' libc6-dev
}

# Cargo in its usual place is found without a login shell; Debian 12's own is too old for this edition.
need_cargo() {
    if ! command -v cargo >/dev/null 2>&1 && [ -x "${CARGO_HOME:-${HOME:-/root}/.cargo}/bin/cargo" ]; then
        PATH="${CARGO_HOME:-${HOME:-/root}/.cargo}/bin:$PATH"
        export PATH
    fi
    command -v cargo >/dev/null 2>&1 || die "cargo is missing: install Rust $1 or later with rustup, then run this again."
    have=$(cargo --version | awk '{ print $2 }')
    oldest=$(printf '%s\n%s\n' "$1" "${have%%-*}" | sort -V | head -n 1)
    [ "$oldest" = "$1" ] || die "cargo $have is too old: install Rust $1 or later with rustup, then run this again."
}

# The oldest Rust that builds this crate, from the manifest in the directory $1.
rust_version() {
    sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$1/Cargo.toml"
}

# nginx, which Debian keeps out of an ordinary user's path.
need_nginx() {
    PATH=$PATH:/usr/sbin:/sbin
    export PATH
    need nginx nginx-light
}

# Builds the release binary of the checkout $1, with what that takes, and names it in SIDEGATE_BINARY.
build_release() {
    need_cargo "$(rust_version "$1")"
    need_build_tools
    install_lacking
    say 'Building Sidegate (release); the first time this takes 15 to 25 minutes on 2 cores.'
    SIDEGATE_BINARY=$(cd "$1" && target_directory)/release/sidegate
    export SIDEGATE_BINARY
    (cd "$1" && cargo build --release --locked --bin sidegate >&2)
}

# Where cargo puts what it builds, whichever way that was configured; run inside the checkout.
target_directory() {
    cargo metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}
