#!/bin/sh
# The manual names every option that --help names, and no other.
# usage: manual_test.sh PROGRAM PAGE
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$1" --help | sed -n 's/^  --\([a-z-]*\).*/\1/p' | sort >"$folder/help"
sed -n 's/^\.It Fl -\([a-z-]*\).*/\1/p' "$2" | sort >"$folder/page"
test -s "$folder/help"
diff -u "$folder/help" "$folder/page"
