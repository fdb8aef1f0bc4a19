#!/bin/sh
# Opens a report page in headless Chromium and checks it (see browser.py); by default the example in docs.
#
#     tests/report/check.sh [PAGE.html [--shots FOLDER]]
#
# Chromium is installed where that is possible (Debian, as root); without it, or without Python, the check is skipped and
# says so.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null && ! command -v google-chrome >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
    else
        echo "SKIPPED: no chromium here, and it cannot be installed" >&2
        exit 0
    fi
fi
if ! command -v python3 >/dev/null; then
    echo "SKIPPED: no python3 here" >&2
    exit 0
fi
if [ $# = 0 ]; then set -- "$here/../../docs/report-example.html"; fi
exec python3 "$here/browser.py" "$@"
