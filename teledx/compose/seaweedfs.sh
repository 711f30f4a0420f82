#!/bin/sh
# SeaweedFS on its own loopback; its S3 server also on a socket that the door holds. What it logs goes through a
# filter: a clinic's own keys can hold a patient's name, so of a line from a source that may write of keys, its place
# alone is kept (the table is that of teledx/embedded/seaweedfs.py).
set -eu

keyless() {
    while read -r day clock place rest; do
        case "$place" in
            mini.go:* | master*.go:* | admin.go:* | worker*.go:* | maintenance*.go:* | lock_ring*.go:* | \
                leveldb*.go:* | raft*.go:* | topology*.go:* | node.go:* | data_node.go:* | disk*.go:* | store.go:* | \
                volume_grow*.go:* | volume_grpc*.go:* | volume_loading.go:* | grpc*.go:* | net_timeout.go:* | \
                signal_handling.go:* | s3.go:* | filer.go:*) printf '%s %s %s %s\n' "$day" "$clock" "$place" "$rest" ;;
            *.go:*) printf '%s %s %s\n' "$day" "$clock" "${place%%]*}" ;;
        esac
    done
}

rm -f /data/mini.options /tmp/log # the options of the last run
mkfifo /tmp/log
keyless </tmp/log &
# Bound to the name, not to the number: calls go out from the number too, and then none reaches the region's gateway.
exec weed -logtostderr=true mini \
    -dir=/data \
    -ip=127.0.0.1 \
    -ip.bind=localhost \
    -s3.localSocket=/run/seaweedfs/s3.sock \
    -s3.config=/run/secrets/store_identities \
    -s3.iam=false \
    -s3.autoCreateBucket=false \
    -s3.allowDeleteBucketNotEmpty=false \
    -s3.port.iceberg=0 \
    -s3.port.lance=0 \
    -admin.ui=false \
    -webdav=false \
    -master.telemetry=false \
    -master.volumeSizeLimitMB=512 \
    -volume.max=2000 \
    >/tmp/log 2>&1
