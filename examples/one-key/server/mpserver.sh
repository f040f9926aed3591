#!/bin/sh
# With the key, strangers can neither connect nor read. It is read once: a new key takes a restart of both ends.
exec mpserver --key-file /etc/mptunnel/key 2000 127.0.0.1 1194
