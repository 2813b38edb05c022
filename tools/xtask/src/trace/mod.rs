//! Traces of an emulated machine: every instruction in its order, and with it every access to memory.
//!
//! `tracer`, a plugin of QEMU, writes [`Record`]s into a pipe, and a [`Sink`] takes them as they come:
//! a run of 10^8 instructions is 400 MB, which nobody keeps. Counters that programs read are what they
//! are without it.

pub mod breakdown;
pub mod image;
pub mod known;
pub mod lines;
pub mod longest;
pub mod rows;
pub mod verdict;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use ::trace::record::Record;
use anyhow::{Context, Result, anyhow, ensure};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::emulator::launch::Launch;
use crate::emulator::session::{self, Options, Outcome};
use crate::process;
use crate::workspace::Workspace;

/// Takes the records of a trace.
pub trait Sink: Send {
    /// Takes the next one.
    fn take(&mut self, record: &Record);
}

/// What is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Instructions.
    Instructions,
    /// Accesses to memory too.
    Accesses,
}

/// The plugin, ready to be loaded.
#[derive(Debug)]
pub struct Tracer {
    library: PathBuf,
    folder: PathBuf,
}

impl Tracer {
    /// Builds the plugin.
    pub fn build(workspace: &Workspace) -> Result<Self> {
        let mut command = process::cargo();
        let arguments = ["build", "--quiet", "--release", "--package", "tracer"];
        process::run(command.current_dir(workspace.root()).args(arguments))?;
        let folder = workspace.target().join("skerry");
        fs::create_dir_all(&folder)?;
        let library = workspace.target().join("release/libtracer.so");
        ensure!(library.is_file(), "{} was not built", library.display());
        Ok(Self { library, folder })
    }

    /// Runs an emulator's command to its end, with `sink` for what it executes.
    pub fn run<S: Sink>(
        &self,
        mut command: Command,
        options: &Options,
        depth: Depth,
        mut sink: S,
    ) -> Result<(Outcome, S)> {
        let pipe = Pipe::new(&self.folder)?;
        command.arg("-plugin").arg(self.argument(&pipe.0, depth));
        thread::scope(|scope| {
            let reader = scope.spawn(|| read(&pipe.0, &mut sink));
            let outcome = session::run(Launch::plain(command), options);
            // An emulator that did not start never opened the pipe: the reader still waits for that.
            let opened = File::options().read(true).write(true).open(&pipe.0);
            drop(opened.context("cannot open the pipe of the trace")?);
            let read = reader.join().map_err(|_| anyhow!("reading the trace"))?;
            let outcome = outcome?;
            read.context("the trace")?;
            Ok(outcome)
        })
        .map(|outcome| (outcome, sink))
    }

    /// Returns the value of `-plugin`.
    fn argument(&self, pipe: &Path, depth: Depth) -> OsString {
        let mut argument = self.library.clone().into_os_string();
        argument.push(",out=");
        argument.push(pipe);
        if depth == Depth::Accesses {
            argument.push(",memory=on");
        }
        argument
    }
}

/// A named pipe, which is gone when this is.
struct Pipe(PathBuf);

impl Pipe {
    /// Makes one in a folder.
    fn new(folder: &Path) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("trace-{}-{number}", std::process::id()));
        let _ = fs::remove_file(&path);
        let mode = Mode::RUSR | Mode::WUSR;
        mknodat(CWD, &path, FileType::Fifo, mode, 0)
            .with_context(|| format!("cannot make the pipe {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Bytes that are read at a time.
const BATCH: usize = 1 << 20;

/// Gives the records of a pipe to the sink, until it is closed.
fn read(pipe: &Path, sink: &mut impl Sink) -> Result<()> {
    let mut file = File::open(pipe)?;
    let mut bytes = vec![0; BATCH];
    let mut kept = 0;
    let mut words = Vec::new();
    loop {
        let count = match file.read(&mut bytes[kept..]) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        let (whole, rest) = bytes[..kept + count].as_chunks::<4>();
        words.extend(whole.iter().map(|word| u32::from_le_bytes(*word)));
        let (start, length) = (whole.len() * 4, rest.len());
        bytes.copy_within(start..start + length, 0);
        kept = length;
        let used = give(&words, sink);
        words.drain(..used);
        ensure!(
            words.len() < ::trace::record::WORDS,
            "it has something that is no record"
        );
    }
    // A machine that was ended from outside leaves a record unfinished, but no other one out.
    Ok(())
}

/// Gives all whole records to the sink; returns how many words they have.
fn give(words: &[u32], sink: &mut impl Sink) -> usize {
    let mut used = 0;
    while let Some((record, length)) = Record::read(&words[used..]) {
        sink.take(&record);
        used += length;
    }
    used
}
