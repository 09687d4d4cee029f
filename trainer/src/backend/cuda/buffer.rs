//! Memory of a device, with a type and bounds.

use super::driver::{Driver, Dtype, Region};
use crate::Error;
use crate::processes::Communicator;
use std::ops::Range;
use std::sync::Arc;

/// Elements in a device's memory. Grows and shrinks as it is needed; what is in it then does not matter.
#[derive(Debug)]
pub(super) struct Buffer {
    driver: Arc<dyn Driver>,
    /// All that was allocated; `None` of nothing.
    region: Option<Region>,
    dtype: Dtype,
    len: usize,
}

/// Elements to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    buffer: &'a Buffer,
    start: usize,
    len: usize,
}

/// Elements to write.
#[derive(Debug)]
pub(super) struct ViewMut<'a> {
    buffer: &'a mut Buffer,
    start: usize,
    len: usize,
}

/// The bytes of elements that are the same on both sides.
pub(super) trait Element: bytemuck::Pod {
    const DTYPE: Dtype;
}

impl Element for f32 {
    const DTYPE: Dtype = Dtype::F32;
}
impl Element for u32 {
    const DTYPE: Dtype = Dtype::U32;
}
impl Element for f64 {
    const DTYPE: Dtype = Dtype::F64;
}

impl Buffer {
    /// An empty buffer.
    pub fn new(driver: &Arc<dyn Driver>, dtype: Dtype) -> Buffer {
        Buffer {
            driver: driver.clone(),
            region: None,
            dtype,
            len: 0,
        }
    }

    /// A buffer of `len` zeros.
    pub fn zeros(driver: &Arc<dyn Driver>, dtype: Dtype, len: usize) -> Result<Buffer, Error> {
        let mut buffer = Buffer::new(driver, dtype);
        buffer.resize(len)?;
        buffer.zero()?;
        Ok(buffer)
    }

    /// Makes the buffer hold `len` elements; what is in it does not matter.
    pub fn resize(&mut self, len: usize) -> Result<(), Error> {
        let bytes = len * self.dtype.size();
        if bytes > self.region.map_or(0, |region| region.bytes) {
            self.release();
            self.region = Some(self.driver.allocate(bytes)?);
        }
        self.len = len;
        Ok(())
    }

    fn release(&mut self) {
        if let Some(region) = self.region.take() {
            self.driver.free(region);
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Of elements `start..start + len`, which are asserted to be there.
    fn region(&self, start: usize, len: usize) -> Region {
        assert!(
            start <= self.len && len <= self.len - start,
            "elements {start} and {len} more are not in a buffer of {}",
            self.len
        );
        let size = self.dtype.size();
        Region {
            address: self.region.map_or(0, |region| region.address + (start * size) as u64),
            bytes: len * size,
        }
    }

    pub fn all(&self) -> View<'_> {
        self.view(0..self.len)
    }

    /// Panics where the range is not in the buffer.
    pub fn view(&self, range: Range<usize>) -> View<'_> {
        self.region(range.start, range.len());
        View {
            buffer: self,
            start: range.start,
            len: range.len(),
        }
    }

    pub fn all_mut(&mut self) -> ViewMut<'_> {
        let all = 0..self.len;
        self.view_mut(all)
    }

    /// Panics where the range is not in the buffer.
    pub fn view_mut(&mut self, range: Range<usize>) -> ViewMut<'_> {
        self.region(range.start, range.len());
        ViewMut {
            start: range.start,
            len: range.len(),
            buffer: self,
        }
    }

    pub fn zero(&mut self) -> Result<(), Error> {
        self.zero_part(0..self.len)
    }

    /// Panics where the range is not in the buffer.
    pub fn zero_part(&mut self, range: Range<usize>) -> Result<(), Error> {
        match range.len() {
            0 => Ok(()),
            len => self.driver.zero(self.region(range.start, len)),
        }
    }

    /// Takes the length of `values`, and them.
    pub fn set<T: Element>(&mut self, values: &[T]) -> Result<(), Error> {
        assert_eq!(self.dtype, T::DTYPE);
        self.resize(values.len())?;
        match values {
            [] => Ok(()),
            _ => self
                .driver
                .upload(bytemuck::cast_slice(values), self.region(0, self.len)),
        }
    }

    /// Takes length and elements of another.
    pub fn copy_from(&mut self, other: &Buffer) -> Result<(), Error> {
        assert_eq!(self.dtype, other.dtype);
        self.resize(other.len)?;
        match self.len {
            0 => Ok(()),
            len => self.driver.copy(other.region(0, len), self.region(0, len)),
        }
    }

    /// Replaces all elements, f32, by their sums over all processes.
    pub fn sum(&mut self, over: &mut Communicator) -> Result<(), Error> {
        assert_eq!(self.dtype, Dtype::F32);
        match over.size() {
            1 => Ok(()),
            _ => self.driver.sum(self.region(0, self.len), over),
        }
    }

    /// All elements, after all that was asked for.
    pub fn get<T: Element>(&self) -> Result<Vec<T>, Error> {
        let mut values = vec![T::zeroed(); self.len];
        self.get_into(&mut values)?;
        Ok(values)
    }

    /// As [`get`](Buffer::get); panics if lengths differ.
    pub fn get_into<T: Element>(&self, values: &mut [T]) -> Result<(), Error> {
        assert_eq!((self.dtype, self.len), (T::DTYPE, values.len()));
        match self.len {
            0 => Ok(()),
            len => self
                .driver
                .download(self.region(0, len), bytemuck::cast_slice_mut(values)),
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.release();
    }
}

impl View<'_> {
    pub fn len(self) -> usize {
        self.len
    }

    pub fn dtype(self) -> Dtype {
        self.buffer.dtype
    }

    pub fn region(self) -> Region {
        self.buffer.region(self.start, self.len)
    }
}

impl ViewMut<'_> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn dtype(&self) -> Dtype {
        self.buffer.dtype
    }

    pub fn region(&self) -> Region {
        self.buffer.region(self.start, self.len)
    }
}
