//! Matrix products, by the crate `gemm`: the one place of unsafe code.
//!
//! Bits do not depend on the number of threads: `gemm` cuts the result into tiles, never the sum inside of one
//! (`tests/model.rs` checks it). They do depend on the CPU: the kernel is chosen for its vectors.

use gemm::Parallelism;

/// A matrix to read: a slice with strides, both counted in elements.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `[rows, cols]`, row after row. Panics if the slice is too short.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Matrix<'a> {
        Matrix::strided(data, rows, cols, cols)
    }

    /// `[rows, cols]`, where row `i` starts at `i * row_stride`. Panics if the slice is too short.
    pub fn strided(data: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Matrix<'a> {
        assert!(
            extent(rows, cols, row_stride) <= data.len(),
            "matrix too long for its slice"
        );
        Matrix {
            data,
            rows,
            cols,
            row_stride,
            col_stride: 1,
        }
    }

    /// Rows and columns.
    pub fn shape(self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    /// The transpose; nothing is moved.
    pub fn t(self) -> Matrix<'a> {
        Matrix {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

/// Elements from the first to the last of a matrix with rows in one piece.
fn extent(rows: usize, cols: usize, row_stride: usize) -> usize {
    match (rows, cols) {
        (0, _) | (_, 0) => 0,
        _ => (rows - 1) * row_stride + cols,
    }
}

/// What a product does with what is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Into {
    /// Overwrites it.
    Set,
    /// Is added to it.
    Add,
}

/// Where a product runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// On the calling thread: inside of a task.
    One,
    /// On all threads of the current pool.
    All,
}

/// `out = alpha * a b` or `out += alpha * a b`, where `out` is `[a.rows, b.cols]`, row after row.
/// Panics if shapes do not fit. `2 * rows * cols * a.cols` operations.
pub fn multiply(out: &mut [f32], into: Into, alpha: f32, a: Matrix<'_>, b: Matrix<'_>, threads: Threads) {
    let stride = b.cols;
    multiply_strided(out, stride, into, alpha, a, b, threads);
}

/// A product as of [`multiply`], where row `i` of `out` starts at `i * row_stride`.
pub fn multiply_strided(
    out: &mut [f32],
    row_stride: usize,
    into: Into,
    alpha: f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
    threads: Threads,
) {
    assert_eq!(a.cols, b.rows, "inner dimensions differ");
    assert!(row_stride >= b.cols, "rows of the result overlap");
    assert!(
        extent(a.rows, b.cols, row_stride) <= out.len(),
        "result too long for its slice"
    );
    let stride = |stride: usize| isize::try_from(stride).expect("slices are shorter than isize::MAX");
    let parallelism = match threads {
        Threads::One => Parallelism::None,
        Threads::All => Parallelism::Rayon(0),
    };
    // Safety: `gemm` reads element (i, j) of an operand at `i * rs + j * cs` with i and j inside of its shape. A
    // `Matrix` was asserted to hold its last element (and so every one, strides being positive), transposed or not;
    // `out` is asserted above, its rows do not overlap, and being borrowed mutably it overlaps no operand.
    #[allow(unsafe_code)]
    unsafe {
        gemm::gemm(
            a.rows,
            b.cols,
            a.cols,
            out.as_mut_ptr(),
            1,
            stride(row_stride),
            into == Into::Add,
            a.data.as_ptr(),
            stride(a.col_stride),
            stride(a.row_stride),
            b.data.as_ptr(),
            stride(b.col_stride),
            stride(b.row_stride),
            1.0,
            alpha,
            false,
            false,
            false,
            parallelism,
        );
    }
}
