# Makes the Python environment that run, check and test share; sourced by them, not run.
#
# An active virtualenv ($VIRTUAL_ENV) is used as it is; without one, .venv in the project is made. Requirements are
# installed when the environment has not got exactly these; the copy of the list it keeps tells. All words go to stderr.
# Sets `root` (the project) and `python` (its interpreter).

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

supported() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3 python; do
        if supported "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo "scripts: no Python 3.11, 3.12 or 3.13 was found; install one, or name it: PYTHON=/path/to/python" >&2
    return 2
}

# Are the exact versions of a list installed already? (Lines for other systems, marked with ';', are left to pip.)
has_all() {
    "$python" - "$1" <<'PY' >/dev/null 2>&1
import re, sys
from importlib.metadata import version

for line in open(sys.argv[1], encoding="utf-8"):
    pin = re.match(r"([A-Za-z0-9._-]+)==(\S+) \\$", line)
    if pin and version(pin[1]) != pin[2]:
        sys.exit(1)
PY
}

# make_environment LIST: `python` has every requirement of LIST (a file of the project) when this returns.
make_environment() {
    local list="$root/$1" home="${VIRTUAL_ENV:-}" base
    if [ -n "$home" ] && [ ! -x "$home/bin/python" ]; then
        echo "scripts: VIRTUAL_ENV names $home, which has no bin/python; using .venv instead" >&2
        home=""
    fi
    if [ -z "$home" ]; then
        home="$root/.venv"
        if [ ! -x "$home/bin/python" ]; then
            base="$(find_python)" || return
            echo "scripts: making .venv with $("$base" --version 2>&1)" >&2
            "$base" -m venv "$home" >&2
        fi
    fi
    python="$home/bin/python"
    local stamp="$home/.quantor-$1"
    cmp -s "$list" "$stamp" && return
    if ! supported "$python"; then
        echo "scripts: $home holds $("$python" --version 2>&1); Python 3.11, 3.12 or 3.13 is needed" >&2
        return 2
    fi
    if ! has_all "$list"; then
        echo "scripts: installing $1 into $home (once; a minute or two)" >&2
        "$python" -m pip --version >/dev/null 2>&1 || "$python" -m ensurepip >&2
        "$python" -m pip install --quiet --disable-pip-version-check --no-input \
            --require-hashes --requirement "$list" >&2
    fi
    cp "$list" "$stamp"
}
