#!/bin/sh
# Makes the test certificates anew: test/support/certs/make.sh. Their keys are public: for tests only.
set -eu
cd "$(dirname "$0")"
END=21200101000000Z
rm -f ./*.pem ./*.key
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

ec() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2>/dev/null; }

printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s/index\nnew_certs_dir=%s\ndefault_md=sha256\ncrlnumber=%s/crlnumber\nunique_subject=no\nrand_serial=yes\npolicy=p\n[p]\n' "$tmp" "$tmp" "$tmp" > "$tmp/ca.cnf"
printf 'C=optional\nO=optional\nOU=optional\nCN=supplied\n' >> "$tmp/ca.cnf"
: > "$tmp/index"
echo 01 > "$tmp/crlnumber"

# From 2020 on, so that a clock which is behind accepts them.
sign() { # name, subject, extensions (lines), end, how
  [ -f "$1.key" ] || ec "$1"
  openssl req -new -key "$1.key" -subj "$2" -out "$tmp/csr" -utf8
  printf '%b' "$3" > "$tmp/ext"
  # shellcheck disable=SC2086
  openssl ca -batch -notext -config "$tmp/ca.cnf" -preserveDN -extfile "$tmp/ext" -startdate 20200101000000Z -enddate "$4" \
    -in "$tmp/csr" -out "$1.pem" $5 2>"$tmp/err" || { cat "$tmp/err"; exit 1; }
}

root() { # name, subject
  sign "$1" "$2" 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n' $END "-selfsign -keyfile $1.key"
}

issue() { # name, ca, subject, extensions (lines), end
  sign "$1" "$3" "$4" "${5:-$END}" "-cert $2.pem -keyfile $2.key"
}

LEAF='basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature,keyEncipherment\n'
SERVER="${LEAF}subjectAltName=DNS:server.example.com,DNS:*.wild.example.com,IP:127.0.0.1,URI:spiffe://cluster.local/ns/default/sa/server\n"

root root-a '/O=Remora Test/CN=Root A'
root root-b '/O=Remora Test/CN=Root B'
issue inter-a root-a '/O=Remora Test/CN=Intermediate A' \
  'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n'
issue server root-a '/O=Remora Test/CN=server' "$SERVER"
issue server-2 root-a '/O=Remora Test/CN=server-2' "$SERVER"
issue server-b root-b '/O=Remora Test/CN=server-b' "$SERVER"
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out server-rsa.key 2>/dev/null
issue server-rsa root-a '/O=Remora Test/CN=server-rsa' "$SERVER"
issue other root-a '/O=Remora Test/CN=other' "${LEAF}subjectAltName=DNS:other.example.com\n"
issue client inter-a '/C=CH/O=Acme, Inc./OU=Zürich/OU=mesh/CN=client' \
  "${LEAF}subjectAltName=URI:spiffe://cluster.local/ns/default/sa/client,DNS:client.example.com,DNS:alias.example.com,email:client@example.com,IP:10.1.2.3,IP:2001:db8::1,otherName:1.3.6.1.4.1.311.20.2.3;UTF8:client@corp\n"
cat client.pem inter-a.pem > client-chain.pem
issue client-2 root-a '/CN=client-2' "${LEAF}subjectAltName=URI:spiffe://cluster.local/ns/default/sa/client-2\n"
issue client-b root-b '/CN=client-b' "${LEAF}subjectAltName=URI:spiffe://partner.test/ns/default/sa/client-b\n"
issue client-expired root-a '/CN=client-expired' "${LEAF}subjectAltName=URI:spiffe://cluster.local/ns/default/sa/old\n" 20210101000000Z
issue client-expired-b root-b '/CN=client-expired-b' "${LEAF}subjectAltName=URI:spiffe://cluster.local/ns/default/sa/old\n" 20210101000000Z
issue client-revoked root-a '/CN=client-revoked' "${LEAF}subjectAltName=URI:spiffe://cluster.local/ns/default/sa/revoked\n"

openssl ca -config "$tmp/ca.cnf" -cert root-a.pem -keyfile root-a.key -revoke client-revoked.pem 2>/dev/null
openssl ca -config "$tmp/ca.cnf" -cert root-a.pem -keyfile root-a.key -gencrl -crl_lastupdate 20200101000000Z -crl_nextupdate $END -out crl-a.pem 2>/dev/null

openssl pkcs8 -topk8 -v2 aes-128-cbc -in server.key -passout pass:secret -out server-encrypted.key
