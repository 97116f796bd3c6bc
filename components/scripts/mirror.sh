#!/usr/bin/env bash
# Copies an image of others into the stack's registry, and prints the copy's digest.
# Run anew it takes what the source has now. With `keep` it does and prints nothing: the copy's digest is in the stack's
# outputs, and what its tag names by now is not asked, since whoever may push could have moved it.
#
#   bash -s [keep]
#
# The values come ahead of this text, on standard input (components/script.py):
#   IMAGE             the image as people write it, name:tag or name:tag@digest
#   SOURCE            its whole name, registry/repository:tag or registry/repository@digest
#   COPY              the copy's whole name, with its tag
#   REGISTRY          the registry of the copy, host or host:port
#   PLAIN             `true` if that speaks plain HTTP
#   ACCOUNT PASSWORD  who to be there
set -euo pipefail
umask 077

: "${IMAGE:?}" "${SOURCE:?}" "${COPY:?}" "${REGISTRY:?}" "${PLAIN:?}" "${ACCOUNT:?}" "${PASSWORD:?}"

# Seconds in which a source has to say what it has. A closed network often swallows the question.
PATIENCE=20

in_docker() { docker --config "$folder" "$@"; }

in_skopeo() {
  local command=$1
  shift
  skopeo --insecure-policy "$command" "$@"
}

# digest_of OPTION… NAME: of what the registry has under this name, which is the index where there is one.
digest_of() {
  local manifest
  manifest=$(timeout "$PATIENCE" skopeo --insecure-policy inspect --raw "${@:1:$#-1}" "docker://${!#}" && printf x) || return
  printf 'sha256:%s\n' "$(printf '%s' "${manifest%x}" | sha256sum | cut -d' ' -f1)"
}

# It copies all platforms of an image at once, without an engine in between, which has one only.
install_skopeo() {
  command -v skopeo >/dev/null && return
  if command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q && apt-get install -q -y --no-install-recommends skopeo
  elif command -v dnf >/dev/null; then
    dnf install -q -y skopeo
  else
    return 1
  fi >&2
}

# from_source: prints the digest of what it has copied.
from_source() {
  command -v skopeo >/dev/null || return
  # A source that we know no account for; and one that has to answer soon.
  digest_of --no-creds "$SOURCE" >/dev/null || return
  in_skopeo copy --all --preserve-digests --src-no-creds --dest-authfile "$folder/config.json" \
    "--dest-tls-verify=$verify" --digestfile "$folder/digest" "docker://$SOURCE" "docker://$COPY" >&2 || return
  cat "$folder/digest"
}

# from_engine: the same with what the engine has, which is one platform of it: this machine's.
from_engine() {
  local name=$IMAGE pushed
  case $IMAGE in *@*) name=${IMAGE%%@*} name=${name%:*}@${IMAGE#*@} ;; esac
  # Without skopeo nobody has asked the source yet what it has now.
  command -v skopeo >/dev/null || timeout 600 docker pull -q "$name" >&2 || true
  docker image inspect "$name" >/dev/null 2>&1 || docker pull -q "$name" >&2 || return
  docker tag "$name" "$COPY"
  # What this push has sent, and not what the tag names afterwards.
  pushed=$(in_docker push "$COPY" | sed -n 's/^.*: digest: \(sha256:[0-9a-f]\{64\}\) size: .*$/\1/p')
  docker rmi "$COPY" >/dev/null
  [ "$pushed" ] && echo "$pushed"
}

main() {
  if [ "${1:-}" = keep ]; then return; fi
  exec 9>/run/slipway-mirror.lock
  flock 9
  # In memory. What a run left that was killed is nobody's, as only one run has the lock.
  rm -rf /run/slipway-login-mirror.*
  folder=$(mktemp -d /run/slipway-login-mirror.XXXXXX)
  trap 'rm -rf "$folder"' EXIT
  verify=true
  if $PLAIN; then verify=false; fi
  printf '{"auths":{"%s":{"auth":"%s"}}}' "$REGISTRY" "$(printf '%s' "$ACCOUNT:$PASSWORD" | base64 -w0)" >"$folder/config.json"
  install_skopeo || echo "slipway: this host gets no skopeo, so $IMAGE is copied for its own platform only" >&2
  if from_source; then return; fi
  echo "slipway: $SOURCE cannot be read, so what this host's engine has is taken" >&2
  if from_engine; then return; fi
  echo "slipway:registry.mirror: $IMAGE can neither be read from its registry nor be had from an engine" >&2
  exit 6
}

# Read whole before anything runs: whatever reads standard input would otherwise eat the rest of the script.
main "$@" </dev/null
