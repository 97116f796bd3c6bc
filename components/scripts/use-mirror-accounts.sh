#!/usr/bin/env bash
# For use-mirror.sh, of which it takes the place of a function: registries of sources want accounts.
#
# A value besides:
#   SOURCE_LOGINS   the accounts, as in Docker's config.json
# shellcheck disable=SC2034,SC2154 # variables of use-mirror.sh
set -euo pipefail

: "${SOURCE_LOGINS:?}"

# make_again: from the registry itself, if only its tag names another image; from the source; from the engine.
make_again() {
  local logins=$folder/source/config.json
  mkdir -p "${logins%/*}"
  printf '%s' "$SOURCE_LOGINS" >"$logins"
  if command -v skopeo >/dev/null; then
    copy_from "$repository" "--authfile=$folder/config.json" "--tls-verify=$verify" && return
    copy_from "$source" "--authfile=$logins" && return
  fi
  push_ours
}
