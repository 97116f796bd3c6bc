#!/usr/bin/env bash
# Makes this machine one of Slipway's Docker hosts: an engine behind mutual TLS that trusts the registry.
# Safe to run again at any time; restarts the engine only when something that it reads at start has changed.
#
# The values come ahead of this text, on standard input (components/script.py):
#   BIRTH                                    identity of this machine
#   ENGINE_CA ENGINE_CERTIFICATE ENGINE_KEY  who may drive the engine, and as whom it answers (PEM)
#   REGISTRY_ADDRESS REGISTRY_CA             the registry, host:port, and the authority to trust (PEM), empty if every
#                                            machine trusts it
#   REGISTRY_HOST_ADDRESS                    where its host is, if it is an IP address
#   INSECURE_REGISTRY                        the same host:port where it speaks plain HTTP, else empty
#   CLIENT_CERTIFICATE CLIENT_KEY            as whom this host comes to the registry (PEM); empty if it does not ask
#   SWITCH_SCRIPT WAIT_SCRIPT                texts of switch.sh and wait-for-registry.sh
set -euo pipefail
umask 077

: "${BIRTH:?}" "${ENGINE_CA:?}" "${ENGINE_CERTIFICATE:?}" "${ENGINE_KEY:?}"
: "${REGISTRY_ADDRESS:?}" "${REGISTRY_HOST_ADDRESS?}" "${REGISTRY_CA?}" "${SWITCH_SCRIPT:?}" "${WAIT_SCRIPT:?}"

fail() {
  echo "slipway: $1" >&2
  exit 4
}

# put FILE MODE: installs standard input as FILE, in one step, if it differs. Says so in `changed`.
put() {
  local file=$1 mode=$2 new
  mkdir -p "$(dirname "$file")"
  new=$(mktemp "$file.XXXXXX")
  cat >"$new"
  chmod "$mode" "$new"
  if cmp -s "$new" "$file"; then
    rm -f "$new"
  else
    mv -f "$new" "$file"
    changed=true
  fi
}

# Where no name server knows the registry's host, /etc/hosts does. Written in its place, since it may be a mount.
name_registry() {
  local name=${REGISTRY_ADDRESS%:*} rest
  [[ $REGISTRY_HOST_ADDRESS =~ ^[0-9.]+$|: ]] || return 0
  grep -qxF "$REGISTRY_HOST_ADDRESS $name # slipway" /etc/hosts && return
  rest=$(grep -v '# slipway$' /etc/hosts || true)
  printf '%s\n' "$REGISTRY_HOST_ADDRESS $name # slipway" "$rest" >/etc/hosts
  renamed=true
}

install_engine() {
  command -v apt-get >/dev/null ||
    fail "this host has neither Docker Engine with curl nor apt-get: install Docker Engine 20.10 or newer, and curl"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q
  apt-get install -q -y --no-install-recommends docker.io iptables ca-certificates curl
}

daemon_json() {
  # live-restore: containers outlive a restart of the engine, so that a renewed certificate disturbs nobody.
  # insecure-registries: there even if empty, or an engine that runs would go on with those of before.
  local quote='"'
  cat <<JSON
{
  "insecure-registries": [${INSECURE_REGISTRY:+$quote$INSECURE_REGISTRY$quote}],
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

# What an engine reads at its start only: the list of registries that speak plain HTTP is none of it.
read_at_start() { grep -v '"insecure-registries"' /etc/docker/daemon.json 2>/dev/null || true; }

unit() {
  # The packages' unit names its listeners on the command line, where daemon.json may not name them again.
  cat <<UNIT
[Service]
ExecStart=
ExecStart=$(command -v dockerd) -H fd:// -H tcp://0.0.0.0:2376 --containerd=/run/containerd/containerd.sock
UNIT
}

wait_for_engine() {
  for _ in $(seq 100); do
    docker version >/dev/null 2>&1 && return
    sleep 0.1
  done
  journalctl -u docker.service -n 20 --no-pager >&2 || true
  fail "Docker Engine does not start; above are its last words"
}

# The engine reads the registry's folder at each pull and push.
trust_registry() {
  local folder=/etc/docker/certs.d/$REGISTRY_ADDRESS
  if [ -n "$REGISTRY_CA" ]; then
    put "$folder/ca.crt" 0644 <<<"$REGISTRY_CA"
  else
    rm -f "$folder/ca.crt"
  fi
  if [ -n "$CLIENT_CERTIFICATE" ]; then
    put "$folder/client.key" 0600 <<<"$CLIENT_KEY"
    put "$folder/client.cert" 0644 <<<"$CLIENT_CERTIFICATE"
  else
    rm -f "$folder/client.cert" "$folder/client.key"
  fi
}

# An engine that keeps its images in containerd's store, as Docker Engine 29 does, shows registries no certificate
# (https://github.com/moby/moby/issues/51662).
shows_certificates() {
  case "$(docker info --format '{{ json .DriverStatus }}')" in
    *io.containerd.snapshotter*)
      fail "the registry asks for client certificates (slipway:registry.clientCertificates), and $(docker version \
        --format 'Docker Engine {{ .Server.Version }}') of this host shows none: use Docker Engine 28, or do without"
      ;;
  esac
}

# published CONTAINER…: an address, a port of it, the container's address and its port, for each port that is published
# to more than this machine.
published() {
  docker inspect "$@" --format '{{ $to := "" }}{{ range .NetworkSettings.Networks }}{{ $to = .IPAddress }}{{ end }}{{
    range $port, $from := .NetworkSettings.Ports }}{{ range $from }}{{
      .HostIp }} {{ .HostPort }} {{ $to }} {{ $port }}{{ println }}{{ end }}{{ end }}' |
    sed -n 's,/tcp$,,; /^127\./d; /^[0-9.]* [0-9]* [0-9.]* [0-9]*$/p'
}

# neighbours CONTAINER: address and name of each container that it can call by name.
neighbours() {
  docker inspect "$1" --format '{{ range $name, $_ := .NetworkSettings.Networks }}{{ println $name }}{{ end }}' |
    xargs -r docker network inspect --format '{{ range .Containers }}{{ println .IPv4Address .Name }}{{ end }}' |
    sed -n 's,/[0-9]* , ,p'
}

# Containers outlive a restart of the engine, but for a second it neither tells them each other's addresses nor forwards
# ports to them. So what it has told and forwarded holds without it meanwhile, and no request is lost.
hold() {
  local running from port to inside hosts_file
  running=$(docker ps -q 2>/dev/null) || return 0
  [ -n "$running" ] || return 0
  # Ends by itself, should this run be killed. Names that a restart just before this one holds stay meanwhile: questions
  # still go to where the engine answered before that.
  systemctl stop slipway-release.timer 2>/dev/null || true
  systemd-run --quiet --collect --unit=slipway-release --on-active="$NAMES_HELD" \
    bash -c "$(declare -f name_in release_ports release_names); release_ports; release_names"
  if command -v iptables >/dev/null; then
    iptables -w -t nat -N SLIPWAY
    iptables -w -N SLIPWAY
    # Whatever the machine's owner has forbidden stays so.
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
  fi
  if hosts_file=$(docker inspect slipway-proxy --format '{{ .HostsPath }}' 2>/dev/null); then
    name_in "$hosts_file" "$(neighbours slipway-proxy | sed 's/$/ # slipway/')"
    # Programs in Go look at this file every five seconds.
    sleep 6
  fi
}

# name_in FILE LINES: a container's /etc/hosts has these lines, each with address, name and our mark, in place of those before.
# In its place, since the container has this very file, and never without a name that stays: the container may read it at
# any moment, and keeps what it has read.
name_in() {
  local text
  text=$(sed '/ # slipway$/d' "$1")${2:+$'\n'$2}
  cat <<<"$text" 1<>"$1"
  truncate --size=$((${#text} + 1)) "$1"
}

# Seconds that names are held: for two minutes after the restart the kernel still sends some questions to where the engine
# answered them before.
NAMES_HELD=180

# These two end what `hold` began, in this run or in one that was killed.
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

release_names() {
  local file
  for file in /var/lib/docker/containers/*/hosts; do
    if grep -q ' # slipway$' "$file" 2>/dev/null; then name_in "$file" ""; fi
  done
}

restart_engine() {
  release_ports
  trap release_ports EXIT
  # If it does not hold, a moment's requests are lost; the certificate has to be in place all the same.
  hold || true
  systemctl restart docker.service
  wait_for_engine
}

# A new machine can have an old machine's disk. Its containers, and its marks of what services run and hosts serve, are in
# no state any more: Slipway makes its own anew. What has served at some time stays true.
sweep() {
  local born=/var/lib/docker/slipway-birth label
  if [ "$(cat "$born" 2>/dev/null)" != "$BIRTH" ]; then
    docker ps -aq --filter label=slipway.stack | xargs -r docker rm -f >/dev/null
    for label in slipway.deployed slipway.serving; do
      docker volume ls -q --filter "label=$label" | xargs -r docker volume rm -f >/dev/null
    done
    echo "$BIRTH" >"$born"
  fi
}

main() {
  # A run whose operator was killed goes on: two must not get into each other's way.
  exec 9>/run/slipway-engine.lock
  flock 9
  # A run that was killed may have changed files that the engine has not read yet.
  local unread=/run/slipway-engine-unread killed=false
  [ ! -e "$unread" ] || killed=true
  touch "$unread"
  local renamed=false
  name_registry
  changed=false
  if ! command -v dockerd >/dev/null || ! command -v curl >/dev/null; then
    install_engine
  fi
  put /etc/docker/tls/ca.pem 0644 <<<"$ENGINE_CA"
  put /etc/docker/tls/cert.pem 0644 <<<"$ENGINE_CERTIFICATE"
  put /etc/docker/tls/key.pem 0600 <<<"$ENGINE_KEY"
  local others=$changed before reload=false
  before=$(read_at_start)
  changed=false
  # No pipe: `put` would say `changed` in a shell of its own.
  put /etc/docker/daemon.json 0644 < <(daemon_json)
  if $changed && [ "$before" = "$(read_at_start)" ]; then
    reload=true changed=false
  fi
  if $others; then changed=true; fi
  put /etc/systemd/system/docker.service.d/slipway.conf 0644 < <(unit)
  if $changed || $killed; then
    systemctl daemon-reload
    systemctl enable -q docker.socket docker.service
    # After some starts that failed systemd would not even try any more.
    systemctl reset-failed docker.socket docker.service 2>/dev/null || true
    restart_engine
  else
    systemctl start docker.service
    # An engine that runs may have read /etc/hosts just now, and would not look again for five seconds (Go's `net`).
    if $renamed; then sleep 5; fi
    if $reload; then systemctl reload docker.service; fi
  fi
  rm -f "$unread"
  trust_registry
  put /usr/local/lib/slipway/switch 0755 <<<"$SWITCH_SCRIPT"
  put /usr/local/lib/slipway/wait-for-registry 0755 <<<"$WAIT_SCRIPT"
  wait_for_engine
  [ -z "$CLIENT_CERTIFICATE" ] || shows_certificates
  sweep
  docker version --format 'Docker Engine {{.Server.Version}}'
}

# Read whole before anything runs: whatever reads standard input would otherwise eat the rest of the script.
main </dev/null
