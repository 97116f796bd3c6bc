#!/usr/bin/env bash
# Pulls the mirrored images on this host and tags them with their usual names, so that builds start from them.
# A copy that the registry no longer has is made again, by its digest.
#
#   bash -s [again]     `again` makes every copy again, which brings back missing parts and a tag that names another image
#
# Values:
#   COPIES            a line each: the copy's repository, its tag, its source's repository, its usual name, its digest
#   REGISTRY          the registry of the copies, host or host:port
#   PLAIN             `true` if that speaks plain HTTP
#   ACCOUNT PASSWORD  the account there
set -euo pipefail

: "${COPIES:?}" "${REGISTRY:?}" "${PLAIN:?}" "${ACCOUNT:?}" "${PASSWORD:?}"

# Seconds that reading a source may take. A closed network often swallows the question.
PATIENCE=600

in_docker() { docker --config "$folder" "$@"; }

# bring: the engine gets the copy under its usual name. Else `message` says why not.
bring() {
  message=$(in_docker pull -q "$repository@$digest" 2>&1 >/dev/null) || return
  docker tag "$repository@$digest" "$name"
}

# copy_from NAME OPTION…: copies all platforms by digest. skopeo refuses content with another digest.
copy_from() {
  local origin="docker://$1@$digest"
  shift
  timeout 20 skopeo --insecure-policy inspect --raw "$@" "$origin" >/dev/null 2>&1 || return
  timeout "$PATIENCE" skopeo --insecure-policy copy -q --all --preserve-digests "${@/#--/--src-}" \
    --dest-authfile "$folder/config.json" "--dest-tls-verify=$verify" "$origin" "docker://$repository:$tag" >&2
}

# push_ours: pushes what the engine has under this digest. It has one platform only: an index gets another digest.
push_ours() {
  local ours=$repository@$digest pushed
  if ! docker image inspect "$ours" >/dev/null 2>&1; then
    ours=$source@$digest
    timeout "$PATIENCE" docker pull -q "$ours" >&2 || return
  fi
  docker tag "$ours" "$repository:$tag"
  pushed=$(in_docker push "$repository:$tag" | sed -n 's/^.*: digest: \(sha256:[0-9a-f]\{64\}\) size: .*$/\1/p')
  docker rmi "$repository:$tag" >/dev/null
  [ "$pushed" = "$digest" ]
}

# make_again: from the registry itself, if only its tag names another image; from the source; from the engine.
make_again() {
  if command -v skopeo >/dev/null; then
    copy_from "$repository" "--authfile=$folder/config.json" "--tls-verify=$verify" && return
    copy_from "$source" --no-creds && return
  fi
  push_ours
}

main() {
  local repository tag source name digest message
  lock mirror
  # In memory. What a run left that was killed is nobody's, as only one run has the lock.
  rm -rf /run/slipway-login-mirror.*
  folder=$(mktemp -d /run/slipway-login-mirror.XXXXXX)
  trap 'rm -rf "$folder"' EXIT
  verify=true
  if $PLAIN; then verify=false; fi
  printf '{"auths":{"%s":{"auth":"%s"}}}' "$REGISTRY" "$(printf '%s' "$ACCOUNT:$PASSWORD" | base64 -w0)" >"$folder/config.json"
  while read -r repository tag source name digest; do
    message=""
    if [ -z "$digest" ]; then
      echo "slipway:registry.mirror: which version of $name was copied was not stored, since that update failed. \`./slip up -- --replace '**::mirror-*'\` copies it anew" >&2
      exit 6
    fi
    if [ "${1:-}" != again ] && bring; then continue; fi
    # The image is mirrored for people on machines of another platform.
    case $message in *"no matching manifest"*) continue ;; esac
    if make_again && { bring || [[ $message = *"no matching manifest"* ]]; }; then
      echo "slipway: the copy of $name was made again by its digest" >&2
      continue
    fi
    echo "slipway:registry.mirror: this host's engine cannot pull the copy of $name, $repository@$digest, and neither its source nor this host has it any more: ${message:-it could not be pushed}" >&2
    exit 6
  done <<<"$COPIES"
}

main "$@" </dev/null
