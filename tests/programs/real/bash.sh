# SPDX-License-Identifier: GPL-2.0-only
# Pipelines and job control. $R is read, $W is written.
set -m
cd "$W" || exit 1
printf 'b\na\nc\n' | sort | tr a-z A-Z | tee list | wc -l
cat list
sort < "$R/hello.txt" | head -n 3 | cat -A
diff <(sort "$R/hello.txt") <(sort -r "$R/hello.txt" | sort) && echo same
sleep 0.15 & sleep 0.1 &
jobs | wc -l
wait
echo "waited: $?"
(exit 7) & wait $!
echo "status: $?"
sleep 30 &
kill %%
wait %% 2>/dev/null
echo "killed: $?"
sleep 0.1 &
fg %% >/dev/null
echo "foreground: $?"
sleep 0.3 &
kill -STOP %%; sleep 0.05; jobs | grep -c Stopped
bg %% >/dev/null 2>&1; wait %%
echo "background: $?"
trap 'echo trapped' USR1
kill -USR1 $$
(trap 'echo in a subshell; exit 3' TERM; kill -TERM $BASHPID; sleep 5)
echo "subshell: $?"
coproc { tr a-z A-Z; }
echo text >&"${COPROC[1]}"
eval "exec ${COPROC[1]}>&-"
read -r line <&"${COPROC[0]}"
echo "coprocess: $line"
wait
seq 1 2000 | while read -r n; do [ $((n % 500)) = 0 ] && echo "$n"; done
yes | head -n 3
(yes | head -c 10 >/dev/null; echo "${PIPESTATUS[*]}")
for i in 1 2 3 4 5 6 7 8; do echo "$i"; done | xargs -P 4 -n 1 sh -c 'test -r "$R/hello.txt" && echo "seen $0"' | sort
cat <<END | md5sum
$(cat "$R/hello.txt")
END
exit 5
