"""Data to train on and to measure accuracy with: NSL-KDD, bokeh_sampledata, synthetic telemetry, the user's own."""

from __future__ import annotations

from pathlib import Path

from lstmsim.datasets.common import Dataset, DetectionData, ForecastData, Task, task_of
from lstmsim.errors import DataError
from lstmsim.network import Network

__all__ = ["Dataset", "DetectionData", "ForecastData", "Task", "load_dataset", "task_of"]


def load_dataset(spec: str | None, network: Network, *, task: Task | None = None, seed: int = 0) -> Dataset:
    """Return the data that a word of the command line names.

    None or "synthetic" (with the seed), "bokeh:stocks", "bokeh:sst", NSL-KDD's folder or file ("FOLDER@novel" for
    the attacks of its test file), else a .csv, .npy or .parquet file.

    Raises:
        DataError: no such data, or it does not fit the network.
        MissingExtra: an optional package is needed and absent.
    """
    wanted = task or task_of(network)
    if spec is None or spec == "synthetic":
        from lstmsim.datasets.synthetic import load_synthetic

        return load_synthetic(network, task=wanted, seed=seed)
    if spec.startswith("bokeh:"):
        from lstmsim.datasets.series import load_bokeh

        if wanted != "forecast":
            raise DataError(f"{spec} holds series without labels: network {network.name!r} detects anomalies")
        return load_bokeh(spec.removeprefix("bokeh:"), network)
    return _from_path(spec, network, wanted)


def _from_path(spec: str, network: Network, task: Task) -> Dataset:
    from lstmsim.datasets.nslkdd import load_nslkdd, looks_like_nslkdd

    place, _, which = spec.partition("@") if spec.endswith(("@novel", "@known")) else (spec, "", "known")
    path = Path(place)
    if not path.exists():
        raise DataError(f"no data at {place!r}: give a file or folder, 'synthetic', 'bokeh:stocks' or 'bokeh:sst'")
    if looks_like_nslkdd(path):
        if task != "detection":
            raise DataError(f"NSL-KDD holds labelled records: network {network.name!r} forecasts a series")
        return load_nslkdd(path, network, attacks="novel" if which == "novel" else "known")
    if path.is_dir():
        raise DataError(f"folder {place!r} lacks KDDTrain+_20Percent.txt and KDDTest+.txt (.gz is fine)")
    from lstmsim.datasets.series import load_table

    return load_table(path, network, task)
