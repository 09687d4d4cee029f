//! Kernels as functions, by a table: it says for every kernel of `kernels/*.cu` how many blocks it runs on and what its
//! arguments are, with their types and lengths, so that it stays inside of the memory it is given. See there for what
//! each does.
//!
//! Above 500 lines: the table is long.

use super::buffer::{Buffer, View, ViewMut};
use super::driver::{Argument, Driver, Dtype, Launch, SiteArgument};
use super::product::{self, DeviceMatrix};
use crate::Error;
use crate::math::dropout::{DropoutShape, Site};
use crate::math::elementwise::Gated;
use std::sync::Arc;

/// Values of `REDUCTION` in `kernels/common.cuh`.
const REDUCTION: u32 = 32;
/// Threads of a block that takes elements in any order.
const THREADS: u32 = 256;
/// Blocks of such a grid at most: some rounds of all that a large GPU runs at once.
const BLOCKS: usize = 1 << 14;
/// Values that a block sums.
const EACH: usize = 1 << 14;
/// Rows whose gradients a block sums.
const ROWS: usize = 32;
/// Rows whose squares a block sums, column by column.
const COLUMN_ROWS: usize = 64;

/// Rows times heads whose scores are in memory at a time at most: a grid has no more in y.
pub(super) const TASKS: usize = (1 << 16) - 1;

/// A device's kernels and products.
#[derive(Debug, Clone)]
pub(super) struct Kernels {
    pub driver: Arc<dyn Driver>,
}

/// How attention's buffers lie: heads of `d_kv`, queries, keys.
#[derive(Debug, Clone, Copy)]
pub(super) struct ScoresShape {
    pub heads: usize,
    pub queries: usize,
    pub keys: usize,
}

/// Where heads lie between other columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns {
    pub stride: usize,
    pub first: usize,
    pub heads: usize,
    pub d_kv: usize,
    /// Positions of a row.
    pub length: usize,
}

/// Scores of the heads of some rows, with what makes probabilities of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scored<'a> {
    pub shape: ScoresShape,
    pub first_row: usize,
    pub rows: usize,
    /// By distance; `None` in attention to the encoder.
    pub bias: Option<View<'a>>,
    /// Of all rows.
    pub seen: View<'a>,
    pub dropout: Option<Site>,
}

/// How an update's size is found: `sums` are those of squares of the variable and of the update.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step<'a> {
    pub sums: View<'a>,
    pub rate: f64,
    pub clip: f64,
    /// Negative: steps are absolute.
    pub least: f64,
}

/// Numbers of an Adam step.
#[derive(Debug, Clone, Copy)]
pub(super) struct AdamNumbers {
    pub beta1: f32,
    pub beta2: f32,
    pub keep: f32,
    pub rate: f64,
    pub root: f32,
    pub epsilon: f32,
    pub least: f64,
}

fn u32_of(value: usize) -> u32 {
    u32::try_from(value).expect("a dimension is below 2^32")
}

fn number(value: usize) -> [Argument; 1] {
    [Argument::U32(u32_of(value))]
}

/// A number that may be 2^32 or more.
fn size(value: usize) -> [Argument; 1] {
    [Argument::Size(value as u64)]
}

fn real(value: f32) -> [Argument; 1] {
    [Argument::F32(value)]
}

fn double(value: f64) -> [Argument; 1] {
    [Argument::F64(value)]
}

/// The numbers of a step.
fn step(step: Step<'_>) -> [Argument; 3] {
    [step.rate, step.clip, step.least].map(Argument::F64)
}

/// Memory to read, asserted to be of this type and length.
fn read(view: View<'_>, dtype: Dtype, len: usize) -> [Argument; 1] {
    assert_eq!((view.dtype(), view.len()), (dtype, len));
    [Argument::Pointer(view.region().address)]
}

/// Memory to write, asserted to be of this type and length.
fn write(view: &ViewMut<'_>, dtype: Dtype, len: usize) -> [Argument; 1] {
    assert_eq!((view.dtype(), view.len()), (dtype, len));
    [Argument::Pointer(view.region().address)]
}

/// Memory to read where there is some.
fn maybe(view: Option<View<'_>>, dtype: Dtype, len: usize) -> [Argument; 1] {
    view.map_or([Argument::Pointer(0)], |view| read(view, dtype, len))
}

/// Memory to write where there is some.
fn maybe_write(view: Option<ViewMut<'_>>, dtype: Dtype, len: usize) -> [Argument; 1] {
    view.map_or([Argument::Pointer(0)], |view| write(&view, dtype, len))
}

/// `Site` for elements `[rows, length, width]`.
fn site(site: Option<Site>, length: usize, width: usize) -> [Argument; 1] {
    let (length, width) = (u32_of(length), u32_of(width));
    assert!(length > 0 && width > 0, "elements of no extent");
    [Argument::Site(match site {
        None => SiteArgument {
            length,
            width,
            ..SiteArgument::default()
        },
        Some(site) => SiteArgument {
            key: site.key,
            threshold: site.threshold,
            scale: site.scale,
            mode: match site.shape {
                DropoutShape::Elementwise => 1,
                DropoutShape::AcrossLength => 2,
            },
            length,
            width,
        },
    })]
}

/// Threads of a block that works on a row: some eight elements each.
fn row_threads(width: usize) -> u32 {
    u32_of((width / 8).clamp(32, 1024).next_power_of_two())
}

impl Kernels {
    pub fn multiply(
        &self,
        out: ViewMut<'_>,
        beta: f32,
        alpha: f32,
        a: DeviceMatrix<'_>,
        b: DeviceMatrix<'_>,
    ) -> Result<(), Error> {
        product::multiply(&*self.driver, out, beta, alpha, a, b)
    }

    fn launch(
        &self,
        kernel: &str,
        grid: [u32; 2],
        threads: u32,
        shared: u32,
        arguments: &[Argument],
    ) -> Result<(), Error> {
        // CUDA's default limit.
        assert!(shared <= 48 << 10, "{kernel}: too wide for shared memory");
        if grid.contains(&0) {
            return Ok(());
        }
        self.driver.launch(&Launch {
            kernel,
            grid,
            threads,
            shared_bytes: shared,
            arguments,
        })
    }

    /// Elements in any order, below 2^32 of them where the kernel counts so.
    fn each(&self, kernel: &str, count: usize, arguments: &[Argument]) -> Result<(), Error> {
        let blocks = count.div_ceil(THREADS as usize).min(BLOCKS);
        self.launch(kernel, [u32_of(blocks), 1], THREADS, 0, arguments)
    }

    /// A block a row, `width` elements wide.
    fn rows(&self, kernel: &str, rows: usize, width: usize, arguments: &[Argument]) -> Result<(), Error> {
        let threads = row_threads(width);
        self.launch(kernel, [u32_of(rows), 1], threads, REDUCTION * 4, arguments)
    }

    /// A kernel's name, with the type of activations where it has several.
    fn named(kernel: &str, dtype: Option<Dtype>) -> String {
        match dtype {
            None => kernel.to_owned(),
            Some(Dtype::F32) => format!("{kernel}_f32"),
            Some(Dtype::Bf16) => format!("{kernel}_bf16"),
            Some(dtype) => panic!("{kernel}: no kernel for {dtype:?}"),
        }
    }
}

/// Functions that launch a kernel each: what is computed first, then its name with the type of activations where it has
/// one, on what it runs, and its arguments.
macro_rules! kernels {
    ($(
        $(#[$doc:meta])*
        fn $name:ident($($argument:ident: $type:ty),* $(,)?) {
            $(let $pattern:pat = $value:expr;)*
            $kernel:literal($($dtype:expr)?) on $grid:ident($($size:expr),*)
            [$($kind:ident($($of:expr),*)),* $(,)?]
        }
    )*) => {
        impl Kernels {
            $(
                $(#[$doc])*
                #[allow(clippy::too_many_arguments)]
                pub fn $name(&self, $($argument: $type),*) -> Result<(), Error> {
                    $(let $pattern = $value;)*
                    let kernel = Kernels::named($kernel, [$(Some($dtype),)? None][0]);
                    let mut arguments = Vec::new();
                    $(arguments.extend($kind($($of),*));)*
                    self.$grid(&kernel, $($size,)* &arguments)
                }
            )*
        }
    };
}

kernels! {
    // Rows of the residual stream.

    /// Tokens must be rows of the table.
    fn embed(table: View<'_>, tokens: View<'_>, out: ViewMut<'_>, d: usize) {
        let n = tokens.len();
        "embed"() on rows(n, d)
        [read(table, Dtype::F32, table.len()), read(tokens, Dtype::U32, n), write(&out, Dtype::F32, n * d), number(d)]
    }
    /// Ids, starts and positions are those of `grouped` in `ops.rs`.
    fn embed_backward(groups: (View<'_>, View<'_>, View<'_>), dout: View<'_>, dtable: ViewMut<'_>, d: usize) {
        let (ids, starts, positions) = groups;
        let count = ids.len();
        "embed_backward"() on launch([u32_of(count), 1], THREADS, 0)
        [
            read(ids, Dtype::U32, count), read(starts, Dtype::U32, count + 1), read(positions, Dtype::U32, positions.len()),
            read(dout, Dtype::F32, positions.len() * d), write(&dtable, Dtype::F32, dtable.len()), number(d),
        ]
    }
    fn norm(x: View<'_>, weight: View<'_>, y: ViewMut<'_>, inverse: ViewMut<'_>, epsilon: f32) {
        let (d, dtype) = (weight.len(), y.dtype());
        let n = x.len() / d;
        "norm"(dtype) on rows(n, d)
        [
            read(x, Dtype::F32, n * d), read(weight, Dtype::F32, d), write(&y, dtype, n * d), write(&inverse, Dtype::F32, n),
            number(d), real(epsilon),
        ]
    }
    /// `partial` gets sums over [`ROWS`] rows.
    fn norm_backward_partial(
        dy: View<'_>, x: View<'_>, weight: View<'_>, inverse: View<'_>, dx: ViewMut<'_>, keep: bool, partial: ViewMut<'_>,
    ) {
        let (n, d) = (inverse.len(), weight.len());
        let blocks = n.div_ceil(ROWS);
        "norm_backward"() on launch([u32_of(blocks), 1], row_threads(d), (REDUCTION + u32_of(d)) * 4)
        [
            read(dy, Dtype::F32, n * d), read(x, Dtype::F32, n * d), read(weight, Dtype::F32, d), read(inverse, Dtype::F32, n),
            write(&dx, Dtype::F32, n * d), write(&partial, Dtype::F32, blocks * d), number(n), number(d), number(ROWS),
            number(keep.into()),
        ]
    }
    /// Adds sums of columns of `x`, `[n, out's]`.
    fn add_columns(x: View<'_>, out: ViewMut<'_>) {
        let d = out.len();
        let n = x.len() / d;
        "add_columns"() on rows(d, n)
        [read(x, Dtype::F32, n * d), write(&out, Dtype::F32, d), number(n), number(d)]
    }
    /// `out = x + dropped h`, `[batch, length, width]`.
    fn residual(x: View<'_>, h: View<'_>, out: ViewMut<'_>, dropout: Option<Site>, shape: (usize, usize)) {
        let n = x.len();
        "residual"() on each(n)
        [
            read(x, Dtype::F32, n), read(h, Dtype::F32, n), write(&out, Dtype::F32, n), number(n),
            site(dropout, shape.0, shape.1),
        ]
    }
    fn drop_values(x: ViewMut<'_>, dropout: Site, shape: (usize, usize)) {
        let n = x.len();
        "drop"() on each(n)
        [write(&x, Dtype::F32, n), number(n), site(Some(dropout), shape.0, shape.1)]
    }
    fn drop_activations(x: ViewMut<'_>, dropout: Site, shape: (usize, usize)) {
        let (n, dtype) = (x.len(), x.dtype());
        "drop_activations"(dtype) on each(n)
        [write(&x, dtype, n), number(n), site(Some(dropout), shape.0, shape.1)]
    }
    /// `out = dropped x`, in the type of `out`.
    fn cast(x: View<'_>, out: ViewMut<'_>, dropout: Option<Site>, shape: (usize, usize)) {
        let (n, dtype) = (x.len(), out.dtype());
        "cast"(dtype) on each(n)
        [read(x, Dtype::F32, n), write(&out, dtype, n), size(n), site(dropout, shape.0, shape.1)]
    }

    // Feed-forward layers.

    fn relu(h: ViewMut<'_>, dropout: Option<Site>, shape: (usize, usize)) {
        let (n, dtype) = (h.len(), h.dtype());
        "relu"(dtype) on each(n)
        [write(&h, dtype, n), number(n), site(dropout, shape.0, shape.1)]
    }
    fn relu_backward(dh: ViewMut<'_>, h: View<'_>, factor: f32) {
        let (n, dtype) = (h.len(), h.dtype());
        "relu_backward"(dtype) on each(n)
        [write(&dh, dtype, n), read(h, dtype, n), number(n), real(factor)]
    }
    fn gated(f: Gated, pre: View<'_>, h: ViewMut<'_>, dropout: Option<Site>, shape: (usize, usize)) {
        let (n, dtype, width) = (below_2_32(h.len()), h.dtype(), shape.1);
        "gated"(dtype) on each(n)
        [
            read(pre, dtype, 2 * n), write(&h, dtype, n), number(n / width), number(width),
            number(usize::from(f == Gated::Silu)), site(dropout, shape.0, width),
        ]
    }
    fn gated_backward(f: Gated, pre: ViewMut<'_>, dh: View<'_>, dropout: Option<Site>, shape: (usize, usize)) {
        let (n, dtype, width) = (below_2_32(dh.len()), dh.dtype(), shape.1);
        "gated_backward"(dtype) on each(n)
        [
            write(&pre, dtype, 2 * n), read(dh, dtype, n), number(n / width), number(width),
            number(usize::from(f == Gated::Silu)), site(dropout, shape.0, width),
        ]
    }

    // Attention.

    /// `[batch, length, stride]` to `[batch, heads, length, d_kv]`.
    fn split_heads(from: View<'_>, out: ViewMut<'_>, columns: Columns) {
        let (n, dtype) = (out.len(), out.dtype());
        "split_heads"(dtype) on each(n)
        [read(from, dtype, columns.total(n)), write(&out, dtype, n), lie(columns, n)]
    }
    /// `[batch, heads, length, d_kv]` to `[batch, length, stride]`.
    fn merge_heads(from: View<'_>, out: ViewMut<'_>, columns: Columns) {
        let (n, dtype) = (from.len(), from.dtype());
        "merge_heads"(dtype) on each(n)
        [read(from, dtype, n), write(&out, dtype, columns.total(n)), lie(columns, n)]
    }
    fn softmax(scored: Scored<'_>, scores: ViewMut<'_>, p: ViewMut<'_>, log_sums: ViewMut<'_>) {
        let (count, dtype) = (scored.count(), p.dtype());
        "softmax"(dtype) on rows(count / scored.shape.keys, scored.shape.keys)
        [
            write(&scores, Dtype::F32, count), bias(scored), seen(scored), write(&p, dtype, count),
            write(&log_sums, Dtype::F32, scored.log_sums(log_sums.len())), places(scored),
        ]
    }
    /// Fills `p` and `ds`; uses up scores and `dp`.
    fn softmax_backward(
        scored: Scored<'_>, used: (ViewMut<'_>, ViewMut<'_>), log_sums: View<'_>, filled: (ViewMut<'_>, ViewMut<'_>),
    ) {
        let ((scores, dp), (p, ds)) = (used, filled);
        let (count, dtype) = (scored.count(), p.dtype());
        "softmax_backward"(dtype) on rows(count / scored.shape.keys, scored.shape.keys)
        [
            write(&scores, Dtype::F32, count), write(&dp, Dtype::F32, count), bias(scored), seen(scored),
            read(log_sums, Dtype::F32, scored.log_sums(log_sums.len())), write(&p, dtype, count), write(&ds, dtype, count),
            places(scored),
        ]
    }
    /// Sums over queries, by row and head, `[tasks, distances]`.
    fn bias_partial(ds: View<'_>, shape: ScoresShape, tasks: usize, partial: ViewMut<'_>) {
        let distances = shape.queries + shape.keys - 1;
        let blocks = distances.div_ceil(THREADS as usize / 2);
        "bias_partial"(ds.dtype()) on launch([u32_of(blocks), u32_of(tasks)], THREADS / 2, 0)
        [
            read(ds, ds.dtype(), tasks * shape.queries * shape.keys), write(&partial, Dtype::F32, tasks * distances),
            number(shape.queries), number(shape.keys),
        ]
    }
    fn bias_add(partial: View<'_>, rows: usize, heads: usize, dbias: ViewMut<'_>) {
        let distances = dbias.len() / heads;
        "bias_add"() on each(heads * distances)
        [
            read(partial, Dtype::F32, rows * heads * distances), write(&dbias, Dtype::F32, heads * distances), number(rows),
            number(heads), number(distances),
        ]
    }
    /// `buckets` must be rows of the table.
    fn bias_spread(table: View<'_>, buckets: View<'_>, bias: ViewMut<'_>, heads: usize) {
        let distances = buckets.len();
        "bias_spread"() on each(heads * distances)
        [
            read(table, Dtype::F32, table.len()), read(buckets, Dtype::U32, distances),
            write(&bias, Dtype::F32, heads * distances), number(heads), number(distances),
        ]
    }
    fn bias_gather(dbias: View<'_>, buckets: View<'_>, dtable: ViewMut<'_>, heads: usize) {
        let (distances, len) = (buckets.len(), dtable.len());
        "bias_gather"() on each(len)
        [
            read(dbias, Dtype::F32, heads * distances), read(buckets, Dtype::U32, distances), write(&dtable, Dtype::F32, len),
            number(heads), number(distances), number(len / heads),
        ]
    }

    // The head.

    /// Rows must be in `from`.
    fn gather_rows(from: View<'_>, rows: View<'_>, out: ViewMut<'_>, d: usize) {
        let (n, dtype) = (rows.len(), from.dtype());
        "gather_rows"(dtype) on rows(n, d)
        [read(from, dtype, from.len()), read(rows, Dtype::U32, n), write(&out, dtype, n * d), number(d)]
    }
    /// Rows must be in `out`, and different.
    fn scatter_rows(from: View<'_>, rows: View<'_>, out: ViewMut<'_>, d: usize) {
        let n = rows.len();
        "scatter_rows"() on rows(n, d)
        [read(from, Dtype::F32, n * d), read(rows, Dtype::U32, n), write(&out, Dtype::F32, out.len()), number(d)]
    }
    /// Targets must be below the width of logits `[n, vocab]`; loss is `[n, 3]`. Without a place for gradients none are
    /// computed.
    fn cross_entropy(
        logits: ViewMut<'_>, targets: View<'_>, dlogits: Option<ViewMut<'_>>, loss: ViewMut<'_>, weights: (f32, f32),
    ) {
        let n = targets.len();
        let vocab = logits.len() / n.max(1);
        let dtype = dlogits.as_ref().map_or(Dtype::F32, ViewMut::dtype);
        "cross_entropy"(dtype) on rows(n, vocab)
        [
            write(&logits, Dtype::F32, n * vocab), read(targets, Dtype::U32, n), maybe_write(dlogits, dtype, n * vocab),
            write(&loss, Dtype::F32, n * 3), number(vocab), real(weights.0), real(weights.1),
        ]
    }

    // Optimisers.

    /// Sums of squares of parts of `x`, one for each value of `partial`.
    fn square_sums_of_parts(x: View<'_>, partial: ViewMut<'_>) {
        let blocks = x.len().div_ceil(EACH);
        "square_sums"() on rows(blocks, EACH / 8)
        [read(x, Dtype::F32, x.len()), write(&partial, Dtype::F64, blocks), size(x.len()), number(EACH)]
    }
    /// `out` `[1]` gets the sum of all of `x`.
    fn sum(x: View<'_>, out: ViewMut<'_>) {
        "sum_f64"() on launch([1, 1], 1024, REDUCTION * 8)
        [read(x, Dtype::F64, x.len()), write(&out, Dtype::F64, 1), number(x.len())]
    }
    /// `out` `[1]` gets the mean of all of `x`.
    fn mean(x: View<'_>, out: ViewMut<'_>) {
        "mean"() on launch([1, 1], 1024, REDUCTION * 8)
        [read(x, Dtype::F32, x.len()), write(&out, Dtype::F64, 1), number(x.len())]
    }
    /// Moves moments of rows of `g`.
    fn factored_moments(g: View<'_>, moments: ViewMut<'_>, decay: f32, epsilon: f32) {
        let count = moments.len();
        let columns = g.len() / count;
        "row_moments"() on rows(count, columns)
        [
            read(g, Dtype::F32, count * columns), write(&moments, Dtype::F32, count), number(columns), real(decay),
            real(epsilon),
        ]
    }
    /// Sums of squares of columns `[parts, columns]`, each over [`COLUMN_ROWS`] rows.
    fn column_squares(g: View<'_>, columns: usize, partial: ViewMut<'_>) {
        let height = g.len() / columns;
        let parts = height.div_ceil(COLUMN_ROWS);
        "column_squares"() on launch([u32_of(columns.div_ceil(THREADS as usize)), u32_of(parts)], THREADS, 0)
        [
            read(g, Dtype::F32, height * columns), write(&partial, Dtype::F32, parts * columns), number(height),
            number(columns), number(COLUMN_ROWS),
        ]
    }
    /// Moves moments of columns of `height` rows.
    fn column_moments_of_parts(partial: View<'_>, height: usize, columns: ViewMut<'_>, decay: f32, epsilon: f32) {
        let count = columns.len();
        let parts = partial.len() / count;
        "column_moments"() on each(count)
        [
            read(partial, Dtype::F32, parts * count), write(&columns, Dtype::F32, count), number(parts), number(height),
            number(count), real(decay), real(epsilon),
        ]
    }
    fn inverse_roots(x: View<'_>, mean: Option<View<'_>>, out: ViewMut<'_>) {
        let n = x.len();
        "inverse_roots"() on each(n)
        [read(x, Dtype::F32, n), maybe(mean, Dtype::F64, 1), write(&out, Dtype::F32, n), number(n)]
    }
    /// Sums by row of the squares of an update.
    fn factored_squares_of_rows(g: View<'_>, by_row: View<'_>, by_column: View<'_>, partial: ViewMut<'_>) {
        let (n, width) = (by_row.len(), by_column.len());
        "factored_squares"() on rows(n, width)
        [
            read(g, Dtype::F32, n * width), read(by_row, Dtype::F32, n), read(by_column, Dtype::F32, width),
            write(&partial, Dtype::F64, n), number(width),
        ]
    }
    fn factored_step(w: ViewMut<'_>, g: View<'_>, by_row: View<'_>, by_column: View<'_>, by: Step<'_>) {
        let (height, width) = (by_row.len(), by_column.len());
        let n = height * width;
        "factored_step"() on each(n)
        [
            write(&w, Dtype::F32, n), read(g, Dtype::F32, n), read(by_row, Dtype::F32, height),
            read(by_column, Dtype::F32, width), read(by.sums, Dtype::F64, 2), size(n), number(width), step(by),
        ]
    }
    /// Moves moments of single values; `partial` gets sums of the update's squares.
    fn moments_of_parts(v: ViewMut<'_>, g: View<'_>, decay: f32, epsilon: f32, partial: ViewMut<'_>) {
        let n = g.len();
        let blocks = n.div_ceil(EACH);
        "moments"() on rows(blocks, EACH / 8)
        [
            write(&v, Dtype::F32, n), read(g, Dtype::F32, n), write(&partial, Dtype::F64, blocks), size(n), number(EACH),
            real(decay), real(epsilon),
        ]
    }
    fn moments_step(w: ViewMut<'_>, g: View<'_>, v: View<'_>, by: Step<'_>) {
        let n = g.len();
        "moments_step"() on each(n)
        [
            write(&w, Dtype::F32, n), read(g, Dtype::F32, n), read(v, Dtype::F32, n), read(by.sums, Dtype::F64, 2), size(n),
            step(by),
        ]
    }
    fn scale(x: ViewMut<'_>, factor: f32) {
        let n = x.len();
        "scale"() on each(n)
        [write(&x, Dtype::F32, n), size(n), real(factor)]
    }
    /// `state` is first moments of all variables, then second ones, in which `w` starts at an offset; `squares` `[1]`
    /// is the sum of those of `w`.
    fn adam_step(w: ViewMut<'_>, g: View<'_>, state: (ViewMut<'_>, usize), squares: View<'_>, numbers: AdamNumbers) {
        let n = g.len();
        "adam_step"() on each(n)
        [
            write(&w, Dtype::F32, n), read(g, Dtype::F32, n), two_moments(state, n), read(squares, Dtype::F64, 1), size(n),
            real(numbers.beta1), real(numbers.beta2), real(numbers.keep), double(numbers.rate), real(numbers.root),
            real(numbers.epsilon), double(numbers.least),
        ]
    }
}

// Kernels of several launches, and memory for what is between them.
impl Kernels {
    /// Gradients of a norm: `dx` is added to where `keep` says so, `dweight` where it is there.
    #[allow(clippy::too_many_arguments)]
    pub fn norm_backward(
        &self,
        dy: View<'_>,
        x: View<'_>,
        weight: View<'_>,
        inverse: View<'_>,
        dx: ViewMut<'_>,
        keep: bool,
        dweight: Option<ViewMut<'_>>,
        partial: &mut Buffer,
    ) -> Result<(), Error> {
        partial.resize(inverse.len().div_ceil(ROWS) * weight.len())?;
        self.norm_backward_partial(dy, x, weight, inverse, dx, keep, partial.all_mut())?;
        match dweight {
            Some(dweight) => self.add_columns(partial.all(), dweight),
            None => Ok(()),
        }
    }

    /// Drops of `x` `[batch, length, width]` in place.
    pub fn drop(&self, x: ViewMut<'_>, dropout: Site, shape: (usize, usize)) -> Result<(), Error> {
        match x.dtype() {
            Dtype::F32 => self.drop_values(x, dropout, shape),
            _ => self.drop_activations(x, dropout, shape),
        }
    }

    /// Adds gradients of scores of `rows` rows to those of the bias by distance.
    pub fn bias_backward(
        &self,
        ds: View<'_>,
        shape: ScoresShape,
        rows: usize,
        dbias: ViewMut<'_>,
        partial: &mut Buffer,
    ) -> Result<(), Error> {
        let tasks = rows * shape.heads;
        assert!(tasks <= TASKS, "too many rows at a time");
        partial.resize(tasks * (shape.queries + shape.keys - 1))?;
        self.bias_partial(ds, shape, tasks, partial.all_mut())?;
        self.bias_add(partial.all(), rows, shape.heads, dbias)
    }

    /// Sums of squares of parts of `x`, of which there are as many as `partial` gets values.
    pub fn square_sums(&self, x: View<'_>, partial: &mut Buffer) -> Result<(), Error> {
        partial.resize(x.len().div_ceil(EACH))?;
        self.square_sums_of_parts(x, partial.all_mut())
    }

    /// Moves moments of columns of `g`.
    pub fn column_moments(
        &self,
        g: View<'_>,
        columns: ViewMut<'_>,
        decay: f32,
        epsilon: f32,
        partial: &mut Buffer,
    ) -> Result<(), Error> {
        let count = columns.len();
        let rows = g.len() / count;
        let parts = rows.div_ceil(COLUMN_ROWS);
        // A grid has no more in y.
        assert!(parts < 1 << 16, "too many rows");
        partial.resize(parts * count)?;
        self.column_squares(g, count, partial.all_mut())?;
        self.column_moments_of_parts(partial.all(), rows, columns, decay, epsilon)
    }

    /// Sums by row of the squares of an update.
    pub fn factored_squares(
        &self,
        g: View<'_>,
        rows: View<'_>,
        columns: View<'_>,
        partial: &mut Buffer,
    ) -> Result<(), Error> {
        partial.resize(rows.len())?;
        self.factored_squares_of_rows(g, rows, columns, partial.all_mut())
    }

    /// Moves moments of single values; `partial` gets sums of the update's squares.
    pub fn moments(
        &self,
        v: ViewMut<'_>,
        g: View<'_>,
        decay: f32,
        epsilon: f32,
        partial: &mut Buffer,
    ) -> Result<(), Error> {
        partial.resize(g.len().div_ceil(EACH))?;
        self.moments_of_parts(v, g, decay, epsilon, partial.all_mut())
    }
}

/// Where first and second moments of `n` values are in a state.
fn two_moments((state, start): (ViewMut<'_>, usize), n: usize) -> [Argument; 2] {
    let all = state.len();
    assert!(state.dtype() == Dtype::F32 && start + n <= all / 2);
    let moment = |at: usize| state.region().address + (at * Dtype::F32.size()) as u64;
    [start, all / 2 + start].map(|at| Argument::Pointer(moment(at)))
}

/// A number of elements that the kernel counts with 32 bits.
fn below_2_32(n: usize) -> usize {
    u32_of(n);
    n
}

/// How `n` elements of heads lie.
fn lie(columns: Columns, n: usize) -> [Argument; 6] {
    let Columns {
        stride,
        first,
        heads,
        d_kv,
        length,
    } = columns;
    [n, stride, first, heads, length, d_kv].map(|value| Argument::U32(u32_of(value)))
}

fn bias(scored: Scored<'_>) -> [Argument; 1] {
    let distances = scored.shape.queries + scored.shape.keys - 1;
    maybe(scored.bias, Dtype::F32, scored.shape.heads * distances)
}

fn seen(scored: Scored<'_>) -> [Argument; 1] {
    let all = scored.seen.len();
    assert!((scored.first_row + scored.rows) * scored.shape.queries * 2 <= all);
    read(scored.seen, Dtype::U32, all)
}

/// The shape of scores, and what is dropped of them.
fn places(scored: Scored<'_>) -> Vec<Argument> {
    let ScoresShape { heads, queries, keys } = scored.shape;
    let numbers = [scored.first_row, heads, queries, keys].map(|value| Argument::U32(u32_of(value)));
    numbers.into_iter().chain(site(scored.dropout, queries, keys)).collect()
}

impl Columns {
    /// Elements of what the heads' `n` lie in.
    fn total(self, n: usize) -> usize {
        let width = self.heads * self.d_kv;
        assert!(self.first + width <= self.stride && n.is_multiple_of(width * self.length));
        n / width * self.stride
    }
}

impl Scored<'_> {
    /// Scores.
    fn count(self) -> usize {
        let shape = self.shape;
        self.rows * shape.heads * shape.queries * shape.keys
    }

    /// Checks that there are logarithms of sums for all rows so far, of `len` in all.
    fn log_sums(self, len: usize) -> usize {
        let shape = self.shape;
        assert!((self.first_row + self.rows) * shape.heads * shape.queries <= len);
        len
    }
}
