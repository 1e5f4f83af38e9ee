#!/bin/bash
# Inside the container that tests/deploy/appliance.sh boots: systemd is process 1, /opt/*.deb are the packages.
set -eEuo pipefail
export DEBIAN_FRONTEND=noninteractive
cd /opt
started=$SECONDS
failed() {
    echo "FAILED at line $1: $BASH_COMMAND"
    systemctl status --no-pager --lines=0 sidegate.service || true
    journalctl --no-pager -n 40 -u sidegate.service || true
    for file in /opt/*.out; do echo "== $file"; cut -c 1-300 "$file"; done
}
trap 'failed $LINENO' ERR
# Bash lets a failure after `!` pass, and one in the middle of `&&`.
not() { if "$@"; then echo "it went well: $*"; return 1; fi; }
step() { printf '%3ds  %s\n' "$((SECONDS - started))" "$*"; }
show() { systemctl show --value -p "$1" sidegate.service; }
is() { [ "$1" = "$2" ] || { echo "it is \`$1\` and not \`$2\`"; return 1; }; }
holds() { grep -q -- "$2" "$1" || { echo "\`$2\` is not in $1:"; cat "$1"; return 1; }; }
gone() {
    for left in "$@"; do
        if [ -e "$left" ] || [ -L "$left" ]; then
            ls -lAR "$left"
            return 1
        fi
    done
}
# Until it holds, at most 15 seconds.
await() {
    for _ in $(seq 150); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.1
    done
    "$@"
}
config=/etc/sidegate/sidegate.toml

step 'Installed without a running systemd, as into an image, and purged again.'
mv /run/systemd/system /run/systemd/away
dpkg -i old.deb >install.out 2>&1
holds install.out 'not configured yet'
dpkg --purge sidegate >purge.out 2>&1
mv /run/systemd/away /run/systemd/system
gone /etc/sidegate /var/lib/sidegate /var/log/sidegate /usr/bin/sidegate

step 'Installed: enabled, not started before it is configured, and it says so.'
dpkg -i old.deb >install.out 2>&1
holds install.out 'sidegate init'
is "$(systemctl is-enabled sidegate.service)" enabled
systemctl start sidegate.service
is "$(show ActiveState) $(show ConditionResult)" 'inactive no'
is "$(stat -c %U:%G:%a /etc/sidegate /var/lib/sidegate /var/log/sidegate | tr '\n' ' ')" \
    'root:sidegate:2750 sidegate:sidegate:750 sidegate:sidegate:750 '

step 'A PSA and an issuer: the demo'\''s.'
ip link set lo up 2>/dev/null || true
TMPDIR=/opt /usr/bin/sidegate demo --json --port 0 >demo.out 2>demo-errors.out &
await grep -q '}$' demo.out
said() { sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/" demo.out; }
demo=$(said config_file)
# The value of a key of the demo's own configuration.
has() { sed -n "s/^$1 = \"\(.*\)\"/\1/p" "$demo" | head -n 1; }

step 'sidegate init, by flags.'
# As an administrator puts them there; the folder gives them the service's group.
cp "$(has tls_cert_file)" "$(has tls_key_file)" /etc/sidegate/
chmod 640 /etc/sidegate/tls.*
sidegate init --psa-url "$(said psa_url)" --public-url https://localhost:8443 --tls-cert /etc/sidegate/tls.crt \
    --tls-key /etc/sidegate/tls.key --issuer "$(said issuer)" --allow-private-network 127.0.0.0/8 \
    ${CA:+--idp-ca "$CA"} >init.out 2>&1
not grep -q 'cannot be read by the service' init.out
is "$(stat -c %U:%G:%a $config /etc/sidegate/keys/assistant | tr '\n' ' ')" 'root:sidegate:640 root:sidegate:640 '
sidegate check >check.out

step 'Started: ready, as its own user, with nothing that it does not need.'
# The demo PSA gives keys by its control side only.
secret=$(has demo_secret)
sed -i -e "s|^keys = .*|keys = \"demo\"\ntenant = \"$(has tenant)\"\ncatalog_user = \"$(has catalog_user)\"|" \
    -e '/^catalog_key_file/d' -e '/^static_keys/d' \
    -e "s|^\(issuer = .*\)|\1\naudiences = [\"$(said mcp_url)\"]|" $config
if [ -n "$secret" ]; then sed -i "s|^keys = \"demo\"|&\ndemo_secret = \"$secret\"|" $config; fi
systemctl start sidegate.service
is "$(show ActiveState) $(show SubState) $(show StatusText)" 'active running Serving'
pid=$(show MainPID)
is "$(stat -c %U "/proc/$pid")" sidegate
status() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$pid/status"; }
is "$(status CapBnd) $(status CapEff) $(status NoNewPrivs) $(status Seccomp)" '0000000000000000 0000000000000000 1 2'
# Its view of the file system.
inside() { nsenter --target "$pid" --mount -- "$@"; }
not inside touch /etc/sidegate/x 2>/dev/null
not inside touch /usr/x 2>/dev/null
is "$(inside ls -A /home | wc -l)" 0
is "$(stat -c %U /var/lib/sidegate/sidegate.db)" sidegate

step 'An agent is added beside it, and calls through it: read, write, record.'
subject=$(has subject) user=$(has psa_user)
runuser -u sidegate -- sidegate agent add assistant --issuer "$(said issuer)" --subject "$subject" \
    --psa-user "$user" --max-effect write >agent.out
token=$(said token)
call() {
    curl -sS --max-time 10 --cacert "$(said ca_file)" "https://localhost:${port:-8443}/api/mcp" \
        -H "Authorization: Bearer $token" -H 'Content-Type: application/json' -H 'Accept: application/json' \
        -H 'MCP-Protocol-Version: 2025-11-25' -d "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"call_api_endpoint\",\"arguments\":$1}}"
}
reads() { call '{"entryId":"get-_api_v1_tickets","query":{"limit":1}}' >call.out && grep -q '"isError":false' call.out; }
await reads
ticket=$(grep -o '"ticket_id":"[^"]*"' call.out | head -n 1 | cut -d '"' -f 4)
[ -n "$ticket" ]
call "{\"entryId\":\"put-_api_v1_tickets_id\",\"path\":{\"id\":\"$ticket\"},\"body\":{\"title\":\"written\"}}" >write.out
holds write.out '"isError":false'
holds /var/log/sidegate/audit.jsonl '"record":"intent"'

step 'systemctl reload takes a changed file into use; a bad one is refused, and the status says so.'
sed -i 's|^\[\[sinks\]\]|[limits]\ncalls_per_minute = 500\n\n&|' $config
systemctl reload sidegate.service
metric() { curl -sS http://127.0.0.1:9464/metrics | grep -q "^$1\$"; }
await metric 'sidegate_config_reloads_total{outcome="ok"} 1'
is "$(show ActiveState) $(show MainPID)" "active $pid"
cp -p $config good.toml
echo 'nonsense = 1' >>$config
systemctl reload sidegate.service
await metric 'sidegate_config_last_reload_successful 0'
is "$(show StatusText)" 'Serving; the changed configuration was refused, see the log'
await reads

step 'Upgraded while the configuration is bad: the old process goes on, and it is told.'
dpkg -i new.deb >upgrade.out 2>&1
holds upgrade.out 'refuses the configuration'
is "$(show ActiveState) $(show MainPID)" "active $pid"
cp -p good.toml $config

step 'Upgraded: a new process with the same configuration and database, and nobody is asked.'
dpkg -i old.deb >downgrade.out 2>&1
dpkg -i new.deb >upgrade.out 2>&1 </dev/null
is "$(dpkg-query -W -f '${Version}' sidegate)" 1.1-1
is "$(show ActiveState)" active
[ "$(show MainPID)" != "$pid" ]
cmp $config good.toml
await reads

step 'Upgraded to a package that brings another default: ours is kept.'
dpkg --force-confdef --force-confold -i other.deb >upgrade.out 2>&1 </dev/null
is "$(dpkg-query -W -f '${Version}' sidegate)" 1.2-1
cmp $config good.toml
await reads

step 'Keys that are minted in PostgreSQL, over its unix socket as the service'"'"'s own user and over TCP.'
postgres=$(dirname "$(ls /usr/lib/postgresql/*/bin/initdb | tail -n 1)")
install -d -o postgres /opt/postgres /run/postgresql
as_postgres() { (cd /opt/postgres && runuser -u postgres -- "$@"); }
as_postgres "$postgres/initdb" --no-sync --auth-local=peer --auth-host=trust data >postgres.out 2>&1
as_postgres "$postgres/pg_ctl" -D data -w -l log -o '-k /run/postgresql -h 127.0.0.1 -F' start >>postgres.out 2>&1
as_postgres psql -q -c 'CREATE ROLE sidegate LOGIN' -c 'CREATE DATABASE psa OWNER sidegate' >>postgres.out 2>&1
tenant=10000000-0000-4000-8000-000000000001
database() { runuser -u sidegate -- psql -qtA psa "$@"; }
database -f /opt/alga_schema.sql >>postgres.out 2>&1
database -c "INSERT INTO tenants VALUES ('$tenant', 'Acme', 'a@acme.example')" -c "INSERT INTO users (tenant, user_id,
    username, hashed_password, email) VALUES ('$tenant', '$tenant', 'bot', '!', 'b@x')" >>postgres.out 2>&1
cp -p $config demo.toml
sed -i -e '/^demo_secret/d' -e 's|^keys = .*|keys = "postgres"\ndatabase_url_file = "/etc/sidegate/keys/database"|' \
    -e "s|^tenant = .*|tenant = \"$tenant\"|" -e "s|^catalog_user = .*|catalog_user = \"$tenant\"|" $config
minted() { [ "$(database -c "SELECT count(*) FROM api_keys WHERE purpose = 'mcp_sidecar'")" -gt 0 ]; }
for url in postgres://sidegate@%2Frun%2Fpostgresql/psa postgres://sidegate@127.0.0.1/psa; do
    database -c 'DELETE FROM api_keys'
    echo "$url" >/etc/sidegate/keys/database
    systemctl restart sidegate.service
    await minted
done
as_postgres "$postgres/pg_ctl" -D data -m fast stop >>postgres.out 2>&1
cp -p demo.toml $config
systemctl restart sidegate.service
await reads

step 'A process that gives no sign of life is replaced.'
mkdir -p /etc/systemd/system/sidegate.service.d
printf '[Service]\nWatchdogSec=2\n' >/etc/systemd/system/sidegate.service.d/watchdog.conf
systemctl daemon-reload
systemctl restart sidegate.service
pid=$(show MainPID)
sleep 3
is "$(show MainPID) $(show NRestarts)" "$pid 0"
kill -STOP "$pid"
replaced() { [ "$(show NRestarts) $(show ActiveState)" = '1 active' ]; }
await replaced
await reads

step 'Port 443, with the drop-in that the package brings.'
install -D -m 644 -t /etc/systemd/system/sidegate.service.d /usr/share/sidegate/privileged-port.conf
sed -i -e 's|0.0.0.0:8443|0.0.0.0:443|' -e 's|localhost:8443|localhost|' $config
systemctl daemon-reload
systemctl restart sidegate.service
port=443 await reads
pid=$(show MainPID)
is "$(status CapBnd)" 0000000000000400

step 'A copy of the live database.'
runuser -u sidegate -- sqlite3 /var/lib/sidegate/sidegate.db "VACUUM INTO '/var/lib/sidegate/copy.db'"
is "$(sqlite3 /var/lib/sidegate/copy.db 'PRAGMA integrity_check; SELECT name FROM agents')" $'ok\nassistant'
rm /var/lib/sidegate/copy.db

step 'Stopped: exit 0.'
systemctl stop sidegate.service
is "$(show Result) $(show ExecMainStatus)" 'success 0'

step 'Removed: configuration, database and records stay. Installed again, it serves again.'
systemctl start sidegate.service
dpkg --remove sidegate >remove.out 2>&1
gone /usr/bin/sidegate
[ -s $config ]
[ -s /var/lib/sidegate/sidegate.db ]
[ -s /var/log/sidegate/audit.jsonl ]
not pgrep -u sidegate >/dev/null
dpkg -i other.deb >again.out 2>&1
is "$(show ActiveState)" active
port=443 await reads

step 'Purged: nothing of it is left but its user.'
rm /etc/sidegate/tls.*
dpkg --purge sidegate >purge.out 2>&1
not pgrep -u sidegate >/dev/null
gone /etc/sidegate /var/lib/sidegate /var/log/sidegate /lib/systemd/system/sidegate.service \
    /etc/systemd/system/multi-user.target.wants/sidegate.service
echo 'All of it works.'
