//! What a device must be able to do.
//!
//! All work is done in the order it is asked for; asking returns before it is done, but for [`Driver::download`].
//! Memory is named by [`Region`]s, which `buffer.rs` alone makes, of memory that is there and of no more than it holds.
//! That kernels stay inside of theirs is for `kernels.rs` to assert, and of products for `product.rs`: no one else
//! calls [`Driver::launch`] and [`Driver::product`].

use crate::Error;
use crate::processes::Communicator;
use std::fmt::{self, Debug};
use std::sync::atomic::{AtomicU64, Ordering};

/// A piece of a device's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Region {
    /// A pointer of the device.
    pub address: u64,
    pub bytes: usize,
}

/// Type of elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dtype {
    F32,
    Bf16,
    U32,
    F64,
}

impl Dtype {
    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Dtype::Bf16 => 2,
            Dtype::F32 | Dtype::U32 => 4,
            Dtype::F64 => 8,
        }
    }
}

/// `Site` of `kernels/common.cuh`.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(super) struct SiteArgument {
    pub key: [u32; 2],
    pub threshold: u32,
    pub scale: f32,
    pub mode: u32,
    pub length: u32,
    pub width: u32,
}

/// An argument of a kernel, of the type that it has there.
#[derive(Debug, Clone, Copy)]
pub(super) enum Argument {
    /// A pointer.
    Pointer(u64),
    U32(u32),
    /// `size_t`.
    Size(u64),
    F32(f32),
    F64(f64),
    Site(SiteArgument),
}

/// A kernel on a grid of blocks.
#[derive(Debug)]
pub(super) struct Launch<'a> {
    pub kernel: &'a str,
    /// Blocks in x and y.
    pub grid: [u32; 2],
    /// Of a block: a power of two from 32 to 1024.
    pub threads: u32,
    pub shared_bytes: u32,
    pub arguments: &'a [Argument],
}

/// An operand as cuBLAS sees it: column after column, columns `leading` elements apart, `stride` from one matrix of a
/// batch to the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProductOperand {
    pub region: Region,
    pub dtype: Dtype,
    pub leading: usize,
    pub stride: usize,
    /// Rows and columns are exchanged before the product.
    pub transposed: bool,
}

/// `c = alpha * a b + beta * c`, as cublasGemmStridedBatchedEx has it: `a` is `[m, k]`, `b` `[k, n]`, `c` `[m, n]`;
/// sums are f32.
#[derive(Debug, Clone, Copy)]
pub(super) struct Product {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub batch: usize,
    pub alpha: f32,
    pub a: ProductOperand,
    pub b: ProductOperand,
    pub beta: f32,
    pub c: ProductOperand,
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (m, n, k) = (self.m, self.n, self.k);
        let dtype = match self.a.dtype {
            Dtype::Bf16 => "bf16",
            _ => "f32",
        };
        match self.batch {
            1 => write!(f, "product {m} x {n} x {k}, {dtype}"),
            batch => write!(f, "{batch} products {m} x {n} x {k}, {dtype}"),
        }
    }
}

/// How much of what is not kept is in memory at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Scores of an attention.
    pub scores: usize,
    /// Targets with logits.
    pub targets: usize,
}

/// Counts bytes that are allocated.
#[derive(Debug, Default)]
pub(super) struct Allocated {
    now: AtomicU64,
    most: AtomicU64,
}

impl Allocated {
    pub fn add(&self, bytes: usize) {
        let now = self.now.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        self.most.fetch_max(now, Ordering::Relaxed);
    }

    pub fn subtract(&self, bytes: usize) {
        self.now.fetch_sub(bytes as u64, Ordering::Relaxed);
    }

    #[cfg(feature = "cuda-emulated")]
    pub fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// The most that there were at a time.
    pub fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }
}

/// A device.
pub(super) trait Driver: Debug + Send + Sync {
    /// What it is, for people.
    fn name(&self) -> String;
    fn limits(&self) -> Limits;
    /// New memory, all zeros.
    fn allocate(&self, bytes: usize) -> Result<Region, Error>;
    /// Gives back what [`allocate`](Driver::allocate) gave.
    fn free(&self, region: Region);
    /// Bytes that can still be allocated.
    fn free_memory(&self) -> Result<u64, Error>;
    /// The most bytes that were allocated at a time.
    fn most_allocated(&self) -> u64;
    fn zero(&self, region: Region) -> Result<(), Error>;
    /// Panics if lengths differ, as below.
    fn upload(&self, from: &[u8], to: Region) -> Result<(), Error>;
    /// Waits for all that was asked for.
    fn download(&self, from: Region, to: &mut [u8]) -> Result<(), Error>;
    fn copy(&self, from: Region, to: Region) -> Result<(), Error>;
    fn launch(&self, launch: &Launch<'_>) -> Result<(), Error>;
    fn product(&self, product: &Product) -> Result<(), Error>;

    /// Replaces f32s by their sums over all processes, which ask for it at the same time.
    fn sum(&self, region: Region, over: &mut Communicator) -> Result<(), Error> {
        let mut values = vec![0.0f32; region.bytes / Dtype::F32.size()];
        self.download(region, bytemuck::cast_slice_mut(&mut values))?;
        over.sum(&mut values)?;
        self.upload(bytemuck::cast_slice(&values), region)
    }
}
