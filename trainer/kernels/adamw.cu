// AdamW (Loshchilov and Hutter 2019), as adamw.rs has it: `keep` is what weight decay leaves, `root` and `rate` have the corrections
// in them.
KERNEL adam_step(float *w, const float *g, float *m, float *v, const double *squares, size_t count, float beta1,
                 float beta2, float keep, double rate, float root, float epsilon, double least) {
    float step = (float)(rate * scale_of(squares, count, least));
    EACH(i, count) {
        float first = beta1 * m[i] + (1.0f - beta1) * g[i];
        float second = beta2 * v[i] + (1.0f - beta2) * (g[i] * g[i]);
        m[i] = first;
        v[i] = second;
        w[i] = w[i] * keep - step * (first / (sqrtf(second) * root + epsilon));
    }
}
EXPORT(adam_step)
