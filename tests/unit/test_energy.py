"""Energy: positive, ordered, with a range, and equal wherever it is computed."""

from __future__ import annotations

import pytest

from lstmsim.config import KernelConfig
from lstmsim.core.design import DENSE, LSTM, Usage
from lstmsim.core.energy import PowerCoefficients, average_w, inference_joule, switching_w, traffic_bytes
from lstmsim.device import load_device
from lstmsim.energy import energy_of, power_coefficients
from lstmsim.errors import ConfigError
from lstmsim.estimate import estimate
from lstmsim.files import data_folder, read_toml
from lstmsim.network import load_preset
from lstmsim.pack import knobs_of


@pytest.mark.parametrize("device", ["u280", "zcu104", "v100", "cortex-a53"])
def test_ranges_hold_the_estimate(device):
    network, board = load_preset("autoenc-5"), load_device(device)
    config = KernelConfig(memory_bits=512) if board.kind == "fpga" else None
    energy = energy_of(estimate(network, board, config), network, board, config)
    assert 0 < energy.energy_low_j < energy.energy_j < energy.energy_high_j
    assert 0 < energy.power_low_w < energy.power_w < energy.power_high_w
    assert energy.source


def test_energy_is_power_times_time_an_input():
    network, board, config = load_preset("autoenc-5"), load_device("u280"), KernelConfig(instances=4)
    result = estimate(network, board, config, batch=32)
    energy = energy_of(result, network, board, config)
    assert energy.energy_j == pytest.approx(energy.power_w * result.latency_s / 32, rel=1e-12)


def test_more_logic_and_a_faster_clock_take_more_power():
    network, board = load_preset("autoenc-5"), load_device("u280")

    def watt(**knobs):
        config = KernelConfig(**knobs)
        return energy_of(estimate(network, board, config), network, board, config).power_w

    assert watt(engines=2) > watt() > watt(clock_hz=150e6) > board.static_power_w * 0.99


def test_every_coefficient_has_a_source_and_an_ordered_range():
    table = read_toml(data_folder("energy") / "fpga.toml")
    for name, entry in table.items():
        if name != "note":
            assert entry["low"] <= entry["typical"] <= entry["high"]
            assert len(entry["source"]) > 20
    assert power_coefficients(load_device("u280")).static_w == load_device("u280").static_power_w


def test_an_fpga_needs_its_configuration():
    network, board = load_preset("autoenc-1"), load_device("u280")
    with pytest.raises(ConfigError, match="needs the configuration"):
        energy_of(estimate(network, board), network, board)


def test_every_pass_of_every_layer_is_read_with_its_biases():
    layers = ((LSTM, 5, 6, 10, 1), (LSTM, 5, 10, 3, 2), (DENSE, 5, 6, 7, 1))
    words = 4 * 10 * (6 + 10 + 1) + 2 * 4 * 3 * (10 + 3 + 1) + 7 * (6 + 1)
    knobs = knobs_of(KernelConfig(), load_device("u280"), 1)._replace(weight_bits=12)
    assert traffic_bytes(layers, knobs) == words * 12 / 8
    assert traffic_bytes(layers, knobs._replace(io_is_float=1)) == words * 4
    assert traffic_bytes(layers, knobs._replace(resident_weights=1)) == 0


def test_power_and_energy_by_hand():
    c = PowerCoefficients(static_w=2, lut_j=1, ff_j=10, dsp_j=100, bram18_j=1000, uram_j=10_000, memory_j_per_byte=0.25)
    used = Usage(lut=3, lutram=99, ff=5, bram18=7, uram=11, dsp=13)
    assert switching_w(used, 2, c) == 2 * (3 + 50 + 1300 + 7000 + 110_000)
    assert inference_joule(0.5, 4, 6, 100, c) == (2 + 6) * 0.5 / 4 + 100 / 4
    assert average_w(3, 0.5, 4) == 3 * 4 / 0.5
    assert average_w(3, 0, 4) == 0
