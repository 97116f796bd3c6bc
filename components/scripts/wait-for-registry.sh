#!/usr/bin/env bash
# Waits until the registry answers, as its clients will ask it: over TLS, by the authority that this host trusts.
#
#   wait-for-registry HOST:PORT
set -euo pipefail

for _ in $(seq 150); do
  # Without an account the answer is 401, which is an answer.
  if curl -s -o /dev/null --max-time 5 --cacert "/etc/docker/certs.d/$1/ca.crt" "https://$1/v2/"; then
    exit 0
  fi
  sleep 0.2
done
{
  echo "slipway: the registry does not answer at https://$1/v2/; the last attempt, and the container's last log lines:"
  curl -sS -o /dev/null --max-time 5 --cacert "/etc/docker/certs.d/$1/ca.crt" "https://$1/v2/" || true
  docker logs --tail 20 slipway-registry 2>&1 | sed 's/^/  | /'
} >&2
exit 5
