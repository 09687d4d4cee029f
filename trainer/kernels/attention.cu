// Attention, but for its matrix products. A task is a row and a head; scores are [tasks, queries, keys], of tasks from row
// `first_row` on.

// in [rows, length, stride], of which `heads * d_kv` columns from `column` on, to out [rows, heads, length, d_kv].
KERNEL TYPED(split_heads)(const T *in, T *out, uint32_t count, uint32_t stride, uint32_t column, uint32_t heads,
                          uint32_t length, uint32_t d_kv) {
    EACH(i, count) {
        uint32_t at = (uint32_t)i;
        uint32_t c = at % d_kv, position = at / d_kv % length, task = at / d_kv / length;
        uint32_t row = task / heads, head = task % heads;
        out[i] = in[((size_t)row * length + position) * stride + column + head * d_kv + c];
    }
}
EXPORT(TYPED(split_heads))

// The way back.
KERNEL TYPED(merge_heads)(const T *in, T *out, uint32_t count, uint32_t stride, uint32_t column, uint32_t heads,
                          uint32_t length, uint32_t d_kv) {
    EACH(i, count) {
        uint32_t at = (uint32_t)i, width = heads * d_kv;
        uint32_t c = at % d_kv, head = at % width / d_kv, position = at / width % length, row = at / width / length;
        out[((size_t)row * length + position) * stride + column + at % width] =
            in[(((size_t)row * heads + head) * length + position) * d_kv + c];
    }
}
EXPORT(TYPED(merge_heads))

// p = dropped softmax(scores + bias) over the keys that a query sees, 0 elsewhere; log_sums gets ln(sum(exp)). A block a
// query of a task. bias [heads, queries + keys - 1] is by distance, or null; seen [rows, queries, 2].
KERNEL TYPED(softmax)(float *scores, const float *bias, const uint32_t *seen, T *p, float *log_sums, uint32_t first_row,
                      uint32_t heads, uint32_t queries, uint32_t keys, Site site) {
    SHARED(float, shared);
    uint32_t query = blockIdx.x % queries, task = blockIdx.x / queries;
    uint32_t row = first_row + task / heads, head = task % heads;
    size_t base = (size_t)blockIdx.x * keys;
    const uint32_t *range = seen + ((size_t)row * queries + query) * 2;
    uint32_t start = range[0], end = range[1];
    const float *by_key = bias ? bias + (size_t)head * (queries + keys - 1) + queries - 1 - query : nullptr;
    float most = -INFINITY;
    EACH_OF_BLOCK(key, keys) {
        if (key < start || key >= end) continue;
        float score = scores[base + key] + (by_key ? by_key[key] : 0.0f);
        scores[base + key] = score;
        most = larger(score, most);
    }
    most = block_max(most, shared);
    float sum = 0.0f;
    EACH_OF_BLOCK(key, keys) {
        if (key < start || key >= end) continue;
        float value = expf(scores[base + key] - most);
        scores[base + key] = value;
        sum += value;
    }
    sum = block_sum(sum, shared);
    float inverse = start < end ? 1.0f / sum : 0.0f;
    EACH_OF_BLOCK(key, keys) {
        bool sees = key >= start && key < end;
        float factor = sees ? factor_at(site, row * heads + head, query, key) : 0.0f;
        store(p, base + key, sees ? scores[base + key] * inverse * factor : 0.0f);
    }
    if (threadIdx.x == 0)
        log_sums[((size_t)row * heads + head) * queries + query] = start < end ? most + logf(sum) : 0.0f;
}
EXPORT(TYPED(softmax))

// From scores again, and from dp, the gradient of p: ds, that of the scores, and p. Scores and dp are used up.
KERNEL TYPED(softmax_backward)(float *scores, float *dp, const float *bias, const uint32_t *seen, const float *log_sums,
                               T *p, T *ds, uint32_t first_row, uint32_t heads, uint32_t queries, uint32_t keys,
                               Site site) {
    SHARED(float, shared);
    uint32_t query = blockIdx.x % queries, task = blockIdx.x / queries;
    uint32_t row = first_row + task / heads, head = task % heads;
    size_t base = (size_t)blockIdx.x * keys;
    const uint32_t *range = seen + ((size_t)row * queries + query) * 2;
    uint32_t start = range[0], end = range[1];
    const float *by_key = bias ? bias + (size_t)head * (queries + keys - 1) + queries - 1 - query : nullptr;
    float log_sum = log_sums[((size_t)row * heads + head) * queries + query];
    float mean = 0.0f;
    EACH_OF_BLOCK(key, keys) {
        if (key < start || key >= end) continue;
        float value = expf(scores[base + key] + (by_key ? by_key[key] : 0.0f) - log_sum);
        float factor = factor_at(site, row * heads + head, query, key);
        float gradient = dp[base + key] * factor;
        scores[base + key] = value;
        dp[base + key] = gradient;
        store(p, base + key, value * factor);
        mean += value * gradient;
    }
    mean = block_sum(mean, shared);
    EACH_OF_BLOCK(key, keys) {
        bool sees = key >= start && key < end;
        if (!sees) store(p, base + key, 0.0f);
        store(ds, base + key, sees ? scores[base + key] * (dp[base + key] - mean) : 0.0f);
    }
}
EXPORT(TYPED(softmax_backward))

// Sums of ds [tasks, queries, keys] by distance, partial [tasks, distances]: blocks in x are parts of the distances, in y tasks. Threads
// that are neighbours read keys that are.
KERNEL TYPED(bias_partial)(const T *ds, float *partial, uint32_t queries, uint32_t keys) {
    uint32_t distances = queries + keys - 1;
    const T *task = ds + (size_t)blockIdx.y * queries * keys;
    EACH(distance, distances) {
        // key = query + distance - (queries - 1)
        uint32_t behind = queries - 1;
        uint32_t first = distance < behind ? behind - (uint32_t)distance : 0;
        uint32_t end = distances - (uint32_t)distance < queries ? distances - (uint32_t)distance : queries;
        float sum = 0.0f;
#pragma unroll 4
        for (uint32_t query = first; query < end; ++query)
            sum += load(task, (size_t)query * keys + query + distance - behind);
        partial[(size_t)blockIdx.y * distances + distance] = sum;
    }
}
EXPORT(TYPED(bias_partial))
