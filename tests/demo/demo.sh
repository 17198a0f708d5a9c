#!/bin/sh
# The main job, on real files, checked: SHA-256 of everything under /usr/include and
# /usr/share/doc, by a pool of workers that nobody had to start; then the same through a
# coordinator on a TCP port with two agents, each in a network namespace of its own.
#
#   tests/demo/demo.sh BUILD_FOLDER
set -eu

build=${1:?build folder}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
export PATH="$build/bin:$PATH"
unset REMUDA_ADDRESS || true
XDG_RUNTIME_DIR="$work/run"
export XDG_RUNTIME_DIR
mkdir -m 0700 "$XDG_RUNTIME_DIR"

cleanup() {
	status=$?
	if [ -s "$work/pids" ]; then
		while read -r pid; do kill "$pid" 2>/dev/null || true; done <"$work/pids"
	fi
	rm -rf "$work"
	exit $status
}
trap cleanup EXIT
trap 'exit 130' INT TERM

now_ms() {
	date +%s%3N
}

say() {
	printf '%s\n' "$*"
}

left_behind() {
	# Nothing that this demo started may still run: all of it has our run folder in its environment.
	for environ in /proc/[0-9]*/environ; do
		pid=${environ#/proc/}
		pid=${pid%/environ}
		[ "$pid" != $$ ] || continue
		comm=$(cat "/proc/$pid/comm" 2>/dev/null) || continue
		case $comm in remuda*) ;; *) continue ;; esac
		if { tr '\0' '\n' <"$environ"; } 2>/dev/null | grep -qx "XDG_RUNTIME_DIR=$XDG_RUNTIME_DIR"; then
			say "left behind: $pid $comm"
			return 0
		fi
	done
	return 1
}

check() { # check RESULT_FILE
	if ! cmp -s "$1" "$work/expected"; then
		say "FAILED: $1 differs from sha256sum"
		diff "$1" "$work/expected" | head -n 5
		exit 1
	fi
}

modules="$build/lib/remuda/modules"
find /usr/include /usr/share/doc -type f >"$work/files"
count=$(wc -l <"$work/files")

xargs -d '\n' cat <"$work/files" >/dev/null # so that both find the files in memory
start=$(now_ms)
xargs -d '\n' sha256sum <"$work/files" | sed 's/^\\//; s/ .*//' >"$work/expected"
sum_ms=$(($(now_ms) - start))

say "1. $count files, no server running: remuda map -r native:files.sha256"
start=$(now_ms)
remuda map -r --module "$modules/files.so" native:files.sha256 <"$work/files" >"$work/out"
map_ms=$(($(now_ms) - start))
check "$work/out"
say "   the same digests as sha256sum, line by line"
say "   sha256sum, one process: $sum_ms ms; remuda, $(nproc) workers: $map_ms ms"
tries=0
while left_behind; do
	tries=$((tries + 1))
	[ "$tries" -lt 50 ] || { say "FAILED: something is left behind"; exit 1; }
	sleep 0.1
done
say "   nothing is left running"

say "2. a chain of three errors, and a crash"
remuda run --module "$modules/demo.so" native:demo.fail 2>&1 | sed 's/^/   /' || true
remuda run --module "$modules/demo.so" native:demo.crash 2>&1 | sed 's/^/   /' || true

say "3. a coordinator on TCP, two agents in network namespaces of their own"
if ! command -v ip >/dev/null 2>&1 || ! unshare -m -n true 2>/dev/null; then
	say "   skipped: network namespaces cannot be made here"
	[ -z "${CI:-}" ] || exit 1
	exit 0
fi
exec 3>&1
unshare -m -n sh -eu "$here/two_agents.sh" "$work" "$modules" "$build/bin" || {
	say "FAILED: the cluster part"
	exit 1
}
check "$work/out2"
say "   the same digests as sha256sum, line by line"
