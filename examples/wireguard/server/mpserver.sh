#!/bin/sh
# Beside WireGuard's server, which listens on UDP port 51820 of this machine.
set -eu
cd "$(dirname "$0")"

# The first start makes the key, readable by you alone. The client needs the same.
[ -s key ] || (umask 077 && mpserver genkey > key)

# Bridges send to UDP port 2000; open it in the firewall.
exec mpserver --key-file key 2000 127.0.0.1 51820
