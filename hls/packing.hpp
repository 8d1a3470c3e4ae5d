// How values lie in memory words.
//
// A group of WORDS words holds LANES values, the first in the lowest bits; bits that are left over are zero. Values
// are not split over groups, so a word that is not a multiple of the value's width has unused bits at its top.
#ifndef PACKING_HPP
#define PACKING_HPP

#include "lstm_config.hpp"
#include "number.hpp"

typedef ap_uint<MEMORY_BITS> word_t;

template <class T>
struct Packing {
    static const int WIDTH = Number<T>::width;
    static const int LANES = MEMORY_BITS >= WIDTH ? MEMORY_BITS / WIDTH : 1;
    static const int WORDS = MEMORY_BITS >= WIDTH ? 1 : (WIDTH + MEMORY_BITS - 1) / MEMORY_BITS;
    typedef ap_uint<WORDS * MEMORY_BITS> group_t;

    static int words(int values) { return (values + LANES - 1) / LANES * WORDS; }

    static group_t read(const word_t *port, int group) {
#pragma HLS INLINE
        group_t bits = 0;
        for (int k = 0; k < WORDS; ++k) {
            bits.range((k + 1) * MEMORY_BITS - 1, k * MEMORY_BITS) = port[group * WORDS + k];
        }
        return bits;
    }

    static void write(word_t *port, int group, const group_t &bits) {
#pragma HLS INLINE
        for (int k = 0; k < WORDS; ++k) {
            port[group * WORDS + k] = bits.range((k + 1) * MEMORY_BITS - 1, k * MEMORY_BITS);
        }
    }

    static T lane(const group_t &bits, int number) {
#pragma HLS INLINE
        typename Number<T>::raw_t raw;
        raw.range(WIDTH - 1, 0) = bits.range((number + 1) * WIDTH - 1, number * WIDTH);
        return Bits<T>::set(raw);
    }

    static void set_lane(group_t &bits, int number, const T &value) {
#pragma HLS INLINE
        bits.range((number + 1) * WIDTH - 1, number * WIDTH) = Bits<T>::get(value).range(WIDTH - 1, 0);
    }
};

#endif
