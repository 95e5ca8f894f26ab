#!/usr/bin/env bash
# Installs everything into .venv, once. Interrupted, it goes on where it was when run again.
#
# Usage: tools/install.sh [python]     python: the interpreter to make .venv with (python3)
set -euo pipefail
cd "$(dirname "$0")/.."

BASE_PYTHON=${1:-python3}
VENV=.venv
PYTHON=$VENV/bin/python
STAMP=$VENV/onenet-installed
INPUTS=(setup.py pyproject.toml constraints.txt tools/detectron2-requirements.txt tools/install.sh)

say() { printf '\n\033[1m%s\033[0m\n' "[install] $*"; }
fail() { printf '[install] error: %s\n' "$*" >&2; exit 1; }
pip_install() { "$PYTHON" -m pip install --disable-pip-version-check --no-input "$@"; }

# The stamp holds the inputs, so that a changed requirement installs again.
wanted=$(cat "${INPUTS[@]}")
if [ -e "$STAMP" ] && [ "$(cat "$STAMP")" = "$wanted" ] && "$PYTHON" -c "" 2>/dev/null; then
    exit 0
fi

command -v "$BASE_PYTHON" >/dev/null || fail "$BASE_PYTHON not found; name one: make install BASE_PYTHON=python3.12"
"$BASE_PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "$("$BASE_PYTHON" --version) is too old, 3.10 is needed; name one: make install BASE_PYTHON=python3.12"
"$BASE_PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$BASE_PYTHON has no venv module (on Debian and Ubuntu: apt install python3-venv)"

say "Installing into $VENV: 3 to 8 minutes, mostly the download of PyTorch (about 3 GB with CUDA)."
rm -f "$STAMP"

if ! "$PYTHON" -m pip --version >/dev/null 2>&1; then
    "$BASE_PYTHON" -m venv --clear "$VENV"
fi
# A killed pip can leave a package without a record of its files, which it then takes for installed.
for info in "$VENV"/lib/python*/site-packages/*.dist-info; do
    [ -e "$info/RECORD" ] || rm -rf "$info"
done

say "1/4 build tools"
pip_install 'pip>=23.1' wheel setuptools -c constraints.txt  # 23.1: options on a requirement's line
say "2/4 PyTorch and torchvision"
pip_install torch torchvision -c constraints.txt
say "3/4 Detectron2 v0.5 (Python only, nothing is compiled)"
pip_install --use-pep517 --no-deps --no-build-isolation -r tools/detectron2-requirements.txt
say "4/4 onenet, assigners and their dependencies"
pip_install --no-build-isolation -e '.[cluster,detectron2,dev,export,large,timm]' -c constraints.txt

"$PYTHON" -c 'import onenet, assigners' || fail "the installation cannot be imported (see above)"
printf '%s' "$wanted" >"$STAMP"
say "Done. Activate it with: source $VENV/bin/activate"
