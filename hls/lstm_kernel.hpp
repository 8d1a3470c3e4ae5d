// The top level of the kernel, and the sizes that follow from its network.
#ifndef LSTM_KERNEL_HPP
#define LSTM_KERNEL_HPP

#include "lstm_config.hpp"
#include "lstm_network.hpp"
#include "packing.hpp"
#include "run.hpp"

// A pragma whose values are macros of lstm_config.hpp.
#define PRAGMA_TEXT(text) _Pragma(#text)
#define PRAGMA(text) PRAGMA_TEXT(text)

typedef Packing<stored_weight_t> WeightPacking;
typedef Packing<io_t> ValuePacking;

// A beat is one group from every weight port; a row of a weight matrix starts with its bias and fills whole beats.
#define BEAT_LANES (WeightPacking::LANES * MEMORY_PORTS)

struct beat_t {
    WeightPacking::group_t group[MEMORY_PORTS];
};

// Weights on the chip, of one layer or of all; column 0 holds the bias.
#define LAYERS_ON_CHIP (RESIDENT_WEIGHTS ? RUNS : 1)
typedef weight_t matrices_t[LAYERS_ON_CHIP][GATES][MX_UNITS][MX_COL + 1];

// The sequence that a layer reads and the one that it writes, in turns.
typedef state_t values_t[2 * MX_VALUES];

#define PORT_PARAMETER(n) const word_t *weights##n,
#define PORT_ARGUMENT(n) weights##n,

extern "C" {
// Runs `batch` samples through the network.
//
// weightsN: the words of weight port N. inputs, outputs: samples one after the other, each in whole groups.
// digest: the two words that name the configuration, written back so that a host can tell which kernel it talks to.
// load_weights: with RESIDENT_WEIGHTS, whether to read the weights into the chip first; ignored otherwise.
void lstm_kernel(FOR_EACH_PORT(PORT_PARAMETER) const word_t *inputs, word_t *outputs, int *digest, int batch,
                 int load_weights);
}

// C-simulation tells every cell state and hidden state to a test bench; synthesis leaves nothing of it.
#ifdef __SYNTHESIS__
#define LSTM_PROBE(cell, hidden)
#else
void lstm_probe(const cell_t &cell, const state_t &hidden);
#define LSTM_PROBE(cell, hidden) lstm_probe(cell, hidden)
#endif

namespace check {

constexpr int larger(int a, int b) { return a > b ? a : b; }
constexpr int row_beats(const Run &run) { return (columns_of(run) + BEAT_LANES) / BEAT_LANES; }

constexpr int most_units(int runs) {
    return runs == 0 ? 1
                     : larger(most_units(runs - 1), gates_of(NETWORK[runs - 1]) ? NETWORK[runs - 1].units : 1);
}
constexpr int most_columns(int runs) {
    return runs == 0 ? 1
                     : larger(most_columns(runs - 1),
                              gates_of(NETWORK[runs - 1]) ? columns_of(NETWORK[runs - 1]) : 1);
}
constexpr int beats_until(int runs) {
    return runs == 0 ? 0
                     : beats_until(runs - 1) +
                           gates_of(NETWORK[runs - 1]) * NETWORK[runs - 1].units * row_beats(NETWORK[runs - 1]);
}
constexpr bool beats_agree(int runs) {
    return runs == 0 || (beats_agree(runs - 1) && NETWORK[runs - 1].first_beat == beats_until(runs - 1) &&
                         NETWORK[runs - 1].beats == beats_until(runs) - beats_until(runs - 1));
}

}  // namespace check

static_assert(MX_UNITS == check::most_units(RUNS), "MX_UNITS is not the largest number of units");
static_assert(MX_COL == check::most_columns(RUNS), "MX_COL is not the largest number of columns");
static_assert(check::beats_agree(RUNS), "the places of the weights in memory do not follow from the sizes");
static_assert(ROW_MULTIPLIERS == (MX_COL + MAC_SHARE - 1) / MAC_SHARE, "columns do not share multipliers as they should");
#ifdef WEIGHT_BANKS_IS_column
static_assert(COLUMN_BANKS == MX_COL + 1, "not every column has a bank of its own");
#else
static_assert(COLUMN_BANKS == ROW_MULTIPLIERS, "not every multiplier has a bank of its own");
#endif
static_assert(UNIT_BANKS == check::larger(ENGINES, ELEMENTWISE_UNROLL), "vectors over units have another number of banks");
static_assert(ACTIVATION_TABLE_SIZE == 1 << ACTIVATION_TABLE_LOG2, "the table size is not a power of two");
static_assert(ACTIVATION_RANGE == 1 << ACTIVATION_RANGE_LOG2, "the table range is not a power of two");
static_assert(GATES % PARALLEL_GATES == 0, "the gate engines do not share the four gates evenly");
static_assert(ENGINES <= MX_UNITS, "there are more engines than rows");
static_assert(ELEMENTWISE_UNROLL <= MX_UNITS, "the element-wise stage is wider than the cell");
static_assert(!LAYER_PARALLEL, "this kernel runs one layer at a time");
static_assert(SYSTOLIC_STEPS == 1, "this kernel runs one time step at a time");

#endif
