// Memory words from bytes and back, as a host sees them: little-endian. Not part of the kernel.
#ifndef HOST_WORDS_HPP
#define HOST_WORDS_HPP

#include <cstddef>
#include <vector>

#include "packing.hpp"

typedef std::vector<word_t> Words;

inline Words words_from_bytes(const unsigned char *bytes, std::size_t count) {
    Words words(count * 8 / MEMORY_BITS);
    for (std::size_t k = 0; k < words.size(); ++k) {
        for (int part = 0; part < MEMORY_BITS / 8; ++part) {
            words[k].range(8 * part + 7, 8 * part) = *bytes++;
        }
    }
    return words;
}

inline void bytes_from_words(const Words &words, unsigned char *bytes) {
    for (std::size_t k = 0; k < words.size(); ++k) {
        for (int part = 0; part < MEMORY_BITS / 8; ++part) {
            *bytes++ = words[k].range(8 * part + 7, 8 * part).to_uint();
        }
    }
}

#endif
