//! The options by which several processes train one model, and how those begin and end together.

use super::output::tell;
use super::settings::DeviceArgs;
use crate::processes::{self, Children, Communicator, Membership, Watch};
use anyhow::{bail, ensure};
use clap::Args;
use std::env;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Debug, Args)]
pub(super) struct ProcessArgs {
    /// GPUs of this machine that train together, as 0,1,2,3, a process each. Where torchrun or a script starts the
    /// processes (WORLD_SIZE, RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT), process LOCAL_RANK takes the GPU at that
    /// place of the list.
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', conflicts_with = "device")]
    devices: Vec<u16>,
    /// Processes of this machine that train together, where --device is not a GPU. --threads is of each; without it
    /// they share the cores.
    #[arg(long, value_name = "N", conflicts_with = "devices")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=256))]
    processes: Option<u16>,
}

/// What there is to know and to end of processes that have found each other.
pub(super) struct Joined {
    /// The GPU of this process, if the list of them says it.
    pub gpu: Option<usize>,
    /// Processes on this machine, as far as is known.
    pub on_machine: usize,
    watch: Option<Arc<Watch>>,
    children: Children,
}

impl ProcessArgs {
    /// Finds the other processes, or starts them; returns when all are there.
    pub(super) fn join(&self, device: &DeviceArgs) -> anyhow::Result<(Communicator, Joined)> {
        let member = Membership::of_environment(|name| env::var(name).ok())?;
        let gpu = self.gpu(member.as_ref())?;
        let started = match self.processes {
            None => self.devices.len(),
            Some(_) if device.is_gpu() => bail!("--processes is for the CPU; name the GPUs by --devices 0,1"),
            Some(processes) => processes.into(),
        };
        if let (Some(member), Some(processes)) = (&member, self.processes) {
            ensure!(
                member.local_size == Some(processes.into()),
                "--processes {processes} starts processes, and WORLD_SIZE={} in the environment says that they are started already; \
                 leave out one of the two",
                member.size
            );
        }
        let local_size = member.as_ref().and_then(|member| member.local_size);
        let (communicator, children) = processes::join(member.as_ref(), started, |line| tell(line))?;
        let joined = Joined {
            gpu,
            on_machine: local_size.unwrap_or(started).max(1),
            watch: communicator.watch(),
            children,
        };
        Ok((communicator, joined))
    }

    fn gpu(&self, member: Option<&Membership>) -> anyhow::Result<Option<usize>> {
        for (i, gpu) in self.devices.iter().enumerate() {
            ensure!(
                !self.devices[..i].contains(gpu),
                "--devices names GPU {gpu} twice; a process needs one of its own"
            );
        }
        if self.devices.is_empty() {
            return Ok(None);
        }
        let place = member.map_or(0, |member| member.local_rank);
        match self.devices.get(place) {
            Some(gpu) => Ok(Some((*gpu).into())),
            None => bail!(
                "LOCAL_RANK={place}, and --devices names {} GPUs; name one for each process of a machine",
                self.devices.len()
            ),
        }
    }
}

impl Joined {
    /// Ends with the others: all are done, or one says why not.
    pub(super) fn end(mut self, ended: anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
        let Some(watch) = &self.watch else {
            return ended;
        };
        let told = match &ended {
            Ok(_) => {
                watch.done();
                false
            }
            Err(e) => watch.fail(&format!("{e:#}")),
        };
        self.children.wait();
        match told {
            true => Ok(ExitCode::from(2)),
            false => ended,
        }
    }
}
