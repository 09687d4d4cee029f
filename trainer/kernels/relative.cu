// The bias of relative positions: from its table [buckets, heads] to distances [heads, distances], and back.

// `buckets` says the bucket of each distance.
KERNEL bias_spread(const float *table, const uint32_t *buckets, float *bias, uint32_t heads, uint32_t distances) {
    EACH(i, (size_t)heads * distances) bias[i] = table[buckets[i % distances] * heads + i / distances];
}
EXPORT(bias_spread)

// dbias += sums over rows of partial [rows, heads, distances].
KERNEL bias_add(const float *partial, float *dbias, uint32_t rows, uint32_t heads, uint32_t distances) {
    EACH(i, (size_t)heads * distances) {
        float sum = dbias[i];
        for (uint32_t row = 0; row < rows; ++row) sum += partial[(size_t)row * heads * distances + i];
        dbias[i] = sum;
    }
}
EXPORT(bias_add)

// Adds gradients by distance to the table's; once a stack.
KERNEL bias_gather(const float *dbias, const uint32_t *buckets, float *dtable, uint32_t heads, uint32_t distances,
                   uint32_t rows) {
    EACH(i, (size_t)rows * heads) {
        uint32_t bucket = (uint32_t)(i / heads), head = (uint32_t)(i % heads);
        float sum = dtable[i];
        for (uint32_t distance = 0; distance < distances; ++distance)
            if (buckets[distance] == bucket) sum += dbias[(size_t)head * distances + distance];
        dtable[i] = sum;
    }
}
EXPORT(bias_gather)
