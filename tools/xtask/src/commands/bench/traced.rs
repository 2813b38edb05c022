//! The rows of one system, measured by its programs, with what a trace of the same run says of each.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use ::trace::operation;
use anyhow::{Context, Result, ensure};

use crate::build::system::{System, kernel_package};
use crate::emulator::ending::Ending;
use crate::emulator::session::Options;
use crate::trace::breakdown::Breakdown;
use crate::trace::image::{Attribution, Image};
use crate::trace::known::Book;
use crate::trace::rows::{Piece, Rows};
use crate::trace::{Depth, Tracer};
use crate::workspace::Workspace;

use super::TIMEOUT;
use super::measure::Measurement;

/// What runs systems and looks at what they execute.
#[derive(Debug)]
pub struct Runner<'a> {
    workspace: &'a Workspace,
    tracer: Tracer,
    /// The rows to break down.
    shown: &'a [String],
    /// Rows that have no piece in the trace.
    missed: RefCell<Vec<String>>,
}

impl<'a> Runner<'a> {
    /// Builds what it takes.
    pub fn new(workspace: &'a Workspace, shown: &'a [String]) -> Result<Self> {
        Ok(Self {
            workspace,
            tracer: Tracer::build(workspace)?,
            shown,
            missed: RefCell::default(),
        })
    }

    /// Runs a system whose programs print measurements; `guests` are packages of guests in it.
    pub fn run(
        &self,
        system: &System,
        command: Command,
        guests: &[&str],
    ) -> Result<Vec<Measurement>> {
        let names = &system.compiled.system.guests;
        let options = Options {
            guests: names.iter().map(|guest| guest.name.clone()).collect(),
            timeout: Some(TIMEOUT),
            log: system.log.clone(),
            ..Options::default()
        };
        let machine = operation::Machine::named(system.machine.name).context("unknown machine")?;
        let book = Book::new(machine, Image::read("kernel", &system.kernel)?);
        let (outcome, rows) =
            self.tracer
                .run(command, &options, Depth::Instructions, Rows::new(book))?;
        ensure!(outcome.ending == Ending::Clean, "{}", outcome.ending);
        let mut found: Vec<_> = outcome
            .lines
            .iter()
            .filter_map(|line| Some((Measurement::parse(line)?, has_spread(line))))
            .collect();
        ensure!(!found.is_empty(), "it printed no measurement");
        let marked = found.iter_mut().filter(|(_, is_marked)| *is_marked);
        let marked: Vec<_> = marked.map(|(one, _)| one).collect();
        if marked.len() != rows.marks() {
            let (lines, marks) = (marked.len(), rows.marks());
            let text = format!("{}: {lines} rows and {marks} marks", system.machine.name);
            self.missed.borrow_mut().push(text);
        }
        for (mark, one) in marked.into_iter().enumerate() {
            let Some(piece) = rows.piece(mark, one.value) else {
                let text = format!("{}: the trace has no {}", system.machine.name, one.name);
                self.missed.borrow_mut().push(text);
                continue;
            };
            one.operations = Some(rows.operations(piece));
            if self.shown.contains(&one.name) {
                self.show(system, guests, &rows, (&one.name, piece))?;
            }
        }
        Ok(found.into_iter().map(|(one, _)| one).collect())
    }

    /// Returns what could not be found in traces.
    pub fn missed(&self) -> Vec<String> {
        self.missed.take()
    }

    /// Prints where the instructions of a row are, and writes a listing.
    fn show(
        &self,
        system: &System,
        guests: &[&str],
        rows: &Rows,
        (name, piece): (&str, &Piece),
    ) -> Result<()> {
        let images = self.images(system, guests)?;
        let images = images.iter().chain([rows.book.kernel()]);
        let attribution = Attribution::new(images, rows.book.all())?;
        let known = piece.iter().filter_map(|number| rows.book.get(*number));
        let breakdown = Breakdown::new(&attribution, known.map(|known| known.instruction));
        let machine = system.machine.name;
        print!("{}", breakdown.render(&format!("{machine}: {name}"))?);
        let folder = self.workspace.target().join("skerry/traces");
        fs::create_dir_all(&folder)?;
        let file = folder.join(format!("{machine}-{name}.txt"));
        fs::write(&file, breakdown.listing()?)?;
        println!("\nevery instruction: {}\n", file.display());
        Ok(())
    }

    /// Returns the images of a system's programs, but for the kernel.
    fn images(&self, system: &System, guests: &[&str]) -> Result<Vec<Image>> {
        let kernel = kernel_package(&system.compiled);
        let packages = system.images.iter().map(|(package, _)| package.as_str());
        let packages = packages.chain(guests.iter().copied());
        packages
            .filter(|package| **package != *kernel)
            .map(|package| Image::read(package, &self.executable(system, package)?))
            .collect()
    }

    /// Returns the executable of a package.
    fn executable(&self, system: &System, package: &str) -> Result<PathBuf> {
        let binary = self.workspace.binary(package, system.machine.name)?;
        let folder = self.workspace.target().join(system.machine.target);
        Ok(folder.join("release").join(binary))
    }
}

/// Tells whether a row's line says how far its rounds differ: such a row has its mark.
fn has_spread(line: &str) -> bool {
    line.ends_with(" rounds)") || line.ends_with(" folios)")
}
