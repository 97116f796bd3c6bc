#!/usr/bin/env bash
# Makes this machine one of Slipway's Docker hosts: an engine behind mutual TLS that trusts the registry.
# It can run again at any time, and restarts the engine only if a file changes that the engine reads at its start.
#
# Values:
#   MACHINE_ID                               an id of this machine
#   ENGINE_CA ENGINE_CERTIFICATE ENGINE_KEY  the CA of its clients, and the operators' own certificates; its own
#                                            certificate and key (PEM)
#   SSH_USER OPERATOR_KEYS                   who logs in here; the operators' lines of its authorized_keys, or empty
#   VALID_FROM                               when its certificate was made, by the operator's clock (RFC 3339)
#   REGISTRY_ADDRESS REGISTRY_CA             the registry, host:port, and the CA to trust (PEM); empty if every machine
#                                            trusts it already
#   REGISTRY_HOST_ADDRESS                    address of its host; goes to /etc/hosts if it is an IP address
#   INSECURE_REGISTRY                        the same host:port if the registry speaks plain HTTP, else empty
#   CLIENT_CERTIFICATE CLIENT_KEY            this host's client certificate for the registry (PEM), or empty
#   ADDRESS_POOLS                            lines of daemon.json, each with a comma at its end; unset or empty for the
#                                            engine's own pools
#   FIREWALL FIREWALL_SCRIPT                 arguments and text of firewall.sh
#   APART_SCRIPT                             text of apart.sh
#   RESOLVERS RESOLVERS_SCRIPT               name servers for builds, or empty; text of resolvers.sh
#   SWITCH_SCRIPT WAIT_SCRIPT KEEP_SCRIPT    texts of switch.sh, wait-for-registry.sh and keep.sh
#   HOST_IMAGES HOST_IMAGES_SCRIPT           which images and how much build cache stay; text of host-images.sh
#
# ssh-server.sh comes ahead of it.
set -euo pipefail

: "${MACHINE_ID:?}" "${ENGINE_CA:?}" "${ENGINE_CERTIFICATE:?}" "${ENGINE_KEY:?}" "${VALID_FROM:?}"
: "${SSH_USER:?}" "${OPERATOR_KEYS?}"
: "${REGISTRY_ADDRESS:?}" "${REGISTRY_HOST_ADDRESS?}" "${REGISTRY_CA?}" "${SWITCH_SCRIPT:?}" "${WAIT_SCRIPT:?}" \
  "${KEEP_SCRIPT:?}" "${HOST_IMAGES:?}" "${HOST_IMAGES_SCRIPT:?}"

# Names the registry's host in /etc/hosts if no name server does. The file may be a mount, so it is written in place.
name_registry() {
  local name=${REGISTRY_ADDRESS%:*} rest
  [[ $REGISTRY_HOST_ADDRESS =~ ^[0-9.]+$|: ]] || return 0
  made+=("line /etc/hosts $REGISTRY_HOST_ADDRESS $name # slipway")
  grep -qxF "$REGISTRY_HOST_ADDRESS $name # slipway" /etc/hosts && return
  rest=$(grep -v '# slipway$' /etc/hosts || true)
  printf '%s\n' "$REGISTRY_HOST_ADDRESS $name # slipway" "$rest" >/etc/hosts
  renamed=true
}

# Waits until the certificate is valid by this host's clock, or says that the operator's clock is ahead.
wait_for_validity() {
  local ahead
  ahead=$(($(date -d "$VALID_FROM" +%s) - $(date +%s)))
  [ "$ahead" -gt 0 ] || return 0
  [ "$ahead" -le 60 ] ||
    fail 5 "the clock of the machine that runs ./slip is $ahead seconds ahead of this host's ($(date -u '+%F %T') UTC)," \
      "and the certificates that it made are not valid here yet: correct the wrong clock, then run ./slip up again"
  sleep "$ahead"
}

# The engine reads /etc/resolv.conf at each build, so it needs no restart.
name_resolvers() {
  [ -n "$RESOLVERS" ] || return 0
  put /usr/local/lib/slipway/resolvers 0755 <<<"$RESOLVERS_SCRIPT"
  own_unit slipway-resolvers.service <<UNIT
[Unit]
Before=docker.service
[Service]
Type=oneshot
ExecStart=/usr/local/lib/slipway/resolvers $RESOLVERS
[Install]
WantedBy=multi-user.target
UNIT
  systemctl daemon-reload
  enabled slipway-resolvers.service
  systemctl restart slipway-resolvers.service
  made+=("enabled slipway-resolvers.service")
}

install_engine() {
  command -v apt-get >/dev/null ||
    fail 4 "this host has neither Docker Engine with curl nor apt-get: install Docker Engine 20.10 or newer, and curl"
  export DEBIAN_FRONTEND=noninteractive
  # A young machine's own updates hold apt's lock for minutes.
  local apt=(apt-get -q -o DPkg::Lock::Timeout=300)
  "${apt[@]}" update
  "${apt[@]}" install -y --no-install-recommends docker.io iptables ca-certificates curl
}

daemon_json() {
  # live-restore: containers survive a restart of the engine, so that a renewed certificate interrupts no service.
  # insecure-registries: present even if empty, since a reload without it keeps the previous list.
  local quote='"'
  cat <<JSON
{
${ADDRESS_POOLS:-}  "insecure-registries": [${INSECURE_REGISTRY:+$quote$INSECURE_REGISTRY$quote}],
  "live-restore": true,
  "log-driver": "local",
  "log-opts": { "max-file": "5", "max-size": "10m" },
  "tls": true,
  "tlsverify": true,
  "tlscacert": "/etc/docker/tls/ca.pem",
  "tlscert": "/etc/docker/tls/cert.pem",
  "tlskey": "/etc/docker/tls/key.pem"
}
JSON
}

# daemon.json without insecure-registries, which a reload picks up.
read_at_start() { grep -v '"insecure-registries"' /etc/docker/daemon.json 2>/dev/null || true; }

# The package's unit sets listeners on the command line, and the engine refuses to start if daemon.json sets them, too.
command_line() {
  echo "$(command -v dockerd) -H fd:// -H tcp://0.0.0.0:2376 --containerd=/run/containerd/containerd.sock"
}

# Containers know their host as `host-gateway`, the address of the default bridge. An engine before version 23 that starts
# while containers run has no such address (https://github.com/moby/moby/issues/42753): in each new container, the names
# of other services would lead nowhere. So it is given the bridge's address, if there is a bridge by then.
unit() {
  cat <<UNIT
[Service]
ExecStartPre=/bin/sh /usr/local/lib/slipway/engine-gateway
EnvironmentFile=-/run/slipway-engine-gateway
ExecStart=
ExecStart=$(command_line) \$GATEWAY
UNIT
}

gateway() {
  cat <<'SCRIPT'
address=$(ip -4 -o address show docker0 2>/dev/null | awk '{ sub("/.*", "", $4); print $4; exit }')
echo "GATEWAY=${address:+--host-gateway-ip=$address}" >/run/slipway-engine-gateway
SCRIPT
}

# is_open: whether the engine answers a client without a certificate.
is_open() {
  local scheme
  for scheme in https http; do
    ! curl -sfk --noproxy '*' --max-time 5 -o /dev/null "$scheme://127.0.0.1:2376/_ping" || return 0
  done
  return 1
}

# runs_otherwise: whether the engine runs, but not by the files that are here now: they were changed before it started.
runs_otherwise() {
  local process
  process=$(systemctl show --property=MainPID --value docker.service)
  [ "${process:-0}" != 0 ] || return 1
  [ "$(tr '\0' ' ' <"/proc/$process/cmdline" | sed 's/ $//; s/ --host-gateway-ip=[0-9.]*$//')" != "$(command_line)" ] || is_open
}

wait_for_engine() {
  for _ in $(seq 100); do
    docker version >/dev/null 2>&1 && return
    sleep 0.1
  done
  journalctl -u docker.service -n 20 --no-pager >&2 || true
  fail 4 "Docker Engine does not start; above are its last log lines"
}

# The engine reads this folder at each pull and push, so it needs no restart.
trust_registry() {
  local certificates=/etc/docker/certs.d/$REGISTRY_ADDRESS
  if [ -n "$REGISTRY_CA" ]; then
    put "$certificates/ca.crt" 0644 <<<"$REGISTRY_CA"
  else
    absent "$certificates/ca.crt"
  fi
  if [ -n "$CLIENT_CERTIFICATE" ]; then
    put "$certificates/client.key" 0600 <<<"$CLIENT_KEY"
    put "$certificates/client.cert" 0644 <<<"$CLIENT_CERTIFICATE"
  else
    absent "$certificates/client.cert" "$certificates/client.key"
  fi
}

# Installs firewall.sh, ahead of the engine's next start, and closes the host to the containers that run by now.
close_to_containers() {
  local changed=false unit=slipway-firewall.service
  put /usr/local/lib/slipway/firewall 0755 <<<"$FIREWALL_SCRIPT"
  own_unit "$unit" <<UNIT
[Unit]
Description=Closes the hosts of Slipway to containers and build steps
Before=docker.service
PartOf=docker.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/lib/slipway/firewall $FIREWALL

[Install]
WantedBy=docker.service
UNIT
  if $changed; then systemctl daemon-reload; fi
  enabled "$unit"
  systemctl restart "$unit" ||
    fail 4 "$(hostname) cannot set up its firewall (iptables), which keeps containers away from the stack's hosts" \
      "$(journalctl -u "$unit" -n 5 --no-pager -o cat | tr '\n' ' ')"
  made+=("unit $unit")
  local iptables rule
  for iptables in iptables ip6tables; do
    # As the kernel has them.
    while read -r rule; do made+=("rule $iptables $rule"); done < <(
      "$iptables" -w -S 2>/dev/null | grep -v '^-A SLIPWAY-APART ' | grep -E '^-A (SLIPWAY-|(INPUT|DOCKER-USER) -j SLIPWAY-|FORWARD -j DOCKER-USER$)'
    )
  done
}

# Lets the operators log in, and those no longer who are none any more. Their lines are known by their comment; all
# others stay, as that of the key with which Slipway logs in.
authorise_operators() {
  local file new line
  file=$(getent passwd "$SSH_USER" | cut -d: -f6)/.ssh/authorized_keys
  [ -e "$file" ] || [ -n "$OPERATOR_KEYS" ] || return 0
  if [ ! -e "$file" ]; then install -D -m 0600 -o "$SSH_USER" /dev/null "$file"; fi
  new=$(mktemp "$file.XXXXXX")
  # Its status is 1 if no line is left.
  grep -v ' slipway-operator:[a-z0-9-]*$' "$file" >"$new" || [ $? -eq 1 ]
  printf '%s' "$OPERATOR_KEYS" >>"$new"
  if cmp -s "$new" "$file"; then
    rm -f "$new"
  else
    chown --reference="$file" "$new"
    chmod --reference="$file" "$new"
    mv -fT "$new" "$file"
  fi
  while IFS= read -r line; do
    [ -z "$line" ] || made+=("line $file $line")
  done <<<"$OPERATOR_KEYS"
}

# service NAME SCRIPT DESCRIPTION: installs a script as a service that runs while the engine does.
service() {
  local name=$1 script=$2 description=$3
  changed=false
  put "/usr/local/lib/slipway/$name" 0755 <<<"$script"
  own_unit "slipway-$name.service" <<UNIT
[Unit]
Description=$description
After=docker.service
PartOf=docker.service

[Service]
ExecStart=/usr/local/lib/slipway/$name
Restart=always
RestartSec=1

[Install]
WantedBy=docker.service
UNIT
  run_unit "slipway-$name.service"
}

# run_unit UNIT: has it start with the machine, and run by now. It begins anew if a file of it has `changed`.
run_unit() {
  if $changed; then systemctl daemon-reload; fi
  enabled "$1"
  if $changed; then systemctl restart "$1"; else systemctl start "$1"; fi
  made+=("unit $1")
}

# Installs host-images.sh and its timer. The minute differs from host to host, so that not all work at once.
tidy_images() {
  local unit=slipway-host-images
  changed=false
  put /usr/local/lib/slipway/host-images 0755 <<<"$HOST_IMAGES_SCRIPT"
  put /etc/slipway/host-images 0600 <<<"$HOST_IMAGES"
  own_unit "$unit.service" <<UNIT
[Unit]
Description=Removal of images that this host no longer needs
After=docker.service
Requires=docker.service

[Service]
Type=oneshot
ExecStart=/usr/local/lib/slipway/host-images run
Nice=10
IOSchedulingClass=idle
UNIT
  own_unit "$unit.timer" <<'UNIT'
[Unit]
Description=Hourly removal of images that this host no longer needs

[Timer]
OnCalendar=hourly
RandomizedDelaySec=3600

[Install]
WantedBy=timers.target
UNIT
  run_unit "$unit.timer"
}

# The proxy's configuration is there before the proxy is. When the machine starts, containers get new addresses, so the
# proxy knows none until slipway-keep tells it.
prepare_proxy() {
  changed=false
  own_unit slipway-cold.service <<'UNIT'
[Unit]
Description=Forgets the addresses of containers, ahead of Docker Engine
Before=docker.service
ConditionPathExists=!/run/slipway-warm

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/lib/slipway/switch --cold

[Install]
WantedBy=docker.service
UNIT
  if $changed; then systemctl daemon-reload; fi
  enabled slipway-cold.service
  made+=("enabled slipway-cold.service")
  /usr/local/lib/slipway/switch --prepare
}

# enabled UNIT…: makes them start with the machine.
enabled() {
  local unit
  for unit in "$@"; do
    systemctl -q is-enabled "$unit" || systemctl -q unmask "$unit"
    systemctl -q is-enabled "$unit" || systemctl -q enable "$unit"
  done
}

# An engine with containerd's image store, the default of Docker Engine 29, shows no client certificate to registries
# (https://github.com/moby/moby/issues/51662).
require_client_certificates() {
  case "$(docker info --format '{{ json .DriverStatus }}')" in
    *io.containerd.snapshotter*)
      fail 4 "the registry asks for client certificates (slipway:registry.clientCertificates), and $(docker version \
        --format 'Docker Engine {{ .Server.Version }}') of this host shows none: use Docker Engine 28, or do without"
      ;;
  esac
}

# published CONTAINER…: a line for each port that is published on more than the loopback: address, port, the container's
# address, the container's port.
published() {
  docker inspect "$@" --format '{{ $to := "" }}{{ range .NetworkSettings.Networks }}{{ $to = .IPAddress }}{{ end }}{{
    range $port, $from := .NetworkSettings.Ports }}{{ range $from }}{{
      .HostIp }} {{ .HostPort }} {{ $to }} {{ $port }}{{ println }}{{ end }}{{ end }}' |
    sed -n 's,/tcp$,,; /^127\./d; /^[0-9.]* [0-9]* [0-9.]* [0-9]*$/p'
}

# Containers survive a restart of the engine, but for a second it forwards no ports. iptables rules stand in for it, so
# that no request is lost. (Its DNS is missing, too; the proxy knows addresses.)
hold() {
  local running from port to inside
  command -v iptables >/dev/null || return 0
  running=$(docker ps -q 2>/dev/null) || return 0
  [ -n "$running" ] || return 0
  # The timer ends all of this, even if this run is killed.
  systemctl stop slipway-release.timer 2>/dev/null || true
  systemd-run --quiet --collect --unit=slipway-release --on-active=180 \
    bash -c "$(declare -f release_ports); release_ports"
  iptables -w -t nat -N SLIPWAY
  iptables -w -N SLIPWAY
  # The rules of the machine's owner apply first.
  if iptables -w -n -L DOCKER-USER >/dev/null 2>&1; then iptables -w -A SLIPWAY -j DOCKER-USER; fi
  # shellcheck disable=SC2086 # one word a container
  while read -r from port to inside; do
    iptables -w -t nat -A SLIPWAY -d "${from/#0.0.0.0/0.0.0.0/0}" -p tcp --dport "$port" \
      -j DNAT --to-destination "$to:$inside"
    iptables -w -A SLIPWAY -d "$to" -p tcp --dport "$inside" -j ACCEPT
    iptables -w -A SLIPWAY -s "$to" -p tcp --sport "$inside" -j ACCEPT
  done < <(published $running)
  iptables -w -I FORWARD -j SLIPWAY
  iptables -w -t nat -I PREROUTING -m addrtype --dst-type LOCAL -j SLIPWAY
  iptables -w -t nat -I OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j SLIPWAY
}

# Undoes `hold`, of this run or of a killed one.
release_ports() {
  local table
  command -v iptables >/dev/null || return 0
  while iptables -w -D FORWARD -j SLIPWAY 2>/dev/null; do :; done
  while iptables -w -t nat -D PREROUTING -m addrtype --dst-type LOCAL -j SLIPWAY 2>/dev/null; do :; done
  while iptables -w -t nat -D OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j SLIPWAY 2>/dev/null; do :; done
  for table in nat filter; do
    if iptables -w -t "$table" -F SLIPWAY 2>/dev/null; then iptables -w -t "$table" -X SLIPWAY; fi
  done
}

restart_engine() {
  release_ports
  trap release_ports EXIT
  # If `hold` fails, some requests are lost; the engine must restart all the same.
  hold || true
  systemctl restart docker.service
  wait_for_engine
}

# A new machine can have the disk of an old one. The state no longer has the containers and in-use markers on it, and
# Pulumi makes new ones. Markers of what has served at some time stay, since they remain true.
sweep() {
  local noted=/var/lib/docker/slipway-birth label
  if [ "$(cat "$noted" 2>/dev/null)" != "$MACHINE_ID" ]; then
    docker ps -aq --filter label=slipway.stack | xargs -r docker rm -f >/dev/null
    for label in slipway.deployed slipway.serving; do
      docker volume ls -q --filter "label=$label" | xargs -r docker volume rm -f >/dev/null
    done
    echo "$MACHINE_ID" >"$noted"
  fi
}

main() {
  lock engine
  wait_for_validity
  # A killed run may have changed files that the engine has not read yet.
  local unread=/run/slipway-engine-unread killed=false
  [ ! -e "$unread" ] || killed=true
  touch "$unread"
  local renamed=false
  name_registry
  changed=false
  if ! command -v dockerd >/dev/null || ! command -v curl >/dev/null; then
    install_engine
  fi
  folder /etc/docker/tls 0700
  put /etc/docker/tls/ca.pem 0644 <<<"$ENGINE_CA"
  put /etc/docker/tls/cert.pem 0644 <<<"$ENGINE_CERTIFICATE"
  put /etc/docker/tls/key.pem 0600 <<<"$ENGINE_KEY"
  local others=$changed before reload=false
  before=$(read_at_start)
  changed=false
  # Not a pipe: `put` would set `changed` in a subshell.
  put /etc/docker/daemon.json 0644 < <(daemon_json)
  if $changed && [ "$before" = "$(read_at_start)" ]; then
    reload=true changed=false
  fi
  if $others; then changed=true; fi
  folder /usr/local/lib/slipway 0755
  put /usr/local/lib/slipway/engine-gateway 0644 < <(gateway)
  put /etc/systemd/system/docker.service.d/slipway.conf 0644 < <(unit)
  if $changed; then systemctl daemon-reload; fi
  enabled docker.socket docker.service
  # systemd refuses to start a unit again that has failed several times.
  systemctl reset-failed docker.socket docker.service 2>/dev/null || true
  if $changed || $killed || runs_otherwise; then
    restart_engine
  else
    systemctl start docker.service
    # A running engine may have read /etc/hosts just before, and reads it again only after five seconds (Go's `net`).
    if $renamed; then sleep 5; fi
    if $reload; then systemctl reload docker.service; fi
  fi
  rm -f "$unread"
  trust_registry
  authorise_operators
  name_resolvers
  close_to_containers
  harden_ssh
  put /usr/local/lib/slipway/switch 0755 <<<"$SWITCH_SCRIPT"
  put /usr/local/lib/slipway/wait-for-registry 0755 <<<"$WAIT_SCRIPT"
  wait_for_engine
  ! is_open || fail 4 "Docker Engine answers clients without a certificate, by settings that are not Slipway's:" \
    "$(systemctl cat docker.service | sed -n 's/^# //p' | tr '\n' ' ')"
  made+=("unit docker.service" "engine $(command_line)")
  prepare_proxy
  service keep "$KEEP_SCRIPT" "Starts the containers of Slipway that should run and have ended"
  tidy_images
  service apart "$APART_SCRIPT" "Keeps the services of Slipway apart"
  forward_ports
  show_metrics
  [ -z "$CLIENT_CERTIFICATE" ] || require_client_certificates
  sweep
  docker version --format 'Docker Engine {{.Server.Version}}'
  tell_made
}

main </dev/null
