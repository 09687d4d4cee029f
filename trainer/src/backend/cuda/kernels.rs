//! Kernels as functions: what is here says for every kernel of `kernels/*.cu` how many blocks it runs on, and asserts that it
//! stays inside of the memory it is given. See there for what each does. Long, since the list is.
//!
//! Above 500 lines: one function a kernel.

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

/// Rows times heads whose scores are in memory at a time at most: a grid has no more in y.
pub(super) const TASKS: usize = (1 << 16) - 1;

/// A device's kernels and products.
#[derive(Debug, Clone)]
pub(super) struct Kernels {
    pub driver: Arc<dyn Driver>,
}

/// How attention's buffers lie: heads of `d_kv`, queries, keys.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads {
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
    pub shape: Heads,
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

fn number(value: usize) -> Argument {
    Argument::U32(u32_of(value))
}

fn size(value: usize) -> Argument {
    Argument::Size(value as u64)
}

fn read(view: View<'_>, dtype: Dtype, len: usize) -> Argument {
    assert_eq!((view.dtype(), view.len()), (dtype, len));
    Argument::Pointer(view.region().address)
}

fn write(view: &ViewMut<'_>, dtype: Dtype, len: usize) -> Argument {
    assert_eq!((view.dtype(), view.len()), (dtype, len));
    Argument::Pointer(view.region().address)
}

/// `Site` for elements `[rows, length, width]`.
fn site(site: Option<Site>, length: usize, width: usize) -> Argument {
    let (length, width) = (u32_of(length), u32_of(width));
    assert!(length > 0 && width > 0, "elements of no extent");
    Argument::Site(match site {
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
    })
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

    fn typed(kernel: &str, dtype: Dtype) -> String {
        match dtype {
            Dtype::F32 => format!("{kernel}_f32"),
            Dtype::Bf16 => format!("{kernel}_bf16"),
            dtype => panic!("{kernel}: no kernel for {dtype:?}"),
        }
    }

    // Rows of the residual stream.

    /// Tokens must be rows of the table.
    pub fn embed(&self, table: View<'_>, tokens: View<'_>, out: ViewMut<'_>, d: usize) -> Result<(), Error> {
        let n = tokens.len();
        let arguments = [
            read(table, Dtype::F32, table.len()),
            read(tokens, Dtype::U32, n),
            write(&out, Dtype::F32, n * d),
            number(d),
        ];
        self.rows("embed", n, d, &arguments)
    }

    /// `ids`, `starts` and `positions` are those of [`grouped`](super::stack::grouped).
    pub fn embed_backward(
        &self,
        (ids, starts, positions): (View<'_>, View<'_>, View<'_>),
        dout: View<'_>,
        dtable: ViewMut<'_>,
        d: usize,
    ) -> Result<(), Error> {
        let count = ids.len();
        let arguments = [
            read(ids, Dtype::U32, count),
            read(starts, Dtype::U32, count + 1),
            read(positions, Dtype::U32, positions.len()),
            read(dout, Dtype::F32, positions.len() * d),
            write(&dtable, Dtype::F32, dtable.len()),
            number(d),
        ];
        self.launch("embed_backward", [u32_of(count), 1], THREADS, 0, &arguments)
    }

    pub fn norm(
        &self,
        x: View<'_>,
        weight: View<'_>,
        y: ViewMut<'_>,
        inverse: ViewMut<'_>,
        epsilon: f32,
    ) -> Result<(), Error> {
        let (d, dtype) = (weight.len(), y.dtype());
        let n = x.len() / d;
        let arguments = [
            read(x, Dtype::F32, n * d),
            read(weight, Dtype::F32, d),
            write(&y, dtype, n * d),
            write(&inverse, Dtype::F32, n),
            number(d),
            Argument::F32(epsilon),
        ];
        self.rows(&Kernels::typed("norm", dtype), n, d, &arguments)
    }

    /// Adds to `dweight`; `partial` is memory for it.
    #[allow(clippy::too_many_arguments)]
    pub fn norm_backward(
        &self,
        dy: View<'_>,
        x: View<'_>,
        weight: View<'_>,
        inverse: View<'_>,
        dx: ViewMut<'_>,
        keep: bool,
        dweight: ViewMut<'_>,
        partial: &mut Buffer,
    ) -> Result<(), Error> {
        let d = weight.len();
        let n = inverse.len();
        let blocks = n.div_ceil(ROWS);
        partial.resize(blocks * d)?;
        let arguments = [
            read(dy, Dtype::F32, n * d),
            read(x, Dtype::F32, n * d),
            read(weight, Dtype::F32, d),
            read(inverse, Dtype::F32, n),
            write(&dx, Dtype::F32, n * d),
            write(&partial.all_mut(), Dtype::F32, blocks * d),
            number(n),
            number(d),
            number(ROWS),
            number(keep.into()),
        ];
        let shared = (REDUCTION + u32_of(d)) * 4;
        self.launch("norm_backward", [u32_of(blocks), 1], row_threads(d), shared, &arguments)?;
        let arguments = [
            read(partial.all(), Dtype::F32, blocks * d),
            write(&dweight, Dtype::F32, d),
            number(blocks),
            number(d),
        ];
        self.rows("add_columns", d, blocks, &arguments)
    }

    /// `out = x + dropped h`, `[rows, length, width]`.
    pub fn residual(
        &self,
        x: View<'_>,
        h: View<'_>,
        out: ViewMut<'_>,
        dropout: Option<Site>,
        (length, width): (usize, usize),
    ) -> Result<(), Error> {
        let n = x.len();
        let arguments = [
            read(x, Dtype::F32, n),
            read(h, Dtype::F32, n),
            write(&out, Dtype::F32, n),
            number(n),
            site(dropout, length, width),
        ];
        self.each("residual", n, &arguments)
    }

    /// Drops of `x` `[rows, length, width]` in place.
    pub fn drop(&self, x: ViewMut<'_>, dropout: Site, (length, width): (usize, usize)) -> Result<(), Error> {
        let (n, dtype) = (x.len(), x.dtype());
        let name = match dtype {
            Dtype::F32 => "drop".to_owned(),
            dtype => Kernels::typed("drop_activations", dtype),
        };
        let arguments = [write(&x, dtype, n), number(n), site(Some(dropout), length, width)];
        self.each(&name, n, &arguments)
    }

    /// `out = dropped x`, in the type of `out`.
    pub fn cast(
        &self,
        x: View<'_>,
        out: ViewMut<'_>,
        dropout: Option<Site>,
        (length, width): (usize, usize),
    ) -> Result<(), Error> {
        let (n, dtype) = (x.len(), out.dtype());
        let arguments = [
            read(x, Dtype::F32, n),
            write(&out, dtype, n),
            size(n),
            site(dropout, length, width),
        ];
        self.each(&Kernels::typed("cast", dtype), n, &arguments)
    }

    // Feed-forward layers.

    pub fn relu(&self, h: ViewMut<'_>, dropout: Option<Site>, (length, width): (usize, usize)) -> Result<(), Error> {
        let (n, dtype) = (h.len(), h.dtype());
        let arguments = [write(&h, dtype, n), number(n), site(dropout, length, width)];
        self.each(&Kernels::typed("relu", dtype), n, &arguments)
    }

    pub fn relu_backward(&self, dh: ViewMut<'_>, h: View<'_>, factor: f32) -> Result<(), Error> {
        let (n, dtype) = (h.len(), h.dtype());
        let arguments = [
            write(&dh, dtype, n),
            read(h, dtype, n),
            number(n),
            Argument::F32(factor),
        ];
        self.each(&Kernels::typed("relu_backward", dtype), n, &arguments)
    }

    pub fn gated(
        &self,
        f: Gated,
        pre: View<'_>,
        h: ViewMut<'_>,
        dropout: Option<Site>,
        (length, width): (usize, usize),
    ) -> Result<(), Error> {
        let (n, dtype) = (h.len(), h.dtype());
        // The kernel counts with 32 bits.
        u32_of(n);
        let arguments = [
            read(pre, dtype, 2 * n),
            write(&h, dtype, n),
            number(n / width),
            number(width),
            number(usize::from(f == Gated::Silu)),
            site(dropout, length, width),
        ];
        self.each(&Kernels::typed("gated", dtype), n, &arguments)
    }

    pub fn gated_backward(
        &self,
        f: Gated,
        pre: ViewMut<'_>,
        dh: View<'_>,
        dropout: Option<Site>,
        (length, width): (usize, usize),
    ) -> Result<(), Error> {
        let (n, dtype) = (dh.len(), dh.dtype());
        // The kernel counts with 32 bits.
        u32_of(n);
        let arguments = [
            write(&pre, dtype, 2 * n),
            read(dh, dtype, n),
            number(n / width),
            number(width),
            number(usize::from(f == Gated::Silu)),
            site(dropout, length, width),
        ];
        self.each(&Kernels::typed("gated_backward", dtype), n, &arguments)
    }

    // Attention.

    /// `[rows, length, stride]` to `[rows, heads, length, d_kv]`.
    pub fn split_heads(&self, from: View<'_>, out: ViewMut<'_>, columns: Columns) -> Result<(), Error> {
        let (n, dtype) = (out.len(), out.dtype());
        let arguments = [read(from, dtype, columns.total(n)), write(&out, dtype, n)];
        let arguments = [&arguments[..], &columns.arguments(n)].concat();
        self.each(&Kernels::typed("split_heads", dtype), n, &arguments)
    }

    /// The way back.
    pub fn merge_heads(&self, from: View<'_>, out: ViewMut<'_>, columns: Columns) -> Result<(), Error> {
        let (n, dtype) = (from.len(), from.dtype());
        let arguments = [read(from, dtype, n), write(&out, dtype, columns.total(n))];
        let arguments = [&arguments[..], &columns.arguments(n)].concat();
        self.each(&Kernels::typed("merge_heads", dtype), n, &arguments)
    }

    pub fn softmax(
        &self,
        scored: Scored<'_>,
        scores: ViewMut<'_>,
        p: ViewMut<'_>,
        log_sums: ViewMut<'_>,
    ) -> Result<(), Error> {
        let (count, dtype) = (scored.count(), p.dtype());
        let first = [
            write(&scores, Dtype::F32, count),
            scored.bias(),
            scored.seen(),
            write(&p, dtype, count),
            scored.log_sums(log_sums.dtype(), log_sums.len(), log_sums.region().address),
        ];
        let arguments = [&first[..], &scored.arguments()].concat();
        let (blocks, keys) = (count / scored.shape.keys, scored.shape.keys);
        self.rows(&Kernels::typed("softmax", dtype), blocks, keys, &arguments)
    }

    /// Fills `p` and `ds`; uses up scores and `dp`.
    pub fn softmax_backward(
        &self,
        scored: Scored<'_>,
        (scores, dp): (ViewMut<'_>, ViewMut<'_>),
        log_sums: View<'_>,
        (p, ds): (ViewMut<'_>, ViewMut<'_>),
    ) -> Result<(), Error> {
        let (count, dtype) = (scored.count(), p.dtype());
        let first = [
            write(&scores, Dtype::F32, count),
            write(&dp, Dtype::F32, count),
            scored.bias(),
            scored.seen(),
            scored.log_sums(log_sums.dtype(), log_sums.len(), log_sums.region().address),
            write(&p, dtype, count),
            write(&ds, dtype, count),
        ];
        let arguments = [&first[..], &scored.arguments()].concat();
        let (blocks, keys) = (count / scored.shape.keys, scored.shape.keys);
        self.rows(&Kernels::typed("softmax_backward", dtype), blocks, keys, &arguments)
    }

    /// Adds gradients of scores of `rows` rows to those of the bias by distance; `partial` is memory for it.
    pub fn bias_backward(
        &self,
        ds: View<'_>,
        shape: Heads,
        rows: usize,
        dbias: ViewMut<'_>,
        partial: &mut Buffer,
    ) -> Result<(), Error> {
        let (tasks, distances) = (rows * shape.heads, shape.queries + shape.keys - 1);
        partial.resize(tasks * distances)?;
        let arguments = [
            read(ds, ds.dtype(), tasks * shape.queries * shape.keys),
            write(&partial.all_mut(), Dtype::F32, tasks * distances),
            number(shape.queries),
            number(shape.keys),
        ];
        let blocks = distances.div_ceil(THREADS as usize / 2);
        assert!(tasks <= TASKS, "too many rows at a time");
        self.launch(
            &Kernels::typed("bias_partial", ds.dtype()),
            [u32_of(blocks), u32_of(tasks)],
            THREADS / 2,
            0,
            &arguments,
        )?;
        let arguments = [
            read(partial.all(), Dtype::F32, tasks * distances),
            write(&dbias, Dtype::F32, shape.heads * distances),
            number(rows),
            number(shape.heads),
            number(distances),
        ];
        self.each("bias_add", shape.heads * distances, &arguments)
    }

    /// `buckets` must be rows of the table.
    pub fn bias_spread(
        &self,
        table: View<'_>,
        buckets: View<'_>,
        bias: ViewMut<'_>,
        heads: usize,
    ) -> Result<(), Error> {
        let distances = buckets.len();
        let arguments = [
            read(table, Dtype::F32, table.len()),
            read(buckets, Dtype::U32, distances),
            write(&bias, Dtype::F32, heads * distances),
            number(heads),
            number(distances),
        ];
        self.each("bias_spread", heads * distances, &arguments)
    }

    pub fn bias_gather(
        &self,
        dbias: View<'_>,
        buckets: View<'_>,
        dtable: ViewMut<'_>,
        heads: usize,
    ) -> Result<(), Error> {
        let (distances, len) = (buckets.len(), dtable.len());
        let arguments = [
            read(dbias, Dtype::F32, heads * distances),
            read(buckets, Dtype::U32, distances),
            write(&dtable, Dtype::F32, len),
            number(heads),
            number(distances),
            number(len / heads),
        ];
        self.each("bias_gather", len, &arguments)
    }

    // The head.

    /// Rows must be in `from`.
    pub fn gather_rows(&self, from: View<'_>, rows: View<'_>, out: ViewMut<'_>, d: usize) -> Result<(), Error> {
        let dtype = from.dtype();
        let arguments = [
            read(from, dtype, from.len()),
            read(rows, Dtype::U32, rows.len()),
            write(&out, dtype, rows.len() * d),
            number(d),
        ];
        self.rows(&Kernels::typed("gather_rows", dtype), rows.len(), d, &arguments)
    }

    /// Rows must be in `out`, and different.
    pub fn scatter_rows(&self, from: View<'_>, rows: View<'_>, out: ViewMut<'_>, d: usize) -> Result<(), Error> {
        let arguments = [
            read(from, Dtype::F32, rows.len() * d),
            read(rows, Dtype::U32, rows.len()),
            write(&out, Dtype::F32, out.len()),
            number(d),
        ];
        self.rows("scatter_rows", rows.len(), d, &arguments)
    }

    /// Targets must be below the width of logits `[n, vocab]`; loss is `[n, 3]`. Without a place for gradients none are computed.
    pub fn cross_entropy(
        &self,
        logits: ViewMut<'_>,
        targets: View<'_>,
        dlogits: Option<ViewMut<'_>>,
        loss: ViewMut<'_>,
        (weight, z_loss): (f32, f32),
    ) -> Result<(), Error> {
        let n = targets.len();
        let vocab = logits.len() / n.max(1);
        let dtype = dlogits.as_ref().map_or(Dtype::F32, ViewMut::dtype);
        let arguments = [
            write(&logits, Dtype::F32, n * vocab),
            read(targets, Dtype::U32, n),
            dlogits.map_or(Argument::Pointer(0), |out| write(&out, dtype, n * vocab)),
            write(&loss, Dtype::F32, n * 3),
            number(vocab),
            Argument::F32(weight),
            Argument::F32(z_loss),
        ];
        self.rows(&Kernels::typed("cross_entropy", dtype), n, vocab, &arguments)
    }

    // Optimisers.

    /// Sums of squares of parts of `x`, of which there are as many as `partial` gets values.
    pub fn square_sums(&self, x: View<'_>, partial: &mut Buffer) -> Result<(), Error> {
        let blocks = x.len().div_ceil(EACH);
        partial.resize(blocks)?;
        let arguments = [
            read(x, Dtype::F32, x.len()),
            write(&partial.all_mut(), Dtype::F64, blocks),
            size(x.len()),
            number(EACH),
        ];
        self.rows("square_sums", blocks, EACH / 8, &arguments)
    }

    /// `out` `[1]` gets the sum of all of `x`.
    pub fn sum(&self, x: View<'_>, out: ViewMut<'_>) -> Result<(), Error> {
        let arguments = [
            read(x, Dtype::F64, x.len()),
            write(&out, Dtype::F64, 1),
            number(x.len()),
        ];
        self.launch("sum_f64", [1, 1], 1024, REDUCTION * 8, &arguments)
    }

    /// `out` `[1]` gets the mean of all of `x`.
    pub fn mean(&self, x: View<'_>, out: ViewMut<'_>) -> Result<(), Error> {
        let arguments = [
            read(x, Dtype::F32, x.len()),
            write(&out, Dtype::F64, 1),
            number(x.len()),
        ];
        self.launch("mean", [1, 1], 1024, REDUCTION * 8, &arguments)
    }

    /// Moves moments of rows and of columns of `g`; `partial` is memory for it.
    pub fn factored_moments(&self, g: View<'_>, rows: ViewMut<'_>, decay: f32, epsilon: f32) -> Result<(), Error> {
        let count = rows.len();
        let columns = g.len() / count;
        let arguments = [
            read(g, Dtype::F32, count * columns),
            write(&rows, Dtype::F32, count),
            number(columns),
            Argument::F32(decay),
            Argument::F32(epsilon),
        ];
        self.rows("row_moments", count, columns, &arguments)
    }

    pub fn column_moments(
        &self,
        g: View<'_>,
        columns: ViewMut<'_>,
        decay: f32,
        epsilon: f32,
        partial: &mut Buffer,
    ) -> Result<(), Error> {
        /// Rows of a block.
        const ROWS: usize = 64;
        let count = columns.len();
        let rows = g.len() / count;
        let parts = rows.div_ceil(ROWS);
        // A grid has no more in y.
        assert!(parts < 1 << 16, "too many rows");
        partial.resize(parts * count)?;
        let arguments = [
            read(g, Dtype::F32, rows * count),
            write(&partial.all_mut(), Dtype::F32, parts * count),
            number(rows),
            number(count),
            number(ROWS),
        ];
        let blocks = count.div_ceil(THREADS as usize);
        self.launch(
            "column_squares",
            [u32_of(blocks), u32_of(parts)],
            THREADS,
            0,
            &arguments,
        )?;
        let arguments = [
            read(partial.all(), Dtype::F32, parts * count),
            write(&columns, Dtype::F32, count),
            number(parts),
            number(rows),
            number(count),
            Argument::F32(decay),
            Argument::F32(epsilon),
        ];
        self.each("column_moments", count, &arguments)
    }

    pub fn inverse_roots(&self, x: View<'_>, mean: Option<View<'_>>, out: ViewMut<'_>) -> Result<(), Error> {
        let n = x.len();
        let arguments = [
            read(x, Dtype::F32, n),
            mean.map_or(Argument::Pointer(0), |mean| read(mean, Dtype::F64, 1)),
            write(&out, Dtype::F32, n),
            number(n),
        ];
        self.each("inverse_roots", n, &arguments)
    }

    /// Sums by row of the squares of an update.
    pub fn factored_squares(
        &self,
        g: View<'_>,
        rows: View<'_>,
        columns: View<'_>,
        partial: &mut Buffer,
    ) -> Result<(), Error> {
        let (n, width) = (rows.len(), columns.len());
        partial.resize(n)?;
        let arguments = [
            read(g, Dtype::F32, n * width),
            read(rows, Dtype::F32, n),
            read(columns, Dtype::F32, width),
            write(&partial.all_mut(), Dtype::F64, n),
            number(width),
        ];
        self.rows("factored_squares", n, width, &arguments)
    }

    pub fn factored_step(
        &self,
        w: ViewMut<'_>,
        g: View<'_>,
        rows: View<'_>,
        columns: View<'_>,
        step: Step<'_>,
    ) -> Result<(), Error> {
        let n = rows.len() * columns.len();
        let arguments = [
            write(&w, Dtype::F32, n),
            read(g, Dtype::F32, n),
            read(rows, Dtype::F32, rows.len()),
            read(columns, Dtype::F32, columns.len()),
            read(step.sums, Dtype::F64, 2),
            size(n),
            number(columns.len()),
            Argument::F64(step.rate),
            Argument::F64(step.clip),
            Argument::F64(step.least),
        ];
        self.each("factored_step", n, &arguments)
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
        let n = g.len();
        let blocks = n.div_ceil(EACH);
        partial.resize(blocks)?;
        let arguments = [
            write(&v, Dtype::F32, n),
            read(g, Dtype::F32, n),
            write(&partial.all_mut(), Dtype::F64, blocks),
            size(n),
            number(EACH),
            Argument::F32(decay),
            Argument::F32(epsilon),
        ];
        self.rows("moments", blocks, EACH / 8, &arguments)
    }

    pub fn moments_step(&self, w: ViewMut<'_>, g: View<'_>, v: View<'_>, step: Step<'_>) -> Result<(), Error> {
        let n = g.len();
        let arguments = [
            write(&w, Dtype::F32, n),
            read(g, Dtype::F32, n),
            read(v, Dtype::F32, n),
            read(step.sums, Dtype::F64, 2),
            size(n),
            Argument::F64(step.rate),
            Argument::F64(step.clip),
            Argument::F64(step.least),
        ];
        self.each("moments_step", n, &arguments)
    }

    pub fn scale(&self, x: ViewMut<'_>, factor: f32) -> Result<(), Error> {
        let n = x.len();
        let arguments = [write(&x, Dtype::F32, n), size(n), Argument::F32(factor)];
        self.each("scale", n, &arguments)
    }

    /// `state` is first moments of all variables, then second ones, in which `w` starts at an offset; `squares` `[1]` is the sum of
    /// those of `w`.
    pub fn adam_step(
        &self,
        w: ViewMut<'_>,
        g: View<'_>,
        (state, start): (ViewMut<'_>, usize),
        squares: View<'_>,
        numbers: AdamNumbers,
    ) -> Result<(), Error> {
        let (n, all) = (g.len(), state.len());
        assert!(state.dtype() == Dtype::F32 && start + n <= all / 2);
        let moment = |at: usize| state.region().address + (at * Dtype::F32.size()) as u64;
        let arguments = [
            write(&w, Dtype::F32, n),
            read(g, Dtype::F32, n),
            Argument::Pointer(moment(start)),
            Argument::Pointer(moment(all / 2 + start)),
            read(squares, Dtype::F64, 1),
            size(n),
            Argument::F32(numbers.beta1),
            Argument::F32(numbers.beta2),
            Argument::F32(numbers.keep),
            Argument::F64(numbers.rate),
            Argument::F32(numbers.root),
            Argument::F32(numbers.epsilon),
            Argument::F64(numbers.least),
        ];
        self.each("adam_step", n, &arguments)
    }
}

impl Columns {
    /// Elements of what the heads' `n` lie in.
    fn total(self, n: usize) -> usize {
        let width = self.heads * self.d_kv;
        assert!(self.first + width <= self.stride && n.is_multiple_of(width * self.length));
        n / width * self.stride
    }

    fn arguments(self, n: usize) -> [Argument; 6] {
        [
            number(n),
            number(self.stride),
            number(self.first),
            number(self.heads),
            number(self.length),
            number(self.d_kv),
        ]
    }
}

impl Scored<'_> {
    /// Scores.
    fn count(self) -> usize {
        let shape = self.shape;
        self.rows * shape.heads * shape.queries * shape.keys
    }

    fn bias(self) -> Argument {
        let distances = self.shape.queries + self.shape.keys - 1;
        self.bias.map_or(Argument::Pointer(0), |bias| {
            read(bias, Dtype::F32, self.shape.heads * distances)
        })
    }

    fn seen(self) -> Argument {
        let all = self.seen.len();
        assert!((self.first_row + self.rows) * self.shape.queries * 2 <= all);
        read(self.seen, Dtype::U32, all)
    }

    /// Of all rows.
    fn log_sums(self, dtype: Dtype, len: usize, address: u64) -> Argument {
        let shape = self.shape;
        assert_eq!(dtype, Dtype::F32);
        assert!((self.first_row + self.rows) * shape.heads * shape.queries <= len);
        Argument::Pointer(address)
    }

    fn arguments(self) -> [Argument; 5] {
        let shape = self.shape;
        [
            number(self.first_row),
            number(shape.heads),
            number(shape.queries),
            number(shape.keys),
            site(self.dropout, shape.queries, shape.keys),
        ]
    }
}
