#!/bin/sh
# run.sh PROGRAM: one libFuzzer target for FUZZ_SECONDS, from its corpus (cmake writes PROGRAM.corpus).
# What it finds that is new is kept in build/fuzz/corpus, beside what breaks it.
set -eu
program=$1
name=$(basename "$program")
kept=$(dirname "$program")/../corpus
log=$program.log
mkdir -p "$kept/$name"
if "$program" -max_total_time="${FUZZ_SECONDS:-20}" -rss_limit_mb=2048 -artifact_prefix="$kept/$name." \
	"$kept/$name" "$(cat "$program.corpus")" 2>"$log"; then
	printf 'fuzz: %s: %s\n' "$name" "$(grep '^Done' "$log" || tail -n 1 "$log")"
else
	tail -n 40 "$log"
	printf 'fuzz: %s found something: see %s\n' "$name" "$log"
	exit 1
fi
