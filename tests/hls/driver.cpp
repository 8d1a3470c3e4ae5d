// The kernel as a shared library: memory words in, memory words and every internal state out.
#include <cstdint>

#include "host_words.hpp"
#include "lstm_kernel.cpp"

static std::int64_t *next_state = nullptr;

void lstm_probe(const cell_t &cell, const state_t &hidden) {
    *next_state++ = Bits<cell_t>::get(cell).to_int64();
    *next_state++ = Bits<state_t>::get(hidden).to_int64();
}

extern "C" void run_kernel(const unsigned char *const *weights, const std::int64_t *weight_bytes,
                           const unsigned char *inputs, unsigned char *outputs, std::int64_t *states, int *digest,
                           int samples, int load_weights) {
    std::vector<Words> ports;
    for (int port = 0; port < MEMORY_PORTS; ++port) {
        ports.push_back(words_from_bytes(weights[port], weight_bytes[port]));
    }
    const Words values = words_from_bytes(inputs, std::size_t(samples) * IN_WORDS * (MEMORY_BITS / 8));
    Words results(std::size_t(samples) * OUT_WORDS);
    next_state = states;
#define PORT_DATA(n) ports[n].data(),
    lstm_kernel(FOR_EACH_PORT(PORT_DATA) values.data(), results.data(), digest, samples, load_weights);
    bytes_from_words(results, outputs);
}
