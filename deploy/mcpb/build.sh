#!/bin/sh
# Packs the connector as a desktop extension (MCPB) for one platform; the bundle's path is the one line on stdout.
#
#   deploy/mcpb/build.sh --platform PLATFORM --binary FILE [--version VERSION] [--out DIRECTORY]
#
# --platform PLATFORM  what the binary was built for: linux-x64, linux-arm64, darwin-arm64 or darwin-x64
# --version VERSION    instead of Cargo.toml's
# --out DIRECTORY      where the bundle goes; by default the current directory
# SOURCE_DATE_EPOCH    the time on every file, by default that of the last commit: the same input is the same bundle
set -eu
umask 022

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
. "$root/deploy/packages.sh"

platform= binary= version= out=.
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || die "$1 needs a value"
    case "$1" in
    --platform) platform=$2 ;;
    --binary) binary=$2 ;;
    --version) version=$2 ;;
    --out) out=$2 ;;
    *) die "$1 is unknown; there are --platform, --binary, --version and --out" ;;
    esac
    shift 2
done
case "$platform" in
linux-x64 | linux-arm64 | darwin-arm64 | darwin-x64) ;;
*) die "--platform \"$platform\" is none of linux-x64, linux-arm64, darwin-arm64, darwin-x64" ;;
esac
[ -f "$binary" ] || die "--binary \"$binary\" is no file"

need zip zip
install_lacking

[ -n "$version" ] || version=$(sed -n 's/^version *= *"\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct 2>/dev/null) || die 'set SOURCE_DATE_EPOCH: this is no git checkout'
fi

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir "$tree/server"
install -m 755 "$binary" "$tree/server/sidegate"
install -m 644 "$root/LICENSE" "$tree/LICENSE"
# Some clients drop the modes when they unpack, so the manifest starts the binary by way of a shell that mends that.
sed -e "s/@VERSION@/$version/" -e "s/@OS@/${platform%-*}/" "$here/manifest.json.in" >"$tree/manifest.json"
find "$tree" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +

mkdir -p "$out"
bundle=$(cd "$out" && pwd)/sidegate-connect-$version-$platform.mcpb
rm -f "$bundle"
# A ZIP's times have no zone.
(cd "$tree" && TZ=UTC zip -q -X -9 "$bundle" manifest.json LICENSE server/sidegate) >&2
printf '%s\n' "$bundle"
