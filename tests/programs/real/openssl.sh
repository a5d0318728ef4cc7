# SPDX-License-Identifier: GPL-2.0-only
# Keys, a certificate, a server and its client on the loopback, and a second of speed.
cd "$W" || exit 1
openssl speed -seconds 1 -bytes 64 sha256 > speed.txt 2>&1 && grep -c '^sha256 ' speed.txt
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 30 -subj /CN=stowaway 2>/dev/null || exit 1
openssl x509 -in cert.pem -noout -subject
openssl s_server -accept 127.0.0.1:0 -key key.pem -cert cert.pem -rev > server.txt 2>&1 &
server=$!
for _ in $(seq 100); do port=$(sed -n 's/^ACCEPT.*:\([0-9]*\)$/\1/p' server.txt); [ -n "$port" ] && break; sleep 0.05; done
(printf 'stressed\n'; sleep 0.5) | timeout 10 openssl s_client -connect "127.0.0.1:$port" -CAfile cert.pem -quiet -no_ign_eof 2>/dev/null
echo "client $?"
kill $server; wait $server 2>/dev/null
openssl dgst -sha256 "$R/hello.txt" | sed 's/.*= //'
openssl dgst -sha256 -sign key.pem -out sig "$R/hello.txt" && openssl x509 -in cert.pem -pubkey -noout > pub.pem && openssl dgst -sha256 -verify pub.pem -signature sig "$R/hello.txt"
seq 1 10000 | openssl enc -aes-256-cbc -pbkdf2 -pass pass:x | openssl enc -d -aes-256-cbc -pbkdf2 -pass pass:x | md5sum
exit 0
