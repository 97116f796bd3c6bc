#!/usr/bin/env bash
# A roll-out as a team would write it without Slipway: build and push; then, on one host after another, pull, run and
# switch over. `make bench` compares an update with it. Run it in the folder that contains the build context.
#
#   CONTEXT     the build context
#   BASE_IMAGE  the app's base image
#   REGISTRY    host:port of the registry
#   BUILD_HOST  docker context of the build host
#   APP_HOSTS   docker context and network of each host, in the order of the roll-out: "web-1=net-1 web-2=net-2"
#   DOMAIN      the service's domain
#   REFERENCE   an image by digest that the hosts have, to roll that out without a build, a push and a pull; or empty
#   PREFIX      what the names of the hosts' own containers begin with
#
# The stack's proxy has the port, so it switches as that proxy's host does: by the host's own command, which waits until
# the container is healthy, switches over, waits for the last requests and ends the container before. The hosts are
# containers of this machine, so `docker exec` starts it, where a team would have `ssh`.
set -euo pipefail
: "${CONTEXT:?}" "${BASE_IMAGE:?}" "${REGISTRY:?}" "${BUILD_HOST:?}" "${APP_HOSTS:?}" "${DOMAIN:?}" "${PREFIX:?}"

service=plain
tag=$(date +%Y%m%d%H%M%S)
image=$REGISTRY/$service:$tag

reference=${REFERENCE:-}
if [ -z "$reference" ]; then
  docker --context "$BUILD_HOST" build --tag "$image" \
    --build-arg BASE_IMAGE="$BASE_IMAGE" \
    --build-arg TITLE="$service" \
    "$CONTEXT"
  docker --context "$BUILD_HOST" push "$image"
  reference=$(docker --context "$BUILD_HOST" inspect --format '{{index .RepoDigests 0}}' "$image")
fi

for pair in $APP_HOSTS; do
  host=${pair%%=*} network=${pair#*=}
  on_host() { docker --context "$host" "$@"; }

  old=$(on_host ps --quiet --filter label=bench.service="$service")
  [ -n "${REFERENCE:-}" ] || on_host pull "$reference"
  on_host run --detach --name "$service-$tag" --network "$network" --label bench.service="$service" \
    --label slipway.service="$service" \
    --restart unless-stopped --memory 512m --security-opt no-new-privileges --ulimit nproc=4096 "$reference"
  docker exec "$PREFIX$host" \
    /usr/local/lib/slipway/switch "$service" "$service-$tag" 8080 /up 30 30 10 "$DOMAIN"
  if [ -n "$old" ]; then
    on_host rm --force "$old"
  fi
done
