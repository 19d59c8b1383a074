#!/usr/bin/env bash
# All tests in three lanes, for two cores: what uses the one sandbox waits most of its time, the servers' tests work
# meanwhile, and what needs neither takes the time that both leave.
# Usage: tests/lanes.sh PYTHON. The lanes are shown one after the other; the exit code is the highest of theirs.
# -m: without it the shell lets a program in the background ignore Ctrl-C, which tests send.
set -um
python=$1
logs=$(mktemp -d)
"$python" -m pytest -m sandbox -p no:cacheprovider >"$logs/sandbox" 2>&1 &
sandbox=$!
(
    cd sandbox/site && nice -n 10 "$python" manage.py test --verbosity 1 || exit 1
    cd ../.. && exec nice -n 10 "$python" -m pytest tests/unit -m "not sandbox" -p no:cacheprovider
) >"$logs/unit" 2>&1 &
unit=$!
trap 'kill -INT "$sandbox" "$unit" 2>/dev/null; wait; rm -rf "$logs"; exit 130' INT TERM
"$python" -m pytest -m "not sandbox" --ignore=tests/unit
servers=$?
wait "$unit"
rest=$?
printf '\nThe tests of the site, and those that need no server:\n'
cat "$logs/unit"
wait "$sandbox"
beside=$?
printf '\nThe tests that use the sandbox, run beside the others:\n'
cat "$logs/sandbox"
rm -rf "$logs"
printf '%s\n' "$servers" "$rest" "$beside" | sort -n | tail -n 1 | { read -r worst; exit "$worst"; }
