//! The programs that log, and the strings of their events.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use api::frame::FIRST_PROCESS;
use defmt_decoder::{Encoding, Table};
use manifest::compiled::System;

/// The strings of one ELF file.
#[derive(Clone)]
pub struct Program(Option<Arc<Table>>);

impl Program {
    /// Reads the strings of an ELF file; one that does not log has none.
    ///
    /// # Errors
    ///
    /// The file is none, or of another version of defmt.
    pub fn read(elf: &[u8]) -> Result<Self> {
        let table = Table::parse(elf)?;
        if let Some(table) = &table {
            ensure!(
                table.encoding() == Encoding::Raw,
                "its events are encoded, which `rt` does not do"
            );
        }
        Ok(Self(table.map(Arc::new)))
    }

    /// Returns level and message of an event, or `None` where it is none of this program.
    fn decode(&self, event: &[u8]) -> Option<String> {
        let (frame, length) = self.0.as_ref()?.decode(event).ok()?;
        if length != event.len() {
            return None;
        }
        let message = frame.display_message().to_string();
        let level = frame.level().map(|level| level.as_str().to_uppercase());
        Some(format!("{} {message}", level.unwrap_or_default()))
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let strings = self.0.as_ref().map_or(0, |table| table.indices().count());
        write!(formatter, "Program({strings} strings)")
    }
}

/// The programs of a system, by the tags of their frames. A copy shares their strings.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    programs: BTreeMap<u16, (String, Program)>,
}

impl Programs {
    /// Returns the programs of a system whose first process is `init`; `elf` gives the ELF file of a
    /// package, with its symbols.
    ///
    /// # Errors
    ///
    /// What `elf` says, and an ELF file whose strings cannot be read.
    pub fn of_system(
        system: &System,
        init: &str,
        mut elf: impl FnMut(&str) -> Result<Vec<u8>>,
    ) -> Result<Self> {
        let mut read = BTreeMap::new();
        let mut programs = Self::default();
        let first = (FIRST_PROCESS, init, init);
        let others = system.processes.iter().zip(1..);
        let others = others.map(|(process, tag)| (tag, &*process.name, &*process.image));
        for (tag, name, package) in others.chain([first]) {
            if !read.contains_key(package) {
                let program = elf(package).and_then(|bytes| Program::read(&bytes));
                let program = program.with_context(|| format!("the log of `{package}`"))?;
                read.insert(package.to_owned(), program);
            }
            programs.add(tag, name, read[package].clone());
        }
        Ok(programs)
    }

    /// Adds the program of the process called `name`, whose frames have this tag.
    pub fn add(&mut self, tag: u16, name: &str, program: Program) {
        self.programs.insert(tag, (name.to_owned(), program));
    }

    /// Returns the line for an event, without its end: one line, whatever the event has in it.
    #[must_use]
    pub fn line(&self, tag: u16, event: &[u8]) -> String {
        let unknown = (format!("tag {tag}"), Program(None));
        let (name, program) = self.programs.get(&tag).unwrap_or(&unknown);
        let text = program
            .decode(event)
            .unwrap_or_else(|| format!("ERROR no event of this program: {event:02x?}"));
        let mut line = format!("[{name}] ");
        for character in text.chars() {
            if character.is_control() {
                line.extend(character.escape_default());
            } else {
                line.push(character);
            }
        }
        line
    }
}
