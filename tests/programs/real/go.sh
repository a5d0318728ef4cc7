# SPDX-License-Identifier: GPL-2.0-only
# A program in Go, with many goroutines and small stacks.
cd "$W" || exit 1
seq 1 20000 > list
fzf --filter 199 < list | sort -n | head -n 5
fzf --filter 'ello' < "$R/hello.txt" | head -n 1 | head -c 5; echo
fzf --filter 777 --no-sort < list | wc -l
exit 0
