//! `cargo xtask`: the one entry to building, running, testing, checking and measuring Skerry.
#![forbid(unsafe_code)]

mod build;
mod commands;
mod emulator;
mod guest;
mod host_tests;
mod machine;
mod process;
mod progress;
mod scenario;
mod setup;
mod tally;
mod trace;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use commands::{bench, check, image, run, test};

/// Builds, runs, tests, checks and measures Skerry.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What is asked for.
#[derive(Debug, Subcommand)]
enum Command {
    /// Boots a system in the emulator.
    Run(run::Args),
    /// Builds a system's kernel and boot bundle without running them.
    Image(image::Args),
    /// Runs all tests: on this machine, then in the emulator.
    Test(test::Args),
    /// Checks what every commit has to keep: format, lints, directions, sizes, documentation.
    Check(check::Args),
    /// Measures under the emulator's instruction counter, beside what others need.
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let _ = miette::set_hook(Box::new(|_| {
        Box::new(miette::MietteHandlerOpts::new().width(160).build())
    }));
    let outcome = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Image(args) => image::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Bench(args) => bench::run(&args),
    };
    outcome.unwrap_or_else(|error| {
        report(error);
        ExitCode::FAILURE
    })
}

/// Prints an error: refused manifests with the line they are about, all others as one line.
fn report(error: anyhow::Error) {
    match error.downcast::<manifest::Refusal>() {
        Ok(refusal) if refusal.line == 0 => eprintln!("error: {refusal}"),
        Ok(refusal) => eprintln!("{:?}", miette::Report::new(refusal)),
        Err(error) => eprintln!("error: {error:#}"),
    }
}
