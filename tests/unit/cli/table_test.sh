#!/bin/sh
# What is made from the table of commands: help, manual, completion.
# usage: table_test.sh REMUDA PAGE COMPLETION_FOLDER
set -eu
remuda=$1
page=$2
completion=$3
fail() { echo "$1" >&2; exit 1; }

commands=$("$remuda" help | sed -n 's/^  \([a-z]*\( push\| list\)\{0,1\}\)  .*/\1/p')
test "$(echo "$commands" | wc -l)" -ge 14 || fail "help lists too few commands: $commands"
echo "$commands" | while read -r command; do
	# shellcheck disable=SC2086 # a command may be two words
	"$remuda" $command --help | grep -q "^usage: remuda $command" || fail "$command has no help"
	grep -q "^\.Ss remuda $command\$" "$page" || fail "$command is not in the manual"
	# shellcheck disable=SC2086
	"$remuda" $command --help | sed -n 's/^  \(-., \|    \)--\([a-z-]*\).*/\2/p' | while read -r option; do
		"$remuda" __complete -- $command "--$option" | grep -q "^--$option" ||
			fail "$command --$option is not completed"
	done
done

# The shells that are here read the scripts and complete with them.
if command -v bash >/dev/null; then
	got=$(PATH="$(dirname "$remuda"):$PATH" bash -c '
		. "$1"; compopt() { :; }
		COMP_WORDS=(remuda map --keep); COMP_CWORD=2; _remuda; echo "${COMPREPLY[*]}"' bash \
		"$completion/remuda.bash")
	test "$got" = "--keep-going" || fail "bash completes '$got'"
fi
if command -v zsh >/dev/null; then
	zsh -n "$completion/_remuda" || fail "zsh cannot read its script"
fi
if command -v mandoc >/dev/null; then
	mandoc -T lint -W warning "$page" || fail "the manual has faults"
fi
