#!/usr/bin/env bash
# Logs in to an external registry from one of the stack's hosts, as its engine will, and logs out again.
#
# Values:
#   HOST_NAME         this host's name in the configuration
#   SERVER            the registry, host or host:port
#   ACCOUNT PASSWORD  the account there
#   AUTHORITY         the CA to trust (PEM); empty if every machine trusts it already
set -euo pipefail

: "${HOST_NAME:?}" "${SERVER:?}" "${ACCOUNT:?}" "${PASSWORD:?}" "${AUTHORITY?}"

# explain MESSAGE: the engine's error message as the setting to correct.
explain() {
  local setting=slipway:registry.external.server
  case $1 in
    *"signed by unknown authority"*)
      if [ -n "$AUTHORITY" ]; then
        echo "slipway:registry.external.certificateAuthority: the certificate of $SERVER does not come from it"
      else
        echo "slipway:registry.external.certificateAuthority is not set, and the certificate of $SERVER comes from" \
          "an authority that $HOST_NAME does not know"
      fi
      ;;
    *[Uu]nauthorized* | *denied* | *"incorrect username or password"*)
      echo "slipway:registry.external.username, or slipway:secrets.REGISTRY_PASSWORD: $SERVER refuses the account" \
        "$ACCOUNT with this password"
      ;;
    *"x509: "*) echo "$setting: the certificate of $SERVER is invalid: ${1##*x509: }" ;;
    *"HTTP response to HTTPS client"*) echo "$setting: $SERVER speaks plain HTTP, and Slipway requires TLS" ;;
    *) echo "$setting: $HOST_NAME does not reach $SERVER: ${1##*: }" ;;
  esac
}

main() {
  local message
  # The password must not stay on the host: Pulumi sends it to the engine with each push and pull.
  # In memory. What a run left that was killed is nobody's, as only one run has the lock.
  lock login
  rm -rf /run/slipway-login.*
  folder=$(mktemp -d /run/slipway-login.XXXXXX)
  trap 'rm -rf "$folder"' EXIT
  for attempt in 1 2 3; do
    if message=$(docker --config "$folder" login "$SERVER" --username "$ACCOUNT" --password-stdin 2>&1 <<<"$PASSWORD"); then
      echo "$SERVER accepts the account $ACCOUNT"
      return
    fi
    case $message in *[Uu]nauthorized* | *x509* | *denied*) break ;; esac
    # The network of a host that has just booted may take a moment.
    [ "$attempt" = 3 ] || sleep "$attempt"
  done
  explain "$(tr '\n' ' ' <<<"$message" | sed 's/ *$//')" >&2
  exit 6
}

main </dev/null
