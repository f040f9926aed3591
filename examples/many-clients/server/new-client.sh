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
export LC_ALL=C # "a" to "z" are no other letters
keys=/etc/mptunnel/keys # as mpserver.sh gives it to mpserver

stop() {
    echo "new-client.sh: $1" >&2
    exit 1
}

# A line that mpserver would not take would keep it from starting the next time.
name=${1:-}
case $name in
'') stop 'no name: write "sh new-client.sh NAME"' ;;
*[!a-zA-Z0-9._@-]*) stop "the name $name has something else in it than letters a to z, digits, \".\", \"_\", \"-\" and \"@\"" ;;
esac
[ ${#name} -le 32 ] || stop "the name $name has ${#name} characters, 32 is the most"
[ -f "$keys" ] || stop "there is no file $keys"
! awk '{ print $1 }' "$keys" | grep -qxF -e "$name" || stop "$name is in $keys already: take another name, or delete its line first"
[ ! -e "./$name.key" ] || stop "$name.key is there already: move it away if it is not in use"

# Without its line in the keys file, the key is of no use.
trap 'rm -f "./$name.key"' EXIT
trap 'exit 1' HUP INT TERM
mpserver genkey > "./$name.key"
[ -z "$(tail -c 1 "$keys")" ] || echo >> "$keys" # The last line had no end.
echo "$name $(cat "./$name.key")" >> "$keys"
trap - EXIT
if ! command -v pgrep > /dev/null || [ ! -r /proc/self/cmdline ]; then
    echo "$name is in $keys; who reads it cannot be seen here (no pgrep, or no /proc): send SIGHUP to mpserver"
    exit
fi

# Those that have this file read it again, and no other.
told=
for process in $(pgrep -x mpserver); do
    if tr '\0' '\n' < "/proc/$process/cmdline" | grep -qxF -e "$keys" -e "--keys=$keys" && kill -HUP "$process"; then
        told="$told $process"
    fi
done
if [ "$told" ]; then
    echo "mpserver (process$told) reads $keys again: its log says what is new"
else
    echo "no mpserver runs with --keys $keys, written like this: one that is started knows $name, one with the file's other name takes a SIGHUP"
fi
