#!/usr/bin/env bash
# Waits until the registry answers, as its clients will ask it: over TLS, by the authority that this host trusts and with
# this host's certificate, if it has one; or over plain HTTP where it was set up so.
#
#   wait-for-registry https://HOST:PORT
set -euo pipefail

# A colon in the certificate's path would end it, for curl.
cd "/etc/docker/certs.d/${1#*://}"
ask=(curl -o /dev/null --max-time 5 "$1/v2/")
case $1 in
  https://*)
    ask+=(--cacert ca.crt)
    if [ -e client.cert ]; then ask+=(--cert client.cert --key client.key); fi
    ;;
esac

for _ in $(seq 150); do
  # Without an account the answer is 401, which is an answer.
  if "${ask[@]}" -s; then
    exit 0
  fi
  sleep 0.2
done
{
  echo "slipway: the registry does not answer at $1/v2/; the last attempt, and the container's last log lines:"
  "${ask[@]}" -sS || true
  docker logs --tail 20 slipway-registry 2>&1 | sed 's/^/  | /'
} >&2
exit 5
