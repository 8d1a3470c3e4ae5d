// The raw bits of a number, whatever its format: ap_fixed, ap_ufixed or float.
#ifndef NUMBER_HPP
#define NUMBER_HPP

#include "ap_fixed.h"
#include "ap_int.h"

template <class T>
struct Number;

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N>
struct Number<ap_fixed<W, I, Q, O, N> > {
    static const int width = W;
    static const int integer = I;
    static const int fraction = W - I;
    typedef ap_int<W> raw_t;
};

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N>
struct Number<ap_ufixed<W, I, Q, O, N> > {
    static const int width = W;
    static const int integer = I;
    static const int fraction = W - I;
    typedef ap_uint<W> raw_t;
};

template <>
struct Number<float> {
    static const int width = 32;
    typedef ap_uint<32> raw_t;
};

template <class T>
struct Bits {
    static typename Number<T>::raw_t get(const T &value) {
#pragma HLS INLINE
        typename Number<T>::raw_t raw;
        raw.range(Number<T>::width - 1, 0) = value.range(Number<T>::width - 1, 0);
        return raw;
    }

    static T set(const typename Number<T>::raw_t &raw) {
#pragma HLS INLINE
        T value;
        value.range(Number<T>::width - 1, 0) = raw.range(Number<T>::width - 1, 0);
        return value;
    }
};

template <>
struct Bits<float> {
    union Word {
        float value;
        unsigned int bits;
    };

    static ap_uint<32> get(float value) {
#pragma HLS INLINE
        Word word;
        word.value = value;
        return word.bits;
    }

    static float set(const ap_uint<32> &raw) {
#pragma HLS INLINE
        Word word;
        word.bits = raw.to_uint();
        return word.value;
    }
};

#endif
