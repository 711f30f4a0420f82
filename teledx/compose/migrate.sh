#!/bin/sh
# Schema, roles, network, keys and buckets, as their owner. All of it may be repeated: it runs at every start.
set -eu

teledx migrate
teledx network apply /etc/teledx/network.toml --by compose
teledx keys new
teledx migrate --buckets
