#!/bin/sh
# What a task cannot take or give is refused by the compiler, in words.
# usage: refused.sh COMPILER LANGUAGE FLAG...
set -u
compiler=$1 language=$2
shift 2
flags=$*
status=0

# check SOURCE WORDS: SOURCE does not compile, and the compiler says WORDS.
check() {
	# shellcheck disable=SC2086
	if said=$(printf '#include <remuda/task.h>\n%s\n' "$1" |
		"$compiler" $flags -x "$language" -fsyntax-only - 2>&1); then
		echo "compiles, but should not: $1"
		status=1
	elif ! printf '%s' "$said" | grep -q "$2"; then
		echo "does not say '$2': $1"
		printf '%s\n' "$said"
		status=1
	fi
}

check 'REMUDA_TASK(int, f, (char, c)) { return c; }' 'cannot take a parameter of this type'
check 'REMUDA_TASK(int, f, (void *, p)) { return p != 0; }' 'cannot take a parameter of this type'
check 'REMUDA_TASK(int, f, (char *, p)) { return p != 0; }' 'cannot take a parameter of this type'
check 'struct s { int x; };
REMUDA_TASK(int, f, (struct s, v)) { return v.x; }' 'cannot take a parameter of this type'
check 'REMUDA_TASK(char, f) { return 1; }' 'cannot return a result of this type'
check 'REMUDA_TASK(long double, f) { return 1; }' 'cannot return a result of this type'
check 'REMUDA_TASK(int, f, (int, x), (remuda_ctx *, ctx)) { (void)ctx; return x; }' \
	'the context is the first parameter'
check 'REMUDA_TASK(int, f, (struct remuda_ctx *, ctx)) { (void)ctx; return 1; }' \
	'the context is the first parameter'
check 'REMUDA_TASK(int, f, (int, a), (int, b), (int, c), (int, d), (int, e), (int, g), (int, h), (int, i), (int, j)) { return 1; }' \
	'at most 8 parameters'
check 'REMUDA_TASK(void, f) { remuda_raise("T", "%d", "text"); }' 'format'
exit $status
