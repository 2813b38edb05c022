//! What is collected behind the lock and logged outside of it: the guest's own lines as text, for it
//! wrote them for people, and what happened to it as events.

use crate::{Event, VcpuId};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Bytes after which a guest's line is printed though it has not ended.
const LONGEST_LINE: usize = 200;

/// One thing to log.
#[derive(Debug)]
enum Entry {
    /// A line of text.
    Line(String),
    /// What a handler told.
    Event(Event),
    /// An exit met an absent page.
    Absent(VcpuId, u64),
}

/// What is to be logged.
#[derive(Debug, Default)]
pub struct Output {
    entries: Vec<Entry>,
    /// The line that the guest is writing.
    unfinished: Vec<u8>,
    /// The page that was last reported absent, so that every try is not a line.
    last_absent: Option<u64>,
}

impl Output {
    /// Adds a line.
    pub fn line(&mut self, text: &str) {
        self.entries.push(Entry::Line(text.to_string()));
    }

    /// Adds text of the guest's firmware console.
    pub fn text(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                b'\r' => {}
                _ => self.unfinished.push(*byte),
            }
            if self.unfinished.len() >= LONGEST_LINE {
                self.end_line();
            }
        }
    }

    /// Ends the guest's line.
    pub fn end_line(&mut self) {
        if !self.unfinished.is_empty() {
            let line = String::from_utf8_lossy(&self.unfinished).into_owned();
            self.unfinished.clear();
            self.entries.push(Entry::Line(line));
        }
    }

    /// Adds an event.
    pub fn event(&mut self, event: Event) {
        self.entries.push(Entry::Event(event));
    }

    /// Adds that an exit met an absent page, once for each page in turn.
    pub fn absent(&mut self, vcpu: VcpuId, address: u64) {
        let page = address & !(abi::PAGE_SIZE - 1);
        if self.last_absent.replace(page) != Some(page) {
            self.entries.push(Entry::Absent(vcpu, page));
        }
    }

    /// Returns whether there is something to log.
    #[inline]
    pub fn is_due(&self) -> bool {
        !self.entries.is_empty()
    }

    /// Takes what there is; the guest's unfinished line stays.
    pub fn take(&mut self) -> Self {
        Self {
            entries: core::mem::take(&mut self.entries),
            ..Self::default()
        }
    }

    /// Logs all of it.
    pub fn print(&self, name: &str) {
        for entry in &self.entries {
            match entry {
                Entry::Line(line) => rt::log!("guest {name}: {line}"),
                Entry::Event(event) => log_event(name, *event),
                Entry::Absent(vcpu, page) => rt::debug!(
                    "guest {=str}: vCPU {} waits for the page at {=u64:#x}",
                    name,
                    vcpu.index(),
                    *page
                ),
            }
        }
    }
}

/// Logs an event.
fn log_event(name: &str, event: Event) {
    match event {
        Event::Unclaimed {
            vcpu,
            address,
            program_counter,
        } => rt::warn!(
            "guest {=str}: vCPU {} accessed {=u64:#x}, where nothing is, at {=u64:#x}",
            name,
            vcpu.index(),
            address,
            program_counter
        ),
        Event::UnsupportedAccess {
            vcpu,
            address,
            instruction,
        } => rt::warn!(
            "guest {=str}: vCPU {} accessed the device at {=u64:#x} by an instruction that no device serves: {=u32:#010x}",
            name,
            vcpu.index(),
            address,
            instruction
        ),
        Event::UnexpectedExit { vcpu, class } => rt::warn!(
            "guest {=str}: vCPU {} made an exit that it should not: {}",
            name,
            vcpu.index(),
            class
        ),
        Event::Lifecycle(lifecycle) => rt::info!("guest {=str}: {}", name, lifecycle),
    }
}
