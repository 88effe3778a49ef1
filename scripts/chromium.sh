#!/usr/bin/env bash
# The browser tests need Chromium from the system's packages; put it there when that is allowed, else say how.
set -euo pipefail
for name in chromium chromium-browser google-chrome google-chrome-stable; do
  command -v "$name" >/dev/null && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "labkit: installing Chromium for the browser tests" >&2
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null && exit 0
fi
echo "labkit: the browser tests need Chromium. Install it (Debian: sudo apt-get install chromium), then type" \
  "the command again. \`make check\` does without." >&2
exit 1
