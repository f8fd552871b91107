#!/bin/sh
# make_venv.sh PYTHON FOLDER: a virtual environment with this project and all that its tests need.
set -eu
python=$1
venv=$2

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "espcn-core needs Python 3.11 or newer, and $python is $("$python" --version 2>&1): make PYTHON=python3.11 …" >&2
    exit 1
}

echo "Making $venv with $("$python" --version)"
if ! "$python" -m venv "$venv" >/dev/null 2>&1; then
    # A bare Debian or Ubuntu keeps ensurepip in python3-venv: make the environment without pip and fetch pip.
    rm -rf "$venv"
    "$python" -m venv --without-pip "$venv"
    "$python" tools/get_pip.py "$venv"
fi

echo "Installing espcn-core and its tools at the tested versions (torch is the largest; this takes a minute or more)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
