#!/bin/sh
# The appliance's files: the unit is judged by systemd, the package is built twice and must come out the same, and then
# it lives through install, start, reload, watchdog, upgrade, removal and purge under a systemd of its own, booted by
# systemd-nspawn on a throw-away layer over this machine's root (tests/deploy/appliance_inside.sh). Nothing stays here.
#
#   tests/deploy/appliance.sh [BINARY]     by default the one that `cargo build` makes
#
# Where no container can be booted (not root, no CAP_SYS_ADMIN) that half is left out, and it says so.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
. deploy/packages.sh
need systemd-analyze systemd
need systemd-nspawn systemd-container
need dpkg-deb dpkg
need readelf binutils
need curl curl
need sqlite3 sqlite3
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || lack 'PostgreSQL' postgresql
install_lacking

binary=${1:-}
if [ -z "$binary" ]; then
    need_cargo "$(rust_version .)"
    cargo build --locked --bin sidegate >&2
    binary=$(target_directory)/debug/sidegate
fi
folder=$(mktemp -d)
# What the container makes of control groups is within ours, and goes with us.
groups=
clean() {
    for group in $groups; do
        echo $$ >"$group/../cgroup.procs" || true
        find "$group" -depth -type d -exec rmdir {} + || true
    done
    rm -rf "$folder"
}
trap clean EXIT
chmod 755 "$folder"

say 'The unit: verify, and an exposure of at most 2.0.'
for dropped in '' privileged-port.conf; do
    rm -rf "$folder/units"
    mkdir -p "$folder/units/sidegate.service.d"
    # The binary is not installed here, and that would be a complaint.
    sed "s:^ExecStart=/usr/bin/sidegate:ExecStart=$(command -v true):" deploy/appliance/sidegate.service \
        >"$folder/units/sidegate.service"
    [ -z "$dropped" ] || cp "deploy/appliance/$dropped" "$folder/units/sidegate.service.d/"
    complaints=$(systemd-analyze verify "$folder/units/sidegate.service" 2>&1) || die "verify: $complaints"
    [ -z "$complaints" ] || die "verify: $complaints"
    systemd-analyze security --offline=true --threshold=20 --no-pager "$folder/units/sidegate.service" \
        >"$folder/security" 2>&1 || die "$(cat "$folder/security")"
    say "$(grep exposure "$folder/security")${dropped:+ (with $dropped)}"
done

say 'The package, built twice.'
export SIDEGATE_DEB_COMPRESSION=none
strip -o "$folder/sidegate" "$binary"
build() { deploy/appliance/build.sh --binary "$folder/sidegate" "$@" 2>"$folder/build.log" || die "$(cat "$folder/build.log")"; }
package=$(build --version 1.0-1 --out "$folder/first")
[ "$package" = "$folder/first/sidegate_1.0-1_$(dpkg --print-architecture).deb" ] || die "an odd name: $package"
cmp "$package" "$(build --version 1.0-1 --out "$folder/second")" || die 'the same input is not the same package'
mv "$package" "$folder/old.deb"
mv "$(build --version 1.1-1 --out "$folder")" "$folder/new.deb"
# A later package that brings another default configuration: dpkg has to keep ours.
dpkg-deb -R "$folder/new.deb" "$folder/tree"
echo '# another default' >"$folder/tree/etc/sidegate/sidegate.toml"
sed -i 's/^Version: .*/Version: 1.2-1/' "$folder/tree/DEBIAN/control"
dpkg-deb --root-owner-group -Znone --build "$folder/tree" "$folder/other.deb" >/dev/null
rm -rf "$folder/tree" "$folder/first" "$folder/second"

cp tests/deploy/appliance_inside.sh "$folder/inside.sh"
cp tests/it/support/alga_schema.sql "$folder/"
cat >"$folder/outside.sh" <<'OUTSIDE'
set -eu
folder=$1
mkdir "$folder/layer"
mount -t tmpfs tmpfs "$folder/layer"
mkdir "$folder/layer/upper" "$folder/layer/work" "$folder/layer/root"
cd "$folder/layer"
mount -t overlay overlay -o "lowerdir=/,upperdir=upper,workdir=work" root
# What nspawn keeps there about its containers goes with this namespace.
mount -t tmpfs -o mode=755 tmpfs /run
cp "$folder/inside.sh" "$folder/old.deb" "$folder/new.deb" "$folder/other.deb" "$folder/alga_schema.sql" root/opt/
rm -f root/usr/sbin/policy-rc.d root/etc/systemd/system/sidegate.service
cat >root/etc/systemd/system/sidegate-test.service <<'UNIT'
[Unit]
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
ExecStart=/bin/bash /opt/inside.sh
StandardOutput=append:/opt/log
StandardError=append:/opt/log
UNIT
: >"$folder/ready"
timeout -k 5 180 systemd-nspawn --directory=root --machine="sidegate-test-$$" --register=no --keep-unit \
    --private-network --link-journal=no --resolv-conf=off --timezone=off --console=pipe \
    --boot systemd.unit=sidegate-test.service systemd.show_status=no </dev/null >"$folder/boot" 2>&1 || true
cp root/opt/log "$folder/log"
OUTSIDE
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
    group=$hierarchy/sidegate-test-$$
    if [ -w "$hierarchy/cgroup.procs" ] && mkdir "$group" 2>/dev/null; then
        groups="$groups $group"
        echo $$ >"$group/cgroup.procs" || true
    fi
done
unshare --mount --propagation private sh "$folder/outside.sh" "$folder" >"$folder/outside" 2>&1 || true
if ! [ -s "$folder/log" ]; then
    say "LEFT OUT: no systemd could be booted in a container on this machine, so installing, starting, upgrading and" \
        "removing the package was not tried here: $(tail -n 3 "$folder/outside" "$folder/boot" 2>/dev/null)"
    exit 0
fi
cat "$folder/log" >&2
tail -n 1 "$folder/log" | grep -q '^All of it works\.$' || die 'The appliance fails, see above.'
