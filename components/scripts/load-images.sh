#!/usr/bin/env bash
# Loads images into a host's Docker Engine: from this machine's engine, or by a pull on the host.
# So a host on a closed network, or a local host, needs no access to Docker Hub. Runs on the operator's machine.
#
# Values:
#   ENDPOINT                                 address of the host's engine, tcp://…
#   ENGINE_CA CLIENT_CERTIFICATE CLIENT_KEY  the CA to trust, and the client certificate to show (PEM)
#   IMAGES                                   image names, a line each
#   OPTIONAL_IMAGES                          likewise, but loaded only if this machine's engine has them
#   BY_DIGEST                                lines with an image name, and the name with a digest that it is pulled by
set -euo pipefail

: "${ENDPOINT:?}" "${ENGINE_CA:?}" "${CLIENT_CERTIFICATE:?}" "${CLIENT_KEY:?}" "${IMAGES?}" "${OPTIONAL_IMAGES?}"

on_host() {
  docker --tlsverify --tlscacert "${keys[0]}" --tlscert "${keys[1]}" --tlskey "${keys[2]}" -H "$ENDPOINT" "$@"
}

# hide: makes files of the CA, the certificate and the key for this process and its children. The name of each is gone
# before it has any content, so a run that is killed leaves none. Where a descriptor cannot be opened anew, as on macOS,
# they keep their names until this process ends.
hide() {
  local folder
  folder=$(mktemp -d)
  # shellcheck disable=SC2064 # now
  trap "rm -rf '$folder'" EXIT
  if [ -e /proc/self/fd/0 ]; then
    exec 7>"$folder/ca" 8>"$folder/certificate" 9>"$folder/key"
    rm -rf "$folder"
    keys=(/proc/self/fd/7 /proc/self/fd/8 /proc/self/fd/9)
  else
    keys=("$folder/ca" "$folder/certificate" "$folder/key")
    exec 7>"${keys[0]}" 8>"${keys[1]}" 9>"${keys[2]}"
  fi
  printf '%s' "$ENGINE_CA" >&7
  printf '%s' "$CLIENT_CERTIFICATE" >&8
  printf '%s' "$CLIENT_KEY" >&9
}

# is_here IMAGE: whether this machine's engine has the image for the host's architecture, which may differ from its own.
is_here() {
  local here
  here=$(docker image inspect --format '{{.Architecture}}' "$1" 2>/dev/null) || return 1
  architecture=${architecture:-$(on_host version --format '{{.Server.Arch}}')}
  [ "$here" = "$architecture" ]
}

# pull IMAGE: has the host pull it; by its digest if that is known, so that the tag's owner cannot change what comes.
pull() {
  local named
  named=$(awk -v image="$1" '$1 == image { print $2 }' <<<"${BY_DIGEST:-}")
  on_host pull -q "${named:-$1}" >/dev/null || return 1
  [ -z "$named" ] || on_host tag "$named" "$1"
}

main() {
  local architecture=
  local image here=() missing=()
  command -v docker >/dev/null ||
    fail 4 "this machine has no docker command, which loads images into the hosts: install Docker's CLI"
  hide

  while IFS= read -r image; do
    [ -n "$image" ] || continue
    on_host image inspect "$image" >/dev/null 2>&1 && continue
    if is_here "$image"; then
      here+=("$image")
    elif ! pull "$image"; then
      missing+=("$image")
    fi
  done <<<"$IMAGES"
  while IFS= read -r image; do
    if [ -n "$image" ] && ! on_host image inspect "$image" >/dev/null 2>&1 &&
      docker image inspect "$image" >/dev/null 2>&1; then
      here+=("$image")
    fi
  done <<<"$OPTIONAL_IMAGES"

  if [ "${#here[@]}" -gt 0 ]; then
    docker save "${here[@]}" | on_host load -q >/dev/null
  fi
  if [ "${#missing[@]}" -gt 0 ]; then
    fail 5 "the host cannot pull these images, and this machine's engine does not have them: ${missing[*]}" \
      "run './slip up', which gets them, or 'docker pull' here, and try again"
  fi
}

main </dev/null
