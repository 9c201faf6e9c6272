#!/bin/sh
# Tries a wheel in an environment of its own, without torch and without a compiler: try_wheel.sh MACHINE PYTHON FOLDER
set -eu
machine=$1 interpreter=$2 out=$3
here=$(dirname "$0")
place=$out/try-$machine-$(basename "$interpreter")
version=$("$interpreter" -c 'import sys; print(*sys.version_info[:2], sep="")')
wheel=$(ls "$out"/tilewise-*-cp"$version"-*"$machine".whl)
if [ "$machine" = "$(uname -m)" ]; then
  "$interpreter" -m venv "$place"
  "$place/bin/pip" install --quiet --only-binary :all: "$wheel"
  set -- env -i PATH="$place/bin" "$place/bin/python"
elif [ -x "${PYTHON_AARCH64:-}/usr/bin/python3.$((version - 300))" ]; then
  "$interpreter" -m pip install --quiet --only-binary :all: --target "$place" --python-version "$version" \
    --implementation cp --platform "manylinux_2_28_$machine" --platform "manylinux_2_17_$machine" \
    --platform "$(expr "$wheel" : '.*-\(manylinux_[^.]*\)\.whl')" \
    --platform "manylinux2014_$machine" "$wheel"
  libraries=$PYTHON_AARCH64/lib/$machine-linux-gnu:$PYTHON_AARCH64/usr/lib/$machine-linux-gnu
  set -- env -i PATH=/nowhere "$(command -v "qemu-$machine")" -L "/usr/$machine-linux-gnu" \
    -E LD_LIBRARY_PATH="$libraries" -E PYTHONPATH="$place" "$PYTHON_AARCH64/usr/bin/python3.$((version - 300))"
else
  echo "not tried: $(basename "$wheel"), as PYTHON_AARCH64 has no Python of its version"
  exit 0
fi
"$@" "$here/three_lines.py" "$out/sample.tilewise"
"$@" -c 'from tilewise.cli import main; main()' certify "$out/sample.tilewise" --against "$out/sample.json"
echo "works: $(basename "$wheel")"
