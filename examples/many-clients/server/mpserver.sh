#!/bin/sh
# Each client has its own key, by which it is known in the log and in "mpserver status".
exec mpserver --keys /etc/mptunnel/keys 2000 127.0.0.1 1194
