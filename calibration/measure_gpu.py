"""Time the paper's networks and a grid of equal layers on this machine's GPU (or CPU), from a plain checkout.

python calibration/measure_gpu.py                         needs numpy and torch, or numpy, onnx and onnxruntime
python calibration/measure_gpu.py --device cpu --quick    a few minutes anywhere, to try it out

Nothing needs to be installed but those: the checkout itself is imported. Rows and a device file are written after
every case, and a second start goes on where the first one ended. `evaluate_gpu.py` reads them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from lstmsim.errors import LstmsimError, MissingExtra  # noqa: E402 - the checkout has to be on the path first
from lstmsim.files import write_text  # noqa: E402
from lstmsim.hardware import machine, timing  # noqa: E402
from lstmsim.hardware.watchdog import time_limit  # noqa: E402
from lstmsim.measurements import Measurement, read_measurements, write_measurements  # noqa: E402
from lstmsim.network import Network, load_preset, preset_names  # noqa: E402

BACKENDS = ("torch", "torch-jit", "onnxruntime")
GRID_BACKEND = "torch-jit"  # what the paper timed
UNITS = (16, 64, 256, 512, 1024, 2048)
LAYERS = (1, 2, 4)
TIMESTEPS = (1, 10, 50, 200)
BATCHES = (1, 8, 64, 256)
QUICK = ((16, 64, 128), (1, 2), (1, 10, 50), (1, 8))
CASE_LIMIT_S = 600.0

Case = tuple[str, Network, int]


def main() -> int:
    options = arguments()
    title = machine.machine_name(options.device)
    key = options.name or machine.device_key(title)
    output = Path(options.output or ROOT / "calibration" / "measurements" / f"{options.device}-{key}.csv")
    rows = list(read_measurements(output)) if output.exists() else []
    write_text(output.with_suffix(".device.toml"), machine.device_toml(key, title, options.device), force=True)
    done, end = {row.id for row in rows}, time.monotonic() + options.budget
    for backend, network, batch in cases(options):
        if time.monotonic() > end:
            print(f"the {options.budget:g} s are over: start again to go on")
            break
        plan = timing.Plan(backend=backend, target=options.device, threads=options.threads, limit_s=options.limit)
        try:
            with time_limit(CASE_LIMIT_S, f"{backend} on {network.name}, batch {batch}"):
                row = measured(network, batch, plan, output, key, title, done)
        except MissingExtra as problem:
            print(f"skipped: {problem}")
            continue
        except LstmsimError as problem:
            print(f"failed: {problem}")
            continue
        if row is not None:
            rows.append(row)
            write_measurements(output, rows, force=True)
            print(f"{row.id}: {1e3 * (row.latency_s or 0):.4f} ms", flush=True)
    print(f"{len(rows)} rows in {output}")
    return 0 if rows else 1


def measured(
    network: Network, batch: int, plan: timing.Plan, output: Path, key: str, title: str, done: set[str]
) -> Measurement | None:
    """Return one case's row; None where an earlier start measured it."""
    if timing.row_id(key, plan.backend, network, batch) in done:
        return None
    (seen,) = timing.measure([network], [batch], plan)
    source = f"calibration/measure_gpu.py on {title}, {time.strftime('%Y-%m-%d')}"
    device = output.with_suffix(".device.toml").name
    return timing.rows([seen], plan, device=device, source=source, prefix=key)[0]


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """Give the seven networks with every backend, then the grid with one."""
    for name, backend in product(preset_names(), options.backends.split(",")):
        yield backend, load_preset(name), 1
    units, layers, timesteps, batches = QUICK if options.quick else (UNITS, LAYERS, TIMESTEPS, BATCHES)
    for network, batch in product(timing.grid(units, layers, timesteps), batches):
        yield options.grid_backend, network, batch


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--backends", default=",".join(BACKENDS), help="for the seven networks")
    parser.add_argument("--grid-backend", default=GRID_BACKEND)
    parser.add_argument("--quick", action="store_true", help="a small grid")
    parser.add_argument("--limit", type=float, default=1.0, help="seconds for each case")
    parser.add_argument("--budget", type=float, default=3600.0, help="seconds for everything")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; 0 leaves them to the backend")
    parser.add_argument("--name", help="name of the device")
    parser.add_argument("-o", "--output", help="rows.csv; calibration/measurements/DEVICE-NAME.csv where not given")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
