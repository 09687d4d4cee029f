// Logits to loss.

// out[block] = in[rows[block]].
KERNEL TYPED(gather_rows)(const T *in, const uint32_t *rows, T *out, uint32_t d) {
    const T *from = in + (size_t)rows[blockIdx.x] * d;
    T *to = out + (size_t)blockIdx.x * d;
    EACH_OF_BLOCK(i, d) to[i] = from[i];
}
EXPORT(TYPED(gather_rows))

// A row of logits to `ln Z`, cross entropy, and 1 where no logit is larger than the target's, in loss [rows, 3]; and the gradient of
// weight * (cross entropy + z_loss * (ln Z)^2) by it in dlogits, unless that is null. Logits are used up. A block a row.
KERNEL TYPED(cross_entropy)(float *logits, const uint32_t *targets, T *dlogits, float *loss, uint32_t vocab,
                            float weight, float z_loss) {
    SHARED(float, shared);
    float *row = logits + (size_t)blockIdx.x * vocab;
    uint32_t target = targets[blockIdx.x];
    float value = row[target];
    __syncthreads(); // the row is used up below
    float most = -INFINITY;
    EACH_OF_BLOCK(i, vocab) most = larger(row[i], most);
    most = block_max(most, shared);
    float sum = 0.0f;
    EACH_OF_BLOCK(i, vocab) {
        float e = expf(row[i] - most);
        if (dlogits) row[i] = e;
        sum += e;
    }
    sum = block_sum(sum, shared);
    float log_z = most + logf(sum);
    if (threadIdx.x == 0) {
        loss[3 * (size_t)blockIdx.x] = log_z;
        loss[3 * (size_t)blockIdx.x + 1] = log_z - value;
        loss[3 * (size_t)blockIdx.x + 2] = value >= most ? 1.0f : 0.0f;
    }
    if (!dlogits) return;
    float factor = weight * (1.0f + 2.0f * z_loss * log_z) / sum;
    EACH_OF_BLOCK(i, vocab)
        store(dlogits, (size_t)blockIdx.x * vocab + i, row[i] * factor - (i == target ? weight : 0.0f));
}
EXPORT(TYPED(cross_entropy))
