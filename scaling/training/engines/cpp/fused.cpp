// One training step of the transformer in sweep/families/transformer_network.py, forward and backward, on one thread.
//
// At the sizes of a CPU sweep (widths 8 to 128, batches of a few sequences) a framework spends its
// time between operations, not in them. Here a step is one call: activations stay in the cache,
// nothing is allocated, and every matrix product is the same small kernel, vectorised over columns.
// What is computed, and its order of parameters, is that of transformer.py; tests hold both to the
// same gradients.
//
// With Number = Half what products take is bfloat16, and what is kept of it for the backward pass;
// sums, the residual stream, norms, softmax and the loss are float32.
//
// Axes: R = batch · T rows, T positions, d width, A = heads · K attention width, K head size, F MLP
// width, V vocabulary. Matrices are row-major.

#include <memory>
#include <stdexcept>
#include <type_traits>

#include "attention.h"

namespace {

constexpr float EPSILON = 1e-6f;  // NORM_EPSILON of transformer.py

// --- RMSNorm -----------------------------------------------------------------------------------

// y = x · s · gain, s = 1 / sqrt(mean(x²) + ε) kept for the backward pass.
template <class Number>
void normalise(const float* x, const float* gain, int64_t rows, int64_t d, Number* y,
               float* scale) {
    const int64_t stride = stride_of(d, y);
    for (int64_t r = 0; r < rows; ++r, x += d, y += stride) {
        scale[r] = 1.0f / std::sqrt(dot(x, x, d) / d + EPSILON);
        for (int64_t i = 0; i < d; i += LANES)
            store_some(y + i, load_some(x + i, d - i) * scale[r] * load_some(gain + i, d - i), d - i);
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

// --- one head's queries or keys ----------------------------------------------------------------

// Cosines of each pair twice, and sines with the sign that the first and the second of it need.
struct Rotation {
    Array<float> cosines, sines;  // (T, K)

    Rotation(const float* turns, int64_t n) : cosines(n), sines(n) {
        for (int64_t i = 0; i < n; i += 2) {
            cosines[i] = cosines[i + 1] = turns[i];
            sines[i] = -turns[i + 1];
            sines[i + 1] = turns[i + 1];
        }
    }
};

Vec swap_neighbours(Vec x) {
    Vec swapped;
    for (int i = 0; i < LANES; ++i) swapped[i] = x[i ^ 1];
    return swapped;
}

// A head's vector x · s, with 1 / s its root mean square, scaled by its gain and rotated.
template <class Number>
void place(const Rotation& rotation, const float* gain, const Number* raw, float scale,
           int64_t position, int64_t K, Number* out) {
    const float* cosines = rotation.cosines.data() + position * K;
    const float* sines = rotation.sines.data() + position * K;
    for (int64_t i = 0; i < K; i += LANES) {
        const int64_t n = K - i;
        const Vec x = load_some(raw + i, n) * scale * load_some(gain + i, n);
        store_some(out + i,
                   x * load_some(cosines + i, n) + swap_neighbours(x) * load_some(sines + i, n), n);
    }
}

template <class Number>
void place_backward(const Rotation& rotation, const float* gain, const Number* raw, float scale,
                    const float* dout, int64_t position, int64_t K, Number* draw, float* dgain) {
    const float* cosines = rotation.cosines.data() + position * K;
    const float* sines = rotation.sines.data() + position * K;
    const auto turn_back = [&](int64_t i, int64_t n) {
        const Vec dy = load_some(dout + i, n);
        return dy * load_some(cosines + i, n) - swap_neighbours(dy) * load_some(sines + i, n);
    };
    Vec products = {};
    for (int64_t i = 0; i < K; i += LANES) {
        const int64_t n = K - i;
        const Vec x = load_some(raw + i, n), dy = turn_back(i, n);
        put(dgain + i, dy * x * scale, n, true);
        products += dy * load_some(gain + i, n) * x;
    }
    const float along = sum_of(products) * scale * scale * scale / K;
    for (int64_t i = 0; i < K; i += LANES) {
        const int64_t n = K - i;
        const Vec slope = turn_back(i, n) * load_some(gain + i, n) * scale;
        store_some(draw + i, slope - along * load_some(raw + i, n), n);
    }
}

// --- the model ---------------------------------------------------------------------------------

struct Sizes {  // step by step as fused.py hands them over
    int64_t vocab, T, d, layers, heads, K, F, batch;
    int64_t A() const { return heads * K; }
};

struct Block {  // weights or gradients of a layer; fused.py hands them over in this order
    float *attention_norm, *qk_norm, *mlp_norm, *qkv, *attention_out, *mlp_in, *mlp_out;
};

Block block_at(float* const* tensors, int64_t layer) {
    float* const* t = tensors + 2 + 7 * layer;  // embedding and final norm come first
    return {t[0], t[1], t[2], t[3], t[4], t[5], t[6]};
}

struct Network {
    virtual ~Network() = default;
    virtual float add_gradient(const int64_t* tokens, int64_t sequences, float share,
                               float* const* weights, float* const* grads) = 0;
    virtual void measure(const int64_t* tokens, int64_t sequences, float* const* weights,
                         float* losses) = 0;
};

template <class Number>
struct Kept {  // of a layer's forward pass
    Array<float> x, scale1, qk_scale, log_sum, middle, scale2;
    Array<Number> normed1, qkv, attended, normed2, hidden;
};

template <class Number>
class Transformer : public Network {
    static constexpr bool HALF = std::is_same_v<Number, Half>;
    // Logits that are made at once where only their slopes are kept: half a mebibyte.
    static constexpr int64_t LOGITS = 131072;

    Sizes s;
    float residual, head_scale;
    std::conditional_t<HALF, HalfScratch, Scratch> scratch;
    std::conditional_t<HALF, HalfAttentionScratch, AttentionScratch> attention;
    Rotation rotation;
    std::vector<Kept<Number>> kept;
    Array<float> x, final_scale, logits, dx, dnormed, dq, dk, dv, work;
    Array<Number> final_normed, dlogits, dx_rounded, active, dwide, q, k, dattended, dqkv;
    int64_t logit_rows = 0;

    int64_t rows() const { return s.batch * s.T; }
    int64_t token_at(int64_t r) const { return r / s.T * (s.T + 1) + r % s.T; }

  public:
    Transformer(const Sizes& sizes, float residual, float head_scale, const float* turns)
        : s(sizes),
          residual(residual),
          head_scale(head_scale),
          attention(sizes.T, sizes.K),
          rotation(turns, sizes.T * sizes.K),
          kept(sizes.layers) {
        const int64_t R = rows(), A = s.A(), d = s.d, F = s.F;
        const int64_t width = stride_of(d, dlogits.data()), vocab = stride_of(s.vocab, dlogits.data());
        for (Kept<Number>& k : kept) {
            for (auto* one : {&k.x, &k.middle}) one->resize(R * d);
            for (auto* one : {&k.normed1, &k.normed2}) one->resize(R * width);
            for (auto* one : {&k.scale1, &k.scale2}) one->resize(R);
            k.attended.resize(R * A);
            k.qkv.resize(R * 3 * A);
            k.qk_scale.resize(R * s.heads * 2);
            k.log_sum.resize(R * s.heads);
            k.hidden.resize(R * F);
        }
        for (auto* one : {&x, &dx, &dnormed}) one->resize(R * d);
        for (auto* one : {&q, &k}) one->resize(s.T * s.K);
        for (auto* one : {&dq, &dk, &dv}) one->resize(s.T * s.K);
        for (auto* one : {&dwide, &active}) one->resize(R * F);
        final_normed.resize(R * width);
        dattended.resize(R * A);
        dqkv.resize(R * 3 * A);
        dlogits.resize(R * vocab);
        final_scale.resize(R);
        work.resize(d);
        if constexpr (HALF) {
            logit_rows = std::max<int64_t>(LOGITS / s.vocab / ROWS, 1) * ROWS;
            logits.resize(logit_rows * s.vocab);
            dx_rounded.resize(R * width);
        }
    }

    // Mean loss over the sequences; adds `share` times its gradient to `grads`.
    float add_gradient(const int64_t* tokens, int64_t sequences, float share,
                       float* const* weights, float* const* grads) override {
        s.batch = sequences;
        const int64_t R = rows(), head = 2 + 7 * s.layers;
        run_blocks(tokens, weights);
        double total = 0.0;
        for_losses(tokens, weights[head], [&](int64_t, float loss) { total += loss; });
        apply_backward(scratch, final_normed.data(), weights[head], dlogits.data(), R, s.d, s.vocab,
                       dnormed.data(), grads[head], share * head_scale / float(R));
        std::fill(dx.begin(), dx.end(), 0.0f);
        normalise_backward(x.data(), weights[1], final_scale.data(), dnormed.data(), R, s.d,
                           dx.data(), grads[1], work.data());
        for (int64_t l = s.layers - 1; l >= 0; --l)
            run_block_backward(block_at(weights, l), block_at(grads, l), kept[l]);
        for (int64_t r = 0; r < R; ++r) {
            float* row = grads[0] + tokens[token_at(r)] * s.d;
            for (int64_t i = 0; i < s.d; ++i) row[i] += dx[r * s.d + i];
        }
        return float(total / double(R));
    }

    void measure(const int64_t* tokens, int64_t sequences, float* const* weights,
                 float* losses) override {
        s.batch = sequences;
        run_blocks(tokens, weights);
        for_losses(tokens, weights[2 + 7 * s.layers],
                   [&](int64_t r, float loss) { losses[r] = loss; });
    }

  private:
    // tokens: (batch, T + 1), the last of each row only to be predicted.
    void run_blocks(const int64_t* tokens, float* const* weights) {
        for (int64_t r = 0; r < rows(); ++r)
            std::memcpy(x.data() + r * s.d, weights[0] + tokens[token_at(r)] * s.d,
                        s.d * sizeof(float));
        for (int64_t l = 0; l < s.layers; ++l) run_block(block_at(weights, l), kept[l]);
        normalise(x.data(), weights[1], rows(), s.d, final_normed.data(), final_scale.data());
    }

    // Cross-entropy [nats] of every row, and its slope in the logits.
    template <class Action>
    void for_losses(const int64_t* tokens, const float* weight, Action action) {
        const int64_t R = rows(), V = s.vocab;
        if constexpr (HALF) {
            const Panels head = pack_weight(scratch, weight, s.d, V);
            const Half* normed = final_normed.data();
            const int64_t width = stride_of(s.d, normed), stride = stride_of(V, dlogits.data());
            for (int64_t from = 0; from < R; from += logit_rows) {
                const int64_t count = std::min(logit_rows, R - from);
                multiply_words(tiles_of(normed + from * width, width), count, head, logits.data(),
                               V, head_scale, false);
                for (int64_t r = from; r < from + count; ++r)
                    action(r, take_loss(logits.data() + (r - from) * V, tokens[token_at(r) + 1],
                                        dlogits.data() + r * stride));
            }
        } else {
            apply(scratch, final_normed.data(), weight, R, s.d, V, dlogits.data(), head_scale);
            for (int64_t r = 0; r < R; ++r) {
                float* row = dlogits.data() + r * V;
                action(r, take_loss(row, tokens[token_at(r) + 1], row));
            }
        }
    }

    float take_loss(float* row, int64_t wanted, Number* slopes) const {
        const float own = row[wanted], largest = largest_of(row, s.vocab);
        const float sum = exponentiate(row, s.vocab, largest), inverse = 1.0f / sum;
        row[wanted] -= sum;
        for (int64_t i = 0; i < s.vocab; i += LANES)
            store_some(slopes + i, inverse * load_some(row + i, s.vocab - i), s.vocab - i);
        return largest + std::log(sum) - own;
    }

    const Number* round(const float* values) {
        if constexpr (HALF) {
            round_rows(values, rows(), s.d, dx_rounded.data());
            return dx_rounded.data();
        } else {
            return values;
        }
    }

    void measure_heads(Kept<Number>& kept) {
        const int64_t T = s.T, K = s.K, A = s.A();
        const Number* row = kept.qkv.data();
        for (int64_t r = 0; r < rows(); ++r, row += 3 * A)
            for (int64_t h = 0; h < s.heads; ++h) {
                float* scale = kept.qk_scale.data() + 2 * ((r / T * s.heads + h) * T + r % T);
                for (int64_t i = 0; i < 2; ++i) {
                    const Number* raw = row + i * A + h * K;
                    scale[i] = 1.0f / std::sqrt(dot(raw, raw, K) / K + EPSILON);
                }
            }
    }

    // Queries and keys of a head placed, with what else its attention looks at.
    Head<Number> place_head(const Block& w, Kept<Number>& kept, int64_t b, int64_t h) {
        const int64_t T = s.T, K = s.K, A = s.A(), at = (b * s.heads + h) * T;
        const Number* raw = kept.qkv.data() + b * T * 3 * A + h * K;
        const float* scale = kept.qk_scale.data() + 2 * at;
        for (int64_t t = 0; t < T; ++t, scale += 2) {
            const Number* row = raw + t * 3 * A;
            place(rotation, w.qk_norm, row, scale[0], t, K, q.data() + t * K);
            place(rotation, w.qk_norm + K, row + A, scale[1], t, K, k.data() + t * K);
        }
        return {T,        K,        3 * A,       A, q.data(), k.data(), raw + 2 * A,
                kept.attended.data() + b * T * A + h * K, kept.log_sum.data() + at};
    }

    void place_head_backward(const Block& w, const Block& g, const Kept<Number>& kept, int64_t b,
                             int64_t h) {
        const int64_t T = s.T, K = s.K, A = s.A(), first = b * T * 3 * A + h * K;
        const float* scale = kept.qk_scale.data() + 2 * (b * s.heads + h) * T;
        for (int64_t t = 0; t < T; ++t, scale += 2) {
            const Number* raw = kept.qkv.data() + first + t * 3 * A;
            Number* draw = dqkv.data() + first + t * 3 * A;
            place_backward(rotation, w.qk_norm, raw, scale[0], dq.data() + t * K, t, K, draw,
                           g.qk_norm);
            place_backward(rotation, w.qk_norm + K, raw + A, scale[1], dk.data() + t * K, t, K,
                           draw + A, g.qk_norm + K);
            for (int64_t i = 0; i < K; i += LANES)
                store_some(draw + 2 * A + i, load_some(dv.data() + t * K + i, K - i), K - i);
        }
    }

    void run_block(const Block& w, Kept<Number>& k) {
        const int64_t R = rows(), A = s.A();
        k.x = x;
        normalise(x.data(), w.attention_norm, R, s.d, k.normed1.data(), k.scale1.data());
        apply(scratch, k.normed1.data(), w.qkv, R, s.d, 3 * A, k.qkv.data());
        measure_heads(k);
        for (int64_t b = 0; b < s.batch; ++b)
            for (int64_t h = 0; h < s.heads; ++h) attend(attention, place_head(w, k, b, h));
        apply(scratch, k.attended.data(), w.attention_out, R, A, s.d, x.data(), residual, true);
        k.middle = x;
        normalise(x.data(), w.mlp_norm, R, s.d, k.normed2.data(), k.scale2.data());
        apply(scratch, k.normed2.data(), w.mlp_in, R, s.d, s.F, k.hidden.data());
        activate(k.hidden.data());
        apply(scratch, active.data(), w.mlp_out, R, s.F, s.d, x.data(), residual, true);
    }

    // active = relu(hidden)²
    void activate(const Number* hidden) {
        for (int64_t i = 0; i < rows() * s.F; i += LANES) {
            const int64_t n = rows() * s.F - i;
            const Vec h = load_some(hidden + i, n), kept = h < 0.0f ? Vec{} : h;
            store_some(active.data() + i, kept * kept, n);
        }
    }

    void run_block_backward(const Block& w, const Block& g, Kept<Number>& k) {
        const int64_t R = rows(), A = s.A();
        activate(k.hidden.data());
        apply_backward(scratch, active.data(), w.mlp_out, round(dx.data()), R, s.F, s.d,
                       dwide.data(), g.mlp_out, residual);
        for (int64_t i = 0; i < R * s.F; i += LANES) {
            const int64_t n = R * s.F - i;
            const Vec h = load_some(k.hidden.data() + i, n), slope = h < 0.0f ? Vec{} : 2.0f * h;
            store_some(dwide.data() + i, load_some(dwide.data() + i, n) * slope, n);
        }
        apply_backward(scratch, k.normed2.data(), w.mlp_in, dwide.data(), R, s.d, s.F,
                       dnormed.data(), g.mlp_in);
        normalise_backward(k.middle.data(), w.mlp_norm, k.scale2.data(), dnormed.data(), R, s.d,
                           dx.data(), g.mlp_norm, work.data());

        apply_backward(scratch, k.attended.data(), w.attention_out, round(dx.data()), R, A, s.d,
                       dattended.data(), g.attention_out, residual);
        for (int64_t b = 0; b < s.batch; ++b)
            for (int64_t h = 0; h < s.heads; ++h) {
                attend_backward(attention, place_head(w, k, b, h),
                                {dattended.data() + b * s.T * A + h * s.K, dq.data(), dk.data(),
                                 dv.data()});
                place_head_backward(w, g, k, b, h);
            }
        apply_backward(scratch, k.normed1.data(), w.qkv, dqkv.data(), R, s.d, 3 * A,
                       dnormed.data(), g.qkv);
        normalise_backward(k.x.data(), w.attention_norm, k.scale1.data(), dnormed.data(), R, s.d,
                           dx.data(), g.attention_norm, work.data());
    }
};

}  // namespace

extern "C" {

// Null where there is not the memory.
void* scaling_create(const int64_t* shape, float residual, float head_scale, bool half,
                     const float* turns) try {
    Sizes s;
    int64_t* const sizes[] = {&s.vocab, &s.T, &s.d, &s.layers, &s.heads, &s.K, &s.F, &s.batch};
    for (int64_t* size : sizes) *size = *shape++;
    if (half) return static_cast<Network*>(new Transformer<Half>(s, residual, head_scale, turns));
    return static_cast<Network*>(new Transformer<float>(s, residual, head_scale, turns));
} catch (const std::bad_alloc&) {
    return nullptr;
} catch (const std::length_error&) {
    return nullptr;
}

void scaling_destroy(void* network) { delete static_cast<Network*>(network); }

// Mean loss over `batch` sequences, at most as many as the network was made for; adds `share` times its
// gradient to the tensors of `grads`.
float scaling_gradient(void* network, const int64_t* tokens, int64_t batch, float share,
                       float* const* weights, float* const* grads) {
    return static_cast<Network*>(network)->add_gradient(tokens, batch, share, weights, grads);
}

// Loss [nats] of each position, shape (batch, T).
void scaling_losses(void* network, const int64_t* tokens, int64_t batch, float* const* weights,
                    float* losses) {
    static_cast<Network*>(network)->measure(tokens, batch, weights, losses);
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
