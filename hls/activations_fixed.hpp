// Sigmoid and tanh of fixed-point values. docs/arithmetic.md defines every form.
#ifndef ACTIVATIONS_FIXED_HPP
#define ACTIVATIONS_FIXED_HPP

#include "activation_tables.hpp"
#include "lstm_config.hpp"
#include "number.hpp"

constexpr int larger(int a, int b) { return a > b ? a : b; }

// Where a value lies among the entries of a table, counted from the entry at zero.
template <class T>
struct Position {
    static const int SHIFT = Number<T>::fraction - ACTIVATION_TABLE_LOG2 + ACTIVATION_RANGE_LOG2 + 1;
    static const int BELOW = SHIFT > 0 ? SHIFT : 0;  // bits of the raw integer below one entry
    static const int ABOVE = SHIFT < 0 ? -SHIFT : 0;
    typedef ap_int<larger(Number<T>::width, BELOW) + ABOVE + ACTIVATION_TABLE_LOG2 + 3> wide_t;

    static wide_t of(const T &z) {
#pragma HLS INLINE
        wide_t raw = Bits<T>::get(z);
        return (raw >> BELOW) << ABOVE;
    }

    static wide_t rest(const T &z) {
#pragma HLS INLINE
        wide_t raw = Bits<T>::get(z);
        return raw - ((raw >> BELOW) << BELOW);
    }
};

namespace form {

#if ACTIVATION_ENTRIES
struct table {
    template <class T>
    static state_t read(const table_entry_t entries[ACTIVATION_ENTRIES], const T &z) {
#pragma HLS INLINE
        typename Position<T>::wide_t index = Position<T>::of(z) + ACTIVATION_TABLE_SIZE / 2;
        int entry = index < 0 ? 0 : index >= ACTIVATION_TABLE_SIZE ? ACTIVATION_TABLE_SIZE - 1 : index.to_int();
        return Bits<state_t>::set(entries[entry]);
    }

    template <class T>
    static state_t sigmoid(const T &z) {
        return read(SIGMOID_TABLE, z);
    }

    template <class T>
    static state_t tanh(const T &z) {
        return read(TANH_TABLE, z);
    }
};

struct interpolated {
    template <class T>
    static state_t read(const table_entry_t entries[ACTIVATION_ENTRIES], const T &z) {
#pragma HLS INLINE
        typename Position<T>::wide_t index = Position<T>::of(z) + ACTIVATION_TABLE_SIZE / 2;
        if (index < 0) return Bits<state_t>::set(entries[0]);
        if (index >= ACTIVATION_TABLE_SIZE) return Bits<state_t>::set(entries[ACTIVATION_TABLE_SIZE]);
        int entry = index.to_int();
        table_entry_t low = entries[entry];
        ap_int<Number<state_t>::width + 2> rise = entries[entry + 1] - low;
        ap_int<Number<state_t>::width + 2> part = (rise * Position<T>::rest(z)) >> Position<T>::BELOW;
        table_entry_t raw = low + part;
        return Bits<state_t>::set(raw);
    }

    template <class T>
    static state_t sigmoid(const T &z) {
        return read(SIGMOID_TABLE, z);
    }

    template <class T>
    static state_t tanh(const T &z) {
        return read(TANH_TABLE, z);
    }
};
#endif

// A type in which the straight pieces below are exact for every value of T.
template <class T>
struct Exact {
    static const int INTEGER = larger(Number<T>::integer, 4) + 3;
    static const int FRACTION = larger(Number<T>::fraction, 0) + 5;
    typedef ap_fixed<INTEGER + FRACTION, INTEGER> type;
};

// Amin, Curtis and Hayes-Gill, "Piecewise linear approximation applied to nonlinear function of a neural network", 1997.
struct plan {
    template <class WIDE>
    static WIDE pieces(const WIDE &z) {
#pragma HLS INLINE
        WIDE size = z;
        if (z < 0) size = -z;
        WIDE y;
        if (size >= WIDE(5)) {
            y = 1;
        } else if (size >= WIDE(2.375)) {
            y = (size >> 5) + WIDE(0.84375);
        } else if (size >= WIDE(1)) {
            y = (size >> 3) + WIDE(0.625);
        } else {
            y = (size >> 2) + WIDE(0.5);
        }
        if (z < 0) y = WIDE(1) - y;
        return y;
    }

    template <class T>
    static state_t sigmoid(const T &z) {
        typename Exact<T>::type wide = z;
        return pieces(wide);
    }

    template <class T>
    static state_t tanh(const T &z) {
        typename Exact<T>::type wide = z;
        wide = pieces(typename Exact<T>::type(wide << 1));
        return (wide << 1) - typename Exact<T>::type(1);
    }
};

struct piecewise {
    template <class T>
    static state_t sigmoid(const T &z) {
        typedef typename Exact<T>::type wide_t;
        wide_t y = (wide_t(z) >> 2) + wide_t(0.5);
        if (y < 0) y = 0;
        if (y > wide_t(1)) y = 1;
        return y;
    }

    template <class T>
    static state_t tanh(const T &z) {
        typedef typename Exact<T>::type wide_t;
        wide_t y = z;
        if (y < wide_t(-1)) y = -1;
        if (y > wide_t(1)) y = 1;
        return y;
    }
};

}  // namespace form

#endif
