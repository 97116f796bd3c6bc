# Decides which images of a registry may go. Reads what the registry has, says what to remove; touches nothing.
#
# In, a line each, P first (retention.sh writes them from the registry's folder):
#   P KEEP DAYS NOW              the rule: newest KEEP and last DAYS of every repository; NOW in seconds since 1970
#   D REPOSITORY@DIGEST          deployed: a host serves it, or a service is to run it
#   S TIME REPOSITORY@DIGEST…    served: a service has served these images at that time
#   H VOLUME TIME REPOSITORY@DIGEST…    the same, with the volume that says so and that may go
#   K REPOSITORY WHY             a repository of which nothing may go
#   L PATH TIME                  a link of a repository, by its path below `repositories`; TIME is when it was written
#   C PATH:DIGEST                what a tag's link says
#   M PATH:TEXT                  a piece of a manifest, by its path below `blobs`: `{`, `"subject":{…}`, or a digest
#   B PATH SIZE                  a blob, by its path below `blobs`; bytes
#   U PATH TIME SIZE             what there is of an upload that is not complete, by its path below `repositories`
# Out, separated by tabs:
#   remove PATH                  a folder below `repositories`, in the order in which it is safe to be killed
#   image REPOSITORY DIGEST TAGS TIME SIZE    an image that goes; SIZE is of its blobs, which others may share
#   left REPOSITORY WHY          a repository of which nothing is removed
#   mark VOLUME                  a volume that says what has served, and is of no use any more
#   total KEPT GONE FREED USED   images that stay and go; bytes that nobody needs then, and of all there is now
#
# What follows what: an index keeps its platforms; an image keeps what refers to it by `subject` (signatures, attestations)
# or by the tag sha256-DIGEST, as the OCI distribution specification names it where `subject` is not known.
# An image is a manifest that neither belongs to an index nor follows another. Its age is when it, or a tag of it or of
# one of its platforms, was pushed last: the `created` inside is whatever its build says, such as 1970.
# In a repository of which some image has served, KEEP counts only those that have served and those that were pushed before
# the first note of it: a version that never got healthy takes no place of one that did.
# For mawk, which Debian has: no {n} in patterns, no sorting.

BEGIN { FS = " "; OFS = "\t" }

$1 == "P" { now = $4; keep = $2; oldest = $3 > 0 ? $4 - $3 * 86400 : 1e18; previous = keep > 2 ? keep - 1 : 1 }
$1 == "D" { split($2, part, "@"); deployed[part[1], part[2]] = part[1] }
$1 == "S" { note(2, "") }
$1 == "H" { note(3, $2) }
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

# Given up: nobody has sent anything for a day. The registry itself waits for a week, and a disk may be full of them.
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
  # First the tags, so that none ever stands for what is gone; an index goes before its platforms.
  printf "%s%s%s", tags_out, images_out, others_out
  print "total", kept_images + 0, gone_images + 0, sprintf("%.0f", freed), sprintf("%.0f", used)
}

function later(one, other) { return one + 0 > other + 0 ? one : other }

# Nothing is later than any time.
function earlier(one, other) { return one == "" || other + 0 < one + 0 ? other : one }

# note(N, VOLUME): the fields from the Nth say when which images served.
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
  noted[volume] = images
  if (!(images in last_note) || $n + 0 > time_of[last_note[images]] + 0) last_note[images] = volume
}

# The first note of a repository says since when it is known what served; of an image that stays, the last note counts.
function is_useful(volume, i, count, refs, part) {
  count = split(noted[volume], refs, " ")
  for (i = 1; i <= count; i++) {
    split(refs[i], part, "@")
    if (first_note[part[1]] == volume) return 1
    if (last_note[noted[volume]] == volume && ((part[1], part[2]) in deployed || (part[1], part[2]) in kept)) return 1
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

# Whether a tag stands for what belongs to another image, and to which: sha256-HEX, perhaps with .sig and the like.
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

# When an image was pushed last, by itself or one of its platforms.
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

# Whether KEEP counts an image: it, or a platform of it, has served; or it is older than what is known of that.
function counts(one, seen, part) {
  if (!(here in since) || appeared[here, one] + 0 < since[here] + 0) return 1
  clear(seen)
  hold(one, seen)
  for (part in seen) if ((here, part) in served) return 1
  return 0
}

# The newest image that KEEP counts, that was not chosen yet and is no newer than a limit.
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
    # Of one whose blob is gone nothing can be said, and nothing is left to be used: it counts for nothing and stays.
    if (all[i] in size && !(all[i] in readable)) why = "the manifest " all[i] " cannot be read"
    link_up(all[i])
  }
  for (i = 1; i <= count; i++) {
    one = all[i]
    age_of(one)
    if (one in size && !(one in is_below) && (!(one in follows) || own_tags[one])) image[++images] = one
  }
  # Two that follow each other would be nobody's.
  clear(seen)
  for (i = 1; i <= images; i++) hold(image[i], seen)
  for (i = 1; i <= count; i++) if (!(all[i] in seen) || why != "" || !(all[i] in size)) hold(all[i], stays)

  for (i = 1; i <= images; i++) if (counts(image[i])) candidate[image[i]]
  clear(chosen)
  choose(keep, 1e18, chosen)
  for (i = 1; i <= images; i++) if (age[image[i]] + 0 >= oldest) hold(image[i], stays)
  for (i = 1; i <= count; i++) {
    one = all[i]
    if (!((repository, one) in deployed)) continue
    hold(one, stays)
    # An index that has it stays too; and what was pushed before it, to which one could roll back.
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

# The folders of a manifest; those of its tags are noted to go before all others.
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
