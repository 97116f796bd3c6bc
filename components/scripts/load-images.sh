#!/usr/bin/env bash
# Brings images to a host's Docker Engine: from this machine's engine, or from where the host can pull them.
# A host on a closed network, or a laptop's hosts, need no way to Docker Hub of their own.
#
# The values come ahead of this text, on standard input (components/script.py):
#   ENDPOINT                                 address of the host's engine, tcp://…
#   ENGINE_CA CLIENT_CERTIFICATE CLIENT_KEY  how to reach it (PEM)
#   IMAGES                                   image names, a line each
#   IMAGES_AT_HAND                           likewise, but of no matter if this machine's engine does not have them
set -euo pipefail
umask 077

: "${ENDPOINT:?}" "${ENGINE_CA:?}" "${CLIENT_CERTIFICATE:?}" "${CLIENT_KEY:?}" "${IMAGES?}" "${IMAGES_AT_HAND?}"

on_host() { DOCKER_CERT_PATH=$keys docker --tlsverify -H "$ENDPOINT" "$@"; }

# Whether this machine's engine has the image for the host's architecture, which may be another than its own.
is_here() {
  local here
  here=$(docker image inspect --format '{{.Architecture}}' "$1" 2>/dev/null) || return 1
  architecture=${architecture:-$(on_host version --format '{{.Server.Arch}}')}
  [ "$here" = "$architecture" ]
}

main() {
  local architecture=
  local image here=() missing=()
  if ! command -v docker >/dev/null; then
    echo "slipway: this machine has no docker command, which brings images to the hosts: install Docker's CLI" >&2
    exit 4
  fi
  keys=$(mktemp -d)
  trap 'rm -rf "$keys"' EXIT
  printf '%s' "$ENGINE_CA" >"$keys/ca.pem"
  printf '%s' "$CLIENT_CERTIFICATE" >"$keys/cert.pem"
  printf '%s' "$CLIENT_KEY" >"$keys/key.pem"

  while IFS= read -r image; do
    [ -n "$image" ] || continue
    on_host image inspect "$image" >/dev/null 2>&1 && continue
    if is_here "$image"; then
      here+=("$image")
    elif ! on_host pull -q "$image" >/dev/null; then
      missing+=("$image")
    fi
  done <<<"$IMAGES"
  while IFS= read -r image; do
    if [ -n "$image" ] && ! on_host image inspect "$image" >/dev/null 2>&1 &&
      docker image inspect "$image" >/dev/null 2>&1; then
      here+=("$image")
    fi
  done <<<"$IMAGES_AT_HAND"

  if [ "${#here[@]}" -gt 0 ]; then
    docker save "${here[@]}" | on_host load -q >/dev/null
  fi
  if [ "${#missing[@]}" -gt 0 ]; then
    echo "slipway: the host can neither pull nor get from this machine's engine: ${missing[*]}" >&2
    echo "slipway: run './slip up', which gets them, or 'docker pull' here, and try again" >&2
    exit 5
  fi
}

# Read whole before anything runs: whatever reads standard input would otherwise eat the rest of the script.
main </dev/null
