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


def _constant(value: int) -> Any:
    return ir.Constant(I64, value)


def _splat(builder: Any, scalar: Any, count: int) -> Any:
    vector = ir.VectorType(scalar.type, count)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(I32, 0))
    mask = ir.Constant(ir.VectorType(I32, count), [0] * count)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), mask)


def _load(builder: Any, address: Any, offset: Any, element: Any, count: int) -> Any:
    pointer = builder.gep(builder.inttoptr(address, element.as_pointer()), [offset])
    if count > 1:
        pointer = builder.bitcast(pointer, ir.VectorType(element, count).as_pointer())
    loaded = builder.load(pointer)
    loaded.align = 4 if element is not I64 else 8
    return loaded


def _store(builder: Any, vector: Any, address: Any, offset: Any, element: Any) -> None:
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


def _clamp(builder: Any, value: Any, low: Any, high: Any) -> Any:
    raised = builder.select(builder.icmp_signed("<", value, low), low, value)
    return builder.select(builder.icmp_signed(">", raised, high), high, raised)


def _limit(builder: Any, mode: int, value: Any, low: Any, high: Any, mask: Any) -> Any:
    if mode == ROUND_WRAP:
        return builder.add(builder.and_(builder.sub(value, low), mask), low)
    clamped = _clamp(builder, value, low, high)
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
                _splat(builder, _load(builder, constants, _constant(field), element, 1), self.lanes)
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
    row_at = [builder.add(first_row, _constant(row)) for row in range(shape.part_rows)]
    lane_at = [builder.add(first_lane, _constant(vector * lanes)) for vector in range(shape.part_vectors)]
    at = {(r, v): builder.add(builder.mul(row_at[r], _constant(shape.lanes)), lane_at[v]) for r, v in places}
    with builder.if_else(spread) as (from_scalar, from_vector):
        with from_scalar:
            for row, vector in places:
                scalar = _splat(builder, _load(builder, start, row_at[row], element, 1), lanes)
                builder.store(scalar, totals[row, vector])
        with from_vector:
            for place in places:
                builder.store(_load(builder, start, at[place], element, lanes), totals[place])
    for row_address, lane_address, columns in segments:
        with cgutils.for_range_slice(builder, _constant(0), columns, _constant(1), I64) as (column, _):
            lane_base = builder.mul(column, _constant(shape.lanes))
            row_base = builder.mul(column, _constant(shape.rows))
            loaded = [_load(builder, lane_address, builder.add(lane_base, lane), element, lanes) for lane in lane_at]
            for row in range(shape.part_rows):
                scalar = _load(builder, row_address, builder.add(row_base, row_at[row]), element, 1)
                spread_row = _splat(builder, scalar, lanes)
                for vector in range(shape.part_vectors):
                    total = builder.load(totals[row, vector])
                    builder.store(arithmetic.add(total, spread_row, loaded[vector]), totals[row, vector])
    for place in places:
        _store(builder, builder.load(totals[place]), target, at[place], element)


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
    flag = builder.icmp_signed("!=", spread, _constant(0))
    arithmetic = _Arithmetic(builder, element, mode, constants)
    shape = _shape(arithmetic.lanes, mode, alone)
    size = 8 if element is I64 else 4
    start_step = builder.select(flag, _constant(shape.rows), _constant(shape.rows * shape.lanes))

    def moved(place: Any, tile: Any, step: Any) -> Any:
        return builder.add(place, builder.mul(tile, builder.mul(step, _constant(size))))

    down, across = shape.parts(arithmetic.lanes)
    lanes = shape.part_vectors * arithmetic.lanes
    with cgutils.for_range_slice(builder, _constant(0), count, _constant(1), I64) as (tile, _):
        segments = tuple(
            (rows, moved(at, tile, step), columns) if alone else (moved(rows, tile, step), at, columns)
            for rows, at, columns, step in ((r1, l1, c1, step_1), (r2, l2, c2, step_2))
        )
        places = moved(target, tile, _constant(shape.rows * shape.lanes)), moved(start, tile, start_step)
        with (
            cgutils.for_range_slice(
                builder, _constant(0), _constant(down * shape.part_rows), _constant(shape.part_rows), I64
            ) as (row, _),
            cgutils.for_range_slice(builder, _constant(0), _constant(across * lanes), _constant(lanes), I64) as (
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
        return builder.atomic_rmw("add", place, _constant(1), "acq_rel")

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
                    builder.icmp_signed("==", mode, _constant(known)),
                    builder.icmp_signed("!=" if one else "==", alone, _constant(0)),
                )
                with builder.if_then(chosen):
                    builder.call(_tiles_function(builder.module, element, known, one), rest)
        return target_context.get_dummy_value()

    return signature, generate


@intrinsic
def assign32(context, value, gain, drop, addend, negative, odd, low, high, outside, base, mask):
    """`fixed.assign` on 32 bits without a branch, so that loops of it become vectors; fields as in `elementwise`."""
    signature = types.int32(*[types.int32] * 11)

    def generate(target_context, builder, signature, arguments):
        value, gain, drop, addend, negative, odd, low, high, outside, base, mask = arguments
        whole = emit_drop(builder, builder.shl(value, gain), drop, addend, negative, odd)
        clamped = _clamp(builder, whole, low, high)
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
    clamped = _clamp(builder, whole, low, high)
    kept = builder.select(builder.icmp_signed("==", clamped, whole), whole, builder.and_(clamped, outside))
    return builder.add(builder.and_(builder.sub(kept, base), mask), base)


def _wrap_vector(builder: Any, value: Any, stage: list[Any]) -> Any:
    """Emit `_assign_vector` where bits are cut off and the value wraps."""
    _, drop, *_, base, mask = stage
    floor = builder.ashr(value, drop)
    return builder.add(builder.and_(builder.sub(floor, base), mask), base)


def _gather(builder: Any, table: Any, index: Any) -> Any:
    """Emit table[index] for a vector of 32-bit elements, lane by lane: AVX2's own gather was slower where measured."""
    found = ir.Constant(index.type, ir.Undefined)
    for lane in range(index.type.count):
        at = builder.zext(builder.extract_element(index, ir.Constant(I32, lane)), I64)
        found = builder.insert_element(found, _load(builder, table, at, I32, 1), ir.Constant(I32, lane))
    return found


def _constants(builder: Any, address: Any, count: int) -> list[Any]:
    lanes = VECTOR_BYTES // 4
    return [_splat(builder, _load(builder, address, _constant(field), I32, 1), lanes) for field in range(count)]


def _cuts_and_wraps(builder: Any, stages: Any) -> Any:
    """Emit whether sums stay in their width and all assignments of an LSTM step cut off bits and wrap, the defaults."""
    result = builder.icmp_signed("==", _load(builder, stages, _constant(9), I32, 1), ir.Constant(I32, -1))
    for stage in range(1, 4):
        gain, addend, negative, odd, mask = (
            _load(builder, stages, _constant(stage * 10 + field), I32, 1) for field in (0, 2, 3, 4, 9)
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
    fields = _constants(builder, stages, 40)
    wrap, to_state, to_cell, to_hidden = (fields[row * 10 : row * 10 + 10] for row in range(4))
    left, right = _constants(builder, align, 2)
    gate_codes, cell_codes = (_splat(builder, builder.trunc(mask, I32), lanes) for mask in (gate_mask, cell_mask))
    with cgutils.for_range_slice(builder, _constant(0), tiles, _constant(1), I64) as (tile, _):
        for first in range(0, SAMPLES, lanes):
            at = builder.add(builder.mul(tile, _constant(WIDE)), _constant(first))
            gates = []
            for gate, table in enumerate((sigmoid, sigmoid, tanh, sigmoid)):
                total = _load(builder, sums, builder.add(at, _constant(gate * SAMPLES)), I32, lanes)
                gates.append(_gather(builder, table, to_code(builder, total, wrap, to_state, gate_codes)))
            place = builder.add(builder.mul(tile, _constant(SAMPLES)), _constant(first))
            kept = builder.shl(builder.mul(gates[1], _load(builder, cells, place, I32, lanes)), left)
            added = builder.shl(builder.mul(gates[0], gates[2]), right)
            cell = assign(builder, builder.add(kept, added), to_cell)
            _store(builder, cell, cells, place, I32)
            squashed = _gather(builder, tanh_cell, builder.and_(cell, cell_codes))
            _store(builder, assign(builder, builder.mul(gates[3], squashed), to_hidden), hidden, place, I32)


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
