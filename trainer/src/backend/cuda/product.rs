//! DeviceMatrix products of matrices that lie row after row, on a device whose products (cuBLAS's) are of columns.

use super::buffer::{View, ViewMut};
use super::driver::{Driver, Product, ProductOperand, Region};
use crate::Error;

/// Matrices to read, `batch` of them, one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct DeviceMatrix<'a> {
    view: View<'a>,
    rows: usize,
    cols: usize,
    batch: usize,
    transposed: bool,
}

impl<'a> DeviceMatrix<'a> {
    /// `[rows, cols]`. Panics if that is not the length.
    pub fn new(view: View<'a>, rows: usize, cols: usize) -> DeviceMatrix<'a> {
        DeviceMatrix::batch(view, 1, rows, cols)
    }

    /// `[batch, rows, cols]`. Panics if that is not the length.
    pub fn batch(view: View<'a>, batch: usize, rows: usize, cols: usize) -> DeviceMatrix<'a> {
        assert_eq!(view.len(), batch * rows * cols, "{batch} x {rows} x {cols} matrices");
        DeviceMatrix {
            view,
            rows,
            cols,
            batch,
            transposed: false,
        }
    }

    /// The transpose; nothing is moved.
    pub fn t(self) -> DeviceMatrix<'a> {
        DeviceMatrix {
            transposed: !self.transposed,
            ..self
        }
    }

    fn shape(self) -> (usize, usize) {
        match self.transposed {
            false => (self.rows, self.cols),
            true => (self.cols, self.rows),
        }
    }

    /// What lies row after row is its transpose column after column.
    fn operand(self) -> ProductOperand {
        ProductOperand {
            region: self.view.region(),
            dtype: self.view.dtype(),
            leading: self.cols,
            stride: self.rows * self.cols,
            transposed: self.transposed,
        }
    }
}

/// `out = alpha * a b + beta * out`, one product for each matrix of a batch; `out` is `[batch, a rows, b columns]`.
/// What is in `out` is not read where `beta` is 0. Panics if shapes do not fit.
pub(super) fn multiply(
    driver: &dyn Driver,
    out: ViewMut<'_>,
    beta: f32,
    alpha: f32,
    a: DeviceMatrix<'_>,
    b: DeviceMatrix<'_>,
) -> Result<(), Error> {
    let ((m, k), (inner, n)) = (a.shape(), b.shape());
    assert_eq!(k, inner, "inner dimensions differ");
    assert_eq!(a.batch, b.batch, "batches differ");
    assert_eq!(out.len(), a.batch * m * n, "result of another shape");
    assert_eq!(a.view.dtype(), b.view.dtype(), "operands of two types");
    if out.len() == 0 {
        return Ok(());
    }
    let region = out.region();
    let overlaps = |other: Region| {
        other.address < region.address + region.bytes as u64 && region.address < other.address + other.bytes as u64
    };
    assert!(!overlaps(a.view.region()) && !overlaps(b.view.region()));
    // Column after column, the result is `out^T = b^T a^T`; and `b^T` is what is there of `b`.
    driver.product(&Product {
        m: n,
        n: m,
        k,
        batch: a.batch,
        alpha,
        a: b.operand(),
        b: a.operand(),
        beta,
        c: ProductOperand {
            region,
            dtype: out.dtype(),
            leading: n,
            stride: m * n,
            transposed: false,
        },
    })
}
