# SPDX-License-Identifier: GPL-2.0-only
# A class, compiled where nobody has yet.
cd "$W" || exit 1
[ -e "$P/Small.class" ] || javac -d "$P" "$P/Small.java" || exit 2
java -Xmx64m -Xshare:auto -cp "$P" Small
echo "status $?"
exit 0
