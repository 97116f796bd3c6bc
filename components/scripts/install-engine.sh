#!/usr/bin/env bash
# Installs a given version of Docker Engine, and keeps updates of the system from changing it.
# From Docker's own repository on Debian and Ubuntu (https://docs.docker.com/engine/install/), from Amazon's on Amazon Linux.
# cloud-init runs it once, at the first boot.
#
#   install-engine VERSION
set -euo pipefail

version=$1

fail() {
  echo "slipway: $1" >&2
  exit 4
}

installed() { dockerd --version 2>/dev/null | grep -qF "version $version"; }

from_docker() {
  export DEBIAN_FRONTEND=noninteractive
  local where codename package
  # shellcheck source=/dev/null
  where=$(. /etc/os-release && echo "$ID")
  # shellcheck source=/dev/null
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  install -d -m 0755 /etc/apt/keyrings
  curl -fsSL --retry 5 -o /etc/apt/keyrings/docker.asc "https://download.docker.com/linux/$where/gpg"
  echo "deb [arch=$(dpkg --print-architecture) signed-by=/etc/apt/keyrings/docker.asc]" \
    "https://download.docker.com/linux/$where $codename stable" >/etc/apt/sources.list.d/docker.list
  apt-get update -q
  package=$(apt-cache madison docker-ce | awk -v wanted=":$version-" 'index($3, wanted) { print $3; exit }')
  [ -n "$package" ] || fail "Docker's repository has no docker-ce $version for $where $codename"
  apt-get install -q -y --no-install-recommends "docker-ce=$package" "docker-ce-cli=$package" containerd.io
  apt-mark hold docker-ce docker-ce-cli >/dev/null
}

main() {
  if installed; then
    return
  fi
  if command -v apt-get >/dev/null; then
    from_docker
  elif command -v dnf >/dev/null; then
    # Amazon Linux updates only when told to, so nothing has to hold the version.
    dnf install -q -y "docker-$version"
  else
    fail "this system has neither apt-get nor dnf"
  fi
  installed || fail "Docker Engine $version was asked for, and this came: $(dockerd --version 2>&1)"
}

main </dev/null
