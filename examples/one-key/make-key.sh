#!/bin/sh
# Makes the key in /etc/mptunnel, readable by root alone. Once, at the server; then copy it over by a way that nobody
# else reads:
#
#     scp -p /etc/mptunnel/key root@client:/etc/mptunnel/key
set -eu
install -d /etc/mptunnel
(umask 077 && mpserver genkey > /etc/mptunnel/key.new)
mv /etc/mptunnel/key.new /etc/mptunnel/key
