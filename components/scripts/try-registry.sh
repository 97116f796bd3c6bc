#!/usr/bin/env bash
# Tries someone else's registry from one of the stack's hosts, as its engine will: name, trust, account. Leaves nothing.
#
# The values come ahead of this text, on standard input (components/script.py):
#   HOST_NAME         this host, in the configuration
#   SERVER            the registry, host or host:port
#   ACCOUNT PASSWORD  who to be there
#   AUTHORITY         whom to trust for it (PEM); empty for those that every machine trusts
set -euo pipefail
umask 077

: "${HOST_NAME:?}" "${SERVER:?}" "${ACCOUNT:?}" "${PASSWORD:?}" "${AUTHORITY?}"

# In the engine's words, and in those of the settings.
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
    *"x509: "*) echo "$setting: $SERVER shows a certificate that is not right: ${1##*x509: }" ;;
    *"HTTP response to HTTPS client"*) echo "$setting: $SERVER speaks plain HTTP, and this takes TLS" ;;
    *) echo "$setting: $HOST_NAME does not reach $SERVER: ${1##*: }" ;;
  esac
}

main() {
  local said
  # The account is not to stay on the host: the stack's state hands it to the engine at each push and pull.
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  for attempt in 1 2 3; do
    if said=$(docker --config "$folder" login "$SERVER" --username "$ACCOUNT" --password-stdin 2>&1 <<<"$PASSWORD"); then
      echo "$SERVER lets $ACCOUNT in"
      return
    fi
    case $said in *[Uu]nauthorized* | *x509* | *denied*) break ;; esac
    # The network of a host that has just booted may take a moment.
    [ "$attempt" = 3 ] || sleep "$attempt"
  done
  explain "$(tr '\n' ' ' <<<"$said" | sed 's/ *$//')" >&2
  exit 6
}

# Read whole before anything runs: whatever reads standard input would otherwise eat the rest of the script.
main </dev/null
