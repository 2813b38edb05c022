//! The emulators: which there are, and how each is made to boot a system.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde::Deserialize;

use crate::build::system::System;
use crate::machine::Machine;
use crate::setup;
use crate::workspace::Workspace;

use super::command::MachineArgs;
use super::launch::Launch;

/// An emulator, as the command line and scenarios name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// QEMU, for every machine.
    #[default]
    Qemu,
    /// Bochs, for x86-64 with VMX.
    Bochs,
    /// Hercules, for s390x with SIE.
    Hercules,
}

/// An emulator that is there to be used.
#[derive(Clone, Debug)]
pub struct Emulator {
    kind: Kind,
    /// Its program, or the folder that it was unpacked into.
    pub path: PathBuf,
}

impl Kind {
    /// Returns the emulator, fetching it where it is missing; `chosen` takes its place.
    pub fn ensure(
        self,
        workspace: &Workspace,
        machine: &Machine,
        chosen: Option<&Path>,
    ) -> Result<Emulator> {
        ensure!(
            machine.emulators.contains(&self),
            "machine `{}` does not run on {self:?}",
            machine.name
        );
        let path = match self {
            Self::Qemu => setup::qemu::ensure(workspace, &machine.qemu, chosen)?,
            Self::Bochs => setup::bochs::ensure(workspace, chosen)?,
            Self::Hercules => setup::hercules::ensure(workspace, chosen)?,
        };
        Ok(Emulator { kind: self, path })
    }
}

impl Emulator {
    /// Returns what boots `system` on the machine that `args` describe.
    pub fn launch(
        &self,
        workspace: &Workspace,
        args: &MachineArgs,
        system: &System,
    ) -> Result<Launch> {
        match self.kind {
            Kind::Qemu => {
                let command = args.command(workspace, &self.path, system)?;
                Ok(Launch::plain(command))
            }
            Kind::Bochs => super::bochs::launch(workspace, &self.path, args, system),
            Kind::Hercules => super::hercules::launch(workspace, &self.path, system, None),
        }
    }
}
