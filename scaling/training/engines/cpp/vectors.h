// Vectors as wide as the processor's, sums and exponentials over rows.
//
// GCC's vector extensions (also in clang) are portable. Vectors wider than the processor's would be,
// too, but live in memory: one of 16 floats makes a step 20 times slower where there are 8. NaN and infinity must come through, so that a diverged run is seen: no
// -ffast-math, and every comparison is written so that NaN takes the branch that keeps it.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

// Sums of a tile of ROWS × two vectors stay in registers, of which there are 32 or 16.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int ROWS = 8;
#else
constexpr int ROWS = 4;
#endif

typedef float Vec __attribute__((vector_size(4 * LANES)));
typedef float Narrow __attribute__((vector_size(2 * LANES)));
typedef int32_t Int __attribute__((vector_size(4 * LANES)));

template <class Some>
constexpr int64_t width() {
    return sizeof(Some) / sizeof(float);
}

// Rows of a matrix start anywhere: no load or store may assume alignment.
template <class Some, class Number>
Some load(const Number* from) {
    Some v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

template <class Some, class Number>
void store(Number* to, Some v) {
    std::memcpy(to, &v, sizeof v);
}

// Vectors that begin at a line of the cache: a load across two lines takes twice the time.
template <class Number>
struct Aligned {
    typedef Number value_type;
    Aligned() = default;
    template <class Other>
    Aligned(const Aligned<Other>&) {}
    Number* allocate(std::size_t n) {
        if (n > PTRDIFF_MAX / sizeof(Number)) throw std::bad_alloc();
        return static_cast<Number*>(::operator new(n * sizeof(Number), std::align_val_t(64)));
    }
    void deallocate(Number* p, std::size_t) { ::operator delete(p, std::align_val_t(64)); }
    bool operator==(const Aligned&) const { return true; }
    bool operator!=(const Aligned&) const { return false; }
};

template <class Number>
using Array = std::vector<Number, Aligned<Number>>;

inline float sum_of(Vec v) {
    Narrow halves[2];
    std::memcpy(halves, &v, sizeof v);
    const Narrow sums = halves[0] + halves[1];
    float part[LANES / 2];
    std::memcpy(part, &sums, sizeof sums);
    for (int n = LANES / 4; n > 0; n /= 2)
        for (int i = 0; i < n; ++i) part[i] += part[i + n];
    return part[0];
}

inline float dot(const float* x, const float* y, int64_t n) {
    Vec sums = {};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        sums += load<Vec>(x + i) * load<Vec>(y + i);
    float total = n >= LANES ? sum_of(sums) : 0.0f;
    for (; i < n; ++i) total += x[i] * y[i];
    return total;
}

// e^x by x = n·ln 2 + r, |r| ≤ ln 2 / 2, and e^r's Taylor series to r^7: within 2 units in the last
// place for x ≤ 0 (the only use); 0 below the smallest normal float.
inline Vec exponential(Vec x) {
    constexpr float LOWEST = -87.0f;
    const Vec shift = Vec{} + 12582912.0f;  // 1.5 · 2^23: adding it rounds to an integer
    Vec n = x * 1.44269504f + shift - shift;
    Vec r = x - n * 0.693359375f + n * 2.12194440e-4f;
    Vec series = Vec{} + 1.0f / 5040.0f;
    for (float term : {1.0f / 720.0f, 1.0f / 120.0f, 1.0f / 24.0f, 1.0f / 6.0f, 0.5f, 1.0f, 1.0f})
        series = series * r + term;
    Vec bounded = n < -126.0f ? Vec{} - 126.0f : n;
    Int bits = (__builtin_convertvector(bounded, Int) + 127) << 23;
    Vec power;
    std::memcpy(&power, &bits, sizeof power);
    return x < LOWEST ? Vec{} : series * power;  // NaN is not below: it stays
}

// Replaces x by e^(x − largest) and returns the sum; `largest` ≥ every x.
inline float exponentiate(float* x, int64_t n, float largest) {
    Vec sums = {};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        const Vec value = exponential(load<Vec>(x + i) - largest);
        store(x + i, value);
        sums += value;
    }
    if (i < n) {
        Vec rest = Vec{} + largest - 1e4f;  // e^(−10000) = 0 in the places beyond the end
        for (int64_t j = i; j < n; ++j) rest[j - i] = x[j];
        rest = exponential(rest - largest);
        for (int64_t j = i; j < n; ++j) x[j] = rest[j - i];
        sums += rest;
    }
    return sum_of(sums);
}

inline float largest_of(const float* x, int64_t n) {
    float largest = x[0];
    if (n >= LANES) {
        Vec best = load<Vec>(x);
        for (int64_t i = LANES; i + LANES <= n; i += LANES) {
            const Vec next = load<Vec>(x + i);
            best = next > best ? next : best;
        }
        for (int i = 0; i < LANES; ++i) largest = best[i] > largest ? best[i] : largest;
    }
    for (int64_t i = n / LANES * LANES; i < n; ++i) largest = x[i] > largest ? x[i] : largest;
    return largest;
}

}  // namespace
