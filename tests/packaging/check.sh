#!/usr/bin/env bash
# Build wheel and sdist, install the wheel into a clean environment and do the main jobs from another folder.
# Usage: tests/packaging/check.sh [PYTHON]
set -euo pipefail
python="${1:-python3}"
root="$(cd "$(dirname "$0")/../.." && pwd)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

"$python" -m venv "$work/build"
"$work/build/bin/python" -m pip install --quiet build
mkdir "$work/source"
git -C "$root" ls-files -z --cached --others --exclude-standard | (cd "$root" && tar --null --files-from=- --create --ignore-failed-read) | tar --extract --directory "$work/source"
"$work/build/bin/python" -m build --outdir "$work/dist" "$work/source" >"$work/build.log" 2>&1 || { tail -30 "$work/build.log"; exit 1; }
ls -l "$work/dist"

"$python" -m venv "$work/clean"
"$work/clean/bin/python" -m pip install --quiet "$work"/dist/*.whl
cd "$work"
lstmsim="$work/clean/bin/lstmsim"
"$lstmsim" --version
"$lstmsim" estimate --device zcu104
"$lstmsim" timeline autoenc-1 --device u280 -o trace.json --quiet
"$lstmsim" explore autoenc-1 --device zcu104 -o latency,dsp --top 3 --quiet
"$lstmsim" hls autoenc-1 --device zcu104 --seed 0 -o project --quiet
"$lstmsim" validate --quiet >validate.txt
"$work/clean/bin/python" - <<'PYTHON'
from importlib import resources
from pathlib import Path

import lstmsim
from lstmsim.measurements import package_measurements, read_measurements

package = Path(lstmsim.__file__).parent
assert "clean" in str(package), package
assert (package / "py.typed").is_file()
assert (package / "render" / "templates" / "report.js").is_file()
assert len(read_measurements(package_measurements() / "paper-fpga.csv")) >= 21
assert any(entry.name.endswith(".cpp") for entry in (resources.files("lstmsim") / "data" / "hls").iterdir())
print("package data complete")
PYTHON
echo "packaging: passed"
