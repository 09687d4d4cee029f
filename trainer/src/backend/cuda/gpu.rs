//! An NVIDIA GPU, by the crate `cudarc`: driver and cuBLAS are loaded when a GPU is opened. One stream does all work,
//! in order.

#![allow(unsafe_code)]

use super::driver::{Allocated, Argument, Driver, Dtype, Launch, Limits, Product, ProductOperand, Region};
use super::kernel_times::KernelTimes;
use super::nccl::{self, Nccl};
use super::staging::Staging;
use crate::Error;
use crate::processes::Communicator;
use cudarc::cublas::{self, CudaBlas};
use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{CUmemPool_attribute, CUresult};
use cudarc::driver::{self, CudaContext, CudaFunction, CudaModule, CudaStream, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;
use std::collections::HashMap;
use std::ffi::{c_int, c_longlong, c_void};
use std::sync::{Arc, Mutex};

/// The kernels, as nvcc left them.
const PTX: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.ptx"));

/// A GPU.
#[derive(Debug)]
pub(super) struct Cuda {
    /// Where they are asked for; first, since it is closed before the stream.
    times: Option<KernelTimes>,
    number: usize,
    stream: Arc<CudaStream>,
    blas: CudaBlas,
    module: Arc<CudaModule>,
    /// Of the GPUs of all processes; from the first sum on.
    nccl: Mutex<Option<Nccl>>,
    /// Those that were launched already.
    functions: Mutex<HashMap<String, CudaFunction>>,
    allocated: Allocated,
    staging: Mutex<Staging>,
}

/// An argument as the launch wants it: a type that the GPU knows.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Raw<T>(T);

// SAFETY: `SiteArgument` is `repr(C)`, of the same fields as the kernels' `Site`, and without pointers.
unsafe impl driver::DeviceRepr for Raw<super::driver::SiteArgument> {}

/// Refuses a GPU that is not there, or a machine without driver, cuBLAS or, where there are several processes, NCCL.
pub(in crate::backend) fn find(number: usize, processes: usize) -> Result<(), Error> {
    // SAFETY: loading a library runs its start-up code; these are the system's own.
    if !unsafe { driver::sys::is_culib_present() } {
        return Err(Error::Device(
                "--device cuda: this machine has no NVIDIA driver (libcuda.so.1 is not found); install one of the 580 series or later, or \
                 train by --device cpu"
                    .into(),
            ));
    }
    // SAFETY: as above.
    if !unsafe { cublas::sys::is_culib_present() } {
        return Err(Error::Device(
                "--device cuda: cuBLAS of CUDA 13 is not found (libcublas.so.13); type `pip install nvidia-cublas==13.1.0.3` and put its \
                 folder nvidia/cu13/lib into LD_LIBRARY_PATH"
                    .into(),
            ));
    }
    let count = match result::init().and_then(|()| CudaContext::device_count()) {
        Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => 0,
        count => usize::try_from(count.map_err(no_start)?).unwrap_or(0),
    };
    if number >= count {
        return Err(Error::Device(match count {
            0 => "--device cuda: the driver shows no GPU (CUDA_VISIBLE_DEVICES may hide them); train by --device cpu"
                .into(),
            1 => format!("--device cuda:{number}: there is one GPU; write cuda:0"),
            count => format!(
                "--device cuda:{number}: there are {count} GPUs; write cuda:0 to cuda:{}",
                count - 1
            ),
        }));
    }
    match processes {
        0 | 1 => Ok(()),
        _ => nccl::find(),
    }
}

fn no_start(e: DriverError) -> Error {
    Error::Device(format!(
        "--device cuda: the NVIDIA driver does not start: {}; see whether nvidia-smi shows a GPU",
        device_error(e)
    ))
}

/// Lets the driver keep memory that was given back: without this it returns it to the system whenever work is waited
/// for.
fn keep_memory(context: &CudaContext) -> Result<(), DriverError> {
    if !context.has_async_alloc() {
        return Ok(());
    }
    let mut all = u64::MAX;
    // SAFETY: the device is the context's, the pool is the device's, and the value of this attribute is a 64-bit
    // number.
    unsafe {
        let pool = result::device::get_default_mem_pool(context.cu_device())?;
        result::mem_pool::set_attribute(
            pool,
            CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
            (&raw mut all).cast(),
        )
    }
}

impl Cuda {
    /// GPU number `number`, of those that the driver shows.
    pub fn open(number: usize) -> Result<Cuda, Error> {
        find(number, 1)?;
        let context = CudaContext::new(number).map_err(no_start)?;
        let module = context
            .load_module(Ptx::from_src(PTX))
            .map_err(|e| match e.0 {
                CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION => Error::Device(
                    "--device cuda: the NVIDIA driver is older than CUDA 13.0; install one of the 580 series or later".into(),
                ),
                CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU | CUresult::CUDA_ERROR_INVALID_PTX => {
                    Error::Device(format!(
                        "--device cuda: GPU {number} cannot run kernels of this program's compute capability ({}); build it again with \
                         CUDA_COMPUTE_CAP set to the GPU's, as 80 for an A100",
                        device_error(e)
                    ))
                }
                _ => no_start(e),
            })?;
        keep_memory(&context).map_err(no_start)?;
        let stream = context.new_stream().map_err(no_start)?;
        let blas = CudaBlas::new(stream.clone())
            .map_err(|e| Error::Device(format!("--device cuda: cuBLAS does not start: {e}")))?;
        Ok(Cuda {
            times: KernelTimes::asked_for(),
            staging: Mutex::new(Staging::new(&stream)),
            number,
            stream,
            blas,
            module,
            nccl: Mutex::default(),
            functions: Mutex::default(),
            allocated: Allocated::default(),
        })
    }

    /// Work may be asked for from any thread.
    fn bind(&self) -> Result<(), Error> {
        let bound = self.stream.context().bind_to_thread();
        bound.map_err(|e| self.failed("a thread cannot use it", e))
    }

    fn failed(&self, what: &str, e: DriverError) -> Error {
        Error::Device(format!(
            "GPU {}: {what}: {}; what was asked for before may be the cause. The last checkpoint is good: go on from there by --resume",
            self.number,
            device_error(e)
        ))
    }

    /// Does work, between two events where times are asked for.
    fn timed<T, E>(&self, name: impl FnOnce() -> String, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        match &self.times {
            None => work(),
            Some(times) => times.around(&self.stream, name, work),
        }
    }

    fn function(&self, name: &str) -> Result<CudaFunction, Error> {
        let mut functions = self.functions.lock().expect("no thread panics with the lock");
        if let Some(function) = functions.get(name) {
            return Ok(function.clone());
        }
        let function = self
            .module
            .load_function(name)
            .map_err(|e| self.failed(&format!("no kernel {name}"), e))?;
        functions.insert(name.to_owned(), function.clone());
        Ok(function)
    }
}

/// An error's name and the driver's words for it.
fn device_error(e: DriverError) -> String {
    let name = e.error_name().map(|name| name.to_string_lossy());
    let words = e.error_string().map(|words| words.to_string_lossy());
    match (name, words) {
        (Ok(name), Ok(words)) => format!("{name}, {words}"),
        _ => format!("error {}", e.0 as u32),
    }
}

fn blas_type(dtype: Dtype) -> cublas::sys::cudaDataType {
    match dtype {
        Dtype::F32 => cublas::sys::cudaDataType::CUDA_R_32F,
        Dtype::Bf16 => cublas::sys::cudaDataType::CUDA_R_16BF,
        dtype => panic!("no products of {dtype:?}"),
    }
}

impl Driver for Cuda {
    fn name(&self) -> String {
        let context = self.stream.context();
        let name = context.name().unwrap_or_else(|_| "a GPU".into());
        match context.total_mem() {
            Ok(bytes) => format!("GPU {}, {name}, {} GiB", self.number, bytes >> 30),
            Err(_) => format!("GPU {}, {name}", self.number),
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            // 256 MiB, and as much of their gradients.
            scores: 64 << 20,
            // 251 MiB of logits at T5's vocabulary. Each time all of the matrix and of its gradient is read.
            targets: 2048,
        }
    }

    fn allocate(&self, bytes: usize) -> Result<Region, Error> {
        self.bind()?;
        // SAFETY: the address is used as a `Region` of so many bytes until it is given back.
        let allocated = unsafe {
            match self.stream.context().has_async_alloc() {
                true => result::malloc_async(self.stream.cu_stream(), bytes.max(1)),
                false => result::malloc_sync(bytes.max(1)),
            }
        };
        let address = allocated.map_err(|e| match e.0 {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                let (free, total) = self.stream.context().mem_get_info().unwrap_or((0, 0));
                Error::Device(format!(
                    "GPU {}: out of memory: {} MiB more were asked for, {} of {} MiB are free; take fewer rows at a time (--set feed.rows=N, \
                     with batches_per_step more), or --set model.recompute=true",
                    self.number,
                    bytes.div_ceil(1 << 20),
                    free >> 20,
                    total >> 20
                ))
            }
            _ => self.failed("memory cannot be had", e),
        })?;
        let region = Region { address, bytes };
        self.allocated.add(bytes);
        self.zero(region)?;
        Ok(region)
    }

    fn free(&self, region: Region) {
        if self.bind().is_ok() {
            // SAFETY: a buffer gives back what it was given, once. An error here is one of work before, and shows
            // there.
            let _ = unsafe {
                match self.stream.context().has_async_alloc() {
                    true => result::free_async(region.address, self.stream.cu_stream()),
                    false => result::free_sync(region.address),
                }
            };
        }
        self.allocated.subtract(region.bytes);
    }

    fn free_memory(&self) -> Result<u64, Error> {
        self.bind()?;
        let found = self.stream.context().mem_get_info();
        let (free, _) = found.map_err(|e| self.failed("its memory is not told", e))?;
        Ok(free as u64)
    }

    fn most_allocated(&self) -> u64 {
        self.allocated.most()
    }

    fn zero(&self, region: Region) -> Result<(), Error> {
        if region.bytes == 0 {
            return Ok(());
        }
        self.bind()?;
        let stream = self.stream.cu_stream();
        // SAFETY: regions are of memory that is there (driver.rs), here and below.
        let done = unsafe { result::memset_d8_async(region.address, 0, region.bytes, stream) };
        done.map_err(|e| self.failed("memory cannot be set", e))
    }

    fn upload(&self, from: &[u8], to: Region) -> Result<(), Error> {
        assert_eq!(from.len(), to.bytes);
        self.bind()?;
        let stream = self.stream.cu_stream();
        let mut staging = self.staging.lock().expect("no thread panics with the lock");
        let from = staging.place(from).unwrap_or(from);
        // SAFETY: see `zero`. A copy from memory that is not pinned returns when it has been read, so `from` may go;
        // what is pinned stays as it is until the stream was waited for.
        let done = unsafe { result::memcpy_htod_async(to.address, from, stream) };
        done.map_err(|e| self.failed("nothing can be copied to it", e))
    }

    fn download(&self, from: Region, to: &mut [u8]) -> Result<(), Error> {
        assert_eq!(from.bytes, to.len());
        self.bind()?;
        let stream = self.stream.cu_stream();
        // Nothing is placed there between waiting and reuse.
        let mut staging = self.staging.lock().expect("no thread panics with the lock");
        // SAFETY: see `zero`; `to` is there until the stream is done, which is waited for.
        let done = unsafe { result::memcpy_dtoh_async(to, from.address, stream) };
        let done = done.and(self.stream.synchronize());
        if done.is_ok() {
            staging.reuse();
        }
        let done = done.and_then(|()| self.times.as_ref().map_or(Ok(()), KernelTimes::settle));
        done.map_err(|e| self.failed("nothing can be copied from it", e))
    }

    fn copy(&self, from: Region, to: Region) -> Result<(), Error> {
        assert_eq!(from.bytes, to.bytes);
        self.bind()?;
        let stream = self.stream.cu_stream();
        // SAFETY: see `zero`; lengths are asserted.
        let done = unsafe { result::memcpy_dtod_async(to.address, from.address, from.bytes, stream) };
        done.map_err(|e| self.failed("memory cannot be copied", e))
    }

    fn launch(&self, launch: &Launch<'_>) -> Result<(), Error> {
        self.bind()?;
        let function = self.function(launch.kernel)?;
        let sites: Vec<Raw<super::driver::SiteArgument>> = launch
            .arguments
            .iter()
            .filter_map(|argument| match argument {
                Argument::Site(site) => Some(Raw(*site)),
                _ => None,
            })
            .collect();
        let mut sites = sites.iter();
        let mut builder = self.stream.launch_builder(&function);
        for argument in launch.arguments {
            match argument {
                Argument::Pointer(value) | Argument::Size(value) => builder.arg(value),
                Argument::U32(value) => builder.arg(value),
                Argument::F32(value) => builder.arg(value),
                Argument::F64(value) => builder.arg(value),
                Argument::Site(_) => match sites.next() {
                    Some(site) => builder.arg(site),
                    None => unreachable!("a site for each"),
                },
            };
        }
        let config = LaunchConfig {
            grid_dim: (launch.grid[0], launch.grid[1], 1),
            block_dim: (launch.threads, 1, 1),
            shared_mem_bytes: launch.shared_bytes,
        };
        // SAFETY: the arguments are of the kernel's types, and it stays inside of the memory they name (kernels.rs).
        let done = self.timed(|| launch.kernel.to_owned(), || unsafe { builder.launch(config) });
        done.map_err(|e| self.failed(&format!("kernel {} does not start", launch.kernel), e))?;
        Ok(())
    }

    fn product(&self, product: &Product) -> Result<(), Error> {
        self.bind()?;
        let int = |value: usize| c_int::try_from(value).expect("a dimension is below 2^31");
        let long = |value: usize| value as c_longlong;
        let turned = |operand: &ProductOperand| match operand.transposed {
            false => cublas::sys::cublasOperation_t::CUBLAS_OP_N,
            true => cublas::sys::cublasOperation_t::CUBLAS_OP_T,
        };
        let at = |operand: &ProductOperand| operand.region.address as usize as *mut c_void;
        let (a, b, c) = (&product.a, &product.b, &product.c);
        // SAFETY: product.rs has asserted that the matrices have these shapes in their regions, and that the result
        // overlaps no operand; alpha and beta are read before this returns.
        let multiply = || unsafe {
            cublas::result::gemm_strided_batched_ex(
                *self.blas.handle(),
                turned(a),
                turned(b),
                int(product.m),
                int(product.n),
                int(product.k),
                (&raw const product.alpha).cast(),
                at(a),
                blas_type(a.dtype),
                int(a.leading),
                long(a.stride),
                at(b),
                blas_type(b.dtype),
                int(b.leading),
                long(b.stride),
                (&raw const product.beta).cast(),
                at(c),
                blas_type(c.dtype),
                int(c.leading),
                long(c.stride),
                int(product.batch),
                cublas::sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
                cublas::sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        };
        self.timed(|| product.to_string(), multiply).map_err(|e| {
            Error::Device(format!(
                "GPU {}: cuBLAS: {e:?} in a product of {} x {} x {}",
                self.number, product.m, product.n, product.k
            ))
        })
    }

    fn sum(&self, region: Region, over: &mut Communicator) -> Result<(), Error> {
        self.bind()?;
        let mut nccl = self.nccl.lock().expect("no thread panics with the lock");
        let nccl = match &mut *nccl {
            Some(nccl) => nccl,
            none => none.insert(Nccl::join(self.number, over)?),
        };
        nccl.sum(region, &self.stream)
    }
}
