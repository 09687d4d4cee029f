//! Memory of the host that a GPU copies from by itself (pinned). A copy from other memory waits until all that was
//! asked for before is done; with this a step's batches are asked for one after the other, and the GPU has always the
//! next one.

#![allow(unsafe_code)]

use cudarc::driver::CudaStream;
use cudarc::driver::result;
use std::sync::Arc;

/// Bytes: some batches' tokens and masks.
const CAPACITY: usize = 32 << 20;

/// Pinned memory that is filled from the start on, and is free again when the stream has done all copies from it.
#[derive(Debug)]
pub(super) struct Staging {
    stream: Arc<CudaStream>,
    /// Null where there is none to be had.
    start: *mut u8,
    used: usize,
}

// SAFETY: the memory is the process's, and of no thread.
unsafe impl Send for Staging {}

impl Staging {
    pub fn new(stream: &Arc<CudaStream>) -> Staging {
        let bound = stream.context().bind_to_thread().is_ok();
        // SAFETY: what is in the memory is not read before it was written.
        let start = bound.then(|| unsafe { result::malloc_host(CAPACITY, 0) }.ok());
        Staging {
            stream: stream.clone(),
            start: start.flatten().map_or(std::ptr::null_mut(), |start| start.cast()),
            used: 0,
        }
    }

    /// The same bytes in pinned memory, to be copied from by the stream; `None` where there is no room.
    pub fn place(&mut self, bytes: &[u8]) -> Option<&[u8]> {
        if self.start.is_null() || bytes.len() > CAPACITY - self.used {
            return None;
        }
        // SAFETY: so many bytes from there on are in the allocation, and no copy reads them: they were not given out
        // since the stream was waited for.
        let placed = unsafe {
            let to = self.start.add(self.used);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
            std::slice::from_raw_parts(to, bytes.len())
        };
        self.used += bytes.len();
        Some(placed)
    }

    /// The stream has done all that it was asked for.
    pub fn reuse(&mut self) {
        self.used = 0;
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.start.is_null() || self.stream.context().bind_to_thread().is_err() {
            return;
        }
        // An error is one of work before, and was said there.
        let _ = self.stream.synchronize();
        // SAFETY: the address is of `malloc_host`, and no copy reads it any more.
        let _ = unsafe { result::free_host(self.start.cast()) };
    }
}
