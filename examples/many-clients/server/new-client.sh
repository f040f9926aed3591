#!/bin/sh
# Adds a client to /etc/mptunnel/keys, and makes the key file to be copied to it by a way that nobody else reads:
#
#     sh new-client.sh carol
#     scp -p carol.key root@client:/etc/mptunnel/key
#
# To put one out, delete its line and have mpserver read the file again (SIGHUP). Where the unit of systemd has
# keys.conf, the file is /etc/mptunnel/NAME.keys, and `systemctl reload mpserver@NAME` has it read.
set -eu
umask 077
mpserver genkey > "$1.key"
echo "$1 $(cat "$1.key")" >> /etc/mptunnel/keys
# One that runs reads the file again. Its log tells of mistakes, which change nothing.
pkill -HUP -x mpserver || echo "mpserver does not run"
