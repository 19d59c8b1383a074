#!/usr/bin/env bash
# All tests in two lanes, for two cores: what uses the one sandbox waits most of its time, the rest works meanwhile.
# Usage: tests/lanes.sh PYTHON. The second lane is shown when it has ended; the exit code is that of the lane that failed.
# -m: without it the shell lets a program in the background ignore Ctrl-C, which tests send.
set -um
python=$1
log=$(mktemp)
"$python" -m pytest -m sandbox -p no:cacheprovider >"$log" 2>&1 &
lane=$!
trap 'kill -INT "$lane" 2>/dev/null; wait "$lane"; rm -f "$log"; exit 130' INT TERM
"$python" -m pytest -m "not sandbox"
rest=$?
wait "$lane"
beside=$?
printf '\nThe tests that use the sandbox, run beside the others:\n'
cat "$log"
rm -f "$log"
exit $((rest > beside ? rest : beside))
