#!/usr/bin/env bash
# Make .venv hold exactly what constraints.txt pins. Does nothing when that is already so; `make lab` and `make test` call it.
#
#   PYTHON           the Python to use (3.11 or newer); by default the first good one of python3.11, python3.12, python3
#   PIP_FIND_LINKS   a folder with package files, if you have one: uv is told of it too
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'labkit: %s\n' "$*" >&2; }
stop() { say "$*"; exit 1; }
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

# Two terminals, one set-up.
if command -v flock >/dev/null; then exec 9>.venv.lock; flock 9; fi

# The folder is part of the stamp: a virtual environment knows where it lives, and breaks when it is moved.
stamp=".venv/.labkit-$( (pwd; cat constraints.txt pyproject.toml) | cksum | tr -c '0-9\n' '-')"
[ -e "$stamp" ] && exit 0

python=""
for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3; do
  if new_enough "$candidate"; then python="$candidate"; break; fi
done
[ -n "$python" ] || stop "Python 3.11 or newer is needed and was not found (python3 is $(python3 --version 2>&1 || true))." \
  "Install it (Debian, Ubuntu: apt-get install python3 python3-venv), or name it: PYTHON=/where/python3.12 make lab"
if [ -n "${PYTHON:-}" ] && [ "$python" != "$PYTHON" ]; then
  stop "PYTHON=$PYTHON is not a Python 3.11 or newer."
fi

if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
  package="python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing $package"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package" >/dev/null ||
      stop "$package could not be installed by apt-get; install it, then type the command again."
  else
    stop "$python cannot make virtual environments. Install $package (sudo apt-get install $package), then type the command again."
  fi
fi

if [ -x .venv/bin/python ] && grep -qxF "$PWD" .venv/.labkit-home 2>/dev/null; then
  say "the pins have changed: bringing .venv up to date"
else
  say "setting up .venv, once: about 7 GB of packages, some minutes"
  "$python" -m venv --clear .venv || stop "$python could not make .venv in $PWD."
  printf '%s\n' "$PWD" >.venv/.labkit-home
fi
quiet=(); [ -t 2 ] || quiet=(--quiet)
with_uv() {
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv &&
    UV_FIND_LINKS="${UV_FIND_LINKS:-${PIP_FIND_LINKS:+${PIP_FIND_LINKS// /,}}}" \
      .venv/bin/python -m uv pip install "${quiet[@]}" --python .venv/bin/python --compile-bytecode -c constraints.txt -e '.[test]'
}
with_pip() {
  .venv/bin/python -m pip install "${quiet[@]}" --disable-pip-version-check -c constraints.txt -e '.[test]'
}
with_uv || { say "uv could not do it (see above); trying pip, which takes longer"; with_pip; } ||
  stop "the packages could not be installed: see above. Is there a network, and 7 GB of room?"

rm -f .venv/.labkit-[0-9]*
touch "$stamp"
say "ready"
