#!/usr/bin/env bash
# Prints the digest that an image's tag has at its source now; nothing if the source cannot be read from here.
# Sent by cli/update/newer_image.py on standard input to the host that makes the copies. It changes nothing.
#
# Values:
#   SOURCE         the image's whole name, registry/repository:tag
#   SOURCE_LOGINS  the account at that registry, as in Docker's config.json; unset without one
set -euo pipefail

: "${SOURCE:?}"

main() {
  local manifest folder options=(--no-creds)
  command -v skopeo >/dev/null || return 0
  if [ -n "${SOURCE_LOGINS:-}" ]; then
    # In memory.
    folder=$(mktemp -d /run/slipway-login-newest.XXXXXX)
    # shellcheck disable=SC2064 # the folder's name as it is now
    trap "rm -rf $folder" EXIT
    printf '%s' "$SOURCE_LOGINS" >"$folder/config.json"
    options=("--authfile=$folder/config.json")
  fi
  manifest=$(timeout 20 skopeo --insecure-policy inspect --raw "${options[@]}" "docker://$SOURCE" 2>/dev/null && printf x) || return 0
  printf 'sha256:%s\n' "$(printf '%s' "${manifest%x}" | sha256sum | cut -d' ' -f1)"
}

main </dev/null
