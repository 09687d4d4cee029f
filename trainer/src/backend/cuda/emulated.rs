//! A device for tests: kernels compiled for the host (`kernels/emulate.cpp`), products by `math/matrix.rs`.

#![allow(unsafe_code)]

use super::driver::{Allocated, Argument, Driver, Dtype, Launch, Limits, Product, ProductOperand, Region};
use crate::Error;
use crate::backend::Emulation;
use crate::math::matrix::{Into, Matrix, Threads, multiply};
use half::bf16;
use std::collections::HashMap;
use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::Mutex;

unsafe extern "C" {
    fn emulate_launch(
        name: *const c_char,
        grid: *const u32,
        threads: u32,
        shared_bytes: u32,
        order: u32,
        arguments: *mut *mut c_void,
    ) -> c_int;
}

/// What was allocated, by address; as words, so that elements of all types are aligned.
#[derive(Debug)]
pub(super) struct Emulated {
    emulation: Emulation,
    memory: Mutex<HashMap<u64, Box<[u64]>>>,
    allocated: Allocated,
}

impl Emulated {
    pub fn new(emulation: Emulation) -> Emulated {
        Emulated {
            emulation,
            memory: Mutex::default(),
            allocated: Allocated::default(),
        }
    }

    /// The bytes of a region, to be read.
    fn bytes(region: Region) -> *mut u8 {
        region.address as usize as *mut u8
    }

    /// A matrix of a batch as f32.
    fn values(operand: &ProductOperand, number: usize, columns: usize, rows: usize) -> Vec<f32> {
        let len = (columns - 1) * operand.leading + rows;
        let start = number * operand.stride;
        let size = operand.dtype.size();
        assert!((start + len) * size <= operand.region.bytes, "outside");
        // SAFETY: the region is of memory that is there (driver.rs), and the bytes were just asserted to be in it.
        let bytes =
            unsafe { std::slice::from_raw_parts(Emulated::bytes(operand.region).add(start * size), len * size) };
        match operand.dtype {
            Dtype::F32 => {
                let (quads, _) = bytes.as_chunks::<4>();
                quads.iter().map(|quad| f32::from_ne_bytes(*quad)).collect()
            }
            Dtype::Bf16 => {
                let (pairs, _) = bytes.as_chunks::<2>();
                pairs.iter().map(|pair| bf16::from_ne_bytes(*pair).to_f32()).collect()
            }
            dtype => panic!("no products of {dtype:?}"),
        }
    }

    fn set(operand: &ProductOperand, number: usize, values: &[f32]) {
        let size = operand.dtype.size();
        let start = number * operand.stride;
        assert!((start + values.len()) * size <= operand.region.bytes);
        // SAFETY: as above; and nothing else looks at this memory, since work is done in order and operands do not
        // overlap.
        let bytes = unsafe {
            std::slice::from_raw_parts_mut(Emulated::bytes(operand.region).add(start * size), values.len() * size)
        };
        match operand.dtype {
            Dtype::F32 => bytes.copy_from_slice(bytemuck::cast_slice(values)),
            Dtype::Bf16 => {
                let (pairs, _) = bytes.as_chunks_mut::<2>();
                for (pair, value) in pairs.iter_mut().zip(values) {
                    *pair = bf16::from_f32(*value).to_ne_bytes();
                }
            }
            dtype => panic!("no products of {dtype:?}"),
        }
    }
}

impl Driver for Emulated {
    fn name(&self) -> String {
        "the CPU in place of a GPU, for tests".into()
    }

    /// So little that small models take several rounds.
    fn limits(&self) -> Limits {
        Limits {
            scores: 5000,
            targets: 16,
        }
    }

    fn allocate(&self, bytes: usize) -> Result<Region, Error> {
        let words = vec![0; bytes.div_ceil(8).max(1)].into_boxed_slice();
        let address = words.as_ptr() as usize as u64;
        let mut memory = self.memory.lock().expect("no thread panics with the lock");
        memory.insert(address, words);
        self.allocated.add(bytes);
        Ok(Region { address, bytes })
    }

    fn free(&self, region: Region) {
        let mut memory = self.memory.lock().expect("no thread panics with the lock");
        memory.remove(&region.address);
        self.allocated.subtract(region.bytes);
    }

    /// 1 GiB in all, as the emulated driver's; that it is not exceeded is not checked.
    fn free_memory(&self) -> Result<u64, Error> {
        Ok((1u64 << 30).saturating_sub(self.allocated.now()))
    }

    fn most_allocated(&self) -> u64 {
        self.allocated.most()
    }

    fn zero(&self, region: Region) -> Result<(), Error> {
        // SAFETY: regions are of memory that is there (driver.rs), here and below.
        unsafe { std::ptr::write_bytes(Emulated::bytes(region), 0, region.bytes) };
        Ok(())
    }

    fn upload(&self, from: &[u8], to: Region) -> Result<(), Error> {
        assert_eq!(from.len(), to.bytes);
        // SAFETY: see `zero`; lengths are asserted.
        unsafe { std::ptr::copy(from.as_ptr(), Emulated::bytes(to), from.len()) };
        Ok(())
    }

    fn download(&self, from: Region, to: &mut [u8]) -> Result<(), Error> {
        assert_eq!(from.bytes, to.len());
        // SAFETY: see `zero`; lengths are asserted.
        unsafe { std::ptr::copy(Emulated::bytes(from), to.as_mut_ptr(), to.len()) };
        Ok(())
    }

    fn copy(&self, from: Region, to: Region) -> Result<(), Error> {
        assert_eq!(from.bytes, to.bytes);
        // SAFETY: see `zero`; lengths are asserted.
        unsafe { std::ptr::copy(Emulated::bytes(from), Emulated::bytes(to), from.bytes) };
        Ok(())
    }

    fn launch(&self, launch: &Launch<'_>) -> Result<(), Error> {
        let name = CString::new(launch.kernel).expect("a kernel's name");
        let mut arguments = launch.arguments.to_vec();
        let mut pointers: Vec<*mut c_void> = arguments.iter_mut().map(pointer).collect();
        let grid = [launch.grid[0], launch.grid[1], 1];
        let order = match self.emulation {
            Emulation::OneThread => 0,
            Emulation::Rising => 1,
            Emulation::Falling => 2,
        };
        // SAFETY: the arguments are of the kernel's types, and it stays inside of the memory they name (kernels.rs).
        let missing = unsafe {
            emulate_launch(
                name.as_ptr(),
                grid.as_ptr(),
                launch.threads,
                launch.shared_bytes,
                order,
                pointers.as_mut_ptr(),
            )
        };
        assert_eq!(missing, 0, "no kernel `{}`", launch.kernel);
        Ok(())
    }

    fn product(&self, product: &Product) -> Result<(), Error> {
        let (m, n, k) = (product.m, product.n, product.k);
        for number in 0..product.batch {
            // Column after column is the transpose of row after row.
            let matrix = |operand: &ProductOperand, rows: usize, columns: usize| {
                let (rows, columns) = match operand.transposed {
                    false => (rows, columns),
                    true => (columns, rows),
                };
                Emulated::values(operand, number, columns, rows)
            };
            let (a, b) = (matrix(&product.a, m, k), matrix(&product.b, k, n));
            fn view<'a>(values: &'a [f32], of: &ProductOperand, rows: usize, columns: usize) -> Matrix<'a> {
                match of.transposed {
                    false => Matrix::strided(values, columns, rows, of.leading).t(),
                    true => Matrix::strided(values, rows, columns, of.leading),
                }
            }
            let mut out = match product.beta {
                0.0 => vec![0.0; (n - 1) * product.c.leading + m],
                beta => {
                    let mut out = Emulated::values(&product.c, number, n, m);
                    out.iter_mut().for_each(|value| *value *= beta);
                    out
                }
            };
            // `c^T = b^T a^T`.
            assert_eq!(product.c.leading, m);
            multiply(
                &mut out,
                Into::Add,
                product.alpha,
                view(&b, &product.b, k, n).t(),
                view(&a, &product.a, m, k).t(),
                Threads::One,
            );
            Emulated::set(&product.c, number, &out);
        }
        Ok(())
    }
}

/// To the value itself, as a kernel wants its arguments.
pub(super) fn pointer(argument: &mut Argument) -> *mut c_void {
    match argument {
        Argument::Pointer(value) | Argument::Size(value) => (&raw mut *value).cast(),
        Argument::U32(value) => (&raw mut *value).cast(),
        Argument::F32(value) => (&raw mut *value).cast(),
        Argument::F64(value) => (&raw mut *value).cast(),
        Argument::Site(value) => (&raw mut *value).cast(),
    }
}
