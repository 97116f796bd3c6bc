# Decides which images of a registry to remove. It reads an inventory and prints a plan; it changes nothing itself.
#
# Input, a line each, P first (retention.sh makes it from the registry's folder and the in-use markers):
#   P KEEP DAYS NOW              the rule: keep the newest KEEP images and those of the last DAYS; NOW in seconds since 1970
#   D REPOSITORY@DIGEST          deployed: a host serves the image, or a service is to run it
#   S TIME REPOSITORY@DIGEST…    served: a service has served these images at that time
#   H VOLUME SERVICE TIME REPOSITORY@DIGEST…    the same, with the volume that is the marker; a useless one is removed
#   K REPOSITORY REASON          keep all images of the repository
#   L PATH TIME                  a link of a repository, by its path below `repositories`; TIME is its modification time
#   C PATH:DIGEST                the content of a tag's link
#   M PATH:TEXT                  a piece of a manifest, by its path below `blobs`: `{`, `"subject":{…}`, or a digest
#   B PATH SIZE                  a blob, by its path below `blobs`; bytes
#   U PATH TIME SIZE             the data of an unfinished upload, by its path below `repositories`
# Output, separated by tabs:
#   remove PATH                  a folder below `repositories`; in an order that is safe to interrupt
#   image REPOSITORY DIGEST TAGS TIME SIZE    an image to remove; SIZE is of its blobs, which other images may share
#   left REPOSITORY REASON       a repository that keeps all images
#   mark VOLUME                  a useless marker to remove
#   total KEPT GONE FREED USED   numbers of images kept and removed; bytes freed, and bytes used before
#
# An index keeps its platforms. An image keeps the manifests that refer to it by `subject` (signatures, attestations) or by
# the tag sha256-DIGEST, which the OCI distribution specification uses for registries without `subject`.
# An image is a manifest that is not part of an index and does not refer to another manifest. Its age counts from the last
# push of it, of one of its tags or of one of its platforms. The `created` inside may be anything, such as 1970.
# In a repository with served images, KEEP counts only images that have served and images pushed before the first record of
# that: a version that never became healthy takes no place of a version that did. The newest image of a repository always stays.
# Debian's mawk has neither {n} in patterns nor sorting.

BEGIN { FS = " "; OFS = "\t" }

$1 == "P" { now = $4; keep = $2; oldest = $3 > 0 ? $4 - $3 * 86400 : 1e18; previous = keep > 2 ? keep - 1 : 1 }
$1 == "D" { split($2, part, "@"); deployed[part[1], part[2]] = part[1] }
$1 == "S" { note(2, "") }
$1 == "H" { service_of[$2] = $3; note(4, $2) }
$1 == "K" { kept_because[$2] = substr($0, length($1 $2) + 3) }
$1 == "L" && match($2, "/_manifests/revisions/") {
  repository = substr($2, 1, RSTART - 1)
  digest = digest_of(substr($2, RSTART + RLENGTH))
  repositories[repository]
  members[repository] = members[repository] " " digest
  pushed[repository, digest] = later(pushed[repository, digest], $3)
  appeared[repository, digest] = earlier(appeared[repository, digest], $3)
}
$1 == "L" && /\/current\/link / && match($2, "/_manifests/tags/") {
  tag_time[substr($2, 1, length($2) - length("/current/link"))] = $3
}
$1 == "L" && match($2, /\/_manifests\/tags\/[^\/]+\/index\//) {
  digest = digest_of(substr($2, RSTART + RLENGTH))
  repository = substr($2, 1, RSTART - 1)
  appeared[repository, digest] = earlier(appeared[repository, digest], $3)
  history[repository, digest] = history[repository, digest] " " substr($2, 1, length($2) - length("/link"))
}
$1 == "C" { colon = index($2, ":"); tag_digest[substr($2, 1, colon - 1 - length("/current/link"))] = substr($2, colon + 1) }
$1 == "M" {
  text = substr($0, 3)
  colon = index(text, ":")
  digest = blob_of(substr(text, 1, colon - 1))
  text = substr(text, colon + 1)
  if (text ~ /^[ \t]*\{/) readable[digest]
  else if (text ~ /^"subject"/) subject[digest] = digest_in(text)
  else named[digest] = named[digest] " " text
}
$1 == "B" { size[blob_of($2)] = $3; used += $3 }

# Remove an upload after a day without data. The registry itself waits for a week, in which uploads may fill the disk.
$1 == "U" {
  used += $4
  if ($3 < now - 86400) { freed += $4; others_out = others_out "remove\t" substr($2, 1, length($2) - length("/data")) "\n" }
}

END {
  for (path in tag_digest) {
    repository = substr(path, 1, index(path, "/_manifests/") - 1)
    digest = tag_digest[path]
    if (!((repository, digest) in pushed)) continue
    pushed[repository, digest] = later(pushed[repository, digest], tag_time[path])
    tags[repository, digest] = tags[repository, digest] " " substr(path, index(path, "/tags/") + length("/tags/"))
  }
  for (repository in repositories) decide(repository)
  for (volume in noted) if (!is_useful(volume)) print "mark", volume
  for (digest in size) if (!(digest in needed)) freed += size[digest]
  # Tags go first, so that no tag names a missing image; an index goes before its platforms.
  printf "%s%s%s", tags_out, images_out, others_out
  print "total", kept_images + 0, gone_images + 0, sprintf("%.0f", freed), sprintf("%.0f", used)
}

function later(one, other) { return one + 0 > other + 0 ? one : other }

# An empty time counts as later than any other.
function earlier(one, other) { return one == "" || other + 0 < one + 0 ? other : one }

# note(N, VOLUME): records that images have served. Field N is the time, the fields after it are the images.
function note(n, volume, i, part, images) {
  if (volume != "") time_of[volume] = $n
  for (i = n + 1; i <= NF; i++) {
    split($i, part, "@")
    served[part[1], part[2]]
    images = images " " $i
    since[part[1]] = earlier(since[part[1]], $n)
    if (volume != "" && (!(part[1] in first_note) || $n + 0 < time_of[first_note[part[1]]] + 0)) first_note[part[1]] = volume
  }
  if (volume == "") return
  # A service and those that run its image have a marker each, which the state has.
  noted[volume] = images
  images = service_of[volume] images
  if (!(images in last_note) || $n + 0 > time_of[last_note[images]] + 0) last_note[images] = volume
}

# The first marker of a repository is useful, since KEEP counts from its time; so is a service's last marker of an image that
# stays.
function is_useful(volume, i, count, refs, part) {
  count = split(noted[volume], refs, " ")
  for (i = 1; i <= count; i++) {
    split(refs[i], part, "@")
    if (first_note[part[1]] == volume) return 1
    if (last_note[service_of[volume] noted[volume]] == volume && ((part[1], part[2]) in deployed || (part[1], part[2]) in kept)) return 1
  }
  return 0
}

# sha256/HEX/… as a digest.
function digest_of(path, part) { split(path, part, "/"); return part[1] ":" part[2] }

# sha256/AB/HEX/data as a digest.
function blob_of(path, part) { split(path, part, "/"); return part[1] ":" part[3] }

function digest_in(text) {
  if (!match(text, /"digest"[ \t]*:[ \t]*"[a-z0-9]+:[0-9a-f]+"/)) return ""
  text = substr(text, RSTART, RLENGTH - 1)
  return substr(text, match(text, /[a-z0-9]+:[0-9a-f]+$/))
}

# tagged_for(TAG): the digest of the image that a tag like sha256-HEX or sha256-HEX.sig refers to; empty for other tags.
function tagged_for(tag) {
  if (tag !~ /^sha(256|512)-[0-9a-f]+(\.[A-Za-z0-9_.-]+)?$/) return ""
  sub(/\..*/, "", tag)
  sub(/-/, ":", tag)
  return tag
}

function link_up(one, i, count, refs, names, owner) {
  count = split(named[one], refs, " ")
  for (i = 1; i <= count; i++)
    if (refs[i] != one && (here, refs[i]) in pushed) { below[one] = below[one] " " refs[i]; is_below[refs[i]] }
  owner = subject[one]
  if (owner != "" && owner != one && (here, owner) in pushed) { after[owner] = after[owner] " " one; follows[one] }
  count = split(tags[here, one], names, " ")
  own_tags[one] = 0
  for (i = 1; i <= count; i++) {
    owner = tagged_for(names[i])
    if (owner != "" && owner != one && (here, owner) in pushed) { after[owner] = after[owner] " " one; follows[one] }
    else own_tags[one]++
  }
}

# The time of the last push of an image or one of its platforms.
function age_of(one, i, count, refs, newest) {
  if (one in age) return age[one]
  newest = pushed[here, one]
  count = split(below[one], refs, " ")
  for (i = 1; i <= count; i++) newest = later(newest, age_of(refs[i]))
  return age[one] = newest
}

function hold(one, held, i, count, refs) {
  if (one in held) return
  held[one]
  count = split(below[one] after[one], refs, " ")
  for (i = 1; i <= count; i++) hold(refs[i], held)
}

# Whether KEEP counts an image: it or one of its platforms has served, or it is older than the first record of that.
function counts(one, seen, part) {
  if (!(here in since) || appeared[here, one] + 0 < since[here] + 0) return 1
  clear(seen)
  hold(one, seen)
  for (part in seen) if ((here, part) in served) return 1
  return 0
}

# The newest image that KEEP counts, is not chosen yet and is not newer than a limit.
function newest_image(chosen, limit, i, best) {
  best = ""
  for (i = 1; i <= images; i++) {
    if (image[i] in chosen || !(image[i] in candidate) || age[image[i]] + 0 > limit) continue
    if (best == "" || age[image[i]] + 0 > age[best] + 0 || (age[image[i]] + 0 == age[best] + 0 && image[i] > best)) best = image[i]
  }
  return best
}

function choose(number, limit, chosen, i, best) {
  for (i = 0; i < number && (best = newest_image(chosen, limit)) != ""; i++) { chosen[best]; hold(best, stays) }
}

function size_of(one, seen, i, count, refs, sum) {
  if (one in seen) return 0
  seen[one]
  sum = size[one]
  count = split(named[one] after[one], refs, " ")
  for (i = 1; i <= count; i++) {
    if ((here, refs[i]) in pushed) sum += size_of(refs[i], seen)
    else if (!(refs[i] in seen)) { seen[refs[i]]; sum += size[refs[i]] }
  }
  return sum
}

function clear(array, key) { for (key in array) delete array[key] }

function decide(repository, i, j, count, one, refs, all, why, chosen, seen, paths, names) {
  here = repository
  clear(below); clear(after); clear(is_below); clear(follows); clear(own_tags); clear(age); clear(stays); clear(candidate)
  images = 0
  count = split(members[repository], all, " ")
  why = repository ~ /^mirror\// ? "mirrored images stay" : kept_because[repository]
  for (i = 1; i <= count; i++) {
    # A manifest without its blob cannot be read or used: it is no image, and stays.
    if (all[i] in size && !(all[i] in readable)) why = "the manifest " all[i] " cannot be read"
    link_up(all[i])
  }
  for (i = 1; i <= count; i++) {
    one = all[i]
    age_of(one)
    if (one in size && !(one in is_below) && (!(one in follows) || own_tags[one])) image[++images] = one
  }
  # Two manifests that refer to each other belong to no image: they stay.
  clear(seen)
  for (i = 1; i <= images; i++) hold(image[i], seen)
  for (i = 1; i <= count; i++) if (!(all[i] in seen) || why != "" || !(all[i] in size)) hold(all[i], stays)

  # The newest image stays, whether KEEP counts it or not: if an update ended between the push and the deployed marker, no
  # marker names it, but Pulumi's state has it, so the next update does not push it again.
  for (i = 1; i <= images; i++) candidate[image[i]]
  clear(chosen)
  choose(1, 1e18, chosen)
  clear(candidate)
  for (i = 1; i <= images; i++) if (counts(image[i])) candidate[image[i]]
  clear(chosen)
  choose(keep, 1e18, chosen)
  for (i = 1; i <= images; i++) if (age[image[i]] + 0 >= oldest) hold(image[i], stays)
  for (i = 1; i <= count; i++) {
    one = all[i]
    if (!((repository, one) in deployed)) continue
    hold(one, stays)
    # Its index stays, too; and the images pushed before it, for a roll-back.
    clear(chosen)
    for (j = 1; j <= images; j++) {
      clear(seen)
      hold(image[j], seen)
      if (one in seen) { hold(image[j], stays); chosen[image[j]] }
    }
    choose(previous, age[one] + 0, chosen)
  }

  for (i = 1; i <= count; i++) if (all[i] in stays) { kept[repository, all[i]]; need(all[i]) }
  for (i = 1; i <= images; i++) {
    if (image[i] in stays) { kept_images++; continue }
    gone_images++
    clear(seen)
    names = tags[repository, image[i]]
    sub(/^ /, "", names)
    gsub(/ /, ",", names)
    print "image", repository, image[i], names, sprintf("%.0f", age[image[i]]), sprintf("%.0f", size_of(image[i], seen))
    images_out = images_out removal(repository, image[i])
    removed[repository, image[i]]
  }
  for (i = 1; i <= count; i++)
    if (!(all[i] in stays) && !((repository, all[i]) in removed)) others_out = others_out removal(repository, all[i])
  if (why != "") print "left", repository, why
}

function need(one, i, count, refs) {
  needed[one]
  count = split(named[one] " " subject[one], refs, " ")
  for (i = 1; i <= count; i++) needed[refs[i]]
}

# The folders of a manifest to remove. Those of its tags go to tags_out, which is printed first.
function removal(repository, one, i, count, names, paths, out) {
  count = split(tags[repository, one], names, " ")
  for (i = 1; i <= count; i++) tags_out = tags_out "remove\t" repository "/_manifests/tags/" names[i] "\n"
  out = one
  sub(/:/, "/", out)
  out = "remove\t" repository "/_manifests/revisions/" out "\n"
  count = split(history[repository, one], paths, " ")
  for (i = 1; i <= count; i++) out = out "remove\t" paths[i] "\n"
  return out
}
