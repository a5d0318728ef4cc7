# SPDX-License-Identifier: GPL-2.0-only
# A program that changes who we are, twice.
sudo -V | head -n 1
sudo -n -K; echo "status $?"
test -r "$R/hello.txt" && echo there
exit 0
