// Causal attention of one head after another, and its backward pass. Probabilities are not kept:
// the backward pass computes them again from the scores and their kept logarithm of the sum.
//
// Axes: T positions, K head size. q, k and the gradients of q, k, v are (T, K); v, `out` and `dout` are
// rows of matrices that heads share, v_stride and `stride` apart.

#pragma once

#include "halves.h"

namespace {

template <class Number>
struct Head {
    int64_t T, K, v_stride, stride;
    const Number *q, *k, *v;
    Number* out;
    float* log_sum;  // (T)
};

template <class Number>
struct HeadGradient {
    const Number* dout;
    float *dq, *dk, *dv;
};

// A group of rows looks at no key beyond its last row.
template <class Action>
void for_row_groups(int64_t rows, Action action) {
    for (int64_t first = 0; first < rows; first += ROWS)
        action(first, std::min<int64_t>(ROWS, rows - first));
}

// --- in float32 --------------------------------------------------------------------------------

struct AttentionScratch {
    Array<float> scores, dscores, keys_t, values_t;

    AttentionScratch(int64_t T, int64_t K)
        : scores(T * T), dscores(T * T), keys_t(T * K), values_t(T * K) {}
};

// Rows first … first + count of softmax's argument; columns up to `end` are filled.
inline void score(const Head<float>& head, const float* keys_t, int64_t first, int64_t count,
                  int64_t end, float* scores) {
    const int64_t T = head.T, K = head.K;
    multiply_directly(rows_of(head.q + first * K, K), keys_t, T, scores + first * T, T, count, end,
                      K, 1.0f / std::sqrt(float(K)), false);
}

inline void attend(AttentionScratch& scratch, const Head<float>& head) {
    const int64_t T = head.T, K = head.K;
    float* scores = scratch.scores.data();
    transpose(head.k, K, T, K, scratch.keys_t.data());
    for_row_groups(T, [&](int64_t first, int64_t count) {
        const int64_t end = first + count;
        score(head, scratch.keys_t.data(), first, count, end, scores);
        for (int64_t t = first; t < end; ++t) {
            float* row = scores + t * T;
            const float largest = largest_of(row, t + 1);
            const float sum = exponentiate(row, t + 1, largest);
            head.log_sum[t] = largest + std::log(sum);
            for (int64_t j = 0; j <= t; ++j) row[j] /= sum;
            for (int64_t j = t + 1; j < end; ++j) row[j] = 0.0f;
        }
        multiply_directly(rows_of(scores + first * T, T), head.v, head.v_stride,
                          head.out + first * head.stride, head.stride, count, K, end, 1.0f, false);
    });
}

inline void attend_backward(AttentionScratch& scratch, const Head<float>& head,
                            const HeadGradient<float>& gradient) {
    const int64_t T = head.T, K = head.K, stride = head.stride;
    const float factor = 1.0f / std::sqrt(float(K));
    const float* dout = gradient.dout;
    float *probability = scratch.scores.data(), *dscore = scratch.dscores.data();
    transpose(head.k, K, T, K, scratch.keys_t.data());
    transpose(head.v, head.v_stride, T, K, scratch.values_t.data());
    for_row_groups(T, [&](int64_t first, int64_t count) {
        const int64_t end = first + count;
        score(head, scratch.keys_t.data(), first, count, end, probability);
        multiply_directly(rows_of(dout + first * stride, stride), scratch.values_t.data(), T,
                          dscore + first * T, T, count, end, K, 1.0f, false);
        for (int64_t t = first; t < end; ++t) {
            float *p = probability + t * T, *ds = dscore + t * T;
            exponentiate(p, t + 1, head.log_sum[t]);
            const float mean = dot(dout + t * stride, head.out + t * stride, K);
            for (int64_t j = 0; j <= t; ++j) ds[j] = p[j] * (ds[j] - mean);
            for (int64_t j = t + 1; j < end; ++j) p[j] = ds[j] = 0.0f;
        }
        multiply_directly(rows_of(dscore + first * T, T), head.k, K, gradient.dq + first * K, K,
                          count, K, end, factor, false);
    });
    for_row_groups(T, [&](int64_t first, int64_t count) {
        // Keys of this group are seen by the rows from the group on.
        const int64_t from = first * T + first, seen = T - first;
        multiply_directly(columns_of(dscore + from, T), head.q + first * K, K,
                          gradient.dk + first * K, K, count, K, seen, factor, false);
        multiply_directly(columns_of(probability + from, T), dout + first * stride, stride,
                          gradient.dv + first * K, K, count, K, seen, 1.0f, false);
    });
}

// --- with products in bfloat16 -----------------------------------------------------------------

struct HalfAttentionScratch {
    int64_t padded;  // T, to whole vectors
    Array<float> scores, dscores, line;
    Array<Half> rows;
    Array<uint32_t> keys, values, queries, out, words, dwords;

    HalfAttentionScratch(int64_t T, int64_t K)
        : padded((T + 15) / 16 * 16),
          scores(ROWS * padded),
          dscores(ROWS * padded),
          line(ROWS * K),
          rows(ROWS * padded),
          keys(room(T, K)),
          values(room(T, K)),
          queries(room(T, K)),
          out(room(T, K)),
          words(padded / 2 * padded),
          dwords(padded / 2 * padded) {}

    static int64_t room(int64_t T, int64_t K) {
        return std::max(count_words(T, K), count_words(K, T));
    }
};


// The first n of x, zero beyond.
inline Vec keep_first(Vec x, int64_t n) {
    Int lane;
    for (int i = 0; i < LANES; ++i) lane[i] = i;
    return lane < int32_t(n) ? x : Vec{};
}

// Products of `count` rows of x with the first `columns` lines of B.
inline void multiply_rows(const Half* x, int64_t stride, int64_t count, Panels b, int64_t columns,
                          int64_t pairs, float* c, int64_t ldc, float alpha) {
    const Tiles a = tiles_of(x, stride);
    for (int64_t j = 0; j < columns; j += COLUMNS)
        multiply_tile_of_words(a.words, a.line, a.word, count, b, j,
                               std::min(COLUMNS, columns - j), 0, pairs, c + j, ldc, alpha,
                               false);
}

inline void attend(HalfAttentionScratch& scratch, const Head<Half>& head) {
    const int64_t T = head.T, K = head.K, padded = scratch.padded;
    const float factor = 1.0f / std::sqrt(float(K));
    const Panels keys = pack_along(head.k, K, T, K, scratch.keys.data());
    const Panels values = pack_across(head.v, head.v_stride, K, T, scratch.values.data());
    for_row_groups(T, [&](int64_t first, int64_t count) {
        const int64_t end = first + count;
        float inverse[ROWS];
        multiply_rows(head.q + first * K, K, count, keys, end, K / 2, scratch.scores.data(), padded,
                      factor);
        for (int64_t i = 0; i < count; ++i) {
            const int64_t seen = first + i + 1;
            const float* row = scratch.scores.data() + i * padded;
            const float largest = largest_of(row, seen);
            Vec sums = {};
            for (int64_t j = 0; j < end; j += LANES) {
                const Vec p = keep_first(exponential(load_all(row + j) - largest), seen - j);
                store_all(scratch.rows.data() + i * padded + j, p);
                sums += p;
            }
            const float sum = sum_of(sums);
            head.log_sum[first + i] = largest + std::log(sum);
            inverse[i] = 1.0f / sum;
        }
        multiply_rows(scratch.rows.data(), padded, count, values, K, count_pairs(end),
                      scratch.line.data(), K, 1.0f);
        for (int64_t i = 0; i < count; ++i)
            for (int64_t k = 0; k < K; k += LANES)
                store_some(head.out + (first + i) * head.stride + k,
                           inverse[i] * load_some(scratch.line.data() + i * K + k, K - k), K - k);
    });
}

// Probabilities of a group's rows and the slopes of their scores: as words of neighbouring rows, and the
// slopes also along the rows.
inline void find_slopes(HalfAttentionScratch& scratch, const Head<Half>& head, const Half* dout,
                        int64_t first, int64_t count) {
    const int64_t padded = scratch.padded, end = first + count;
    float means[ROWS] = {}, log_sums[ROWS] = {};
    for (int64_t i = 0; i < count; ++i) {
        const int64_t at = (first + i) * head.stride;
        means[i] = dot(dout + at, head.out + at, head.K);
        log_sums[i] = head.log_sum[first + i];
    }
    for (int64_t i = 0; i < count; i += 2)
        for (int64_t j = 0; j < end; j += LANES) {
            Halves p[2], slope[2];
            for (int64_t k = 0; k < 2; ++k) {
                const int64_t row = (i + k) * padded + j;
                const int64_t seen = i + k < count ? first + i + k + 1 - j : 0;
                const Vec x = load_all(scratch.scores.data() + row);
                const Vec dx = load_all(scratch.dscores.data() + row);
                const Vec probability = keep_first(exponential(x - log_sums[i + k]), seen);
                p[k] = round_to_halves(probability);
                slope[k] = round_to_halves(keep_first(probability * (dx - means[i + k]), seen));
                store(scratch.rows.data() + row, slope[k]);
            }
            const int64_t at = (first + i) / 2 * padded + j;
            store(scratch.words.data() + at, join_vectors(p[0], p[1]));
            store(scratch.dwords.data() + at, join_vectors(slope[0], slope[1]));
        }
}

inline void attend_backward(HalfAttentionScratch& scratch, const Head<Half>& head,
                            const HeadGradient<Half>& gradient) {
    const int64_t T = head.T, K = head.K, stride = head.stride, padded = scratch.padded;
    const float factor = 1.0f / std::sqrt(float(K));
    const Half* dout = gradient.dout;
    const Panels keys = pack_along(head.k, K, T, K, scratch.keys.data());
    const Panels values = pack_along(head.v, head.v_stride, T, K, scratch.values.data());
    const Panels keys_t = pack_across(head.k, K, K, T, scratch.queries.data());
    for_row_groups(T, [&](int64_t first, int64_t count) {
        const int64_t end = first + count;
        multiply_rows(head.q + first * K, K, count, keys, end, K / 2, scratch.scores.data(), padded,
                      factor);
        multiply_rows(dout + first * stride, stride, count, values, end, K / 2,
                      scratch.dscores.data(), padded, 1.0f);
        find_slopes(scratch, head, dout, first, count);
        multiply_rows(scratch.rows.data(), padded, count, keys_t, K, count_pairs(end),
                      gradient.dq + first * K, K, factor);
    });
    const Panels queries = pack_across(head.q, K, K, T, scratch.queries.data());
    const Panels douts = pack_across(dout, stride, K, T, scratch.out.data());
    for_row_groups(T, [&](int64_t first, int64_t count) {
        // Keys of this group are seen by the rows from the group on.
        const int64_t from = first / 2, pairs = queries.pairs - from, at = from * padded + first;
        for (int64_t j = 0; j < K; j += COLUMNS) {
            const int64_t columns = std::min(COLUMNS, K - j);
            multiply_tile_of_words(scratch.dwords.data() + at, 1, padded, count, queries, j,
                                   columns, from, pairs, gradient.dk + first * K + j, K, factor,
                                   false);
            multiply_tile_of_words(scratch.words.data() + at, 1, padded, count, douts, j, columns,
                                   from, pairs, gradient.dv + first * K + j, K, 1.0f, false);
        }
    });
}

}  // namespace
