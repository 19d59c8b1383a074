#!/bin/sh
# Execute a command of `runbooks` where nobody watches: silent and exit 0, unless a person should look.
#
#   unattended.sh runbooks run gradual_rollout -e production -p feature=ENHANCED_CACHE -p confirm=auto
#
# RUNBOOKS_SECRETS   a file of NAME=value lines as a shell reads them, taken into the environment (chmod 600)
# RUNBOOKS_LOG       a file that every execution's output is added to; without it the output is always shown
set -u

if [ -n "${RUNBOOKS_SECRETS:-}" ]; then
    set -a
    # shellcheck source=/dev/null
    . "$RUNBOOKS_SECRETS" || exit 2
    set +a
fi

output=$(mktemp) || exit 2
trap 'rm -f "$output"' EXIT
"$@" >"$output" 2>&1 &
child=$!
# As the first process of a container a shell takes no SIGTERM unless it has a trap, and none hands it on.
trap 'kill -TERM "$child" 2>/dev/null' TERM INT HUP
wait "$child"
code=$?
while kill -0 "$child" 2>/dev/null; do # a signal ended the waiting, not the child
    wait "$child"
    code=$?
done

if [ -n "${RUNBOOKS_LOG:-}" ]; then
    { printf '%s  exit %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$code"; cat "$output"; } >>"$RUNBOOKS_LOG"
fi
# A notebook that died or ran out of time is 30 as well; it judged nothing, so nothing ever calls a person.
if [ "$code" -eq 30 ] && grep -Eq '^(ERROR \(exit 30\)|UNKNOWN .* did not come to its end \()' "$output"; then
    cat "$output"
    exit 30
fi
case $code in
# Goes on, holds, or sees nothing (the rollout itself calls a person when that lasts): no alarm.
0 | 10 | 30) [ -n "${RUNBOOKS_LOG:-}" ] || cat "$output"; exit 0 ;;
# Rolled back, or due and not done (20), refused (40), something may have changed (50), a wrong command (2), killed: cron mails this.
*) cat "$output"; exit "$code" ;;
esac
