#!/bin/sh
# Has every write below /buckets/ reach the disk before it is answered, and fails if that does not take.
set -eu

said="$(printf 'fs.configure -locationPrefix=/buckets/ -fsync -apply\nfs.configure\n' |
    timeout 60 weed shell -master=127.0.0.1:9333 -filer=127.0.0.1:8888 2>&1)"
if printf '%s' "$said" | tr -d ' \n' | grep -q '"locationPrefix":"/buckets/"[^}]*"fsync":true[^}]*}.*"locationPrefix":"/buckets/"[^}]*"fsync":true'; then
    echo "fsync is on for /buckets/"
else
    printf 'fs.configure -fsync did not take: %s\n' "$said" >&2
    exit 1
fi
