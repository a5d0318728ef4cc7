# SPDX-License-Identifier: GPL-2.0-only
# The same kind of work by dash.
cd "$W" || exit 1
printf 'x\ny\n' > list
while read -r a; do echo "line $a"; done < list
cat "$R/hello.txt" | head -c 5; echo
(sleep 0.05; exit 4) & wait $!; echo "status $?"
trap 'echo usr1' USR1
kill -USR1 $$
for i in 1 2 3; do (exit $i) & done
wait
echo "$(sh -c 'echo inner; exit 3')"; echo "$?"
sleep 20 & kill $!; wait $!; echo "killed $?"
set -- "$R"/hello.txt
test -f "$1" && echo there
exit 6
