"""Compiles the kernels of the tests that were chosen, two at a time, while the first tests already run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import hls_cases
import pytest
from hls_compiled import CompiledKernel, compile_kernel, missing_tool

from lstmsim.config import KernelConfig
from lstmsim.network import Network, load_preset

Build = Callable[[Network, KernelConfig], CompiledKernel]


@pytest.fixture(scope="session")
def compile_cache(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if reason := missing_tool():
        pytest.skip(reason)
    cache: pytest.Cache | None = getattr(request.config, "cache", None)
    return tmp_path_factory.mktemp("hls") if cache is None else cache.mkdir("hls")


@pytest.fixture(scope="session")
def build(request: pytest.FixtureRequest, compile_cache: Path) -> Iterator[Build]:
    with ThreadPoolExecutor(max_workers=2) as pool:
        started: dict[tuple[Network, KernelConfig], Future[CompiledKernel]] = {}

        def start(network: Network, config: KernelConfig) -> Future[CompiledKernel]:
            key = (network, config)
            if key not in started:
                started[key] = pool.submit(compile_kernel, network, config, compile_cache)
            return started[key]

        if "PYTEST_XDIST_WORKER" not in os.environ:  # several workers compile side by side anyway
            for item in request.session.items:
                for network, config in _case_of(item):
                    start(network, config)
        yield lambda network, config: start(network, config).result()
        for future in started.values():
            future.cancel()


def _case_of(item: pytest.Item) -> Iterator[tuple[Network, KernelConfig]]:
    values = getattr(getattr(item, "callspec", None), "params", {})
    if "format_set" in values:
        config, function = hls_cases.FORMAT_SETS[values["format_set"]]
        yield hls_cases.small_network(function), config
    elif "preset" in values and "build" in item.fixturenames:
        yield load_preset(values["preset"]), hls_cases.PRESETS[values["preset"]]
