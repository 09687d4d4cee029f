// Norms and feed-forward layers. Activations, what matrix products read, are of type T.

// y = x / sqrt(mean(x^2) + epsilon) * weight; the factor goes to inverse. A block a row.
KERNEL TYPED(norm)(const float *x, const float *weight, T *y, float *inverse, uint32_t d, float epsilon) {
    SHARED(float, shared);
    const float *row = x + (size_t)blockIdx.x * d;
    float sum = 0.0f;
    EACH_OF_BLOCK(i, d) sum += row[i] * row[i];
    sum = block_sum(sum, shared);
    float factor = 1.0f / sqrtf(sum / (float)d + epsilon);
    if (threadIdx.x == 0) inverse[blockIdx.x] = factor;
    EACH_OF_BLOCK(i, d) store(y, (size_t)blockIdx.x * d + i, row[i] * factor * weight[i]);
}
EXPORT(TYPED(norm))

// out = dropped x: from gradients of the residual stream to what products read; and of weights.
KERNEL TYPED(cast)(const float *x, T *out, size_t count, Site site) {
    EACH(i, count) store(out, i, x[i] * factor_of(site, (uint32_t)i));
}
EXPORT(TYPED(cast))

KERNEL TYPED(drop_activations)(T *x, uint32_t count, Site site) {
    EACH(i, count) store(x, i, load(x, i) * factor_of(site, (uint32_t)i));
}
EXPORT(TYPED(drop_activations))

// h = dropped max(0, h).
KERNEL TYPED(relu)(T *h, uint32_t count, Site site) {
    EACH(i, count) {
        float value = load(h, i);
        store(h, i, value > 0.0f ? value * factor_of(site, (uint32_t)i) : 0.0f);
    }
}
EXPORT(TYPED(relu))

// dh = factor * dh where h, what came of relu and dropout, is not 0, else 0.
KERNEL TYPED(relu_backward)(T *dh, const T *h, uint32_t count, float factor) {
    EACH(i, count) store(dh, i, load(h, i) > 0.0f ? load(dh, i) * factor : 0.0f);
}
EXPORT(TYPED(relu_backward))

#ifndef GELU
#define GELU
// gelu by its tanh formula (Hendrycks and Gimpel 2016), and its derivative.
DEVICE void gelu(float x, float *value, float *slope) {
    const float root = 0.7978845608f, cubic = 0.044715f;
    float t = tanhf(root * (x + cubic * x * x * x));
    float half = 0.5f * (1.0f + t);
    *value = x * half;
    *slope = half + 0.5f * x * (1.0f - t * t) * root * (1.0f + 3.0f * cubic * x * x);
}

// silu(x) = x / (1 + e^-x), and its derivative.
DEVICE void silu(float x, float *value, float *slope) {
    float sigmoid = 1.0f / (1.0f + expf(-x));
    *value = x * sigmoid;
    *slope = sigmoid * (1.0f + x * (1.0f - sigmoid));
}

DEVICE void gate(uint32_t is_silu, float x, float *value, float *slope) {
    if (is_silu) silu(x, value, slope);
    else gelu(x, value, slope);
}
#endif

// pre [rows, 2, width], h [rows, width]: h = dropped f(pre 0) * pre 1, f being silu or gelu.
KERNEL TYPED(gated)(const T *pre, T *h, uint32_t rows, uint32_t width, uint32_t is_silu, Site site) {
    EACH(i, rows * width) {
        // Divisions of 32 bits are several times as fast as of 64.
        uint32_t row = (uint32_t)i / width;
        size_t at = (size_t)row * 2 * width + ((uint32_t)i - row * width);
        float value, slope;
        gate(is_silu, load(pre, at), &value, &slope);
        store(h, i, value * load(pre, at + width) * factor_of(site, (uint32_t)i));
    }
}
EXPORT(TYPED(gated))

// pre becomes its gradient.
KERNEL TYPED(gated_backward)(T *pre, const T *dh, uint32_t rows, uint32_t width, uint32_t is_silu, Site site) {
    EACH(i, rows * width) {
        // Divisions of 32 bits are several times as fast as of 64.
        uint32_t row = (uint32_t)i / width;
        size_t at = (size_t)row * 2 * width + ((uint32_t)i - row * width);
        float value, slope;
        float gradient = load(dh, i) * factor_of(site, (uint32_t)i);
        gate(is_silu, load(pre, at), &value, &slope);
        store(pre, at, gradient * load(pre, at + width) * slope);
        store(pre, at + width, gradient * value);
    }
}
EXPORT(TYPED(gated_backward))
