#!/bin/sh
# Makes the certificate of one end, and prints the fingerprint that goes into the other end's file. Once at each end:
#
#     ./certificate.sh server        writes server.crt and server.key
#     ./certificate.sh client        writes client.crt and client.key
set -eu
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:secp384r1 -nodes -days 3650 \
    -subj "/CN=$1" -keyout "$1.key" -out "$1.crt" 2> /dev/null
openssl x509 -in "$1.crt" -noout -sha256 -fingerprint | sed 's/.*=//'
