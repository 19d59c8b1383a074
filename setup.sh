#!/usr/bin/env bash
# Puts a fresh machine in order: the virtual environment (setup.sh python PYTHON VENV) and the servers (setup.sh servers).
# Each step says what it does and how long it took. Nothing is fetched later, at run time.
set -euo pipefail
cd "$(dirname "$0")"

step() { printf '  %-52s' "$1"; started=$(date +%s); }
done_() { printf '%s s\n' "$(($(date +%s) - started))"; }
fail() { printf 'failed\n' ; tail -n 15 "$log"; rm -f "$log"; printf '\n%s\n' "$1" >&2; exit 1; }

apt_install() { # apt_install PACKAGE… ; only as root, only where there is apt
    command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || return 1
    export DEBIAN_FRONTEND=noninteractive
    # The packages' own services are not wanted: the sandbox starts what it needs on ports of its own.
    RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "$@" >"$log" 2>&1 && return 0
    apt-get update -qq >"$log" 2>&1 && RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "$@" >"$log" 2>&1
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT

case "${1:-}" in
python)
    python=$2 venv=$3
    command -v "$python" >/dev/null || { echo "$python is not here: install Python 3.11 or newer, or set PYTHON=…" >&2; exit 1; }
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
        || { echo "$("$python" --version) is too old: this project needs Python 3.11 or newer; set PYTHON=…" >&2; exit 1; }
    if [ ! -x "$venv/bin/python" ]; then
        step "virtual environment $venv"
        if ! "$python" -m venv "$venv" >"$log" 2>&1; then
            rm -rf "$venv"
            apt_install python3-venv || fail "python -m venv does not work. On Debian and Ubuntu: apt-get install python3-venv"
            "$python" -m venv "$venv" >"$log" 2>&1 || fail "python -m venv does not work with $python"
        fi
        done_
    fi
    step "Python packages (requirements.lock, with hashes)"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock \
        >"$log" 2>&1 || fail "The packages of requirements.lock could not be installed: see the lines above."
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . \
        >"$log" 2>&1 || fail "This project could not be installed into $venv: see the lines above."
    done_
    touch "$venv/.installed"
    ;;
servers)
    missing=()
    command -v redis-server >/dev/null || [ -n "${SANDBOX_REDIS_SERVER:-}" ] || missing+=(redis-server)
    { command -v prometheus && command -v promtool; } >/dev/null || [ -n "${SANDBOX_PROMETHEUS:-}" ] || missing+=(prometheus)
    command -v ssh-keygen >/dev/null || missing+=(openssh-client) # signed approvals
    ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null || missing+=(postgresql)
    [ ${#missing[@]} -gt 0 ] || exit 0
    step "servers: ${missing[*]}"
    if apt_install "${missing[@]}"; then
        done_
    else
        printf 'missing\n\n'
        cat >&2 <<TXT
These servers are needed and are not here: ${missing[*]}
  Debian, Ubuntu   sudo apt-get install --no-install-recommends ${missing[*]}
  macOS            brew install redis prometheus postgresql
  conda            conda install -c conda-forge redis-server prometheus postgresql openssh
postgresql is needed by the tests only, openssh-client for signed approvals. Then run the same command again.
TXT
        case " ${missing[*]} " in *" redis-server "* | *" prometheus "*) exit 1 ;; esac
    fi
    ;;
*)
    echo "usage: ./setup.sh python PYTHON VENV | ./setup.sh servers" >&2
    exit 2
    ;;
esac
