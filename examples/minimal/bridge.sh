#!/bin/sh
# A bridge: passes UDP port 4000 on to the server's port 2000 and the answers back. Change the address.
# -b takes the largest datagram (socat's own 8,192 octets would cut larger ones short).
# -T ends what has been silent for a minute, or every redial of the client would leave a process behind.
exec socat -b 65507 -T 60 UDP4-LISTEN:4000,fork,reuseaddr UDP4:192.0.2.1:2000
