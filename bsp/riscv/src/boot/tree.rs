//! What the device tree says of the machine (Devicetree Specification 0.4).

use abi::boot::NodeRange;
use abi::node::NodeRanges;
use heapless::Vec;
use kernel::boot::Range;
use kernel::ranges::{Ranges, whole_pages};
use riscv_regs::tree::{Node, Tree, number};
use riscv_regs::{ExtensionSet, isa};

/// The machine.
pub struct Host<'a> {
    /// All memory.
    pub memory: Ranges,
    /// Memory of NUMA nodes.
    pub nodes: NodeRanges,
    /// Memory that is not the kernel's to use.
    pub reserved: Ranges,
    /// Device memory for drivers.
    pub devices: Ranges,
    /// Harts that can be started; the boot hart first.
    pub harts: Vec<u64, { abi::MAX_CORES }>,
    /// How many more harts there are than the kernel has cores.
    pub too_many: usize,
    /// The interrupt controller, if it is a PLIC.
    pub plic: Option<Range>,
    /// The interrupt controller's supervisor domain, if it is an APLIC that sends messages.
    pub aplic: Option<Range>,
    /// The PLIC's context, or the index of the IMSIC's file, of each hart's supervisor mode, in the
    /// order of `harts`; the handles of their own controllers until the devices are read.
    pub contexts: Vec<u64, { abi::MAX_CORES }>,
    /// The boot bundle.
    pub bundle: Option<Range>,
    /// Random bits of the firmware; zeros where there are none.
    pub seed: [u64; 4],
    /// Ticks per second of the time counter.
    pub ticks_per_second: u64,
    /// The extensions that every hart has.
    pub extensions: ExtensionSet,
    /// Bytes of the blocks of Zicbom and of Zicboz; 0 where the harts differ or do not say.
    pub blocks: [u32; 2],
    tree: Tree<'a>,
}

/// Size of a block before the first hart was read: no device tree has it, for it is no power of two.
const ANY: u32 = u32::MAX;
/// Supervisor external interrupt, as interrupts-extended names it.
const SUPERVISOR_EXTERNAL: u64 = 9;

/// Returns cell `index` of a property of cells.
#[inline(never)]
fn cell(bytes: &[u8], index: usize) -> Option<u64> {
    bytes.chunks_exact(4).nth(index).map(number)
}

/// Returns whether a property is a string list that has an entry.
#[inline(never)]
fn lists(node: Node<'_>, property: &str, entry: &str) -> bool {
    node.property(property).is_some_and(|list| {
        list.split(|byte| *byte == 0)
            .any(|item| item == entry.as_bytes())
    })
}

/// Returns the rows of a reg property with two address and two size cells.
fn ranges(node: Node<'_>) -> impl Iterator<Item = Range> {
    let rows = node.property("reg").unwrap_or(&[]).chunks_exact(16);
    rows.filter_map(|row| {
        let (base, length) = row.split_at_checked(8)?;
        Some(Range {
            base: number(base),
            length: number(length),
        })
    })
}

/// Adds the pages that a node's registers or memory touch.
#[inline(never)]
fn add_touched(to: &mut Ranges, node: Node<'_>) {
    ranges(node).for_each(|range| to.add(whole_pages(range)));
}

impl<'a> Host<'a> {
    /// Reads the device tree; `boot_hart` becomes the first of the harts.
    ///
    /// # Errors
    ///
    /// What is missing.
    pub fn read(bytes: &'a [u8], boot_hart: u64) -> Result<Self, &'static str> {
        let tree = Tree::new(bytes).ok_or("the firmware passed no device tree")?;
        let mut host = Self {
            memory: Ranges::default(),
            nodes: NodeRanges::default(),
            reserved: Ranges::default(),
            devices: Ranges::default(),
            harts: Vec::new(),
            too_many: 0,
            plic: None,
            aplic: None,
            contexts: Vec::new(),
            bundle: None,
            seed: [0; 4],
            ticks_per_second: 0,
            extensions: ExtensionSet::from_words([u64::MAX; 2]),
            blocks: [ANY; 2],
            tree,
        };
        host.read_memory();
        host.read_harts(boot_hart);
        host.read_devices();
        host.read_chosen();
        if host.memory.as_slice().is_empty() || host.ticks_per_second == 0 {
            return Err("the device tree names no memory, or no timebase-frequency");
        }
        Ok(host)
    }

    /// Reads memory and reservations.
    fn read_memory(&mut self) {
        for node in self
            .tree
            .nodes()
            .next()
            .into_iter()
            .flat_map(Node::children)
        {
            if lists(node, "device_type", "memory") {
                let memory = node;
                let node = memory.cells("numa-node-id").unwrap_or(0);
                for range in ranges(memory) {
                    self.memory.add(range);
                    self.nodes.add(NodeRange {
                        base: range.base,
                        length: range.length,
                        node,
                    });
                }
            }
            if node.name() == b"reserved-memory" {
                for child in node.children() {
                    add_touched(&mut self.reserved, child);
                }
            }
        }
        for (base, length) in self.tree.reservations() {
            self.reserved.add(Range { base, length });
        }
    }

    /// Reads the harts and what all of them can do.
    fn read_harts(&mut self, boot_hart: u64) {
        self.harts.extend([boot_hart]);
        self.contexts.extend([0]);
        let Some(cpus) = self.tree.child_of_root("cpus") else {
            return;
        };
        self.ticks_per_second = cpus.cells("timebase-frequency").unwrap_or(0);
        for cpu in cpus.children() {
            let is_cpu = lists(cpu, "device_type", "cpu");
            let is_okay = cpu.property("status").is_none() || lists(cpu, "status", "okay");
            let Some(hart) = cpu.cells("reg").filter(|_| is_cpu && is_okay) else {
                continue;
            };
            self.note_abilities(cpu);
            let handle = handle_of_controller(cpu).unwrap_or(0);
            if hart == boot_hart {
                self.contexts[0] = handle;
            } else if self.harts.push(hart).is_err() || self.contexts.push(handle).is_err() {
                self.too_many += 1;
            }
        }
    }

    /// Narrows what every hart can do by what this one can.
    fn note_abilities(&mut self, cpu: Node<'_>) {
        self.extensions = self.extensions.intersection(extensions_of(cpu));
        let names = ["riscv,cbom-block-size", "riscv,cboz-block-size"];
        for (known, name) in self.blocks.iter_mut().zip(names) {
            let block = cpu.cells(name).unwrap_or(0) as u32;
            if *known != block {
                *known = if *known == ANY { block } else { 0 };
            }
        }
    }

    /// Reads the interrupt controllers, and which device memory drivers may have.
    fn read_devices(&mut self) {
        let (mut plic, mut files, mut domain) = (None, None, None);
        let mut devices = Ranges::default();
        for node in self.tree.nodes() {
            if lists(node, "compatible", "riscv,plic0")
                || lists(node, "compatible", "sifive,plic-1.0.0")
            {
                plic = Some(node);
            }
            if lists(node, "compatible", "riscv,imsics") && is_supervisor(node) {
                files = Some(node);
            }
            // The machine's domain has the supervisor's as its child, which has none itself.
            if lists(node, "compatible", "riscv,aplic") && node.property("riscv,children").is_none()
            {
                domain = Some(node);
            }
            let is_for_drivers = [
                "ns16550a",
                "snps,dw-apb-uart",
                "virtio,mmio",
                "google,goldfish-rtc",
            ];
            if is_for_drivers
                .iter()
                .any(|name| lists(node, "compatible", name))
            {
                add_touched(&mut devices, node);
            }
        }
        self.devices = devices;
        self.plic = plic.and_then(|plic| ranges(plic).next());
        self.aplic = domain
            .filter(|_| files.is_some())
            .and_then(|domain| ranges(domain).next());
        match files.or(plic) {
            Some(controller) => self.read_contexts(controller),
            None => self.contexts.clear(),
        }
    }

    /// Reads which of a controller's contexts or files is each hart's.
    fn read_contexts(&mut self, controller: Node<'_>) {
        let wanted = controller.property("interrupts-extended").unwrap_or(&[]);
        for hart in &mut self.contexts {
            let context = wanted.chunks_exact(8).position(|row| {
                cell(row, 0) == Some(*hart) && cell(row, 1) == Some(SUPERVISOR_EXTERNAL)
            });
            *hart = context.map_or(0, |context| context as u64);
        }
    }

    /// Reads where the boot bundle is.
    fn read_chosen(&mut self) {
        let Some(chosen) = self.tree.child_of_root("chosen") else {
            return;
        };
        let seed = chosen.property("rng-seed").unwrap_or(&[]);
        for (word, bytes) in self.seed.iter_mut().zip(seed.chunks_exact(8)) {
            *word = number(bytes);
        }
        let start = chosen.cells("linux,initrd-start");
        let end = chosen.cells("linux,initrd-end");
        if let (Some(base), Some(end)) = (start, end)
            && end > base
        {
            self.bundle = Some(Range {
                base,
                length: end - base,
            });
        }
    }
}

/// Returns the handle of a hart's own interrupt controller.
fn handle_of_controller(cpu: Node<'_>) -> Option<u64> {
    let mut children = cpu.children();
    children
        .find(|child| child.property("interrupt-controller").is_some())?
        .cells("phandle")
}

/// Returns whether a controller interrupts harts in supervisor mode.
fn is_supervisor(node: Node<'_>) -> bool {
    cell(node.property("interrupts-extended").unwrap_or(&[]), 1) == Some(SUPERVISOR_EXTERNAL)
}

/// Returns the extensions of a hart.
fn extensions_of(cpu: Node<'_>) -> ExtensionSet {
    if let Some(list) = cpu.property("riscv,isa-extensions") {
        return isa::from_list(list.split(|byte| *byte == 0));
    }
    let text = cpu.property("riscv,isa").unwrap_or(&[]);
    let text = text.split(|byte| *byte == 0).next().unwrap_or(&[]);
    isa::from_string(text).map_or_else(|_| ExtensionSet::default(), |found| found.1)
}
