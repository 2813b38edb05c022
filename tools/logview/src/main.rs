//! Decodes a recorded serial line: `logview --bundle BUNDLE --programs FOLDER < LINE`.
#![forbid(unsafe_code)]

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use abi::bundle::Bundle;
use anyhow::{Context, Result, anyhow};
use clap::Parser;
use logview::{Program, Programs, Translator};
use manifest::Machine;
use manifest::compiled::{ENTRY_NAME, System};

/// Prints a recorded serial line with every log frame as a line of text.
#[derive(Debug, Parser)]
#[command(name = "logview")]
struct Args {
    /// The boot bundle that ran: its manifest names the processes.
    #[arg(long, value_name = "FILE", requires = "programs")]
    bundle: Option<PathBuf>,
    /// The folder with the programs that ran, as cargo builds them: PACKAGE or PACKAGE-MACHINE.
    #[arg(long, value_name = "FOLDER", requires = "bundle")]
    programs: Option<PathBuf>,
    /// The package of the first process.
    #[arg(long, value_name = "PACKAGE", default_value = "init")]
    first: String,
    /// One process more, or in place of the bundle's: its tag, and its ELF file with symbols.
    #[arg(long = "elf", value_name = "TAG=FILE", value_parser = numbered)]
    elves: Vec<(u16, PathBuf)>,
    /// The line was a console of lines (SCLP line mode).
    #[arg(long)]
    line_mode: bool,
    /// The recorded line; standard input where it is not given.
    line: Option<PathBuf>,
}

/// Returns tag and file of an `--elf`.
fn numbered(text: &str) -> Result<(u16, PathBuf), String> {
    let (tag, file) = text.split_once('=').ok_or("write TAG=FILE")?;
    let tag = tag.parse().map_err(|_| "a tag is a number up to 65535")?;
    Ok((tag, PathBuf::from(file)))
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut programs = match (&args.bundle, &args.programs) {
        (Some(bundle), Some(folder)) => of_bundle(bundle, folder, &args.first)?,
        _ => Programs::default(),
    };
    for (tag, file) in &args.elves {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let program = Program::read(&read(file)?).with_context(|| shown(file))?;
        programs.add(*tag, &name, program);
    }
    let mut translator = Translator::new(programs).with_line_mode(args.line_mode);
    let mut line = Vec::new();
    match &args.line {
        Some(file) => line = read(file)?,
        None => drop(io::stdin().lock().read_to_end(&mut line)?),
    }
    let mut output = io::stdout().lock();
    output.write_all(&translator.take(&line))?;
    output.write_all(&translator.finish())?;
    Ok(())
}

/// Returns the programs of the system in a bundle.
fn of_bundle(bundle: &Path, folder: &Path, first: &str) -> Result<Programs> {
    let bytes = read(bundle)?;
    let bad = |what: String| anyhow!("{}: {what}", shown(bundle));
    let parsed = Bundle::parse(&bytes).map_err(|error| bad(format!("{error:?}")))?;
    let entry = parsed
        .find(ENTRY_NAME)
        .ok_or_else(|| bad("no manifest".to_owned()))?;
    let data = parsed
        .data(&entry)
        .map_err(|error| bad(format!("{error:?}")))?;
    let system = System::decode(data).map_err(|error| bad(format!("{error:?}")))?;
    let machine = Machine::find(&system.machine);
    let family = machine.map_or("", |machine| machine.bsp);
    Programs::of_system(&system, first, |package| {
        let names = [package.to_owned(), format!("{package}-{family}")];
        let file = names.iter().map(|name| folder.join(name));
        let file = file.into_iter().find(|file| file.is_file());
        read(&file.with_context(|| format!("{} has no `{package}`", shown(folder)))?)
    })
}

/// Returns the bytes of a file.
fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", shown(file)))
}

/// Returns how a path is shown.
fn shown(file: &Path) -> String {
    file.display().to_string()
}
