"""The generated C++ headers: every knob, the number formats, the network's sizes, the activation tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

import numpy as np

from lstmsim.config import KernelConfig
from lstmsim.fixedpoint import FixedFormat, FloatFormat, NumberFormat
from lstmsim.hls.runs import Run, beat_lanes, largest, runs_of, stored_weight_format, value_packing, weight_packing
from lstmsim.network import Network
from lstmsim.quantise import ActivationTables, Raw

_GENERATED = "// Written by lstmsim: change the configuration and generate the project again.\n"


def config_header(config: KernelConfig, clock_hz: float) -> str:
    """Return lstm_config.hpp: one line a knob, taken from `fields(KernelConfig)`, and what follows from them alone."""
    lines = [_knob_lines(knob.name, getattr(config, knob.name), clock_hz) for knob in fields(KernelConfig)]
    types = [f"typedef {cpp_type(stored_weight_format(config))} stored_weight_t;  // weights in memory"]
    derived = [
        f"#define KERNEL_IS_FLOAT {int(config.is_float)}",
        f"#define ACTIVATION_TABLE_LOG2 {config.activation_table_size.bit_length() - 1}",
        f"#define ACTIVATION_RANGE_LOG2 {config.activation_range.bit_length() - 1}",
        f"#define ACTIVATION_ENTRIES {_table_entries(config)}",
        f"#define GATE_TURNS {4 // config.parallel_gates}",
        "#define FOR_EACH_PORT(X) " + " ".join(f"X({port})" for port in range(config.memory_ports)),
        *(f"#define DIGEST_{part} {value}" for part, value in zip(("LOW", "HIGH"), digest_words(config), strict=True)),
    ]
    return _guarded(
        "LSTM_CONFIG_HPP",
        ['#include "ap_fixed.h"', "", "// Knobs", *_flat(lines), "", "// What follows from them", *types, *derived],
    )


def network_header(network: Network, config: KernelConfig) -> str:
    """Return lstm_network.hpp: the runs of the network and the sizes of the arrays that hold it."""
    runs, lanes = runs_of(network), beat_lanes(config)
    units, columns = largest(runs)
    shapes = [stage.output for stage in network.stages]
    sizes = {
        "MX_UNITS": units,
        "MX_COL": columns,
        "ROW_MULTIPLIERS": (multipliers := -(-columns // config.mac_share)),
        "COLUMN_BANKS": columns + 1 if config.weight_banks == "column" else multipliers,
        "UNIT_BANKS": max(config.engines, config.elementwise_unroll),
        "MX_STEPS": max((run.steps for run in runs), default=1),
        "MX_BEATS": max(1, max((run.beats(lanes) for run in runs), default=1)),
        "MX_VALUES": max(network.timesteps * network.features, *(s.timesteps * s.features for s in shapes)),
        "IN_VALUES": network.timesteps * network.features,
        "OUT_VALUES": network.output.timesteps * network.output.features,
        "IN_WORDS": value_packing(config).words_of(network.timesteps * network.features),
        "OUT_WORDS": value_packing(config).words_of(network.output.timesteps * network.output.features),
        "WEIGHT_WORDS": max(1, sum(run.beats(lanes) for run in runs) * weight_packing(config).words),
        "RUNS": max(1, len(runs)),
    }
    rows, first = [], 0
    for run in runs or (_nothing(),):
        rows.append(f"    {_run_row(run, first, lanes)},")
        first += run.beats(lanes)
    return _guarded(
        "LSTM_NETWORK_HPP",
        [
            '#include "run.hpp"',
            "",
            *(f"#define {name} {value}" for name, value in sizes.items()),
            "",
            "// kind, units, inputs, steps, backwards, sequences, function,",
            "// stride, offset, ends_layer, first_beat, beats",
            "constexpr Run NETWORK[RUNS] = {",
            *rows,
            "};",
        ],
    )


def tables_header(tables: ActivationTables, config: KernelConfig) -> str:
    """Return activation_tables.hpp: entries as raw integers of state_t, or as float."""
    entry = "float" if config.is_float else "Number<state_t>::raw_t"
    lines = ['#include "lstm_config.hpp"', '#include "number.hpp"', "", f"typedef {entry} table_entry_t;"]
    if len(tables.sigmoid):
        lines += ["", *_table("SIGMOID_TABLE", tables.sigmoid), "", *_table("TANH_TABLE", tables.tanh)]
    return _guarded("ACTIVATION_TABLES_HPP", lines)


def cpp_type(number: NumberFormat) -> str:
    """Return the C++ spelling of a format, every part written out."""
    if isinstance(number, FloatFormat):
        return "float"
    name = "ap_fixed" if number.signed else "ap_ufixed"
    modes = f"{number.quantization.value}, {number.overflow.value}, {number.saturation_bits}"
    return f"{name}<{number.width_bits}, {number.integer_bits}, {modes}>"


def digest_words(config: KernelConfig) -> tuple[int, int]:
    """Return the configuration's digest as the two signed 32-bit words that the kernel writes back: low, high."""
    high, low = bytes.fromhex(config.digest)[:4], bytes.fromhex(config.digest)[4:]
    return int.from_bytes(low, "big", signed=True), int.from_bytes(high, "big", signed=True)


def _knob_lines(name: str, value: object, clock_hz: float) -> list[str]:
    if isinstance(value, FixedFormat | FloatFormat):
        return [f"typedef {cpp_type(value)} {_type_name(name)};"]
    macro = name.upper()
    if name == "clock_hz":
        return [f"#define {macro} {clock_hz:.0f}"]
    if isinstance(value, str):
        return [f"#define {macro} {value}", f"#define {macro}_IS_{value}"]
    assert isinstance(value, int)
    return [f"#define {macro} {int(value)}"]


def _type_name(knob: str) -> str:
    """Return weight_t for weight_format, acc_t for accumulator_format."""
    return {"accumulator": "acc"}.get(stem := knob.removesuffix("_format"), stem) + "_t"


def _table_entries(config: KernelConfig) -> int:
    if config.activation not in ("table", "interpolated"):
        return 0
    return config.activation_table_size + (config.activation == "interpolated")


def _run_row(run: Run, first_beat: int, lanes: int) -> str:
    parts = [
        f"RUN_{run.kind.upper()}",
        run.units,
        run.inputs,
        run.steps,
        str(run.backwards).lower(),
        str(run.sequences).lower(),
        f"FUNCTION_{run.function.upper()}",
        run.stride,
        run.offset,
        str(run.ends_layer).lower(),
        first_beat,
        run.beats(lanes),
    ]
    return "{" + ", ".join(map(str, parts)) + "}"


def _nothing() -> Run:
    """A network of reshapes alone: a run that copies nothing and changes no buffer."""
    return Run(kind="repeat", units=1, inputs=1, steps=0, stride=1, layer=0, ends_layer=False)


def _table(name: str, entries: Raw) -> list[str]:
    texts = [_literal(entry) for entry in entries]
    rows = ["    " + " ".join(f"{text}," for text in texts[k : k + 12]) for k in range(0, len(texts), 12)]
    return [f"static const table_entry_t {name}[ACTIVATION_ENTRIES] = {{", *rows, "};"]


def _literal(entry: np.generic) -> str:
    if isinstance(entry, np.floating):
        return f"{float(entry):.9e}f"
    raw = int(entry)
    return f"{raw}LL" if raw > -(1 << 63) else f"({raw + 1}LL - 1)"


def _guarded(guard: str, lines: Iterable[str]) -> str:
    return _GENERATED + "\n".join([f"#ifndef {guard}", f"#define {guard}", "", *lines, "", "#endif", ""])


def _flat(groups: Iterable[list[str]]) -> list[str]:
    return [line for group in groups for line in group]
