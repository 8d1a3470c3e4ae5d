"""Gates, cell and hidden state of a tile on vector registers, for 32-bit integers; see `core.simd`."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from lstmsim.core.simd import I32, I64, SAMPLES, VECTOR_BYTES, WIDE, clamp, constant, emit_drop, load, splat, store


@intrinsic
def assign32(context, value, gain, drop, addend, negative, odd, low, high, outside, base, mask):
    """`fixed.assign` on 32 bits without a branch, so that loops of it become vectors; fields as in `elementwise`."""
    signature = types.int32(*[types.int32] * 11)

    def generate(target_context, builder, signature, arguments):
        value, gain, drop, addend, negative, odd, low, high, outside, base, mask = arguments
        whole = emit_drop(builder, builder.shl(value, gain), drop, addend, negative, odd)
        clamped = clamp(builder, whole, low, high)
        inside = builder.icmp_signed("==", clamped, whole)
        kept = builder.select(inside, whole, builder.and_(clamped, outside))
        return builder.add(builder.and_(builder.sub(kept, base), mask), base)

    return signature, generate


@intrinsic
def shift_wrap32(context, value, gain, drop, base, mask):
    """`assign32` where bits are cut off and the value wraps, ap_fixed's defaults: four operations instead of twelve."""
    signature = types.int32(*[types.int32] * 5)

    def generate(target_context, builder, signature, arguments):
        value, gain, drop, base, mask = arguments
        floor = builder.ashr(builder.shl(value, gain), drop)
        return builder.add(builder.and_(builder.sub(floor, base), mask), base)

    return signature, generate


@intrinsic
def pair32(context, first, second):
    """Join two 16-bit values held in 32 bits: first in the low half."""
    signature = types.int32(types.int32, types.int32)

    def generate(target_context, builder, signature, arguments):
        low = builder.and_(arguments[0], ir.Constant(I32, 0xFFFF))
        return builder.or_(low, builder.shl(arguments[1], ir.Constant(I32, 16)))

    return signature, generate


def _assign_vector(builder: Any, value: Any, stage: list[Any]) -> Any:
    gain, drop, addend, negative, odd, low, high, outside, base, mask = stage
    whole = emit_drop(builder, builder.shl(value, gain), drop, addend, negative, odd)
    clamped = clamp(builder, whole, low, high)
    kept = builder.select(builder.icmp_signed("==", clamped, whole), whole, builder.and_(clamped, outside))
    return builder.add(builder.and_(builder.sub(kept, base), mask), base)


def _wrap_vector(builder: Any, value: Any, stage: list[Any]) -> Any:
    """Emit `_assign_vector` where bits are cut off and the value wraps."""
    _, drop, *_, base, mask = stage
    floor = builder.ashr(value, drop)
    return builder.add(builder.and_(builder.sub(floor, base), mask), base)


def _look_up(builder: Any, table: Any, codes: Any, offset: Any, lanes: int) -> Any:
    """Emit table[code] for codes in memory, lane by lane.

    AVX2's own gather was slower where measured, and so was taking codes out of a vector.
    """
    found = ir.Constant(ir.VectorType(I32, lanes), ir.Undefined)
    for lane in range(lanes):
        code = builder.zext(load(builder, codes, builder.add(offset, constant(lane)), I32, 1), I64)
        found = builder.insert_element(found, load(builder, table, code, I32, 1), ir.Constant(I32, lane))
    return found


def _splat_all(builder: Any, address: Any, count: int) -> list[Any]:
    lanes = VECTOR_BYTES // 4
    return [splat(builder, load(builder, address, constant(field), I32, 1), lanes) for field in range(count)]


def _cuts_and_wraps(builder: Any, stages: Any) -> Any:
    """Emit whether sums stay in their width and all assignments of an LSTM step cut off bits and wrap, the defaults."""
    result = builder.icmp_signed("==", load(builder, stages, constant(9), I32, 1), ir.Constant(I32, -1))
    for stage in range(1, 4):
        gain, addend, negative, odd, mask = (
            load(builder, stages, constant(stage * 10 + field), I32, 1) for field in (0, 2, 3, 4, 9)
        )
        rounding = builder.or_(builder.or_(addend, negative), builder.or_(odd, gain))
        result = builder.and_(result, builder.icmp_signed("==", rounding, ir.Constant(I32, 0)))
        result = builder.and_(result, builder.icmp_signed("!=", mask, ir.Constant(I32, -1)))
    return result


def _code_vector(builder: Any, total: Any, wrap: list[Any], to_state: list[Any], codes: Any) -> Any:
    """Emit the bits of state_t that a sum has once it is assigned."""
    total = builder.add(builder.and_(builder.sub(total, wrap[8]), wrap[9]), wrap[8])
    return builder.and_(_assign_vector(builder, total, to_state), codes)


def _cut_code_vector(builder: Any, total: Any, wrap: list[Any], to_state: list[Any], codes: Any) -> Any:
    """Emit `_code_vector` where bits are cut off and the value wraps: wrapping keeps the bits that remain."""
    return builder.and_(builder.ashr(total, to_state[1]), codes)


def _emit_tiles(builder: Any, assign: Any, to_code: Any, arguments: Any) -> None:
    """Emit the loop of `lstm_tiles32` with one way to assign."""
    sums, cells, hidden, align, stages, sigmoid, tanh, tanh_cell, gate_mask, cell_mask, tiles = arguments
    lanes = VECTOR_BYTES // 4
    fields = _splat_all(builder, stages, 40)
    wrap, to_state, to_cell, to_hidden = (fields[row * 10 : row * 10 + 10] for row in range(4))
    left, right = _splat_all(builder, align, 2)
    gate_codes, cell_codes = (splat(builder, builder.trunc(mask, I32), lanes) for mask in (gate_mask, cell_mask))
    vectors = constant(lanes)
    with cgutils.for_range_slice(builder, constant(0), builder.mul(tiles, constant(WIDE)), vectors, I64) as (at, _):
        code = to_code(builder, load(builder, sums, at, I32, lanes), wrap, to_state, gate_codes)
        store(builder, code, sums, at, I32)
    with cgutils.for_range_slice(builder, constant(0), builder.mul(tiles, constant(SAMPLES)), vectors, I64) as (at, _):
        first = _first_gate(builder, at)
        gates = [
            _look_up(builder, table, sums, builder.add(first, constant(gate * SAMPLES)), lanes)
            for gate, table in enumerate((sigmoid, sigmoid, tanh, sigmoid))
        ]
        kept = builder.shl(builder.mul(gates[1], load(builder, cells, at, I32, lanes)), left)
        cell = assign(builder, builder.add(kept, builder.shl(builder.mul(gates[0], gates[2]), right)), to_cell)
        store(builder, cell, cells, at, I32)
        store(builder, builder.and_(cell, cell_codes), sums, first, I32)
        store(builder, gates[3], sums, builder.add(first, constant(SAMPLES)), I32)
    with cgutils.for_range_slice(builder, constant(0), builder.mul(tiles, constant(SAMPLES)), vectors, I64) as (at, _):
        first = _first_gate(builder, at)
        squashed = _look_up(builder, tanh_cell, sums, first, lanes)
        opened = load(builder, sums, builder.add(first, constant(SAMPLES)), I32, lanes)
        store(builder, assign(builder, builder.mul(opened, squashed), to_hidden), hidden, at, I32)


def _first_gate(builder: Any, at: Any) -> Any:
    """Emit where the first gate's sums of lane `at` of [tiles, 16] lie in [tiles, 4, 16]."""
    lane = builder.and_(at, constant(SAMPLES - 1))
    return builder.add(builder.mul(builder.sub(at, lane), constant(WIDE // SAMPLES)), lane)


@intrinsic
def lstm_tiles32(context, sums, cells, hidden, align, stages, sigmoid, tanh, tanh_cell, gate_mask, cell_mask, tiles):
    """Turn sums [tiles, 4, 16] into cells [tiles, 16], in place, and hidden [tiles, 16].

    All arguments but the masks and the count are addresses; stages as in `elementwise`, tables of every raw value.
    """

    def generate(target_context, builder, signature, values):
        module = builder.module
        if "lstmsim_cells" not in module.globals:
            function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * 11), "lstmsim_cells")
            function.linkage = "linkonce_odr"
            function.attributes.add("noinline")
            inner = ir.IRBuilder(function.append_basic_block("entry"))
            with inner.if_else(_cuts_and_wraps(inner, function.args[4])) as (simple, general):
                with simple:
                    _emit_tiles(inner, _wrap_vector, _cut_code_vector, function.args)
                with general:
                    _emit_tiles(inner, _assign_vector, _code_vector, function.args)
            inner.ret_void()
        builder.call(module.globals["lstmsim_cells"], values)
        return target_context.get_dummy_value()

    return types.void(*[types.int64] * 11), generate
