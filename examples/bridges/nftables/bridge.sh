#!/bin/sh
# A bridge in the kernel, as root: less work for the machine than a program. A firewall must let these packets be
# forwarded. "nft delete table ip mptunnel" ends it.
set -eu
sysctl -q -w net.ipv4.ip_forward=1
exec nft -f "$(dirname "$0")/bridge.nft"
