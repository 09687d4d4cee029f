// All kernels: those on activations once for each type of them.
#include "common.cuh"

#include "rows.cu"

#define T float
#define TYPED(name) name##_f32
#include "activations.cu"
#include "attention.cu"
#include "head.cu"
#undef T
#undef TYPED

#define T bf16
#define TYPED(name) name##_bf16
#include "activations.cu"
#include "attention.cu"
#include "head.cu"
#undef T
#undef TYPED

#include "relative.cu"

#include "adafactor.cu"
#include "adamw.cu"
