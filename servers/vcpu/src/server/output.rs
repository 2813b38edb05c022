//! Lines that are collected behind the lock and printed outside of it.

use crate::{Event, VcpuId};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Bytes after which a guest's line is printed though it has not ended.
const LONGEST_LINE: usize = 200;

/// What is to be printed.
#[derive(Debug, Default)]
pub struct Output {
    lines: Vec<String>,
    /// The line that the guest is writing.
    unfinished: Vec<u8>,
    /// The page that was last reported absent, so that every try is not a line.
    last_absent: Option<u64>,
}

impl Output {
    /// Adds a line.
    pub fn line(&mut self, text: &str) {
        self.lines.push(text.to_string());
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
            self.lines.push(line);
        }
    }

    /// Adds an event.
    pub fn event(&mut self, event: Event) {
        self.lines.push(describe(event));
    }

    /// Adds that an exit met an absent page, once for each page in turn.
    pub fn absent(&mut self, vcpu: VcpuId, address: u64) {
        let page = address & !(abi::PAGE_SIZE - 1);
        if self.last_absent.replace(page) != Some(page) {
            self.lines.push(format!(
                "vCPU {} waits for the page at {page:#x}",
                vcpu.index()
            ));
        }
    }

    /// Takes the lines, or `None` where there are none; the guest's unfinished line stays.
    pub fn take(&mut self) -> Option<Self> {
        if self.lines.is_empty() {
            return None;
        }
        let lines = core::mem::take(&mut self.lines);
        Some(Self {
            lines,
            ..Self::default()
        })
    }

    /// Prints the lines.
    pub fn print(&self, name: &str) {
        for line in &self.lines {
            rt::log!("guest {name}: {line}");
        }
    }
}

/// Returns the line of an event.
fn describe(event: Event) -> String {
    match event {
        Event::Unclaimed {
            vcpu,
            address,
            program_counter,
        } => format!(
            "vCPU {} accessed {address:#x}, where nothing is, at {program_counter:#x}",
            vcpu.index()
        ),
        Event::UnsupportedAccess {
            vcpu,
            address,
            instruction,
        } => format!(
            "vCPU {} accessed the device at {address:#x} by an instruction that no device serves: {instruction:#010x}",
            vcpu.index()
        ),
        Event::UnexpectedExit { vcpu, class } => {
            format!(
                "vCPU {} made an exit that it should not: {class:?}",
                vcpu.index()
            )
        }
        Event::Lifecycle(lifecycle) => format!("{lifecycle:?}"),
    }
}
