//! Sums over GPUs of several processes, by NCCL: loaded where several processes train, a GPU each.

#![allow(unsafe_code)]

use super::driver::{Dtype, Region};
use crate::Error;
use crate::processes::Communicator;
use cudarc::driver::CudaStream;
use cudarc::nccl::result::{self, NcclError};
use cudarc::nccl::sys;
use std::mem::MaybeUninit;

/// This process among those whose GPUs NCCL connects.
#[derive(Debug)]
pub(super) struct Nccl {
    number: usize,
    communicator: sys::ncclComm_t,
}

// SAFETY: NCCL's functions may be called from any thread, one at a time, which the lock around this sees to.
unsafe impl Send for Nccl {}

/// Refuses a machine without NCCL.
pub(super) fn find() -> Result<(), Error> {
    // SAFETY: loading a library runs its start-up code; this one is the system's own.
    match unsafe { sys::is_culib_present() } {
        true => Ok(()),
        false => Err(Error::Device(
            "--device cuda: NCCL, by which several GPUs train together, is not found (libnccl.so); install libnccl-dev of NVIDIA's, or \
             `pip install nvidia-nccl-cu13`, in whose folder nvidia/nccl/lib type `ln -s libnccl.so.2 libnccl.so`, and put that folder into \
             LD_LIBRARY_PATH"
                .into(),
        )),
    }
}

impl Nccl {
    /// Connects the GPU of this process, which is current on this thread, with those of all others.
    pub fn join(number: usize, over: &mut Communicator) -> Result<Nccl, Error> {
        find()?;
        let failed = |e| failed(number, "cannot be connected with the others", e);
        let own = match over.leads() {
            true => result::get_uniqueid().map_err(failed)?.internal.map(|sign| sign as u8),
            false => [0; 128],
        };
        let id = over.broadcast(&own)?;
        let Some(id) = id.first_chunk::<128>() else {
            return Err(Error::Peer(
                "rank 0 gave no id of NCCL's; start the same program everywhere".into(),
            ));
        };
        let id = sys::ncclUniqueId {
            internal: id.map(|byte| byte as std::ffi::c_char),
        };
        let mut communicator = MaybeUninit::uninit();
        let (size, rank) = (over.size() as i32, over.rank() as i32);
        // SAFETY: the pointer is to memory for a communicator, which is there once this has succeeded.
        let communicator = unsafe {
            result::comm_init_rank(communicator.as_mut_ptr(), size, id, rank).map_err(failed)?;
            communicator.assume_init()
        };
        Ok(Nccl { number, communicator })
    }

    /// Replaces f32s by their sums over all GPUs, after all that `stream` was asked for.
    pub fn sum(&self, region: Region, stream: &CudaStream) -> Result<(), Error> {
        let values = region.address as usize as *mut std::ffi::c_void;
        // SAFETY: regions are of memory that is there (driver.rs), of so many values; a sum may be written where its
        // values are.
        let done = unsafe {
            result::all_reduce(
                values,
                values,
                region.bytes / Dtype::F32.size(),
                sys::ncclDataType_t::ncclFloat32,
                sys::ncclRedOp_t::ncclSum,
                self.communicator,
                stream.cu_stream().cast(),
            )
        };
        done.map_err(|e| failed(self.number, "cannot sum", e))?;
        Ok(())
    }
}

impl Drop for Nccl {
    fn drop(&mut self) {
        // SAFETY: it was made by `join`, and is used no more. An error here is nobody's.
        let _ = unsafe { result::comm_abort(self.communicator) };
    }
}

fn failed(number: usize, what: &str, e: NcclError) -> Error {
    let more = match e.0 {
        sys::ncclResult_t::ncclInvalidUsage => {
            "two processes may have the same GPU: give each its own by --devices 0,1,... Else see"
        }
        _ => "see",
    };
    Error::Device(format!(
        "GPU {number}: NCCL {what}: {:?}; {more} what it says with NCCL_DEBUG=WARN in the environment",
        e.0
    ))
}
