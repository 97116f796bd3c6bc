#!/usr/bin/env bash
# The registry's folder belongs to the registry's user, for registry.sh and mount-data.sh.
set -euo pipefail

# own_data PATH USER: gives it all that is another's. Older versions had it as root, and a registry of theirs goes on
# until it is replaced: as a member of root's group, since it has no rights of root's. The folder itself comes last, so its
# owner says whether all of it is done.
own_data() {
  # Meanwhile a registry may remove a file, as at the end of an upload: both fail for that one, and go on.
  find "$1" -mindepth 1 -ignore_readdir_race -depth ! -user "$2" -exec chmod g=u {} + -exec chown -h "$2" {} + 2>/dev/null || true
  chmod g=u "$1"
  chown "$2" "$1"
}

# is_owned PATH USER
is_owned() { [ "$(stat -c %u "$1")" = "$2" ]; }
