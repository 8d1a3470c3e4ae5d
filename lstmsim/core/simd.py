"""Tiles of a matrix product on vector registers, written in LLVM's own instructions.

A tile adds the products of R broadcast rows and L lanes over two segments of columns (hidden state, then input), in
order. In a block of samples the lanes are samples and the rows are weights; for one sample the lanes are weights
and the only row is the state. Vectors are LLVM's, so every CPU runs them; only PAIRS asks for AVX2's vpmaddwd.

Every step keeps the order of the columns within a lane, so rounding and saturation inside the sum are those of the
plain form. Nothing is fused: single precision carries no fast-math flag.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

SAMPLES = 16  # samples of a block, and units of a group where one sample runs alone
GATES = 4
WIDE = GATES * SAMPLES

# How a tile adds: two 16-bit products at a time; products as they are; with the overflow modes of the sum
PAIRS, PRODUCTS, ROUND_SATURATE, ROUND_WRAP, ROUND_ZERO = range(5)

# Constants of an in-order sum: bits that a product loses and gains, the rounding addends of `emit_drop`, bounds of
# the accumulator, and the mask of its width
SUM_DROP, SUM_GAIN, SUM_ADD, SUM_NEGATIVE, SUM_ODD, SUM_LOW, SUM_HIGH, SUM_MASK = range(8)
SUM_FIELDS = 8

I32, I64, F32 = ir.IntType(32), ir.IntType(64), ir.FloatType()
VECTOR_BYTES = 32


def constant(value: int) -> Any:
    """Return a 64-bit constant."""
    return ir.Constant(I64, value)


def splat(builder: Any, scalar: Any, count: int) -> Any:
    """Emit a vector that holds a scalar in every lane."""
    vector = ir.VectorType(scalar.type, count)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(I32, 0))
    mask = ir.Constant(ir.VectorType(I32, count), [0] * count)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), mask)


def load(builder: Any, address: Any, offset: Any, element: Any, count: int) -> Any:
    """Emit the load of so many elements, from `offset` elements behind an address on."""
    pointer = builder.gep(builder.inttoptr(address, element.as_pointer()), [offset])
    if count > 1:
        pointer = builder.bitcast(pointer, ir.VectorType(element, count).as_pointer())
    loaded = builder.load(pointer)
    loaded.align = 4 if element is not I64 else 8
    return loaded


def store(builder: Any, vector: Any, address: Any, offset: Any, element: Any) -> None:
    """Emit the store of a vector, `offset` elements behind an address."""
    pointer = builder.gep(builder.inttoptr(address, element.as_pointer()), [offset])
    stored = builder.store(vector, builder.bitcast(pointer, vector.type.as_pointer()))
    stored.align = 4 if element is not I64 else 8


def emit_drop(builder: Any, value: Any, drop: Any, addend: Any, negative: Any, odd: Any) -> Any:
    """Emit `fixed.drop_bits` for any mode: floor + ((rest + addend + (sign & negative) + (floor & odd)) >> drop)."""
    width = value.type.element.width if isinstance(value.type, ir.VectorType) else value.type.width
    top = ir.Constant(value.type.element if isinstance(value.type, ir.VectorType) else value.type, width - 1)
    if isinstance(value.type, ir.VectorType):
        top = ir.Constant(value.type, [width - 1] * value.type.count)
    floor = builder.ashr(value, drop)
    rest = builder.sub(value, builder.shl(floor, drop))
    rest = builder.add(rest, addend)
    rest = builder.add(rest, builder.and_(builder.ashr(value, top), negative))
    rest = builder.add(rest, builder.and_(floor, odd))
    return builder.add(floor, builder.ashr(rest, drop))


def clamp(builder: Any, value: Any, low: Any, high: Any) -> Any:
    """Emit the value kept between two bounds."""
    raised = builder.select(builder.icmp_signed("<", value, low), low, value)
    return builder.select(builder.icmp_signed(">", raised, high), high, raised)


def _limit(builder: Any, mode: int, value: Any, low: Any, high: Any, mask: Any) -> Any:
    if mode == ROUND_WRAP:
        return builder.add(builder.and_(builder.sub(value, low), mask), low)
    clamped = clamp(builder, value, low, high)
    if mode == ROUND_SATURATE:
        return clamped
    inside = builder.icmp_signed("==", clamped, value)
    return builder.select(inside, value, ir.Constant(value.type, [0] * value.type.count))


def _narrow(builder: Any, value: Any) -> Any:
    """Emit a 64-bit lane whose multiplication needs its low 32 bits only."""
    narrow = ir.VectorType(I32, value.type.count)
    return builder.sext(builder.trunc(value, narrow), value.type)


class _Arithmetic:
    """How one more column enters a vector of accumulators."""

    def __init__(self, builder: Any, element: Any, mode: int, constants: Any) -> None:
        self.builder, self.element, self.mode = builder, element, mode
        self.lanes = VECTOR_BYTES // (8 if element is I64 else 4)
        if mode == PAIRS:
            pairs = ir.VectorType(ir.IntType(16), 2 * self.lanes)
            self.pairs = pairs
            signature = ir.FunctionType(ir.VectorType(I32, self.lanes), [pairs, pairs])
            self.multiply_add = cgutils.get_or_insert_function(builder.module, signature, "llvm.x86.avx2.pmadd.wd")
        elif mode != PRODUCTS:
            self.constants = [
                splat(builder, load(builder, constants, constant(field), element, 1), self.lanes)
                for field in range(SUM_FIELDS)
            ]

    def add(self, total: Any, row: Any, lanes: Any) -> Any:
        """Emit total (+) row * lanes."""
        b = self.builder
        if self.mode == PAIRS:
            return b.add(total, b.call(self.multiply_add, [b.bitcast(row, self.pairs), b.bitcast(lanes, self.pairs)]))
        if self.element is F32:
            return b.fadd(total, b.fmul(row, lanes))
        if self.element is I64:
            row, lanes = _narrow(b, row), _narrow(b, lanes)
        product = b.mul(row, lanes)
        if self.mode == PRODUCTS:
            return b.add(total, product)
        drop, gain, addend, negative, odd, low, high, mask = self.constants
        product = emit_drop(b, b.shl(product, gain), drop, addend, negative, odd)
        if self.mode != ROUND_WRAP:
            product = _limit(b, self.mode, product, low, high, mask)
        return _limit(b, self.mode, b.add(total, product), low, high, mask)


@dataclass(frozen=True, slots=True)
class _Shape:
    """A tile of rows x lanes, worked off in parts whose accumulators stay in registers."""

    rows: int
    lanes: int
    part_rows: int
    part_vectors: int

    def parts(self, vector_lanes: int) -> tuple[int, int]:
        """Return how many parts there are, down and across."""
        return self.rows // self.part_rows, self.lanes // vector_lanes // self.part_vectors


def _emit_part(
    builder: Any, arithmetic: _Arithmetic, shape: _Shape, first_row: Any, first_lane: Any, operands: Any
) -> None:
    """Emit one part of a tile, from its first row and lane on."""
    target, start, spread, segments = operands
    element, lanes = arithmetic.element, arithmetic.lanes
    places = [(row, vector) for row in range(shape.part_rows) for vector in range(shape.part_vectors)]
    totals = {place: cgutils.alloca_once(builder, ir.VectorType(element, lanes)) for place in places}
    row_at = [builder.add(first_row, constant(row)) for row in range(shape.part_rows)]
    lane_at = [builder.add(first_lane, constant(vector * lanes)) for vector in range(shape.part_vectors)]
    at = {(r, v): builder.add(builder.mul(row_at[r], constant(shape.lanes)), lane_at[v]) for r, v in places}
    with builder.if_else(spread) as (from_scalar, from_vector):
        with from_scalar:
            for row, vector in places:
                scalar = splat(builder, load(builder, start, row_at[row], element, 1), lanes)
                builder.store(scalar, totals[row, vector])
        with from_vector:
            for place in places:
                builder.store(load(builder, start, at[place], element, lanes), totals[place])
    for row_address, lane_address, columns in segments:
        with cgutils.for_range_slice(builder, constant(0), columns, constant(1), I64) as (column, _):
            lane_base = builder.mul(column, constant(shape.lanes))
            row_base = builder.mul(column, constant(shape.rows))
            loaded = [load(builder, lane_address, builder.add(lane_base, lane), element, lanes) for lane in lane_at]
            for row in range(shape.part_rows):
                scalar = load(builder, row_address, builder.add(row_base, row_at[row]), element, 1)
                spread_row = splat(builder, scalar, lanes)
                for vector in range(shape.part_vectors):
                    total = builder.load(totals[row, vector])
                    builder.store(arithmetic.add(total, spread_row, loaded[vector]), totals[row, vector])
    for place in places:
        store(builder, builder.load(totals[place]), target, at[place], element)


def _tiles_function(module: Any, element: Any, mode: int, alone: bool) -> Any:
    """Return the function of a run of tiles in this module, made on first use.

    f(count, target, start, spread, rows_1, lanes_1, columns_1, step_1, rows_2, lanes_2, columns_2, step_2, constants),
    all 64-bit: target [count, rows, lanes] and start are addresses; start holds [count, rows, lanes], or [count, rows]
    where spread is set; segments hold rows [columns, rows] and lanes [columns, lanes], of which the weights (rows in a
    block, lanes of one sample alone) move on by so many elements a tile. One call for several tiles, as a call costs
    as much as the products of a dozen columns.
    """
    name = f"lstmsim_tiles_{element}_{mode}_{'alone' if alone else 'block'}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * 13), name)
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    count, target, start, spread, r1, l1, c1, step_1, r2, l2, c2, step_2, constants = function.args
    flag = builder.icmp_signed("!=", spread, constant(0))
    arithmetic = _Arithmetic(builder, element, mode, constants)
    shape = _shape(arithmetic.lanes, mode, alone)
    size = 8 if element is I64 else 4
    start_step = builder.select(flag, constant(shape.rows), constant(shape.rows * shape.lanes))

    def moved(place: Any, tile: Any, step: Any) -> Any:
        return builder.add(place, builder.mul(tile, builder.mul(step, constant(size))))

    down, across = shape.parts(arithmetic.lanes)
    lanes = shape.part_vectors * arithmetic.lanes
    with cgutils.for_range_slice(builder, constant(0), count, constant(1), I64) as (tile, _):
        segments = tuple(
            (rows, moved(at, tile, step), columns) if alone else (moved(rows, tile, step), at, columns)
            for rows, at, columns, step in ((r1, l1, c1, step_1), (r2, l2, c2, step_2))
        )
        places = moved(target, tile, constant(shape.rows * shape.lanes)), moved(start, tile, start_step)
        with (
            cgutils.for_range_slice(
                builder, constant(0), constant(down * shape.part_rows), constant(shape.part_rows), I64
            ) as (row, _),
            cgutils.for_range_slice(builder, constant(0), constant(across * lanes), constant(lanes), I64) as (
                lane,
                _,
            ),
        ):
            _emit_part(builder, arithmetic, shape, row, lane, (*places, flag, segments))
    builder.ret_void()
    return function


def _shape(vector_lanes: int, mode: int, alone: bool) -> _Shape:
    rows, lanes = (1, WIDE) if alone else (GATES, SAMPLES)
    registers = 8 if mode in (PAIRS, PRODUCTS) else 4
    vectors = min(lanes // vector_lanes, registers)
    return _Shape(rows, lanes, max(1, min(rows, registers // vectors)), vectors)


def has_pair_multiply() -> bool:
    """Tell whether the processor that numba compiles for has AVX2."""
    from llvmlite import binding
    from numba import config

    if config.CPU_FEATURES is not None:
        return "+avx2" in str(config.CPU_FEATURES)
    if config.CPU_NAME not in (None, "host"):
        return False
    return bool(binding.get_host_cpu_features().get("avx2", False))


def _modes(element: Any) -> tuple[int, ...]:
    if element is F32:
        return (PRODUCTS,)
    in_order = (ROUND_SATURATE, ROUND_WRAP, ROUND_ZERO)
    return (PRODUCTS, *in_order, *((PAIRS,) if element is I32 and has_pair_multiply() else ()))


@intrinsic
def address(context, array):
    """Return where an array begins."""

    def generate(target_context, builder, signature, arguments):
        fields = cgutils.create_struct_proxy(signature.args[0])(target_context, builder, value=arguments[0])
        return builder.ptrtoint(fields.data, I64)

    return types.int64(array), generate


@intrinsic
def count_up(context, counters, index):
    """Count counters[index] up by one and return what it was, as one step that no other thread can come between."""

    def generate(target_context, builder, signature, arguments):
        fields = cgutils.create_struct_proxy(signature.args[0])(target_context, builder, value=arguments[0])
        place = builder.gep(fields.data, [arguments[1]])
        return builder.atomic_rmw("add", place, constant(1), "acq_rel")

    return types.int64(counters, types.int64), generate


@intrinsic
def counted(context, counters, index):
    """Return counters[index] as other threads have left it."""

    def generate(target_context, builder, signature, arguments):
        fields = cgutils.create_struct_proxy(signature.args[0])(target_context, builder, value=arguments[0])
        return builder.load_atomic(builder.gep(fields.data, [arguments[1]]), "acquire", 8)

    return types.int64(counters, types.int64), generate


@intrinsic
def add_tiles(context, sums, mode, alone, count, t, s, spread, r1, l1, c1, s1, r2, l2, c2, s2, constants):
    """Run tiles of the element type of `sums`, of a mode, for a block or one sample; see `_tiles_function`."""
    element = {types.int32: I32, types.int64: I64, types.float32: F32}[sums.dtype]
    signature = types.void(sums, *[types.int64] * 15)

    def generate(target_context, builder, signature, arguments):
        _, mode, alone, *rest = arguments
        for known in _modes(element):
            for one in (False, True):
                chosen = builder.and_(
                    builder.icmp_signed("==", mode, constant(known)),
                    builder.icmp_signed("!=" if one else "==", alone, constant(0)),
                )
                with builder.if_then(chosen):
                    builder.call(_tiles_function(builder.module, element, known, one), rest)
        return target_context.get_dummy_value()

    return signature, generate
