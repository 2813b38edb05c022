//! `cargo xtask image`: builds a system's kernel and boot bundle without running them.

use std::process::ExitCode;

use anyhow::Result;

use crate::build::{disk, iso};
use crate::setup;
use crate::workspace::Workspace;

use super::run::SystemArgs;

/// Options of `image`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    system: SystemArgs,
}

/// Builds the system and prints where its files are.
pub fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::open()?;
    setup::rust::ensure()?;
    let system = args.system.build(&workspace)?;
    println!("kernel  {}", system.kernel.display());
    println!("bundle  {}", system.bundle.display());
    if system.machine.is_pc {
        let disc = iso::build(&workspace, &system, None)?;
        println!("disc    {}", disc.display());
        let disk = disk::build(&workspace, &system.kernel, &system.bundle)?;
        println!("disk    {}", disk.display());
    }
    for (package, bytes) in &system.images {
        println!("image   {package:24} {bytes:>9} bytes");
    }
    Ok(ExitCode::SUCCESS)
}
