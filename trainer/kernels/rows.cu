// Rows of the embedding and of the residual stream, which are float.

// out[i] = table[tokens[i]]; a block a position.
KERNEL embed(const float *table, const uint32_t *tokens, float *out, uint32_t d) {
    const float *from = table + (size_t)tokens[blockIdx.x] * d;
    float *to = out + (size_t)blockIdx.x * d;
    EACH_OF_BLOCK(i, d) to[i] = from[i];
}
EXPORT(embed)

// Adds gradients of a token's positions to its row, in their order: a block a token that occurs. Its positions are
// positions[starts[block] .. starts[block + 1]].
KERNEL embed_backward(const uint32_t *ids, const uint32_t *starts, const uint32_t *positions, const float *dout,
                      float *dtable, uint32_t d) {
    uint32_t start = starts[blockIdx.x], end = starts[blockIdx.x + 1];
    float *to = dtable + (size_t)ids[blockIdx.x] * d;
    EACH_OF_BLOCK(i, d) {
        float sum = to[i];
#pragma unroll 4
        for (uint32_t at = start; at < end; ++at) sum += dout[(size_t)positions[at] * d + i];
        to[i] = sum;
    }
}
EXPORT(embed_backward)

// Backward of norm (activations.cu): dx is set (`keep` 0) or added to (1); a block takes `rows_each` rows and leaves their part of the
// weight's gradient in partial[block].
KERNEL norm_backward(const float *dy, const float *x, const float *weight, const float *inverse, float *dx,
                     float *partial, uint32_t rows, uint32_t d, uint32_t rows_each, uint32_t keep) {
    SHARED(float, shared);
    float *dweight = shared + REDUCTION;
    EACH_OF_BLOCK(i, d) dweight[i] = 0.0f;
    uint32_t first = blockIdx.x * rows_each;
    uint32_t last = first + rows_each < rows ? first + rows_each : rows;
    for (uint32_t row = first; row < last; ++row) {
        const float *dy_row = dy + (size_t)row * d, *x_row = x + (size_t)row * d;
        float *dx_row = dx + (size_t)row * d;
        float sum = 0.0f;
        EACH_OF_BLOCK(i, d) sum += dy_row[i] * x_row[i] * weight[i];
        sum = block_sum(sum, shared);
        float factor = inverse[row];
        float mean = sum * factor * factor * factor / (float)d;
        // A thread has the same columns of every row, so they need no barrier.
        EACH_OF_BLOCK(i, d) {
            float g = dy_row[i], value = x_row[i];
            dweight[i] += g * value * factor;
            float kept = keep ? dx_row[i] : 0.0f;
            dx_row[i] = kept + (g * weight[i] * factor - value * mean);
        }
    }
    EACH_OF_BLOCK(i, d) partial[(size_t)blockIdx.x * d + i] = dweight[i];
}
EXPORT(norm_backward)

// out[block] += the sum of the column partial[..][block].
KERNEL add_columns(const float *partial, float *out, uint32_t rows, uint32_t columns) {
    SHARED(float, shared);
    float sum = 0.0f;
    EACH_OF_BLOCK(row, rows) sum += partial[(size_t)row * columns + blockIdx.x];
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) out[blockIdx.x] += sum;
}
EXPORT(add_columns)

// out = x + dropped h.
KERNEL residual(const float *x, const float *h, float *out, uint32_t count, Site site) {
    EACH(i, count) out[i] = x[i] + h[i] * factor_of(site, (uint32_t)i);
}
EXPORT(residual)

// x dropped in place.
KERNEL drop(float *x, uint32_t count, Site site) {
    EACH(i, count) x[i] *= factor_of(site, (uint32_t)i);
}
EXPORT(drop)

// out[rows[block]] = in[block].
KERNEL scatter_rows(const float *in, const uint32_t *rows, float *out, uint32_t d) {
    const float *from = in + (size_t)blockIdx.x * d;
    float *to = out + (size_t)rows[blockIdx.x] * d;
    EACH_OF_BLOCK(i, d) to[i] = from[i];
}
EXPORT(scatter_rows)
