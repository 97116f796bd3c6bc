#!/usr/bin/env bash
# Waits until the registry answers, as an engine would ask it: over TLS, with the CA that this host trusts and with this
# host's client certificate, if it has one; or over plain HTTP if the registry is set up without TLS.
#
#   wait-for-registry https://HOST:PORT
set -euo pipefail

# curl would split a path to a certificate at its colon, so it gets names relative to this folder.
cd "/etc/docker/certs.d/${1#*://}"
ask=(curl -o /dev/null --max-time 5 -w '%{http_code}' "$1/v2/")
case $1 in
  https://*)
    ask+=(--cacert ca.crt)
    if [ -e client.cert ]; then ask+=(--cert client.cert --key client.key); fi
    ;;
esac

for _ in $(seq 150); do
  # Without an account the registry says 401: that is enough here. The proxy before it says 503 while it starts.
  if [ "$("${ask[@]}" -s)" = 401 ]; then
    # Pulumi's plugin cannot set it: processes and threads of a container, as many as switch.sh gives a service.
    docker update --pids-limit 4096 slipway-registry slipway-registry-proxy >/dev/null 2>&1 || true
    exit 0
  fi
  sleep 0.2
done
{
  echo "slipway: the registry does not answer at $1/v2/; the last attempt, and the container's last log lines:"
  "${ask[@]}" -sS || true
  for container in slipway-registry slipway-registry-proxy; do
    docker logs --tail 20 "$container" 2>&1 | sed "s/^/  $container | /"
  done
} >&2
exit 5
