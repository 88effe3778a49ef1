#!/usr/bin/env bash
# Resolve pyproject.toml anew into constraints.txt: exact pins, for every system and Python, with no address in them.
set -euo pipefail
cd "$(dirname "$0")/.."
new="$(mktemp)"
trap 'rm -f "$new"' EXIT
# uv itself is pinned too: it does the installing. Of several answers take the one with one version for all systems.
echo uv | .venv/bin/python -m uv pip compile pyproject.toml - --extra test --quiet --upgrade \
  --universal --fork-strategy fewest --python-version 3.11 --no-annotate --no-header --no-emit-index-url --no-emit-find-links -o "$new"
# A file from a local folder may carry a local version (torch==2.13.0+cpu); elsewhere that version does not exist.
sed -E 's/^([A-Za-z0-9._-]+==[^ +]+)\+[A-Za-z0-9.]+/\1/' "$new" >constraints.txt
echo "labkit: constraints.txt holds $(grep -c == constraints.txt) pins; see what changed with: git diff constraints.txt" >&2
