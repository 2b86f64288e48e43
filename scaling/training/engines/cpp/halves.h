// bfloat16: numbers, and products of which sums are float32.
//
// A product takes words of two numbers of neighbouring depth, as AVX-512's and Arm's dot products
// do; elsewhere the same sums are made at float32's speed. Rows of a matrix of halves begin at even
// places (`stride`), so that its words lie in it as they are.

#pragma once

#include "products.h"

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

namespace {

struct Half {  // the upper half of a float32
    uint16_t bits;
};

typedef uint16_t Halves __attribute__((vector_size(2 * LANES)));
typedef uint32_t Words __attribute__((vector_size(4 * LANES)));

inline int64_t stride_of(int64_t columns, const Half*) { return (columns + 1) / 2 * 2; }
inline int64_t stride_of(int64_t columns, const float*) { return columns; }

// To nearest, ties to even.
inline Halves round_to_halves(Vec x) {
#ifdef __AVX512BF16__
    return (Halves)_mm512_cvtneps_pbh((__m512)x);
#else
    Words bits;
    std::memcpy(&bits, &x, sizeof bits);
    const Words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16, quiet = bits >> 16 | 0x40;
    return __builtin_convertvector(x == x ? rounded : quiet, Halves);  // NaN stays NaN
#endif
}

inline Vec widen(Halves x) {
    const Words bits = __builtin_convertvector(x, Words) << 16;
    Vec v;
    std::memcpy(&v, &bits, sizeof v);
    return v;
}

// A vector's worth of numbers of either kind as floats, and back.
inline Vec load_all(const float* from) { return load<Vec>(from); }
inline Vec load_all(const Half* from) { return widen(load<Halves>(from)); }
inline void store_all(float* to, Vec x) { store(to, x); }
inline void store_all(Half* to, Vec x) { store(to, round_to_halves(x)); }

// The first n of them, where there are no more; zero beyond.
template <class Number>
Vec load_some(const Number* from, int64_t n) {
    if (n >= LANES) return load_all(from);
    Number line[LANES] = {};
    std::memcpy(line, from, n * sizeof(Number));
    return load_all(line);
}

template <class Number>
void store_some(Number* to, Vec x, int64_t n) {
    if (n >= LANES) return store_all(to, x);
    Number line[LANES];
    store_all(line, x);
    std::memcpy(to, line, n * sizeof(Number));
}

// Rows of floats as rows of halves; what fills up a row is zero.
inline void round_rows(const float* x, int64_t rows, int64_t columns, Half* out) {
    const int64_t stride = stride_of(columns, out);
    for (int64_t r = 0; r < rows; ++r, x += columns, out += stride) {
        for (int64_t i = 0; i < columns; i += LANES)
            store_some(out + i, load_some(x + i, columns - i), stride - i);
    }
}

inline float dot(const Half* x, const Half* y, int64_t n) {
    Vec sums = {};
    for (int64_t i = 0; i < n; i += LANES) sums += load_some(x + i, n - i) * load_some(y + i, n - i);
    return sum_of(sums);
}

// --- words and panels --------------------------------------------------------------------------

inline uint32_t join(Half lower, Half upper) {
    return uint32_t(lower.bits) | uint32_t(upper.bits) << 16;
}

inline Words join_vectors(Halves lower, Halves upper) {
    return __builtin_convertvector(lower, Words) | __builtin_convertvector(upper, Words) << 16;
}

inline int64_t count_pairs(int64_t depth) { return (depth + 1) / 2; }

// Words of a matrix in groups of lines, a group's words of one depth side by side: (group, pair,
// line). Groups of B have two vectors of lines, the last of them one where it needs no more.
struct Panels {
    const uint32_t* words;
    int64_t lines, pairs;
};

inline int64_t width_of_panel(int64_t lines_left) {
    return lines_left <= LANES ? LANES : COLUMNS;
}

inline int64_t count_words(int64_t lines, int64_t depth) {
    return (lines + COLUMNS - 1) / COLUMNS * COLUMNS * count_pairs(depth);
}

// Element (line, depth) at x[depth · stride + line]: as pairs of rows.
template <int64_t GROUP>
void pack_group(const Half* x, int64_t stride, int64_t lines, int64_t from, int64_t to,
                int64_t depth, uint32_t* out) {
    static constexpr Half ZEROS[GROUP] = {};
    for (int64_t p = from; p < to; ++p) {
        const Half* first = x + 2 * p * stride;
        const Half* second = 2 * p + 1 < depth ? first + stride : ZEROS;
        uint32_t* words = out + p * GROUP;
        if (lines >= GROUP) {
            for (int64_t i = 0; i < GROUP; ++i) words[i] = join(first[i], second[i]);
            continue;
        }
        for (int64_t i = 0; i < GROUP; ++i)
            words[i] = i < lines ? join(first[i], second[i]) : 0;
    }
}

inline Panels pack_across(const Half* x, int64_t stride, int64_t lines, int64_t depth,
                          uint32_t* out) {
    const int64_t pairs = count_pairs(depth);
    constexpr int64_t BLOCK = 32;  // pairs of rows that stay in the cache while groups take from them
    for (int64_t from = 0; from < pairs; from += BLOCK)
        for (int64_t j = 0; j < lines; j += COLUMNS) {
            const int64_t to = std::min(pairs, from + BLOCK);
            if (width_of_panel(lines - j) == LANES)
                pack_group<LANES>(x + j, stride, lines - j, from, to, depth, out + j * pairs);
            else
                pack_group<COLUMNS>(x + j, stride, lines - j, from, to, depth, out + j * pairs);
        }
    return {out, lines, pairs};
}

// Element (line, depth) at x[line · stride + depth], which is even.
inline Panels pack_along(const Half* x, int64_t stride, int64_t lines, int64_t depth,
                         uint32_t* out) {
    const int64_t pairs = count_pairs(depth);
    constexpr int64_t BLOCK = 16;
    for (int64_t j = 0; j < lines; j += COLUMNS) {
        const int64_t width = width_of_panel(lines - j), count = std::min(width, lines - j);
        uint32_t* panel = out + j * pairs;
        if (count < width) std::fill(panel, panel + width * pairs, 0);
        for (int64_t from = 0; from < pairs; from += BLOCK)
            for (int64_t i = 0; i < count; ++i) {
                const Half* line = x + (j + i) * stride;
                for (int64_t p = from; p < std::min(pairs, from + BLOCK); ++p)
                    panel[p * width + i] = join(line[2 * p], line[2 * p + 1]);
            }
    }
    return {out, lines, pairs};
}

// A in tiles of ROWS lines: its words as they lie, or packed like Panels.
struct Tiles {
    const uint32_t* words;
    int64_t tile, line, word;  // words from one tile, line, depth to the next
};

inline Tiles tiles_of(const Half* x, int64_t stride) {
    const int64_t words = stride / 2;
    return {reinterpret_cast<const uint32_t*>(x), ROWS * words, words, 1};
}

inline Tiles pack_tiles(const Half* x, int64_t stride, int64_t lines, int64_t depth,
                        uint32_t* out) {
    const int64_t pairs = count_pairs(depth), whole = depth / 2;
    constexpr int64_t BLOCK = 32;
    for (int64_t from = 0; from < pairs; from += BLOCK) {
        const int64_t to = std::min(pairs, from + BLOCK);
        int64_t j = 0;
        for (; LANES == 2 * ROWS && j + LANES <= lines; j += LANES) {  // two tiles from one vector
            uint32_t *first = out + j * pairs, *second = first + ROWS * pairs;
            for (int64_t p = from; p < std::min(to, whole); ++p) {
                const Half* row = x + 2 * p * stride + j;
                uint32_t words[LANES];
                store(words, join_vectors(load<Halves>(row), load<Halves>(row + stride)));
                std::memcpy(first + p * ROWS, words, sizeof words / 2);
                std::memcpy(second + p * ROWS, words + LANES / 2, sizeof words / 2);
            }
            if (to > whole) {
                pack_group<ROWS>(x + j, stride, ROWS, whole, to, depth, first);
                pack_group<ROWS>(x + j + ROWS, stride, ROWS, whole, to, depth, second);
            }
        }
        for (; j < lines; j += ROWS)
            pack_group<ROWS>(x + j, stride, lines - j, from, to, depth, out + j * pairs);
    }
    return {out, ROWS * pairs, 1, ROWS};
}

// --- products ----------------------------------------------------------------------------------

inline uint32_t load_word(const uint32_t* from) {  // of what was stored as halves
    uint32_t word;
    std::memcpy(&word, from, sizeof word);
    return word;
}

inline Vec add_products(Vec sum, uint32_t a, Words b) {
#ifdef __AVX512BF16__
    return (Vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(int(a)), (__m512bh)b);
#else
    const uint32_t first = a << 16, second = a & 0xffff0000u;
    const Words lower = b << 16, upper = b & 0xffff0000u;
    float x, y;
    Vec v, w;
    std::memcpy(&x, &first, sizeof x);
    std::memcpy(&y, &second, sizeof y);
    std::memcpy(&v, &lower, sizeof v);
    std::memcpy(&w, &upper, sizeof w);
    return sum + x * v + y * w;
#endif
}

template <class Number>
void put(Number* c, Vec value, int64_t n, bool add) {
    store_some(c, add ? load_some(c, n) + value : value, n);
}

// C = alpha · A · B for `rows` lines of a tile and up to `vectors` vectors of a panel's `width`.
template <int rows, int vectors, class Number>
void multiply_words_tile(const uint32_t* a, int64_t line, int64_t word, const uint32_t* panel,
                         int64_t width, int64_t pairs, Number* c, int64_t ldc, int64_t columns,
                         float alpha, bool add) {
    Vec sums[rows][vectors] = {};
    for (int64_t p = 0; p < pairs; ++p, panel += width) {
        Words words[vectors];
#pragma GCC unroll 2
        for (int v = 0; v < vectors; ++v) words[v] = load<Words>(panel + LANES * v);
#pragma GCC unroll 8  // or the sums would lie in memory
        for (int i = 0; i < rows; ++i) {
            const uint32_t pair = load_word(a + i * line + p * word);
#pragma GCC unroll 2
            for (int v = 0; v < vectors; ++v) sums[i][v] = add_products(sums[i][v], pair, words[v]);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i, c += ldc)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; ++v)
            if (columns >= LANES * (v + 1)) {
                const Vec value = alpha * sums[i][v];
                store_all(c + LANES * v, add ? load_all(c + LANES * v) + value : value);
            } else if (columns > LANES * v) {
                put(c + LANES * v, alpha * sums[i][v], columns - LANES * v, add);
            }
}

// `count` ≤ ROWS lines of A times the first `columns` lines of B to the depth of `pairs`, of B's words
// from `first` on.
template <class Number>
void multiply_tile_of_words(const uint32_t* a, int64_t line, int64_t word, int64_t count, Panels b,
                            int64_t from, int64_t columns, int64_t first, int64_t pairs, Number* c,
                            int64_t ldc, float alpha, bool add) {
    const int64_t width = width_of_panel(b.lines - from);
    const uint32_t* panel = b.words + from * b.pairs + first * width;
    if (count == ROWS && columns > LANES)
        return multiply_words_tile<ROWS, 2>(a, line, word, panel, width, pairs, c, ldc, columns,
                                            alpha, add);
    if (count == ROWS)
        return multiply_words_tile<ROWS, 1>(a, line, word, panel, width, pairs, c, ldc, columns,
                                            alpha, add);
    for (int64_t i = 0; i < count; ++i) {
        if (columns > LANES)
            multiply_words_tile<1, 2>(a + i * line, line, word, panel, width, pairs, c + i * ldc,
                                      ldc, columns, alpha, add);
        else
            multiply_words_tile<1, 1>(a + i * line, line, word, panel, width, pairs, c + i * ldc,
                                      ldc, columns, alpha, add);
    }
}

// C (m × B's lines) = alpha · A · Bᵀ, added to C where `add`.
template <class Number>
void multiply_words(Tiles a, int64_t m, Panels b, Number* c, int64_t ldc, float alpha, bool add) {
    constexpr int64_t CACHED = 65536;  // words of A that stay in the second cache: 256 KiB
    const int64_t block = std::max<int64_t>(ROWS, CACHED / b.pairs / ROWS * ROWS);
    for (int64_t from = 0; from < m; from += block)
        for (int64_t j = 0; j < b.lines; j += COLUMNS)
            for (int64_t i = from; i < std::min(m, from + block); i += ROWS)
                multiply_tile_of_words(a.words + i / ROWS * a.tile, a.line, a.word,
                                       std::min<int64_t>(ROWS, m - i), b, j,
                                       std::min(COLUMNS, b.lines - j), 0, b.pairs,
                                       c + i * ldc + j, ldc, alpha, add);
}

struct HalfScratch {
    Array<Half> weight;
    Array<uint32_t> a, b;

    const Half* round(const float* matrix, int64_t rows, int64_t columns) {
        weight.resize(std::max<size_t>(weight.size(), rows * (columns + 1)));
        round_rows(matrix, rows, columns, weight.data());
        return weight.data();
    }
    uint32_t* room_for_a(int64_t lines, int64_t depth) {
        a.resize(std::max<size_t>(a.size(), count_words(lines, depth)));
        return a.data();
    }
    uint32_t* room_for_b(int64_t lines, int64_t depth) {
        b.resize(std::max<size_t>(b.size(), count_words(lines, depth)));
        return b.data();
    }
};

inline Panels pack_weight(HalfScratch& scratch, const float* weight, int64_t in, int64_t out) {
    const Half* rounded = scratch.round(weight, out, in);
    return pack_along(rounded, stride_of(in, rounded), out, in, scratch.room_for_b(out, in));
}

// As of floats. `y` is float or Half; only floats are added to.
template <class Number>
void apply(HalfScratch& scratch, const Half* x, const float* weight, int64_t rows, int64_t in,
           int64_t out, Number* y, float alpha = 1.0f, bool add = false) {
    multiply_words(tiles_of(x, stride_of(in, x)), rows, pack_weight(scratch, weight, in, out), y,
                   stride_of(out, y), alpha, add);
}

template <class Number>
void apply_backward(HalfScratch& scratch, const Half* x, const float* weight, const Half* dy,
                    int64_t rows, int64_t in, int64_t out, Number* dx, float* dweight,
                    float alpha = 1.0f) {
    const int64_t x_stride = stride_of(in, x), y_stride = stride_of(out, dy);
    const Tiles dy_t = pack_tiles(dy, y_stride, out, rows, scratch.room_for_a(out, rows));
    const Panels x_t = pack_across(x, x_stride, in, rows, scratch.room_for_b(in, rows));
    multiply_words(dy_t, out, x_t, dweight, in, alpha, true);
    const Half* rounded = scratch.round(weight, out, in);
    const Panels w = pack_across(rounded, x_stride, in, out, scratch.room_for_b(in, out));
    multiply_words(tiles_of(dy, y_stride), rows, w, dx, stride_of(in, dx), alpha, false);
}

}  // namespace
