#!/usr/bin/env bash
# Gives this host's engine images of the stack's registry under their usual names, so that builds stand on them.
#
# The values come ahead of this text, on standard input (components/script.py):
#   IMAGES            a line each: the copy by digest, a blank, its usual name
#   REGISTRY          the registry of the copies, host or host:port
#   ACCOUNT PASSWORD  who to be there
set -euo pipefail
umask 077

: "${IMAGES:?}" "${REGISTRY:?}" "${ACCOUNT:?}" "${PASSWORD:?}"

main() {
  local copy name said
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  printf '{"auths":{"%s":{"auth":"%s"}}}' "$REGISTRY" "$(printf '%s' "$ACCOUNT:$PASSWORD" | base64 -w0)" >"$folder/config.json"
  while read -r copy name; do
    if said=$(docker --config "$folder" pull -q "$copy" 2>&1 >/dev/null); then
      docker tag "$copy" "$name"
      continue
    fi
    # The registry's people may have it for other machines.
    case $said in *"no matching manifest"*) continue ;; esac
    echo "slipway:registry.mirror: this host's engine cannot pull the copy of $name, $copy: $said" >&2
    exit 6
  done <<<"$IMAGES"
}

# Read whole before anything runs: whatever reads standard input would otherwise eat the rest of the script.
main </dev/null
