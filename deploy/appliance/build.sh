#!/bin/sh
# Builds the Debian package with dpkg-deb alone; the package's path is the one line on stdout.
#
#   deploy/appliance/build.sh [--binary FILE] [--version VERSION] [--out DIRECTORY]
#
# --binary FILE      packs this binary instead of building one with the profile `release`
# --version VERSION  instead of the manifest's, with -1 behind it
# --out DIRECTORY    where the package goes; by default the current directory
# SOURCE_DATE_EPOCH  the time on every file, by default that of the last commit: the same input is the same package
# DEBFULLNAME, DEBEMAIL: who answers for the package; give them for one that others are to install
# SIDEGATE_DEB_COMPRESSION=gzip packs faster than the default, xz
set -eu
umask 022

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
. "$root/deploy/packages.sh"

binary= version= out=.
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || die "$1 needs a value"
    case "$1" in
    --binary) binary=$2 ;;
    --version) version=$2 ;;
    --out) out=$2 ;;
    *) die "$1 is unknown; there are --binary, --version and --out" ;;
    esac
    shift 2
done

need dpkg-deb dpkg
need readelf binutils
need gzip gzip
install_lacking

if [ -z "$binary" ]; then
    need_cargo "$(rust_version "$root")"
    need_build_tools
    install_lacking
    (cd "$root" && cargo build --locked --release --bin sidegate >&2)
    binary=$(cd "$root" && target_directory)/release/sidegate
fi
[ -n "$version" ] || version=$(sed -n 's/^version *= *"\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)-1
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct 2>/dev/null) || die 'set SOURCE_DATE_EPOCH: this is no git checkout'
fi
export SOURCE_DATE_EPOCH
maintainer="${DEBFULLNAME:-The Sidegate developers} <${DEBEMAIL:-sidegate@localhost}>"

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"
put() { install -D -m "$1" "$2" "$tree$3"; }

put 755 "$binary" /usr/bin/sidegate
# A binary of the profile `release` is stripped already.
strip --strip-unneeded --remove-section=.comment "$tree/usr/bin/sidegate"
put 644 "$here/sidegate.service" /lib/systemd/system/sidegate.service
put 644 "$here/sidegate.sysusers" /usr/lib/sysusers.d/sidegate.conf
put 644 "$here/privileged-port.conf" /usr/share/sidegate/privileged-port.conf
put 644 "$root/config/sidegate.toml" /usr/share/sidegate/sidegate.toml.sample
put 644 "$here/README.md" /usr/share/doc/sidegate/README.Debian.md
put 644 "$root/README.md" /usr/share/doc/sidegate/README.md
put 644 "$here/debian/lintian-overrides" /usr/share/lintian/overrides/sidegate
put 644 "$here/debian/copyright" /usr/share/doc/sidegate/copyright
put 644 /dev/null /etc/sidegate/sidegate.toml

gzip -9n <"$root/CHANGELOG.md" >"$tree/usr/share/doc/sidegate/changelog.gz"
{
    printf 'sidegate (%s) unstable; urgency=medium\n\n  * What has changed is in changelog.gz.\n\n' "$version"
    printf ' -- %s  %s\n' "$maintainer" "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")"
} | gzip -9n >"$tree/usr/share/doc/sidegate/changelog.Debian.gz"

# The libraries that the binary asks for, libc in the newest version whose symbols it uses.
needed() { readelf -d "$tree/usr/bin/sidegate" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }
glibc=$(readelf -V "$tree/usr/bin/sidegate" | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -uV | tail -n 1)
depends=
for library in $(needed); do
    case "$library" in
    libc.so.6 | libm.so.6 | libdl.so.2 | libpthread.so.0 | librt.so.1 | ld-linux*) package="libc6 (>= $glibc)" ;;
    libgcc_s.so.1) package='libgcc-s1 (>= 4.2)' ;;
    libstdc++.so.6) package='libstdc++6 (>= 12)' ;;
    *) die "the binary needs $library, and this script does not know whose that is" ;;
    esac
    case ", $depends, " in *", $package, "*) ;; *) depends="${depends:+$depends, }$package" ;; esac
done

architecture=$(dpkg --print-architecture)
size=$(du -k -s --apparent-size "$tree" | cut -f 1)
mkdir "$tree/DEBIAN"
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@MAINTAINER@/$maintainer/" \
    -e "s/@DEPENDS@/$depends/" -e "s/@SIZE@/$size/" "$here/debian/control.in" >"$tree/DEBIAN/control"
install -m 755 "$here/debian/postinst" "$here/debian/prerm" "$here/debian/postrm" "$tree/DEBIAN/"
install -m 644 "$here/debian/conffiles" "$tree/DEBIAN/"
(cd "$tree" && find usr lib -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$tree/DEBIAN/md5sums"
find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

mkdir -p "$out"
package=$out/sidegate_${version}_$architecture.deb
dpkg-deb --root-owner-group "-Z${SIDEGATE_DEB_COMPRESSION:-xz}" --build "$tree" "$package" >&2
printf '%s\n' "$package"
