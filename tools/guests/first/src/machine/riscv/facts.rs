//! What the device tree says of the machine.

use core::ptr::{addr_of, with_exposed_provenance};
use core::slice;
use core::sync::atomic::AtomicU64;

use riscv_regs::tree::{Node, Tree, number};
use riscv_regs::{Extension, ExtensionSet, isa};
use spin::Once;

use super::firmware;
use crate::interrupts::PROCESSORS;

/// Bytes of the command line that are kept.
const COMMAND_LINE: usize = 256;
/// Ranges of memory, and of what is not to be used in it, that are kept.
const RANGES: usize = 8;
/// The firmware's number under our own vcpu server.
const SKERRY: u64 = 0xff5b;
/// Supervisor external interrupt, as interrupts-extended names it.
const SUPERVISOR_EXTERNAL: u64 = 9;

/// What is known of the machine.
pub struct Facts {
    /// Harts, [`PROCESSORS`] at most.
    pub processors: usize,
    /// Their numbers, the one that booted first.
    pub harts: [u64; PROCESSORS],
    /// How fast time goes.
    pub ticks_per_millisecond: u64,
    /// Address of the interrupt controller and its context for the boot hart, if it is a PLIC.
    pub controller: Option<(u64, u64)>,
    /// Whether it is a virtual machine of ours.
    pub is_virtual: bool,
    /// Whether the boot hart has vector registers.
    pub has_vector: bool,
    memory: [(u64, u64); RANGES],
    reserved: [(u64, u64); RANGES],
    command_line: [u8; COMMAND_LINE],
    command_line_length: usize,
}

/// The machine.
static FACTS: Once<Facts> = Once::new();

/// Returns what is known.
///
/// # Panics
///
/// Before [`read`].
pub fn facts() -> &'static Facts {
    FACTS.get().expect("the device tree was read first")
}

/// Reads the device tree at an address; the boot hart is `hart`.
pub fn read(hart: u64, tree: *const u8) {
    FACTS.call_once(|| {
        // SAFETY: the firmware passes a tree that begins with its length, in memory that nobody
        // writes while it is read.
        let header = unsafe { slice::from_raw_parts(tree, 8) };
        let length = number(header.get(4..8).unwrap_or_default());
        // SAFETY: as above.
        let bytes = unsafe { slice::from_raw_parts(tree, length as usize) };
        Facts::new(Tree::new(bytes).expect("there is a device tree"), hart)
    });
}

/// Returns whether a property is a string list that has an entry.
fn lists(node: Node<'_>, property: &str, entry: &[u8]) -> bool {
    let mut names = node
        .property(property)
        .unwrap_or_default()
        .split(|byte| *byte == 0);
    names.any(|name| name == entry)
}

/// Returns address and size of the rows of a reg property, of two cells each.
fn rows(node: Node<'_>) -> impl Iterator<Item = (u64, u64)> {
    let rows = node.property("reg").unwrap_or_default().chunks_exact(16);
    rows.map(|row| (number(&row[..8]), number(&row[8..])))
}

/// Returns the extensions of a hart.
fn extensions(cpu: Node<'_>) -> ExtensionSet {
    if let Some(list) = cpu.property("riscv,isa-extensions") {
        return isa::from_list(list.split(|byte| *byte == 0));
    }
    let text = cpu.property("riscv,isa").unwrap_or_default();
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    isa::from_string(text).map_or_else(|_| ExtensionSet::default(), |found| found.1)
}

/// Puts rows into the first places that are free.
fn keep(places: &mut [(u64, u64)], rows: impl Iterator<Item = (u64, u64)>) {
    let free = places.iter_mut().filter(|place| place.1 == 0);
    free.zip(rows).for_each(|(place, row)| *place = row);
}

impl Facts {
    /// Returns what the tree says.
    fn new(tree: Tree<'_>, hart: u64) -> Self {
        let mut facts = Self {
            processors: 1,
            harts: [hart; PROCESSORS],
            ticks_per_millisecond: 0,
            controller: None,
            is_virtual: firmware::implementation() == SKERRY,
            has_vector: false,
            memory: [(0, 0); RANGES],
            reserved: [(0, 0); RANGES],
            command_line: [0; COMMAND_LINE],
            command_line_length: 0,
        };
        let handle = facts.read_harts(tree, hart);
        for node in tree.nodes() {
            if lists(node, "device_type", b"memory") {
                keep(&mut facts.memory, rows(node));
            } else if node.name() == b"reserved-memory" {
                node.children()
                    .for_each(|child| keep(&mut facts.reserved, rows(child)));
            } else if lists(node, "compatible", b"riscv,plic0") {
                let context = handle.and_then(|handle| context(node, handle));
                facts.controller = rows(node).next().map(|row| row.0).zip(context);
            } else if let (b"chosen", Some(text)) = (node.name(), node.property("bootargs")) {
                facts.command_line_length = text.len().min(COMMAND_LINE);
                let pairs = facts.command_line.iter_mut().zip(text);
                pairs.for_each(|(place, byte)| *place = *byte);
            }
        }
        keep(&mut facts.reserved, tree.reservations());
        facts
    }

    /// Reads the harts; returns the boot hart's handle as an interrupt parent.
    fn read_harts(&mut self, tree: Tree<'_>, boot: u64) -> Option<u64> {
        let cpus = tree.child_of_root("cpus")?;
        let frequency = cpus.property("timebase-frequency").map_or(0, number);
        self.ticks_per_millisecond = frequency / 1000;
        let mut handle = None;
        for cpu in cpus
            .children()
            .filter(|cpu| lists(*cpu, "device_type", b"cpu"))
        {
            let hart = cpu.property("reg").map_or(0, number);
            if hart == boot {
                self.has_vector = extensions(cpu).contains(Extension::V);
                let mut children = cpu.children();
                handle = children.find_map(|child| child.property("phandle").map(number));
            } else if self.processors < PROCESSORS {
                self.harts[self.processors] = hart;
                self.processors += 1;
            }
        }
        handle
    }

    /// Returns the command line.
    pub fn command_line(&self) -> &[u8] {
        &self.command_line[..self.command_line_length]
    }

    /// Returns the memory behind the guest's own that nobody has reserved.
    pub fn free_memory(&self) -> impl Iterator<Item = &'static [AtomicU64]> {
        let image_end = image_end();
        self.memory.iter().filter_map(move |&(base, length)| {
            let start = image_end.max(base);
            let reserved = self.reserved.iter().filter(|row| row.0 >= start);
            let end = reserved.map(|row| row.0).fold(base + length, u64::min);
            words(start, end)
        })
    }
}

/// Returns the words from `start` to `end`.
fn words(start: u64, end: u64) -> Option<&'static [AtomicU64]> {
    let length = end.checked_sub(start)? / 8;
    let first = with_exposed_provenance::<AtomicU64>(start as usize);
    // SAFETY: it is memory behind the image, which holds the stacks too; the device tree, which is
    // somewhere in it, was read before. Words are atomics, so that they may be written.
    Some(unsafe { slice::from_raw_parts(first, length as usize) })
}

/// Returns the first address behind the guest's own.
fn image_end() -> u64 {
    unsafe extern "C" {
        static _image_end: u8;
    }
    // The linker's symbol is an address; nothing is there.
    addr_of!(_image_end).addr() as u64
}

/// Returns the controller's context for the supervisor external interrupt of a hart.
fn context(controller: Node<'_>, handle: u64) -> Option<u64> {
    let pairs = controller.property("interrupts-extended")?.chunks_exact(8);
    let mut pairs = pairs.map(|pair| (number(&pair[..4]), number(&pair[4..])));
    let position = pairs.position(|pair| pair == (handle, SUPERVISOR_EXTERNAL))?;
    u64::try_from(position).ok()
}
