#!/bin/sh
# On a machine near the game's server, or on the same. The game's server sees the players come from here.
set -eu
cd "$(dirname "$0")"

# The first start makes the key, readable by you alone. The client needs the same.
[ -s key ] || (umask 077 && mpserver genkey > key)

# Bridges send to UDP port 2000; open it in the firewall.
exec mpserver --key-file key 2000 game.example.org 30000
