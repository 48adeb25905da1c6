#!/bin/bash
# fetch.sh: downloads MNIST: fetch.sh [FOLDER [SUMS [MIRROR...]]]. FOLDER is mnist/ beside this file where none is given;
# SUMS holds lines "SHA-256 of the uncompressed bytes, file name without .gz"; a MIRROR is a URL with the .gz files in it.
#
# A file stands under its name only when its bytes are right; until then it is NAME.gz.part, and the next call goes on from
# there. Mirrors are tried in turn. Calls at the same time wait for each other. The status is 0 when all files are there.
set -u
folder=${1:-$(dirname "$0")/mnist}
sums=${2:-}
[ $# -gt 2 ] && shift 2 && mirrors=("$@") || mirrors=(
  https://ossci-datasets.s3.amazonaws.com/mnist
  https://storage.googleapis.com/cvdf-datasets/mnist
)

table() {
  if [ -n "$sums" ]; then cat "$sums"; return; fi
  cat <<'END'
ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db train-images-idx3-ubyte
65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5 train-labels-idx1-ubyte
0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7 t10k-images-idx3-ubyte
ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2 t10k-labels-idx1-ubyte
END
}

# right FILE SUM: the file is whole, and its uncompressed bytes have that sum.
right() {
  local sum
  sum=$(set -o pipefail; gzip -dc <"$1" 2>/dev/null | sha256sum) && [ "${sum%% *}" = "$2" ]
}

# fetch NAME SUM: the file in its place, or a line for each mirror that says why not.
fetch() {
  local file=$folder/$1.gz part=$folder/$1.gz.part mirror from why
  if [ -e "$file" ] && right "$file" "$2"; then echo "$1: here"; return 0; fi
  for mirror in "${mirrors[@]}"; do
    # Twice: what an earlier call left may be of another file, then it is thrown away.
    for _ in 1 2; do
      from=$(stat -c %s "$part" 2>/dev/null || echo 0)
      why=$(curl -fsSL --connect-timeout 15 --speed-limit 100 --speed-time 30 -C - -o "$part" "$mirror/$1.gz" 2>&1)
      if [ -e "$part" ] && right "$part" "$2"; then
        sync "$part" && mv -f "$part" "$file" && sync "$folder" && echo "$1: from $mirror" && return 0
        echo "$1: can't be put into $folder" >&2
        return 1
      fi
      # A download that was cut stays for the next call or mirror; whole and wrong bytes do not.
      if [ -z "$why" ]; then why="the bytes are not those of $1"; rm -f "$part"
      elif [ "$from" -gt 0 ] && [ "$(stat -c %s "$part" 2>/dev/null || echo 0)" -le "$from" ]; then
        curl -fsSL --connect-timeout 15 -r 0-0 -o /dev/null "$mirror/$1.gz" 2>/dev/null || break
        rm -f "$part"
      fi
      [ "$from" -gt 0 ] || break
    done
    echo "$1: $mirror: $why" >&2
  done
  return 1
}

mkdir -p "$folder" || exit 1
exec 9<"$folder" && flock 9 || exit 1
failed=0
while read -r sum name; do fetch "$name" "$sum" </dev/null || failed=1; done < <(table)
[ $failed = 0 ] || echo "fetch.sh: not all files are there; the same command goes on where it stopped" >&2
exit $failed
