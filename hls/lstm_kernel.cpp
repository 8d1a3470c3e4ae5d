// An LSTM network on one cell that is used layer after layer (Danopoulos et al., section 4.1).
//
// PARALLEL_GATES gate engines, each ENGINES rows at a time, each row on ROW_MULTIPLIERS multipliers; time steps one after
// the other; the weights of a layer are read from memory before its first step.
#include "lstm_kernel.hpp"

#include "activations.hpp"

namespace {

// Where the next beat of a run's weights goes. Lane k always lands in a column that is k modulo BEAT_LANES.
struct Place {
    int gate, row, beat;

    void advance(const Run &run) {
#pragma HLS INLINE
        if (++beat * BEAT_LANES > columns_of(run)) {
            beat = 0;
            if (++row == run.units) {
                row = 0;
                ++gate;
            }
        }
    }
};

void scatter(const beat_t &beat, const Place &place, int columns, matrices_t matrices, int bank) {
#pragma HLS INLINE
LOAD_LANE:
    for (int lane = 0; lane < BEAT_LANES; ++lane) {
#pragma HLS UNROLL
        const int column = place.beat * BEAT_LANES + lane;
        if (column <= columns) {
            matrices[bank][place.gate][place.row][column] =
                WeightPacking::lane(beat.group[lane / WeightPacking::LANES], lane % WeightPacking::LANES);
        }
    }
}

// Reads one run's weights into the memory that the engines read.
void load_matrices(FOR_EACH_PORT(PORT_PARAMETER) const Run &run, matrices_t matrices, int bank) {
#if STAGED_WEIGHTS
    static beat_t staged[MX_BEATS];
#endif
    Place place = {0, 0, 0};
LOAD_BEAT:
    for (int k = 0; k < run.beats; ++k) {
#pragma HLS PIPELINE II=1
        PRAGMA(HLS LOOP_TRIPCOUNT min=1 max=MX_BEATS)
        beat_t beat;
#define PORT_READ(n) beat.group[n] = WeightPacking::read(weights##n, run.first_beat + k);
        FOR_EACH_PORT(PORT_READ)
#undef PORT_READ
#if STAGED_WEIGHTS
        staged[k] = beat;
    }
COPY_BEAT:
    for (int k = 0; k < run.beats; ++k) {
#pragma HLS PIPELINE II=1
        PRAGMA(HLS LOOP_TRIPCOUNT min=1 max=MX_BEATS)
        const beat_t beat = staged[k];
#endif
        scatter(beat, place, columns_of(run), matrices, bank);
        place.advance(run);
    }
}

// One row times the active vector (the paper's Fig. 3). A tree adds in levels where that changes no bit; a cascade adds
// one product after the other while rows overlap, a chain without overlap (see LOOP_ROW).
//
// Entries of the vector beyond `columns` are zero: hardware multiplies them, which changes no sum, and C-simulation
// skips them.
acc_t row_vector_mul(const weight_t row[MX_COL + 1], const state_t vector[MX_COL], int columns) {
#pragma HLS INLINE
#ifdef ACCUMULATION_IS_tree
#pragma HLS EXPRESSION_BALANCE
#else
#pragma HLS EXPRESSION_BALANCE off
#endif
    acc_t acc = row[0];
LOOP_MATRIX:
    for (int j = 0; j < MX_COL; ++j) {
#ifdef ACCUMULATION_IS_chain
        PRAGMA(HLS UNROLL factor=ROW_MULTIPLIERS)
#else
#pragma HLS UNROLL
#endif
#ifndef __SYNTHESIS__
        if (j == columns) break;
#endif
        acc_t product = row[j + 1] * vector[j];
        acc = acc + product;
    }
    return acc;
}

Function function_of(const Run &run, int gate) {
#pragma HLS INLINE
    if (run.kind == RUN_DENSE) return run.function;
    return gate == GATE_CANDIDATE ? FUNCTION_TANH : FUNCTION_SIGMOID;
}

// The gate engines: PARALLEL_GATES gates side by side, ENGINES rows of each.
void gates(const Run &run, const matrices_t matrices, int bank, const state_t vector[MX_COL],
           state_t results[GATES][MX_UNITS]) {
    const int columns = columns_of(run);
LOOP_TURN:
    for (int first = 0; first < gates_of(run); first += PARALLEL_GATES) {
        PRAGMA(HLS LOOP_TRIPCOUNT min=1 max=GATE_TURNS)
    LOOP_ROW:
        for (int row = 0; row < run.units; row += ENGINES) {
#ifdef ACCUMULATION_IS_chain
#pragma HLS PIPELINE off
#else
            PRAGMA(HLS PIPELINE II=MAC_SHARE)
#endif
            PRAGMA(HLS LOOP_TRIPCOUNT min=1 max=MX_UNITS)
        LOOP_ENGINE:
            for (int engine = 0; engine < ENGINES; ++engine) {
#pragma HLS UNROLL
            LOOP_GATE:
                for (int k = 0; k < PARALLEL_GATES; ++k) {
#pragma HLS UNROLL
                    const int gate = first + k;
                    if (row + engine < run.units && gate < gates_of(run)) {
                        state_t z = row_vector_mul(matrices[bank][gate][row + engine], vector, columns);
                        results[gate][row + engine] = activate(function_of(run, gate), z);
                    }
                }
            }
        }
    }
}

// Cell state and hidden state of every unit; the hidden state goes back into the active vector.
void elementwise(const Run &run, const state_t gate[GATES][MX_UNITS], cell_t cell[MX_UNITS], state_t vector[MX_COL]) {
LOOP_UNIT:
    for (int first = 0; first < run.units; first += ELEMENTWISE_UNROLL) {
#pragma HLS PIPELINE II=1
        PRAGMA(HLS LOOP_TRIPCOUNT min=1 max=MX_UNITS)
        for (int k = 0; k < ELEMENTWISE_UNROLL; ++k) {
#pragma HLS UNROLL
            const int u = first + k;
            if (u < run.units) {
                cell_t c = gate[GATE_FORGET][u] * cell[u] + gate[GATE_INPUT][u] * gate[GATE_CANDIDATE][u];
                state_t h = gate[GATE_OUTPUT][u] * hyperbolic_tangent(c);
                cell[u] = c;
                vector[u] = h;
                LSTM_PROBE(c, h);
            }
        }
    }
}

void copy(const state_t source[], int from, state_t target[], int to, int count) {
#pragma HLS INLINE
COPY:
    for (int j = 0; j < count; ++j) {
#pragma HLS PIPELINE II=1
        PRAGMA(HLS LOOP_TRIPCOUNT min=1 max=MX_COL)
        target[to + j] = source[from + j];
    }
}

void clear(state_t vector[MX_COL], cell_t cell[MX_UNITS]) {
CLEAR_VECTOR:
    for (int j = 0; j < MX_COL; ++j) {
#pragma HLS UNROLL
        vector[j] = 0;
    }
CLEAR_CELL:
    for (int u = 0; u < MX_UNITS; ++u) {
#pragma HLS PIPELINE II=1
        cell[u] = 0;
    }
}

// Copies one step of the sequence at `from` to every step at `to`.
void repeat(const Run &run, values_t values, int from, int to) {
REPEAT_STEP:
    for (int step = 0; step < run.steps; ++step) {
        PRAGMA(HLS LOOP_TRIPCOUNT min=1 max=MX_STEPS)
    REPEAT_VALUE:
        for (int j = 0; j < run.units; ++j) {
#pragma HLS PIPELINE II=1
            PRAGMA(HLS LOOP_TRIPCOUNT min=1 max=MX_COL)
#pragma HLS DEPENDENCE variable=values inter false
            values[to + step * run.stride + j] = values[from + j];
        }
    }
}

// All time steps of one run, with its weights on the chip: reads the sequence at `from`, writes the one at `to`.
void compute(const Run &run, const matrices_t matrices, int bank, values_t values, int from, int to) {
    static state_t vector[MX_COL];
    static state_t results[GATES][MX_UNITS];
    static cell_t cell[MX_UNITS];
#pragma HLS ARRAY_PARTITION variable=vector complete
#pragma HLS ARRAY_PARTITION variable=results dim=1 complete
    PRAGMA(HLS ARRAY_PARTITION variable=results dim=2 cyclic factor=UNIT_BANKS)
    PRAGMA(HLS ARRAY_PARTITION variable=cell cyclic factor=UNIT_BANKS)

    if (run.kind == RUN_REPEAT) {
        repeat(run, values, from, to);
        return;
    }
    clear(vector, cell);
    const int first_input = run.kind == RUN_LSTM ? run.units : 0;
LOOP_STEP:
    for (int step = 0; step < run.steps; ++step) {
        PRAGMA(HLS LOOP_TRIPCOUNT min=1 max=MX_STEPS)
        const int time = run.backwards ? run.steps - 1 - step : step;
        const int place = to + (run.sequences ? time : 0) * run.stride + run.offset;
        copy(values, from + time * run.inputs, vector, first_input, run.inputs);
        gates(run, matrices, bank, vector, results);
        if (run.kind == RUN_DENSE) {
            copy(results[0], 0, values, place, run.units);
        } else {
            elementwise(run, results, cell, vector);
            if (run.sequences || step == run.steps - 1) copy(vector, 0, values, place, run.units);
        }
    }
}

// Reads the next run's weights into one memory while another run computes from the other.
void overlap(FOR_EACH_PORT(PORT_PARAMETER) const Run &next, matrices_t loading, const Run &run, const matrices_t ready,
             values_t values, int from, int to) {
    load_matrices(FOR_EACH_PORT(PORT_ARGUMENT) next, loading, 0);
    compute(run, ready, 0, values, from, to);
}

void read_sample(const word_t *inputs, int sample, values_t values) {
    const int groups = ValuePacking::words(IN_VALUES) / ValuePacking::WORDS;
READ_GROUP:
    for (int group = 0; group < groups; ++group) {
#pragma HLS PIPELINE II=1
        const ValuePacking::group_t bits = ValuePacking::read(inputs, sample * groups + group);
        for (int lane = 0; lane < ValuePacking::LANES; ++lane) {
#pragma HLS UNROLL
            const int place = group * ValuePacking::LANES + lane;
            if (place < IN_VALUES) values[place] = ValuePacking::lane(bits, lane);
        }
    }
}

void write_sample(const values_t values, int from, word_t *outputs, int sample) {
    const int groups = ValuePacking::words(OUT_VALUES) / ValuePacking::WORDS;
WRITE_GROUP:
    for (int group = 0; group < groups; ++group) {
#pragma HLS PIPELINE II=1
        ValuePacking::group_t bits = 0;
        for (int lane = 0; lane < ValuePacking::LANES; ++lane) {
#pragma HLS UNROLL
            const int place = group * ValuePacking::LANES + lane;
            if (place < OUT_VALUES) ValuePacking::set_lane(bits, lane, io_t(values[from + place]));
        }
        ValuePacking::write(outputs, sample * groups + group, bits);
    }
}

}  // namespace

extern "C" void lstm_kernel(FOR_EACH_PORT(PORT_PARAMETER) const word_t *inputs, word_t *outputs, int *digest,
                            int batch, int load_weights) {
#define PORT_INTERFACE(n)                                                                                 \
    PRAGMA(HLS INTERFACE m_axi port=weights##n offset=slave bundle=weights##n depth=WEIGHT_WORDS          \
           max_read_burst_length=BURST_BEATS num_read_outstanding=OUTSTANDING_READS)                      \
    PRAGMA(HLS INTERFACE s_axilite port=weights##n bundle=control)
    FOR_EACH_PORT(PORT_INTERFACE)
    PRAGMA(HLS INTERFACE m_axi port=inputs offset=slave bundle=values depth=IN_WORDS
           max_read_burst_length=BURST_BEATS num_read_outstanding=OUTSTANDING_READS)
    PRAGMA(HLS INTERFACE m_axi port=outputs offset=slave bundle=values depth=OUT_WORDS
           max_write_burst_length=BURST_BEATS)
#pragma HLS INTERFACE m_axi port=digest offset=slave bundle=digest depth=2
#pragma HLS INTERFACE s_axilite port=inputs bundle=control
#pragma HLS INTERFACE s_axilite port=outputs bundle=control
#pragma HLS INTERFACE s_axilite port=digest bundle=control
#pragma HLS INTERFACE s_axilite port=batch bundle=control
#pragma HLS INTERFACE s_axilite port=load_weights bundle=control
#pragma HLS INTERFACE s_axilite port=return bundle=control

// A split weight memory keeps the second copy, that of a double buffer, in block RAM.
#ifdef WEIGHT_MEMORY_IS_split
#define EVEN_MEMORY lutram
#define ODD_MEMORY bram
#else
#define EVEN_MEMORY WEIGHT_MEMORY
#define ODD_MEMORY WEIGHT_MEMORY
#endif
#define WEIGHT_PRAGMAS(name, memory)                                            \
    PRAGMA(HLS BIND_STORAGE variable=name type=ram_2p impl=memory)              \
    PRAGMA(HLS ARRAY_PARTITION variable=name dim=2 complete)                    \
    PRAGMA(HLS ARRAY_PARTITION variable=name dim=3 cyclic factor=ENGINES)       \
    PRAGMA(HLS ARRAY_PARTITION variable=name dim=4 cyclic factor=COLUMN_BANKS)
    static matrices_t even;
    WEIGHT_PRAGMAS(even, EVEN_MEMORY)
#if DOUBLE_BUFFER && !RESIDENT_WEIGHTS
    static matrices_t odd;
    WEIGHT_PRAGMAS(odd, ODD_MEMORY)
    bool use_odd = false;
    if (batch > 0) load_matrices(FOR_EACH_PORT(PORT_ARGUMENT) NETWORK[0], even, 0);
#endif
#if RESIDENT_WEIGHTS
    if (load_weights) {
        for (int k = 0; k < RUNS; ++k) load_matrices(FOR_EACH_PORT(PORT_ARGUMENT) NETWORK[k], even, k);
    }
#else
    (void)load_weights;
#endif

    static values_t values;
    digest[0] = DIGEST_LOW;
    digest[1] = DIGEST_HIGH;

LOOP_SAMPLE:
    for (int sample = 0; sample < batch; ++sample) {
        int from = 0;
        read_sample(inputs, sample, values);
    LOOP_RUN:
        for (int k = 0; k < RUNS; ++k) {
            const Run run = NETWORK[k];
            const int to = MX_VALUES - from;
#if RESIDENT_WEIGHTS
            compute(run, even, k, values, from, to);
#elif DOUBLE_BUFFER
            Run next = NETWORK[k + 1 < RUNS ? k + 1 : 0];
            if (k + 1 == RUNS && sample + 1 == batch) next.beats = 0;
            if (use_odd) {
                overlap(FOR_EACH_PORT(PORT_ARGUMENT) next, even, run, odd, values, from, to);
            } else {
                overlap(FOR_EACH_PORT(PORT_ARGUMENT) next, odd, run, even, values, from, to);
            }
            use_odd = !use_odd;
#else
            load_matrices(FOR_EACH_PORT(PORT_ARGUMENT) run, even, 0);
            compute(run, even, 0, values, from, to);
#endif
            if (run.ends_layer) from = to;
        }
        write_sample(values, from, outputs, sample);
    }
}
