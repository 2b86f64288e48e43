// One training step of the transformer in models/transformer.py, forward and backward, on one thread.
//
// At the sizes of a CPU sweep (widths 8 to 128, batches of a few sequences) a framework spends its
// time between operations, not in them. Here a step is one call: activations stay in the cache,
// nothing is allocated, and every matrix product is the same small kernel, vectorised over columns.
// What is computed, and its order of parameters, is that of transformer.py; tests hold both to the
// same gradients.
//
// Axes: R = batch · T rows, T positions, d width, A = heads · K attention width, K head size, F MLP
// width, V vocabulary. Matrices are row-major. GCC's vector extensions (also in clang) are portable:
// the compiler splits a vector that the processor does not have.
//
// NaN and infinity must come through, so that a diverged run is seen: no -ffast-math, and every
// comparison is written so that NaN takes the branch that keeps it.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>
#include <memory>
#include <new>
#include <stdexcept>

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

namespace {

typedef float Vec16 __attribute__((vector_size(64)));
typedef float Vec8 __attribute__((vector_size(32)));
typedef int32_t Int16 __attribute__((vector_size(64)));

constexpr float EPSILON = 1e-6f;  // NORM_EPSILON of transformer.py
constexpr int ROWS = 8;           // of a tile: 8 × 32 floats of sums stay in registers

template <class Vec>
constexpr int64_t width() {
    return sizeof(Vec) / sizeof(float);
}

// Rows of a matrix start anywhere: no load or store may assume alignment.
template <class Vec>
Vec load(const float* from) {
    Vec v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

template <class Vec>
void store(float* to, Vec v) {
    std::memcpy(to, &v, sizeof v);
}

// --- matrix products ---------------------------------------------------------------------------

struct Strided {  // element (i, p) of a matrix or of its transpose
    const float* data;
    int64_t row, column;
};

// C[i, j] = alpha · Σ_p A(i, p) · B[p, j] for `rows` rows and vectors · width columns.
template <int rows, class Vec, int vectors>
void multiply_tile(Strided a, const float* b, int64_t ldb, float* c, int64_t ldc, int64_t inner,
                   float alpha, bool add) {
    Vec sums[rows][vectors] = {};
    for (int64_t p = 0; p < inner; ++p) {
        Vec line[vectors];
#pragma GCC unroll 2
        for (int v = 0; v < vectors; ++v)
            line[v] = load<Vec>(b + p * ldb + v * width<Vec>());
#pragma GCC unroll 8
        for (int i = 0; i < rows; ++i) {
            const float factor = a.data[i * a.row + p * a.column];
#pragma GCC unroll 2
            for (int v = 0; v < vectors; ++v) sums[i][v] += factor * line[v];
        }
    }
#pragma GCC unroll 8  // or the sums would go through memory
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; ++v) {
            float* out = c + i * ldc + v * width<Vec>();
            store(out, add ? load<Vec>(out) + alpha * sums[i][v] : alpha * sums[i][v]);
        }
}

template <class Vec, int vectors>
void multiply_columns(Strided a, const float* b, int64_t ldb, float* c, int64_t ldc, int64_t m,
                      int64_t inner, float alpha, bool add) {
    int64_t i = 0;
    for (; i + ROWS <= m; i += ROWS)
        multiply_tile<ROWS, Vec, vectors>({a.data + i * a.row, a.row, a.column}, b, ldb,
                                          c + i * ldc, ldc, inner, alpha, add);
    for (; i < m; ++i)
        multiply_tile<1, Vec, vectors>({a.data + i * a.row, a.row, a.column}, b, ldb, c + i * ldc,
                                       ldc, inner, alpha, add);
}

// B small enough to stay in the first cache as it lies: nothing is copied.
void multiply_directly(Strided a, const float* b, int64_t ldb, float* c, int64_t ldc, int64_t m,
                       int64_t n, int64_t inner, float alpha, bool add) {
    int64_t j = 0;
    for (; j + 32 <= n; j += 32)
        multiply_columns<Vec16, 2>(a, b + j, ldb, c + j, ldc, m, inner, alpha, add);
    for (; j + 16 <= n; j += 16)
        multiply_columns<Vec16, 1>(a, b + j, ldb, c + j, ldc, m, inner, alpha, add);
    for (; j + 8 <= n; j += 8)
        multiply_columns<Vec8, 1>(a, b + j, ldb, c + j, ldc, m, inner, alpha, add);
    for (; j < n; ++j)
        for (int64_t i = 0; i < m; ++i) {
            float sum = 0.0f;
            for (int64_t p = 0; p < inner; ++p)
                sum += a.data[i * a.row + p * a.column] * b[p * ldb + j];
            float* out = c + i * ldc + j;
            *out = add ? *out + alpha * sum : alpha * sum;
        }
}

// A larger B is copied into panels of 32 columns and a depth of 256 that a row of tiles reads from end
// to end (Goto and van de Geijn 2008, doi:10.1145/1356052.1356053). A is read as it lies.
constexpr int64_t COLUMNS = 32, DEPTH = 256;

// `columns` of B at a depth, side by side; what is beyond the last is zero.
template <class Word>
void fill_panel(const Word* b, int64_t row, int64_t column, int64_t depth, int64_t columns,
                Word* panel) {
    if (column == 1 && columns == COLUMNS) {
        for (int64_t p = 0; p < depth; ++p)
            std::memcpy(panel + p * COLUMNS, b + p * row, COLUMNS * sizeof(Word));
        return;
    }
    constexpr int64_t BLOCK = 16;
    if (columns < COLUMNS) std::fill(panel, panel + depth * COLUMNS, Word{});
    for (int64_t from = 0; from < depth; from += BLOCK)
        for (int64_t j = 0; j < columns; ++j)
            for (int64_t p = from; p < std::min(depth, from + BLOCK); ++p)
                panel[p * COLUMNS + j] = b[p * row + j * column];
}

void multiply_in_panels(Strided a, Strided b, float* c, int64_t ldc, int64_t m, int64_t n,
                        int64_t inner, float alpha, bool add, std::vector<float>& panel) {
    panel.resize(COLUMNS * DEPTH);
    for (int64_t from = 0; from < inner; from += DEPTH, add = true) {
        const int64_t depth = std::min(DEPTH, inner - from);
        for (int64_t j = 0; j < n; j += COLUMNS) {
            const int64_t columns = std::min(COLUMNS, n - j);
            fill_panel(b.data + from * b.row + j * b.column, b.row, b.column, depth, columns,
                       panel.data());
            multiply_directly({a.data + from * a.column, a.row, a.column}, panel.data(), COLUMNS,
                              c + j, ldc, m, columns, depth, alpha, add);
        }
    }
}

// --- the same in bfloat16 ----------------------------------------------------------------------

// Words of two bfloat16 of neighbouring depth, the first in the lower half.
struct Words {
    std::vector<uint32_t> a, b, panel;
};

uint32_t bits_of(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}

// To nearest, ties to even, in the upper half.
uint32_t round_to_half(float x) {
    const uint32_t bits = bits_of(x);
    return bits + 0x7fff + ((bits >> 16) & 1);
}

uint32_t join_halves(float x, float y) {
    return round_to_half(x) >> 16 | (round_to_half(y) & 0xffff0000u);
}

// The words of a matrix whose depth runs along its lines (line, ⌈depth / 2⌉) or across them
// (⌈depth / 2⌉, line), as it lies.
void fill_words(const float* x, int64_t lines, int64_t depth, bool along, uint32_t* out) {
    const int64_t pairs = depth / 2;
    if (along) {
        for (int64_t i = 0; i < lines; ++i, x += depth) {
            for (int64_t p = 0; p < pairs; ++p) *out++ = join_halves(x[2 * p], x[2 * p + 1]);
            if (depth % 2) *out++ = join_halves(x[depth - 1], 0.0f);
        }
        return;
    }
    for (int64_t p = 0; p < pairs; ++p, x += 2 * lines, out += lines)
        for (int64_t i = 0; i < lines; ++i) out[i] = join_halves(x[i], x[lines + i]);
    if (depth % 2)
        for (int64_t i = 0; i < lines; ++i) out[i] = join_halves(x[i], 0.0f);
}

// -Wno-psabi: vectors wider than the processor's are passed between functions of this file only.
inline Vec16 add_products(Vec16 sum, uint32_t a, Int16 b) {
#ifdef __AVX512BF16__
    return (Vec16)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(int(a)), (__m512bh)b);
#else  // the same products, at float32's speed
    const uint32_t first = a << 16, second = a & 0xffff0000u;
    const Int16 lower = b << 16, upper = b & int32_t(0xffff0000);
    float x, y;
    Vec16 v, w;
    std::memcpy(&x, &first, sizeof x);
    std::memcpy(&y, &second, sizeof y);
    std::memcpy(&v, &lower, sizeof v);
    std::memcpy(&w, &upper, sizeof w);
    return sum + x * v + y * w;
#endif
}

template <int rows>
void multiply_words_tile(const uint32_t* a, int64_t row, int64_t column, const uint32_t* panel,
                         int64_t words, float* c, int64_t ldc, int64_t columns, float alpha,
                         bool add) {
    Vec16 sums[rows][2] = {};
    for (int64_t p = 0; p < words; ++p, panel += COLUMNS) {
        Int16 line[2];
        std::memcpy(&line[0], panel, sizeof line[0]);
        std::memcpy(&line[1], panel + 16, sizeof line[1]);
#pragma GCC unroll 8  // or the sums would lie in memory
        for (int i = 0; i < rows; ++i) {
            const uint32_t pair = a[i * row + p * column];
            sums[i][0] = add_products(sums[i][0], pair, line[0]);
            sums[i][1] = add_products(sums[i][1], pair, line[1]);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i, c += ldc) {
        if (columns == COLUMNS) {
#pragma GCC unroll 2
            for (int v = 0; v < 2; ++v) {
                const Vec16 value = alpha * sums[i][v];
                store(c + 16 * v, add ? load<Vec16>(c + 16 * v) + value : value);
            }
            continue;
        }
        float line[COLUMNS];
        store(line, sums[i][0]);
        store(line + 16, sums[i][1]);
        for (int64_t j = 0; j < columns; ++j) c[j] = add ? c[j] + alpha * line[j] : alpha * line[j];
    }
}

void multiply_in_halves(Words& words, Strided a, Strided b, float* c, int64_t m, int64_t n,
                        int64_t inner, float alpha, bool add) {
    const int64_t pairs = (inner + 1) / 2;
    words.a.resize(std::max<size_t>(words.a.size(), m * pairs));
    words.b.resize(std::max<size_t>(words.b.size(), n * pairs));
    words.panel.resize(COLUMNS * DEPTH);
    const bool a_along = a.column == 1, b_along = b.row == 1;
    fill_words(a.data, m, inner, a_along, words.a.data());
    fill_words(b.data, n, inner, b_along, words.b.data());
    const int64_t a_row = a_along ? pairs : 1, a_column = a_along ? 1 : m;
    const int64_t b_row = b_along ? 1 : n, b_column = b_along ? pairs : 1;
    for (int64_t from = 0; from < pairs; from += DEPTH, add = true) {
        const int64_t depth = std::min(DEPTH, pairs - from);
        const uint32_t* lines = words.a.data() + from * a_column;
        for (int64_t j = 0; j < n; j += COLUMNS) {
            const int64_t columns = std::min(COLUMNS, n - j);
            fill_panel(words.b.data() + from * b_row + j * b_column, b_row, b_column, depth,
                       columns, words.panel.data());
            int64_t i = 0;
            for (; i + ROWS <= m; i += ROWS)
                multiply_words_tile<ROWS>(lines + i * a_row, a_row, a_column, words.panel.data(),
                                          depth, c + i * n + j, n, columns, alpha, add);
            for (; i < m; ++i)
                multiply_words_tile<1>(lines + i * a_row, a_row, a_column, words.panel.data(),
                                       depth, c + i * n + j, n, columns, alpha, add);
        }
    }
}

Strided rows_of(const float* data, int64_t columns) { return {data, columns, 1}; }
Strided columns_of(const float* data, int64_t columns) { return {data, 1, columns}; }

void transpose(const float* in, int64_t rows, int64_t columns, float* out) {
    constexpr int64_t BLOCK = 16;
    for (int64_t r = 0; r < rows; r += BLOCK)
        for (int64_t c = 0; c < columns; c += BLOCK)
            for (int64_t i = r; i < rows && i < r + BLOCK; ++i)
                for (int64_t j = c; j < columns && j < c + BLOCK; ++j)
                    out[j * rows + i] = in[i * columns + j];
}

// --- sums, exponentials ------------------------------------------------------------------------

float sum_of(Vec16 v) {
    float total = 0.0f;
    for (int i = 0; i < 16; ++i) total += v[i];
    return total;
}

float dot(const float* x, const float* y, int64_t n) {
    Vec16 sums = {};
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        sums += load<Vec16>(x + i) * load<Vec16>(y + i);
    float total = n >= 16 ? sum_of(sums) : 0.0f;
    for (; i < n; ++i) total += x[i] * y[i];
    return total;
}

// e^x by x = n·ln 2 + r, |r| ≤ ln 2 / 2, and e^r's Taylor series to r^7: within 2 units in the last
// place for x ≤ 0 (the only use); 0 below the smallest normal float.
Vec16 exponential(Vec16 x) {
    constexpr float LOWEST = -87.0f;
    const Vec16 shift = Vec16{} + 12582912.0f;  // 1.5 · 2^23: adding it rounds to an integer
    Vec16 n = x * 1.44269504f + shift - shift;
    Vec16 r = x - n * 0.693359375f + n * 2.12194440e-4f;
    Vec16 series = Vec16{} + 1.0f / 5040.0f;
    for (float term : {1.0f / 720.0f, 1.0f / 120.0f, 1.0f / 24.0f, 1.0f / 6.0f, 0.5f, 1.0f, 1.0f})
        series = series * r + term;
    Vec16 bounded = n < -126.0f ? Vec16{} - 126.0f : n;
    Int16 bits = (__builtin_convertvector(bounded, Int16) + 127) << 23;
    Vec16 power;
    std::memcpy(&power, &bits, sizeof power);
    return x < LOWEST ? Vec16{} : series * power;  // NaN is not below: it stays
}

// Replaces x by e^(x − largest) and returns the sum; `largest` ≥ every x.
float exponentiate(float* x, int64_t n, float largest) {
    Vec16 sums = {};
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const Vec16 value = exponential(load<Vec16>(x + i) - largest);
        store(x + i, value);
        sums += value;
    }
    if (i < n) {
        Vec16 rest = Vec16{} + largest - 1e4f;  // e^(−10000) = 0 in the places beyond the end
        for (int64_t j = i; j < n; ++j) rest[j - i] = x[j];
        rest = exponential(rest - largest);
        for (int64_t j = i; j < n; ++j) x[j] = rest[j - i];
        sums += rest;
    }
    return sum_of(sums);
}

float largest_of(const float* x, int64_t n) {
    float largest = x[0];
    if (n >= 16) {
        Vec16 best = load<Vec16>(x);
        for (int64_t i = 16; i + 16 <= n; i += 16) {
            const Vec16 next = load<Vec16>(x + i);
            best = next > best ? next : best;
        }
        for (int i = 0; i < 16; ++i) largest = best[i] > largest ? best[i] : largest;
    }
    for (int64_t i = n / 16 * 16; i < n; ++i) largest = x[i] > largest ? x[i] : largest;
    return largest;
}

// --- RMSNorm -----------------------------------------------------------------------------------

// y = x · s · gain, s = 1 / sqrt(mean(x²) + ε) kept for the backward pass.
void normalise(const float* x, const float* gain, int64_t rows, int64_t d, float* y, float* scale) {
    for (int64_t r = 0; r < rows; ++r, x += d, y += d) {
        scale[r] = 1.0f / std::sqrt(dot(x, x, d) / d + EPSILON);
        for (int64_t i = 0; i < d; ++i) y[i] = x[i] * scale[r] * gain[i];
    }
}

// dx += ∂L/∂x, dgain += ∂L/∂gain, from dy; `work` holds d floats.
void normalise_backward(const float* x, const float* gain, const float* scale, const float* dy,
                        int64_t rows, int64_t d, float* dx, float* dgain, float* work) {
    for (int64_t r = 0; r < rows; ++r, x += d, dy += d, dx += d) {
        const float s = scale[r];
        for (int64_t i = 0; i < d; ++i) {
            work[i] = gain[i] * dy[i];
            dgain[i] += dy[i] * x[i] * s;
        }
        const float along = dot(work, x, d) * s * s * s / d;
        for (int64_t i = 0; i < d; ++i) dx[i] += s * work[i] - along * x[i];
    }
}

// --- the model ---------------------------------------------------------------------------------

struct Block {  // weights or gradients of a layer; step.py hands them over in this order
    float *attention_norm, *qk_norm, *mlp_norm, *qkv, *attention_out, *mlp_in, *mlp_out;
};

struct Kept {  // of a layer's forward pass
    std::vector<float> x, scale1, normed1, qkv, qk_scale, q, k, v, log_sum, attended, middle, scale2,
        normed2, hidden;
};

struct Model {
    int64_t vocab, T, d, layers, heads, K, F, batch;
    float residual, head_scale;
    bool half;  // products with weights in bfloat16, where they are large enough to gain
    Words words;
    std::vector<float> panel;
    std::vector<float> rotation;  // cos, sin of each pair of a head at each position
    std::vector<Kept> kept;
    std::vector<float> x, final_normed, final_scale, logits, transposed;
    std::vector<float> dx, dwide, dattended, dqkv, dnormed, active, scores, dscores, keys_t,
        values_t, dq, dk, dv, work;
    int64_t A() const { return heads * K; }
    int64_t rows() const { return batch * T; }
};

Block block_at(float* const* tensors, int64_t layer) {
    float* const* t = tensors + 2 + 7 * layer;  // embedding and final norm come first
    return {t[0], t[1], t[2], t[3], t[4], t[5], t[6]};
}

// Below this many numbers B stays in the first cache and copying it costs more than it gains.
constexpr int64_t DIRECT = 8192;

// C (m × n) = alpha · A (m × inner) · B (inner × n), added to C where `add`.
void multiply(Model& m, Strided a, Strided b, float* c, int64_t rows, int64_t columns,
              int64_t inner, float alpha, bool add) {
    if (inner * columns <= DIRECT) {
        const float* lies = b.data;
        if (b.column != 1) {
            transpose(b.data, columns, inner, m.transposed.data());
            lies = m.transposed.data();
        }
        multiply_directly(a, lies, columns, c, columns, rows, columns, inner, alpha, add);
    } else if (m.half) {
        multiply_in_halves(m.words, a, b, c, rows, columns, inner, alpha, add);
    } else {
        multiply_in_panels(a, b, c, columns, rows, columns, inner, alpha, add, m.panel);
    }
}

// y = alpha · x · weightᵀ: (R, in) · (out, in)ᵀ -> (R, out), added to y where `add`.
void apply(Model& m, const float* x, const float* weight, int64_t in, int64_t out, float* y,
           float alpha = 1.0f, bool add = false) {
    multiply(m, rows_of(x, in), columns_of(weight, in), y, m.rows(), out, in, alpha, add);
}

// Gradients of y = x · weightᵀ: dweight += alpha · dyᵀ · x and dx = alpha · dy · weight.
void apply_backward(Model& m, const float* x, const float* weight, const float* dy, int64_t in,
                    int64_t out, float* dx, float* dweight, float alpha = 1.0f) {
    multiply(m, columns_of(dy, out), rows_of(x, in), dweight, out, in, m.rows(), alpha, true);
    multiply(m, rows_of(dy, out), rows_of(weight, in), dx, m.rows(), in, out, alpha, false);
}

// One head's vectors, normalised, scaled by their gain and rotated; s kept in `scale`.
void place_queries(const Model& m, const float* gain, const float* raw, int64_t position,
                   float* out, float* scale) {
    *scale = 1.0f / std::sqrt(dot(raw, raw, m.K) / m.K + EPSILON);
    const float* turn = m.rotation.data() + position * m.K;
    for (int64_t i = 0; i < m.K; i += 2) {
        const float a = raw[i] * *scale * gain[i], b = raw[i + 1] * *scale * gain[i + 1];
        out[i] = a * turn[i] - b * turn[i + 1];
        out[i + 1] = a * turn[i + 1] + b * turn[i];
    }
}

void place_queries_backward(const Model& m, const float* gain, const float* raw, float scale,
                            const float* dout, int64_t position, float* draw, float* dgain) {
    const float* turn = m.rotation.data() + position * m.K;
    float along = 0.0f;
    for (int64_t i = 0; i < m.K; i += 2) {
        const float a = dout[i] * turn[i] + dout[i + 1] * turn[i + 1];
        const float b = dout[i + 1] * turn[i] - dout[i] * turn[i + 1];
        dgain[i] += a * raw[i] * scale;
        dgain[i + 1] += b * raw[i + 1] * scale;
        draw[i] = a * gain[i];
        draw[i + 1] = b * gain[i + 1];
        along += draw[i] * raw[i] + draw[i + 1] * raw[i + 1];
    }
    along *= scale * scale * scale / m.K;
    for (int64_t i = 0; i < m.K; ++i) draw[i] = draw[i] * scale - along * raw[i];
}

// Rows first … first + count of softmax's argument for one head; columns up to `end` are filled.
void score(const Model& m, const float* q, const float* keys_t, int64_t first, int64_t count,
           int64_t end, float* scores) {
    multiply_directly(rows_of(q + first * m.K, m.K), keys_t, m.T, scores + first * m.T, m.T, count,
                      end, m.K, 1.0f / std::sqrt(float(m.K)), false);
}

// Attention is causal: a group of rows looks at no key beyond its last row.
template <class Action>
void for_row_groups(int64_t rows, Action action) {
    for (int64_t first = 0; first < rows; first += ROWS)
        action(first, std::min<int64_t>(ROWS, rows - first));
}

void attend(Model& m, Kept& kept) {
    const int64_t T = m.T, K = m.K, A = m.A();
    for (int64_t bh = 0; bh < m.batch * m.heads; ++bh) {
        const int64_t b = bh / m.heads, h = bh % m.heads;
        const float* q = kept.q.data() + bh * T * K;
        transpose(kept.k.data() + bh * T * K, T, K, m.keys_t.data());
        float* out = kept.attended.data() + b * T * A + h * K;
        for_row_groups(T, [&](int64_t first, int64_t count) {
            const int64_t end = first + count;
            score(m, q, m.keys_t.data(), first, count, end, m.scores.data());
            for (int64_t t = first; t < end; ++t) {
                float* row = m.scores.data() + t * T;
                const float largest = largest_of(row, t + 1);
                const float sum = exponentiate(row, t + 1, largest);
                kept.log_sum[bh * T + t] = largest + std::log(sum);
                for (int64_t j = 0; j <= t; ++j) row[j] /= sum;
                for (int64_t j = t + 1; j < end; ++j) row[j] = 0.0f;
            }
            multiply_directly(rows_of(m.scores.data() + first * T, T), kept.v.data() + bh * T * K,
                              K, out + first * A, A, count, K, end, 1.0f, false);
        });
    }
}

// From d(attended) to d(q), d(k), d(v) of every head. Probabilities are computed again.
void attend_backward(Model& m, const Kept& kept) {
    const int64_t T = m.T, K = m.K, A = m.A();
    const float factor = 1.0f / std::sqrt(float(K));
    for (int64_t bh = 0; bh < m.batch * m.heads; ++bh) {
        const int64_t b = bh / m.heads, h = bh % m.heads;
        const float *q = kept.q.data() + bh * T * K, *k = kept.k.data() + bh * T * K;
        const float* out = kept.attended.data() + b * T * A + h * K;
        const float* dout = m.dattended.data() + b * T * A + h * K;
        float *probability = m.scores.data(), *dscore = m.dscores.data();
        transpose(k, T, K, m.keys_t.data());
        transpose(kept.v.data() + bh * T * K, T, K, m.values_t.data());
        for_row_groups(T, [&](int64_t first, int64_t count) {
            const int64_t end = first + count;
            score(m, q, m.keys_t.data(), first, count, end, probability);
            multiply_directly(rows_of(dout + first * A, A), m.values_t.data(), T,
                              dscore + first * T, T, count, end, K, 1.0f, false);
            for (int64_t t = first; t < end; ++t) {
                float *p = probability + t * T, *ds = dscore + t * T;
                exponentiate(p, t + 1, kept.log_sum[bh * T + t]);
                const float mean = dot(dout + t * A, out + t * A, K);
                for (int64_t j = 0; j <= t; ++j) ds[j] = p[j] * (ds[j] - mean);
                for (int64_t j = t + 1; j < end; ++j) p[j] = ds[j] = 0.0f;
            }
            multiply_directly(rows_of(dscore + first * T, T), k, K,
                              m.dq.data() + (bh * T + first) * K, K, count, K, end, factor, false);
        });
        for_row_groups(T, [&](int64_t first, int64_t count) {
            // Keys of this group are seen by the rows from the group on.
            const int64_t from = first * T + first, seen = T - first;
            multiply_directly(columns_of(dscore + from, T), q + first * K, K,
                              m.dk.data() + (bh * T + first) * K, K, count, K, seen, factor, false);
            multiply_directly(columns_of(probability + from, T), dout + first * A, A,
                              m.dv.data() + (bh * T + first) * K, K, count, K, seen, 1.0f, false);
        });
    }
}

void forward_block(Model& m, const Block& w, Kept& kept) {
    const int64_t R = m.rows(), T = m.T, K = m.K, A = m.A();
    kept.x = m.x;
    normalise(m.x.data(), w.attention_norm, R, m.d, kept.normed1.data(), kept.scale1.data());
    apply(m, kept.normed1.data(), w.qkv, m.d, 3 * A, kept.qkv.data());
    for (int64_t r = 0; r < R; ++r)
        for (int64_t h = 0; h < m.heads; ++h) {
            const float* raw = kept.qkv.data() + r * 3 * A + h * K;
            const int64_t head = (r / T * m.heads + h) * T + r % T;
            float* scale = kept.qk_scale.data() + 2 * head;
            place_queries(m, w.qk_norm, raw, r % T, kept.q.data() + head * K, scale);
            place_queries(m, w.qk_norm + K, raw + A, r % T, kept.k.data() + head * K, scale + 1);
            std::memcpy(kept.v.data() + head * K, raw + 2 * A, K * sizeof(float));
        }
    attend(m, kept);
    apply(m, kept.attended.data(), w.attention_out, A, m.d, m.x.data(), m.residual, true);
    kept.middle = m.x;
    normalise(m.x.data(), w.mlp_norm, R, m.d, kept.normed2.data(), kept.scale2.data());
    apply(m, kept.normed2.data(), w.mlp_in, m.d, m.F, kept.hidden.data());
    for (int64_t i = 0; i < R * m.F; ++i) {
        const float h = kept.hidden[i] < 0.0f ? 0.0f : kept.hidden[i];
        m.active[i] = h * h;
    }
    apply(m, m.active.data(), w.mlp_out, m.F, m.d, m.x.data(), m.residual, true);
}

void backward_block(Model& m, const Block& w, const Block& g, const Kept& kept) {
    const int64_t R = m.rows(), T = m.T, K = m.K, A = m.A();
    for (int64_t i = 0; i < R * m.F; ++i) {
        const float h = kept.hidden[i] < 0.0f ? 0.0f : kept.hidden[i];
        m.active[i] = h * h;
    }
    apply_backward(m, m.active.data(), w.mlp_out, m.dx.data(), m.F, m.d, m.dwide.data(), g.mlp_out,
                   m.residual);
    for (int64_t i = 0; i < R * m.F; ++i) {
        const float h = kept.hidden[i] < 0.0f ? 0.0f : kept.hidden[i];
        m.dwide[i] *= 2.0f * h;
    }
    apply_backward(m, kept.normed2.data(), w.mlp_in, m.dwide.data(), m.d, m.F, m.dnormed.data(),
                   g.mlp_in);
    normalise_backward(kept.middle.data(), w.mlp_norm, kept.scale2.data(), m.dnormed.data(), R, m.d,
                       m.dx.data(), g.mlp_norm, m.work.data());

    apply_backward(m, kept.attended.data(), w.attention_out, m.dx.data(), A, m.d,
                   m.dattended.data(), g.attention_out, m.residual);
    attend_backward(m, kept);
    for (int64_t r = 0; r < R; ++r)
        for (int64_t h = 0; h < m.heads; ++h) {
            const float* raw = kept.qkv.data() + r * 3 * A + h * K;
            float* draw = m.dqkv.data() + r * 3 * A + h * K;
            const int64_t head = (r / T * m.heads + h) * T + r % T;
            const float* scale = kept.qk_scale.data() + 2 * head;
            place_queries_backward(m, w.qk_norm, raw, scale[0], m.dq.data() + head * K, r % T, draw,
                                   g.qk_norm);
            place_queries_backward(m, w.qk_norm + K, raw + A, scale[1], m.dk.data() + head * K,
                                   r % T, draw + A, g.qk_norm + K);
            std::memcpy(draw + 2 * A, m.dv.data() + head * K, K * sizeof(float));
        }
    apply_backward(m, kept.normed1.data(), w.qkv, m.dqkv.data(), m.d, 3 * A, m.dnormed.data(),
                   g.qkv);
    normalise_backward(kept.x.data(), w.attention_norm, kept.scale1.data(), m.dnormed.data(), R,
                       m.d, m.dx.data(), g.attention_norm, m.work.data());
}

// Logits of every position; tokens: (batch, T + 1), the last of each row only to be predicted.
void forward(Model& m, const int64_t* tokens, float* const* weights) {
    for (int64_t r = 0; r < m.rows(); ++r)
        std::memcpy(m.x.data() + r * m.d, weights[0] + tokens[r / m.T * (m.T + 1) + r % m.T] * m.d,
                    m.d * sizeof(float));
    for (int64_t l = 0; l < m.layers; ++l)
        forward_block(m, block_at(weights, l), m.kept[l]);
    normalise(m.x.data(), weights[1], m.rows(), m.d, m.final_normed.data(), m.final_scale.data());
    apply(m, m.final_normed.data(), weights[2 + 7 * m.layers], m.d, m.vocab, m.logits.data(),
          m.head_scale);
}

// Cross-entropy [nats] of row r; leaves probabilities in place of its logits.
float take_loss(Model& m, const int64_t* tokens, int64_t r) {
    float* row = m.logits.data() + r * m.vocab;
    const float own = row[tokens[r / m.T * (m.T + 1) + r % m.T + 1]];
    const float largest = largest_of(row, m.vocab);
    const float sum = exponentiate(row, m.vocab, largest);
    for (int64_t i = 0; i < m.vocab; ++i) row[i] /= sum;
    return largest + std::log(sum) - own;
}

}  // namespace

extern "C" {

// Null where there is not the memory.
void* scaling_create(const int64_t* shape, float residual, float head_scale, bool half,
                     const float* rotation) try {
    auto owned = std::make_unique<Model>();
    Model* m = owned.get();
    int64_t* const sizes[] = {&m->vocab, &m->T, &m->d, &m->layers, &m->heads, &m->K, &m->F, &m->batch};
    for (int64_t* size : sizes) *size = *shape++;
    m->residual = residual;
    m->head_scale = head_scale;
    m->half = half;
    const int64_t R = m->rows(), A = m->A(), d = m->d, F = m->F, T = m->T;
    m->rotation.assign(rotation, rotation + T * m->K);
    m->kept.resize(m->layers);
    for (Kept& k : m->kept) {
        for (auto* one : {&k.x, &k.normed1, &k.middle, &k.normed2}) one->resize(R * d);
        for (auto* one : {&k.scale1, &k.scale2}) one->resize(R);
        for (auto* one : {&k.q, &k.k, &k.v, &k.attended}) one->resize(R * A);
        k.qkv.resize(R * 3 * A);
        k.qk_scale.resize(R * m->heads * 2);
        k.log_sum.resize(R * m->heads);
        k.hidden.resize(R * F);
    }
    for (auto* one : {&m->x, &m->final_normed, &m->dx, &m->dnormed}) one->resize(R * d);
    for (auto* one : {&m->dq, &m->dk, &m->dv, &m->dattended}) one->resize(R * A);
    for (auto* one : {&m->dwide, &m->active}) one->resize(R * F);
    for (auto* one : {&m->scores, &m->dscores}) one->resize(T * T);
    for (auto* one : {&m->keys_t, &m->values_t}) one->resize(T * m->K);
    m->final_scale.resize(R);
    m->logits.resize(R * m->vocab);
    m->dqkv.resize(R * 3 * A);
    m->work.resize(d);
    m->transposed.resize(DIRECT);
    return owned.release();
} catch (const std::bad_alloc&) {
    return nullptr;
} catch (const std::length_error&) {
    return nullptr;
}

void scaling_destroy(void* model) { delete static_cast<Model*>(model); }

// Mean loss over `batch` sequences, at most as many as the model was made for; adds `share` times its
// gradient to the tensors of `grads`.
float scaling_gradient(void* model, const int64_t* tokens, int64_t batch, float share,
                       float* const* weights, float* const* grads) {
    Model& m = *static_cast<Model*>(model);
    m.batch = batch;
    const int64_t R = m.rows(), head = 2 + 7 * m.layers;
    forward(m, tokens, weights);
    double total = 0.0;
    for (int64_t r = 0; r < R; ++r) {
        total += take_loss(m, tokens, r);
        m.logits[r * m.vocab + tokens[r / m.T * (m.T + 1) + r % m.T + 1]] -= 1.0f;
    }
    apply_backward(m, m.final_normed.data(), weights[head], m.logits.data(), m.d, m.vocab,
                   m.dnormed.data(), grads[head], share * m.head_scale / float(R));
    std::fill(m.dx.begin(), m.dx.end(), 0.0f);
    normalise_backward(m.x.data(), weights[1], m.final_scale.data(), m.dnormed.data(), R, m.d,
                       m.dx.data(), grads[1], m.work.data());
    for (int64_t l = m.layers - 1; l >= 0; --l)
        backward_block(m, block_at(weights, l), block_at(grads, l), m.kept[l]);
    for (int64_t r = 0; r < R; ++r) {
        float* row = grads[0] + tokens[r / m.T * (m.T + 1) + r % m.T] * m.d;
        for (int64_t i = 0; i < m.d; ++i) row[i] += m.dx[r * m.d + i];
    }
    return float(total / double(R));
}

// Loss [nats] of each position, shape (batch, T).
void scaling_losses(void* model, const int64_t* tokens, int64_t batch, float* const* weights,
                    float* losses) {
    Model& m = *static_cast<Model*>(model);
    m.batch = batch;
    forward(m, tokens, weights);
    for (int64_t r = 0; r < m.rows(); ++r) losses[r] = take_loss(m, tokens, r);
}

// The gradient's norm before clipping.
float scaling_clip(float* gradient, int64_t n, float limit) {
    double total = 0.0;
    constexpr int64_t PIECE = 4096;  // float sums of a piece, double sums of pieces
    for (int64_t i = 0; i < n; i += PIECE)
        total += dot(gradient + i, gradient + i, std::min(PIECE, n - i));
    const float norm = float(std::sqrt(total));
    const float factor = limit / (norm + 1e-6f);
    if (!(factor >= 1.0f))
        for (int64_t i = 0; i < n; ++i) gradient[i] *= factor;
    return norm;
}

// AdamW of one group (Loshchilov and Hutter, arXiv:1711.05101), as torch's; zeroes the gradient.
void scaling_adamw(float* weights, float* gradient, float* mean, float* square, int64_t n,
                   double rate, double beta1, double beta2, double epsilon, double decay,
                   double step) {
    const float shrink = float(1.0 - rate * decay), b1 = float(beta1), b2 = float(beta2);
    const float size = float(rate / (1.0 - std::pow(beta1, step)));
    const float root = float(1.0 / std::sqrt(1.0 - std::pow(beta2, step)));
    const float e = float(epsilon), c1 = float(1.0 - beta1), c2 = float(1.0 - beta2);
    for (int64_t i = 0; i < n; ++i) {
        const float g = gradient[i];
        mean[i] = b1 * mean[i] + c1 * g;
        square[i] = b2 * square[i] + c2 * g * g;
        weights[i] = weights[i] * shrink - size * mean[i] / (__builtin_sqrtf(square[i]) * root + e);
        gradient[i] = 0.0f;
    }
}

}  // extern "C"
