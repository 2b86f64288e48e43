// Matrix products in float32: one small kernel, vectorised over columns. Matrices are row-major.

#pragma once

#include "vectors.h"

namespace {

struct Strided {  // element (i, p) of a matrix or of its transpose
    const float* data;
    int64_t row, column;
};

inline Strided rows_of(const float* data, int64_t columns) { return {data, columns, 1}; }
inline Strided columns_of(const float* data, int64_t columns) { return {data, 1, columns}; }

// C[i, j] = alpha · Σ_p A(i, p) · B[p, j] for `rows` rows and vectors · width columns.
template <int rows, class Some, int vectors>
void multiply_tile(Strided a, const float* b, int64_t ldb, float* c, int64_t ldc, int64_t inner,
                   float alpha, bool add) {
    Some sums[rows][vectors] = {};
    for (int64_t p = 0; p < inner; ++p) {
        Some line[vectors];
#pragma GCC unroll 2
        for (int v = 0; v < vectors; ++v)
            line[v] = load<Some>(b + p * ldb + v * width<Some>());
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
            float* out = c + i * ldc + v * width<Some>();
            store(out, add ? load<Some>(out) + alpha * sums[i][v] : alpha * sums[i][v]);
        }
}

template <class Some, int vectors>
void multiply_columns(Strided a, const float* b, int64_t ldb, float* c, int64_t ldc, int64_t m,
                      int64_t inner, float alpha, bool add) {
    int64_t i = 0;
    for (; i + ROWS <= m; i += ROWS)
        multiply_tile<ROWS, Some, vectors>({a.data + i * a.row, a.row, a.column}, b, ldb,
                                          c + i * ldc, ldc, inner, alpha, add);
    for (; i < m; ++i)
        multiply_tile<1, Some, vectors>({a.data + i * a.row, a.row, a.column}, b, ldb, c + i * ldc,
                                       ldc, inner, alpha, add);
}

// B small enough to stay in the first cache as it lies: nothing is copied.
inline void multiply_directly(Strided a, const float* b, int64_t ldb, float* c, int64_t ldc,
                              int64_t m, int64_t n, int64_t inner, float alpha, bool add) {
    int64_t j = 0;
    for (; j + 2 * LANES <= n; j += 2 * LANES)
        multiply_columns<Vec, 2>(a, b + j, ldb, c + j, ldc, m, inner, alpha, add);
    for (; j + LANES <= n; j += LANES)
        multiply_columns<Vec, 1>(a, b + j, ldb, c + j, ldc, m, inner, alpha, add);
    for (; j + LANES / 2 <= n; j += LANES / 2)
        multiply_columns<Narrow, 1>(a, b + j, ldb, c + j, ldc, m, inner, alpha, add);
    for (; j < n; ++j)
        for (int64_t i = 0; i < m; ++i) {
            float sum = 0.0f;
            for (int64_t p = 0; p < inner; ++p)
                sum += a.data[i * a.row + p * a.column] * b[p * ldb + j];
            float* out = c + i * ldc + j;
            *out = add ? *out + alpha * sum : alpha * sum;
        }
}

// A larger B is copied into panels of two vectors and a depth of 256 that a row of tiles reads from
// end to end (Goto and van de Geijn 2008, doi:10.1145/1356052.1356053). A is read as it lies.
constexpr int64_t COLUMNS = 2 * LANES, DEPTH = 256;

// `columns` of B at a depth, side by side; what is beyond the last is zero.
inline void fill_panel(Strided b, int64_t depth, int64_t columns, float* panel) {
    if (b.column == 1 && columns == COLUMNS) {
        for (int64_t p = 0; p < depth; ++p)
            std::memcpy(panel + p * COLUMNS, b.data + p * b.row, COLUMNS * sizeof(float));
        return;
    }
    constexpr int64_t BLOCK = 16;
    if (columns < COLUMNS) std::fill(panel, panel + depth * COLUMNS, 0.0f);
    for (int64_t from = 0; from < depth; from += BLOCK)
        for (int64_t j = 0; j < columns; ++j)
            for (int64_t p = from; p < std::min(depth, from + BLOCK); ++p)
                panel[p * COLUMNS + j] = b.data[p * b.row + j * b.column];
}

inline void multiply_in_panels(Strided a, Strided b, float* c, int64_t ldc, int64_t m, int64_t n,
                               int64_t inner, float alpha, bool add, Array<float>& panel) {
    panel.resize(COLUMNS * DEPTH);
    for (int64_t from = 0; from < inner; from += DEPTH, add = true) {
        const int64_t depth = std::min(DEPTH, inner - from);
        for (int64_t j = 0; j < n; j += COLUMNS) {
            const int64_t columns = std::min(COLUMNS, n - j);
            fill_panel({b.data + from * b.row + j * b.column, b.row, b.column}, depth, columns,
                       panel.data());
            multiply_directly({a.data + from * a.column, a.row, a.column}, panel.data(), COLUMNS,
                              c + j, ldc, m, columns, depth, alpha, add);
        }
    }
}

// Rows of `in` begin `stride` apart.
inline void transpose(const float* in, int64_t stride, int64_t rows, int64_t columns, float* out) {
    constexpr int64_t BLOCK = 16;
    for (int64_t r = 0; r < rows; r += BLOCK)
        for (int64_t c = 0; c < columns; c += BLOCK)
            for (int64_t i = r; i < rows && i < r + BLOCK; ++i)
                for (int64_t j = c; j < columns && j < c + BLOCK; ++j)
                    out[j * rows + i] = in[i * stride + j];
}

// Below this many numbers B stays in the first cache and copying it costs more than it gains.
constexpr int64_t DIRECT = 8192;

struct Scratch {  // of products in float32
    Array<float> panel, transposed;
};

// C (m × n) = alpha · A (m × inner) · B (inner × n), added to C where `add`.
inline void multiply(Scratch& scratch, Strided a, Strided b, float* c, int64_t m, int64_t n,
                     int64_t inner, float alpha, bool add) {
    if (inner * n > DIRECT)
        return multiply_in_panels(a, b, c, n, m, n, inner, alpha, add, scratch.panel);
    const float* lies = b.data;
    if (b.column != 1) {
        scratch.transposed.resize(DIRECT);
        transpose(b.data, inner, n, inner, scratch.transposed.data());
        lies = scratch.transposed.data();
    }
    multiply_directly(a, lies, n, c, n, m, n, inner, alpha, add);
}

// y = alpha · x · weightᵀ: (R, in) · (out, in)ᵀ -> (R, out), added to y where `add`.
inline void apply(Scratch& scratch, const float* x, const float* weight, int64_t rows, int64_t in,
                  int64_t out, float* y, float alpha = 1.0f, bool add = false) {
    multiply(scratch, rows_of(x, in), columns_of(weight, in), y, rows, out, in, alpha, add);
}

// Gradients of y = x · weightᵀ: dweight += alpha · dyᵀ · x and dx = alpha · dy · weight.
inline void apply_backward(Scratch& scratch, const float* x, const float* weight, const float* dy,
                           int64_t rows, int64_t in, int64_t out, float* dx, float* dweight,
                           float alpha = 1.0f) {
    multiply(scratch, columns_of(dy, out), rows_of(x, in), dweight, out, in, rows, alpha, true);
    multiply(scratch, rows_of(dy, out), rows_of(weight, in), dx, rows, in, out, alpha, false);
}

}  // namespace
