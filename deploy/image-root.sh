#!/bin/sh
# Gathers the image's root file system: deploy/image-root.sh BINARY FOLDER
# The binary, the shared libraries it names, the certificate authorities, and nothing that could run besides. Runs in the
# build stage of deploy/Dockerfile, on the Debian that BINARY was linked on.
set -eu

binary=$1
root=$2
user=65532

rm -rf "$root"
mkdir -p "$root/usr/bin" "$root/etc/ssl/certs" "$root/etc/sidegate" "$root/var/lib/dpkg/status.d" "$root/usr/share/doc/sidegate"
install -m 0755 "$binary" "$root/usr/bin/sidegate"
install -m 1777 -d "$root/tmp"
install -m 0750 -d "$root/var/lib/sidegate"

# Under the names that the binary asks for. The program interpreter is the one line without an arrow that is a path.
ldd "$binary" | awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// { print $1 }' | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
done
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"

printf 'root:x:0:0:root:/:/sbin/nologin\nsidegate:x:%s:%s:Sidegate:/var/lib/sidegate:/sbin/nologin\n' "$user" "$user" >"$root/etc/passwd"
printf 'root:x:0:\nsidegate:x:%s:\n' "$user" >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"

# Scanners find out here which Debian packages the libraries came from; the licences ask to be passed on.
grep -v '^#' /etc/os-release >"$root/etc/os-release"
for package in libc6 libgcc-s1 ca-certificates; do
    dpkg-query --status "$package" >"$root/var/lib/dpkg/status.d/$package"
    # libgcc-s1 links to the folder of gcc-12-base.
    mkdir -p "$root/usr/share/doc/$package"
    cp -L "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/copyright"
done
cp LICENSE "$root/usr/share/doc/sidegate/copyright"

if [ "$(id -u)" -eq 0 ]; then
    chown -R "$user:$user" "$root/var/lib/sidegate"
    # Nothing is missing: it starts where only this is.
    chroot "$root" /usr/bin/sidegate --version
fi
