#!/usr/bin/env bash
# For mirror.sh, of which it takes the place of functions: the source's registry wants an account.
#
# A value besides:
#   SOURCE_LOGINS   the account, as in Docker's config.json
# shellcheck disable=SC2034,SC2154 # variables of mirror.sh
set -euo pipefail

: "${SOURCE_LOGINS:?}"

# sign_in: keeps the account in memory, for as long as the script runs.
sign_in() {
  mkdir -p "$folder/source"
  printf '%s' "$SOURCE_LOGINS" >"$folder/source/config.json"
}

# from_source: prints the digest of what it has copied.
from_source() {
  sign_in
  command -v skopeo >/dev/null || return
  digest_of "--authfile=$folder/source/config.json" "$SOURCE" >/dev/null || return
  in_skopeo copy --all --preserve-digests "--src-authfile=$folder/source/config.json" \
    "--dest-authfile=$folder/config.json" "--dest-tls-verify=$verify" --digestfile "$folder/digest" \
    "docker://$SOURCE" "docker://$COPY" >&2 || return
  cat "$folder/digest"
}

# docker: pulls with the account.
docker() {
  if [ "$1" = pull ]; then set -- --config "$folder/source" "$@"; fi
  command docker "$@"
}
