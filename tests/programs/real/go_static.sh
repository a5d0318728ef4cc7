# SPDX-License-Identifier: GPL-2.0-only
# A static program, built where nobody has yet.
export HOME="$P" GOCACHE="$P/cache" CGO_ENABLED=0 GO111MODULE=off
[ -e "$P/static" ] || go build -o "$P/static" "$P/Go.go" || exit 1
"$P/static"
echo "status $?"
exit 0
