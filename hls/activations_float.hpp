// Sigmoid and tanh in single precision, every operation rounded once. docs/arithmetic.md defines every form.
#ifndef ACTIVATIONS_FLOAT_HPP
#define ACTIVATIONS_FLOAT_HPP

#include <cmath>

#include "activation_tables.hpp"
#include "lstm_config.hpp"

namespace form {

const float ENTRIES_PER_UNIT = ACTIVATION_TABLE_SIZE / (2.0f * ACTIVATION_RANGE);

#if ACTIVATION_ENTRIES
struct table {
    static float read(const float entries[ACTIVATION_ENTRIES], float z) {
#pragma HLS INLINE
        float position = std::floor(z * ENTRIES_PER_UNIT);
        const int half = ACTIVATION_TABLE_SIZE / 2;
        int entry = 0;
        if (position >= half) {
            entry = ACTIVATION_TABLE_SIZE - 1;
        } else if (position >= -half) {
            entry = (int)position + half;
        }
        return entries[entry];
    }

    static float sigmoid(float z) { return read(SIGMOID_TABLE, z); }
    static float tanh(float z) { return read(TANH_TABLE, z); }
};

struct interpolated {
    static float read(const float entries[ACTIVATION_ENTRIES], float z) {
#pragma HLS INLINE
        float scaled = z * ENTRIES_PER_UNIT;
        float position = std::floor(scaled);
        const int half = ACTIVATION_TABLE_SIZE / 2;
        if (position >= half) return entries[ACTIVATION_TABLE_SIZE];
        if (!(position >= -half)) return entries[0];
        int entry = (int)position + half;
        return entries[entry] + (entries[entry + 1] - entries[entry]) * (scaled - position);
    }

    static float sigmoid(float z) { return read(SIGMOID_TABLE, z); }
    static float tanh(float z) { return read(TANH_TABLE, z); }
};
#endif

// Amin, Curtis and Hayes-Gill, "Piecewise linear approximation applied to nonlinear function of a neural network", 1997.
struct plan {
    static float sigmoid(float z) {
        float size = z < 0.0f ? -z : z;
        float y;
        if (size >= 5.0f) {
            y = 1.0f;
        } else if (size >= 2.375f) {
            y = size * 0.03125f + 0.84375f;
        } else if (size >= 1.0f) {
            y = size * 0.125f + 0.625f;
        } else {
            y = size * 0.25f + 0.5f;
        }
        return z < 0.0f ? 1.0f - y : y;
    }

    static float tanh(float z) { return 2.0f * sigmoid(2.0f * z) - 1.0f; }
};

struct piecewise {
    static float sigmoid(float z) {
        float y = z * 0.25f + 0.5f;
        return y < 0.0f ? 0.0f : y > 1.0f ? 1.0f : y;
    }

    static float tanh(float z) { return z < -1.0f ? -1.0f : z > 1.0f ? 1.0f : z; }
};

}  // namespace form

#endif
