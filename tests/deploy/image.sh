#!/bin/sh
# The image, built and run without root: buildah makes the last stage of deploy/Dockerfile of the binary given, and
# podman runs it as deploy/compose.yaml runs the demo: root file system read-only, no capability, a new volume.
#
#   tests/deploy/image.sh [BINARY]     by default the one that `cargo build` makes
#
# The stage that compiles is left out: its base image would have to come from a registry. Where containers cannot be run
# as a user, the rest is left out too, and it says so.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
. deploy/packages.sh
need buildah buildah
need podman podman
need newuidmap uidmap
# The other runtime of Debian's podman does not take control groups of both versions side by side.
need runc runc
need curl curl
install_lacking

binary=${1:-}
if [ -z "$binary" ]; then
    need_cargo "$(rust_version .)"
    cargo build --locked --bin sidegate >&2
    binary=$(target_directory)/debug/sidegate
fi

folder=$(mktemp -d)
# What the user below leaves belongs to ids of its own, so root or that user's namespace has to remove it.
clean() {
    if [ "$(id -u)" -ne 0 ]; then buildah unshare rm -rf "$folder"; fi
    rm -rf "$folder"
}
trap clean EXIT
chmod 755 "$folder"
mkdir "$folder/context" "$folder/home"
strip -o "$folder/sidegate" "$binary"
deploy/image-root.sh "$folder/sidegate" "$folder/root" >&2
# As the build stage leaves it there, which is root: with owners of its own.
owned() { tar -C "$folder/root" -cf - --owner="$1" --group="$1" "$2" "$3"; }
owned 0 --exclude=./var/lib/sidegate . >"$folder/context/others.tar"
owned 65532 --no-recursion ./var/lib/sidegate >"$folder/context/store.tar"
{
    printf 'FROM scratch AS build\nADD others.tar /image/\nADD store.tar /image/\n'
    sed -n '/^FROM scratch/,$ p' deploy/Dockerfile
} >"$folder/context/Dockerfile"

cat >"$folder/inside.sh" <<'INSIDE'
set -eu
folder=$1
export HOME="$folder/home" XDG_RUNTIME_DIR="$folder/home/run" STORAGE_DRIVER=vfs DISABLE_HC_SYSTEMD=true
mkdir -p -m 700 "$XDG_RUNTIME_DIR"
cd "$folder"
step() { echo "$*"; }
fail() { echo "FAILED: $*"; podman logs demo 2>&1 | cut -c 1-300 | tail -n 20; exit 1; }
is() { [ "$1" = "$2" ] || fail "it is \`$1\` and not \`$2\`"; }
buildah bud --quiet --isolation chroot --format docker --build-arg VERSION=9.9.9 -t sidegate:test context >built 2>&1 || { cat built; exit 3; }
run() { podman --runtime runc --cgroup-manager cgroupfs --log-level error run "$@"; }
run --rm --network none sidegate:test --version >version 2>&1 || { cat version; exit 3; }
: >runs
step "Built by $(buildah --version | cut -d ' ' -f 1-3), run by $(podman --version), as user $(id -u): $(cat version)"
label() { podman image inspect --format "{{index .Labels \"org.opencontainers.image.$1\"}}" sidegate:test; }
is "$(label title) $(label version) $(label licenses)" 'Sidegate 9.9.9 Apache-2.0'
is "$(podman image inspect --format '{{.User}}' sidegate:test)" 65532:65532

step 'The demo, confined as in deploy/compose.yaml.'
run --detach --name demo --read-only --read-only-tmpfs=false --cap-drop ALL --security-opt no-new-privileges --network host \
    --volume demo:/var/lib/sidegate --env TMPDIR=/var/lib/sidegate sidegate:test demo --json --port 0 >/dev/null
for _ in $(seq 150); do
    podman logs demo >said 2>/dev/null
    if grep -q '}$' said; then break; fi
    sleep 0.2
done
grep -q '}$' said || fail 'it is not ready'
said() { sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/" said; }
pid=$(podman inspect --format '{{.State.Pid}}' demo)
status() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$pid/status"; }
is "$(status CapBnd) $(status CapEff) $(status NoNewPrivs)" '0000000000000000 0000000000000000 1'
[ "$(status Uid | cut -f 1)" -ne 0 ] || fail 'it runs as root of this machine'
is "$(awk '$5 == "/" { split($6, options, ","); print options[1] }' "/proc/$pid/mountinfo")" ro
if podman exec demo /bin/sh -c true 2>/dev/null; then fail 'there is a shell'; fi

step 'Healthy, by the check that the image brings.'
podman healthcheck run demo || fail 'it is not healthy'

step 'A call from outside.'
podman cp "demo:$(said ca_file)" ca.pem
curl -sS --max-time 20 --cacert ca.pem "$(said mcp_url)" -H "Authorization: Bearer $(said token)" \
    -H 'Content-Type: application/json' -H 'Accept: application/json' -d '{"jsonrpc":"2.0","id":1,"method":"tools/call",
    "params":{"name":"call_api_endpoint","arguments":{"entryId":"get-_api_v1_tickets","query":{"limit":1}}}}' >called
grep -q '"isError":false' called || fail "$(cut -c 1-300 called)"

step 'Stopped: exit 0.'
podman stop --time 30 demo >/dev/null
is "$(podman inspect --format '{{.State.ExitCode}}' demo)" 0
podman rm demo >/dev/null
podman volume rm demo >/dev/null
echo 'All of it works.'
INSIDE

if [ "$(id -u)" -eq 0 ]; then
    # A user for this alone, who is known in a mount namespace of its own and nowhere else.
    user=64321
    chown -R $user:$user "$folder/home" "$folder"
    cat >"$folder/outside.sh" <<'OUTSIDE'
set -eu
folder=$1 user=$2
for file in passwd group subuid subgid; do
    cat "/etc/$file" >"$folder/$file" 2>/dev/null || : >"$folder/$file"
done
echo "sidegate-test:x:$user:$user::$folder/home:/bin/sh" >>"$folder/passwd"
echo "sidegate-test:x:$user:" >>"$folder/group"
for file in subuid subgid; do echo "sidegate-test:2000000000:65536" >>"$folder/$file"; done
for file in passwd group subuid subgid; do
    chmod 644 "$folder/$file"
    [ -e "/etc/$file" ] || : >"/etc/$file"
    mount --bind "$folder/$file" "/etc/$file"
done
exec setpriv --reuid "$user" --regid "$user" --init-groups env -i PATH="$PATH" sh "$folder/inside.sh" "$folder"
OUTSIDE
    set -- unshare --mount --propagation private sh "$folder/outside.sh" "$folder" $user
else
    set -- sh "$folder/inside.sh" "$folder"
fi
"$@" >"$folder/log" 2>&1 || true
if ! [ -e "$folder/runs" ]; then
    say "LEFT OUT: no container can be built and run as a user on this machine, so the image was not tried here: $(tail -n 3 "$folder/log")"
    exit 0
fi
cat "$folder/log" >&2
tail -n 1 "$folder/log" | grep -q '^All of it works\.$' || die 'The image fails, see above.'
