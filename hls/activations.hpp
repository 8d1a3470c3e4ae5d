// The activation functions in the form that the configuration names.
#ifndef ACTIVATIONS_HPP
#define ACTIVATIONS_HPP

#include "lstm_config.hpp"
#include "run.hpp"

#if KERNEL_IS_FLOAT
#include "activations_float.hpp"
#else
#include "activations_fixed.hpp"
#endif

template <class T>
state_t sigmoid(const T &z) {
#pragma HLS INLINE
    return form::ACTIVATION::sigmoid(z);
}

template <class T>
state_t hyperbolic_tangent(const T &z) {
#pragma HLS INLINE
    return form::ACTIVATION::tanh(z);
}

inline state_t activate(Function function, const state_t &z) {
#pragma HLS INLINE
    switch (function) {
        case FUNCTION_SIGMOID: return sigmoid(z);
        case FUNCTION_TANH: return hyperbolic_tangent(z);
        case FUNCTION_RELU: return z > 0 ? z : state_t(0);
        default: return z;
    }
}

#endif
