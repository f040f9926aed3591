#!/bin/sh
# A bridge with socat: passes UDP port 4000 on to the server's port 2000 and the answers back. No root is needed. Change
# the address, and open port 4000 in the firewall.
# -b takes the largest datagram (socat's own 8,192 octets would cut larger ones short).
# -T ends what has been silent for a minute, or every redial of the client would leave a process behind.
exec socat -b 65507 -T 60 udp4-listen:4000,fork,reuseaddr udp4:203.0.113.10:2000
