#!/usr/bin/env bash
# Pulls the mirrored images on this host and tags them with their usual names, so that builds start from them.
#
# Values:
#   IMAGES            a line each: the copy by digest, a blank, its usual name
#   REGISTRY          the registry of the copies, host or host:port
#   ACCOUNT PASSWORD  the account there
set -euo pipefail

: "${IMAGES:?}" "${REGISTRY:?}" "${ACCOUNT:?}" "${PASSWORD:?}"

main() {
  local copy name message
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  printf '{"auths":{"%s":{"auth":"%s"}}}' "$REGISTRY" "$(printf '%s' "$ACCOUNT:$PASSWORD" | base64 -w0)" >"$folder/config.json"
  while read -r copy name; do
    if message=$(docker --config "$folder" pull -q "$copy" 2>&1 >/dev/null); then
      docker tag "$copy" "$name"
      continue
    fi
    # The image is mirrored for people on machines of another platform.
    case $message in *"no matching manifest"*) continue ;; esac
    echo "slipway:registry.mirror: this host's engine cannot pull the copy of $name, $copy: $message" >&2
    exit 6
  done <<<"$IMAGES"
}

main </dev/null
