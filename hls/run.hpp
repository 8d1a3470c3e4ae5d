// A run: one pass of one layer through the hardware. lstm_network.hpp lists the runs of the network.
#ifndef RUN_HPP
#define RUN_HPP

enum RunKind { RUN_LSTM, RUN_DENSE, RUN_REPEAT };
enum Function { FUNCTION_LINEAR, FUNCTION_RELU, FUNCTION_SIGMOID, FUNCTION_TANH };

// Gates in the order of the weights in memory. A dense layer uses the first engine alone.
enum Gate { GATE_INPUT, GATE_FORGET, GATE_CANDIDATE, GATE_OUTPUT, GATES };

struct Run {
    RunKind kind;
    int units;            // outputs of a step
    int inputs;           // inputs of a step
    int steps;            // time steps; of a repeat, the copies
    bool backwards;       // reads from the last step to the first
    bool sequences;       // writes every step, not the last one only
    Function function;    // of a dense layer
    int stride;           // values between two steps of the output
    int offset;           // first value of this pass in a step of the output
    bool ends_layer;      // the output of this layer becomes the next one's input
    int first_beat;       // of its weights in memory
    int beats;            // of its weights in memory
};

// Columns of a row: the hidden state, then the input.
constexpr int columns_of(const Run &run) { return run.kind == RUN_LSTM ? run.units + run.inputs : run.inputs; }
constexpr int gates_of(const Run &run) { return run.kind == RUN_LSTM ? GATES : run.kind == RUN_DENSE ? 1 : 0; }

#endif
