#!/bin/sh
# The server's end. It lets clients send to any address but those of this machine and of its links.
set -eu
cd "$(dirname "$0")"

# The first start makes the key, readable by you alone. Carry it to the client by a way that nobody else
# reads, such as scp.
[ -s key ] || (umask 077 && mpserver genkey > key)

# The server's own target is for datagrams that name none: here a DNS server.
exec mpserver --key-file key --allow-target 0.0.0.0/0 --allow-target '::/0' 2000 9.9.9.9 53
