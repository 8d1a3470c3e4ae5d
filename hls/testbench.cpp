// Runs the kernel on the test vectors and compares every output and every internal state with the simulator's.
//
// testbench DATA_FOLDER        exit code 0 and "PASS" if all are equal
// testbench DATA_FOLDER bench  also prints seconds per inference
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "host_words.hpp"
#include "lstm_kernel.hpp"

namespace {

std::vector<std::int64_t> states;  // cell and hidden state of every unit and step, as the kernel computes them

std::vector<unsigned char> read_file(const std::string &path) {
    std::FILE *file = std::fopen(path.c_str(), "rb");
    if (!file) {
        std::fprintf(stderr, "cannot read %s\n", path.c_str());
        std::exit(2);
    }
    std::vector<unsigned char> bytes;
    unsigned char block[65536];
    for (std::size_t got; (got = std::fread(block, 1, sizeof block, file)) > 0;) {
        bytes.insert(bytes.end(), block, block + got);
    }
    std::fclose(file);
    return bytes;
}

Words read_words(const std::string &path) {
    const std::vector<unsigned char> bytes = read_file(path);
    return words_from_bytes(bytes.data(), bytes.size());
}

std::vector<std::int64_t> read_states(const std::string &path) {
    const std::vector<unsigned char> bytes = read_file(path);
    std::vector<std::int64_t> values(bytes.size() / 8);
    if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * 8);
    return values;
}

// Instances share the samples as a host would: each computes its own part of the batch.
void run_kernel(const std::vector<Words> &weights, const Words &inputs, Words &outputs, int samples, int load) {
    int first = 0;
    for (int instance = 0; instance < INSTANCES; ++instance) {
        const int share = (samples - first) / (INSTANCES - instance);
        int digest[2] = {0, 0};
#define PORT_DATA(n) weights[n].data(),
        lstm_kernel(FOR_EACH_PORT(PORT_DATA) inputs.data() + first * IN_WORDS, outputs.data() + first * OUT_WORDS,
                    digest, share, load);
        if (digest[0] != DIGEST_LOW || digest[1] != DIGEST_HIGH) {
            std::printf("FAIL: the kernel does not write back its digest\n");
            std::exit(1);
        }
        first += share;
    }
}

long differing_values(const Words &got, const Words &expected, int samples) {
    long differing = 0;
    const int groups = OUT_WORDS / ValuePacking::WORDS;
    for (int sample = 0; sample < samples; ++sample) {
        for (int place = 0; place < OUT_VALUES; ++place) {
            const int group = sample * groups + place / ValuePacking::LANES;
            const int lane = place % ValuePacking::LANES;
            const io_t a = ValuePacking::lane(ValuePacking::read(got.data(), group), lane);
            const io_t b = ValuePacking::lane(ValuePacking::read(expected.data(), group), lane);
            differing += Bits<io_t>::get(a) != Bits<io_t>::get(b);
        }
    }
    return differing;
}

}  // namespace

void lstm_probe(const cell_t &cell, const state_t &hidden) {
    states.push_back(Bits<cell_t>::get(cell).to_int64());
    states.push_back(Bits<state_t>::get(hidden).to_int64());
}

int main(int count, char **arguments) {
    const std::string folder = count > 1 ? std::string(arguments[1]) + "/" : "data/";
    const bool bench = count > 2 && std::string(arguments[2]) == "bench";
    std::vector<Words> weights;
    for (int port = 0; port < MEMORY_PORTS; ++port) {
        weights.push_back(read_words(folder + "weights" + std::to_string(port) + ".bin"));
        if (weights.back().size() < (WEIGHT_WORDS)) {
            std::printf("FAIL: weight port %d has too few words\n", port);
            return 1;
        }
    }
    const Words inputs = read_words(folder + "inputs.bin");
    const Words expected = read_words(folder + "outputs.bin");
    const std::vector<std::int64_t> expected_states = read_states(folder + "states.bin");
    const int samples = inputs.size() / IN_WORDS;
    if (samples < 1 || expected.size() != std::size_t(samples) * OUT_WORDS) {
        std::printf("FAIL: test vectors of another network\n");
        return 1;
    }

    long differing = 0, states_differing = 0;
    const int calls = RESIDENT_WEIGHTS ? 2 : 1;  // the second call finds the weights on the chip
    for (int call = 0; call < calls; ++call) {
        Words outputs(expected.size());
        states.clear();
        const auto start = std::chrono::steady_clock::now();
        run_kernel(weights, inputs, outputs, samples, call == 0);
        const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
        if (bench) std::printf("seconds_per_inference %.9f\n", seconds.count() / samples);
        differing += differing_values(outputs, expected, samples);
        states_differing += states.size() != expected_states.size();
        for (std::size_t k = 0; k < states.size() && k < expected_states.size(); ++k) {
            states_differing += states[k] != expected_states[k];
        }
    }
    const bool pass = differing == 0 && states_differing == 0;
    std::printf("%s: %d samples, %ld of %ld output values and %ld of %ld internal states differ\n",
                pass ? "PASS" : "FAIL", samples, differing, long(samples) * OUT_VALUES * calls, states_differing,
                long(expected_states.size()) * calls);
    return pass ? 0 : 1;
}
