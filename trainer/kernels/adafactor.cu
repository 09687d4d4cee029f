// Sums of squares, and Adafactor (Shazeer and Stern 2018) as adafactor.rs has it. Sums of a whole variable are double, since
// a step's size hangs on them.

// partial[block] = the sum of squares of `each` values.
KERNEL square_sums(const float *x, double *partial, size_t count, uint32_t each) {
    SHARED(float, shared);
    size_t first = (size_t)blockIdx.x * each;
    uint32_t here = count - first < each ? (uint32_t)(count - first) : each;
    float sum = 0.0f;
    EACH_OF_BLOCK(i, here) sum += x[first + i] * x[first + i];
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}
EXPORT(square_sums)

// out = the sum of x; one block.
KERNEL sum_f64(const double *x, double *out, uint32_t count) {
    SHARED(double, shared);
    double sum = 0.0;
    EACH_OF_BLOCK(i, count) sum += x[i];
    sum = block_sum_f64(sum, shared);
    if (threadIdx.x == 0) *out = sum;
}
EXPORT(sum_f64)

// out = the mean of x; one block.
KERNEL mean(const float *x, double *out, uint32_t count) {
    SHARED(double, shared);
    double sum = 0.0;
    EACH_OF_BLOCK(i, count) sum += x[i];
    sum = block_sum_f64(sum, shared);
    if (threadIdx.x == 0) *out = sum / count;
}
EXPORT(mean)

DEVICE float moved(float moment, double sum, uint32_t count, float decay, float epsilon) {
    return decay * moment + (1.0f - decay) * ((float)(sum / count) + epsilon);
}

// Moves the moments of rows; a block a row.
KERNEL row_moments(const float *g, float *moments, uint32_t columns, float decay, float epsilon) {
    SHARED(float, shared);
    const float *row = g + (size_t)blockIdx.x * columns;
    float sum = 0.0f;
    EACH_OF_BLOCK(i, columns) sum += row[i] * row[i];
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) moments[blockIdx.x] = moved(moments[blockIdx.x], sum, columns, decay, epsilon);
}
EXPORT(row_moments)

// Sums of squares by column, of `rows_each` rows a block in y.
KERNEL column_squares(const float *g, float *partial, uint32_t rows, uint32_t columns, uint32_t rows_each) {
    uint32_t first = blockIdx.y * rows_each;
    uint32_t last = first + rows_each < rows ? first + rows_each : rows;
    EACH(column, columns) {
        float sum = 0.0f;
        for (uint32_t row = first; row < last; ++row) {
            float value = g[(size_t)row * columns + column];
            sum += value * value;
        }
        partial[(size_t)blockIdx.y * columns + column] = sum;
    }
}
EXPORT(column_squares)

// Moves the moments of columns by what column_squares gave.
KERNEL column_moments(const float *partial, float *moments, uint32_t parts, uint32_t rows, uint32_t columns,
                      float decay, float epsilon) {
    EACH(column, columns) {
        double sum = 0.0;
        for (uint32_t part = 0; part < parts; ++part) sum += partial[(size_t)part * columns + column];
        moments[column] = moved(moments[column], sum, rows, decay, epsilon);
    }
}
EXPORT(column_moments)

// out = 1 / sqrt(x / mean), or without a mean 1 / sqrt(x).
KERNEL inverse_roots(const float *x, const double *mean, float *out, uint32_t count) {
    EACH(i, count) out[i] = (float)(1.0 / sqrt((double)x[i] / (mean ? *mean : 1.0)));
}
EXPORT(inverse_roots)

// partial[row] = the sum of (g row column)^2; a block a row.
KERNEL factored_squares(const float *g, const float *by_row, const float *by_column, double *partial,
                        uint32_t columns) {
    SHARED(float, shared);
    const float *row = g + (size_t)blockIdx.x * columns;
    float sum = 0.0f;
    EACH_OF_BLOCK(i, columns) {
        float value = row[i] * by_column[i];
        sum += value * value;
    }
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) partial[blockIdx.x] = by_row[blockIdx.x] * by_row[blockIdx.x] * sum;
}
EXPORT(factored_squares)

// The root mean square of a variable, or `least` where it is larger; 1 where `least` is negative (steps are absolute).
DEVICE double scale_of(const double *squares, size_t count, double least) {
    if (least < 0.0) return 1.0;
    double rms = sqrt(*squares / (double)count);
    return rms > least ? rms : least;
}

// What an update is multiplied with: sums[0] is the variable's sum of squares, sums[1] the update's.
DEVICE float step_of(const double *sums, size_t count, double rate, double clip, double least) {
    double over = sqrt(sums[1] / (double)count) / clip;
    return (float)(rate * scale_of(sums, count, least) / (over > 1.0 ? over : 1.0));
}

// w -= step * row * g * column.
KERNEL factored_step(float *w, const float *g, const float *by_row, const float *by_column, const double *sums,
                     size_t count, uint32_t columns, double rate, double clip, double least) {
    float factor = step_of(sums, count, rate, clip, least);
    EACH(i, count) w[i] -= factor * by_row[i / columns] * (g[i] * by_column[i % columns]);
}
EXPORT(factored_step)

// Moves moments of single values; partial[block] = the sum of the update's squares over `each` of them.
KERNEL moments(float *v, const float *g, double *partial, size_t count, uint32_t each, float decay, float epsilon) {
    SHARED(float, shared);
    size_t first = (size_t)blockIdx.x * each;
    uint32_t here = count - first < each ? (uint32_t)(count - first) : each;
    float sum = 0.0f;
    EACH_OF_BLOCK(i, here) {
        float square = g[first + i] * g[first + i];
        float moment = decay * v[first + i] + (1.0f - decay) * (square + epsilon);
        v[first + i] = moment;
        sum += square / moment;
    }
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}
EXPORT(moments)

// w -= step * g / sqrt(v).
KERNEL moments_step(float *w, const float *g, const float *v, const double *sums, size_t count, double rate,
                    double clip, double least) {
    float factor = step_of(sums, count, rate, clip, least);
    EACH(i, count) w[i] -= factor * (g[i] / sqrtf(v[i]));
}
EXPORT(moments_step)

// x *= factor: clipping.
KERNEL scale(float *x, size_t count, float factor) {
    EACH(i, count) x[i] *= factor;
}
EXPORT(scale)
