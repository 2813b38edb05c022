//! The guest's device tree (Devicetree Specification 0.4; Linux bindings of RISC-V, PLIC, 8250).

use super::loader::{Memory, Place};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use riscv_regs::isa::{Offer, validate};
use riscv_regs::translation::Mode;
use riscv_regs::{Extension, ExtensionSet, Interrupt, Xlen};
use vm_fdt::{FdtWriter, FdtWriterResult};

/// Clock of every serial port, in hertz: 115200 baud is divisor 2.
const SERIAL_CLOCK: u32 = 3_686_400;
/// Handle of the interrupt controller; hart `h`'s own is `h + FIRST_HART`.
const PLIC_HANDLE: u32 = 1;
/// Handle of the first hart's own interrupt controller.
const FIRST_HART: u32 = 2;

/// A guest-physical range of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First address.
    pub base: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A serial port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serial {
    /// Its registers.
    pub range: Range,
    /// Its interrupt source.
    pub interrupt: u32,
}

/// What the guest is told about its machine.
#[derive(Clone, Copy, Debug)]
pub struct Description<'a> {
    /// Number of harts; hart ids are 0 to `harts - 1`.
    pub harts: u32,
    /// What every hart can do; extensions that do not fit together are left out.
    pub abilities: Offer,
    /// Largest mode of satp.
    pub mode: Mode,
    /// Ticks per second of the counter.
    pub timebase: u32,
    /// The memory.
    pub memory: Memory,
    /// Registers of the interrupt controller.
    pub plic: Range,
    /// Sources of the interrupt controller.
    pub sources: u32,
    /// Serial ports; the first is the console.
    pub serials: &'a [Serial],
    /// Command line.
    pub command_line: &'a str,
    /// Where the initial RAM disk lies.
    pub initrd: Option<Place>,
    /// Bytes that seed the guest's random numbers.
    pub seed: Option<&'a [u8]>,
}

/// Why no device tree was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeError {
    /// A string has a zero byte in it.
    Text,
    /// The tree would be larger than the format allows.
    Format,
}

/// Returns what a guest's harts have: what every guest of this project gets, and what the machine
/// offers.
#[must_use]
pub fn abilities(machine: Offer) -> Offer {
    use Extension::{A, C, D, F, I, M, Zicntr, Zicsr, Zifencei};
    let basic: ExtensionSet = [I, M, A, F, D, C, Zicntr, Zicsr, Zifencei]
        .into_iter()
        .collect();
    Offer {
        extensions: basic.union(machine.extensions),
        ..machine
    }
}

/// Returns the device tree blob.
///
/// # Errors
///
/// [`TreeError`] where something cannot be expressed.
pub fn device_tree(description: &Description<'_>) -> Result<Vec<u8>, TreeError> {
    write_tree(description).map_err(|error| match error {
        vm_fdt::Error::InvalidString => TreeError::Text,
        _ => TreeError::Format,
    })
}

/// Writes the whole tree.
fn write_tree(description: &Description<'_>) -> FdtWriterResult<Vec<u8>> {
    let mut writer = FdtWriter::new()?;
    let root = writer.begin_node("")?;
    writer.property_u32("#address-cells", 2)?;
    writer.property_u32("#size-cells", 2)?;
    writer.property_string("compatible", "riscv-virtio")?;
    writer.property_string("model", "skerry,guest")?;
    write_chosen(&mut writer, description)?;
    write_harts(&mut writer, description)?;
    write_memory(&mut writer, description.memory)?;
    let soc = writer.begin_node("soc")?;
    writer.property_u32("#address-cells", 2)?;
    writer.property_u32("#size-cells", 2)?;
    writer.property_string("compatible", "simple-bus")?;
    writer.property_null("ranges")?;
    write_plic(&mut writer, description)?;
    for serial in description.serials {
        write_serial(&mut writer, serial)?;
    }
    writer.end_node(soc)?;
    writer.end_node(root)?;
    writer.finish()
}

/// Returns the name of a serial port's node.
fn serial_name(serial: &Serial) -> String {
    format!("serial@{:x}", serial.range.base)
}

/// Writes `/chosen`.
fn write_chosen(writer: &mut FdtWriter, description: &Description<'_>) -> FdtWriterResult<()> {
    let chosen = writer.begin_node("chosen")?;
    writer.property_string("bootargs", description.command_line)?;
    if let Some(serial) = description.serials.first() {
        writer.property_string("stdout-path", &format!("/soc/{}", serial_name(serial)))?;
    }
    if let Some(initrd) = description.initrd {
        writer.property_u64("linux,initrd-start", initrd.address)?;
        writer.property_u64("linux,initrd-end", initrd.address + initrd.bytes)?;
    }
    if let Some(seed) = description.seed {
        writer.property("rng-seed", seed)?;
    }
    writer.end_node(chosen)
}

/// Writes `/cpus`.
fn write_harts(writer: &mut FdtWriter, description: &Description<'_>) -> FdtWriterResult<()> {
    let wanted = description.abilities.extensions;
    let extensions = validate(Xlen::Rv64, wanted).accepted;
    let isa = isa_string(wanted.intersection(extensions));
    let names = isa_names(extensions);
    let harts = writer.begin_node("cpus")?;
    writer.property_u32("#address-cells", 1)?;
    writer.property_u32("#size-cells", 0)?;
    writer.property_u32("timebase-frequency", description.timebase)?;
    for hart in 0..description.harts {
        let node = writer.begin_node(&format!("cpu@{hart:x}"))?;
        writer.property_string("device_type", "cpu")?;
        writer.property_u32("reg", hart)?;
        writer.property_string("status", "okay")?;
        writer.property_string("compatible", "riscv")?;
        writer.property_string("riscv,isa", &isa)?;
        writer.property_string("riscv,isa-base", "rv64i")?;
        writer.property_string_list("riscv,isa-extensions", names.clone())?;
        write_blocks(writer, description.abilities)?;
        writer.property_string("mmu-type", description.mode.device_tree_name())?;
        let controller = writer.begin_node("interrupt-controller")?;
        writer.property_u32("#interrupt-cells", 1)?;
        writer.property_null("interrupt-controller")?;
        writer.property_string("compatible", "riscv,cpu-intc")?;
        writer.property_phandle(FIRST_HART + hart)?;
        writer.end_node(controller)?;
        writer.end_node(node)?;
    }
    writer.end_node(harts)
}

/// Writes the sizes of the blocks that Zicbom and Zicboz act on.
fn write_blocks(writer: &mut FdtWriter, abilities: Offer) -> FdtWriterResult<()> {
    let blocks = [
        ("riscv,cbom-block-size", abilities.management_block),
        ("riscv,cboz-block-size", abilities.zero_block),
    ];
    for (name, block) in blocks.into_iter().filter(|(_, block)| *block != 0) {
        writer.property_u32(name, block)?;
    }
    Ok(())
}

/// Returns single letters in the order of the manual (I 35, table 75).
fn single_letters(extensions: ExtensionSet) -> impl Iterator<Item = Extension> {
    use Extension::{A, C, D, F, H, I, M, V};
    [I, M, A, F, D, C, V, H]
        .into_iter()
        .filter(move |&letter| extensions.contains(letter))
}

/// Returns the ISA string: letters, then names in alphabetical order, those with S last.
fn isa_string(extensions: ExtensionSet) -> String {
    let mut isa = String::from("rv64");
    for letter in single_letters(extensions) {
        isa.push_str(letter.name());
    }
    for name in long_names(extensions) {
        isa.push('_');
        isa.push_str(name);
    }
    isa
}

/// Returns the entries of `riscv,isa-extensions`.
fn isa_names(extensions: ExtensionSet) -> Vec<String> {
    let letters = single_letters(extensions).map(Extension::name);
    letters
        .chain(long_names(extensions))
        .map(ToString::to_string)
        .collect()
}

/// Returns the multi-letter names, those with Z first.
fn long_names(extensions: ExtensionSet) -> Vec<&'static str> {
    let long = extensions
        .iter()
        .filter(|extension| !extension.is_single_letter());
    let mut names: Vec<_> = long.map(Extension::name).collect();
    names.sort_unstable_by_key(|name| (name.starts_with('s'), *name));
    names
}

/// Writes a property with an address and a length.
fn write_reg(writer: &mut FdtWriter, base: u64, bytes: u64) -> FdtWriterResult<()> {
    writer.property_array_u64("reg", &[base, bytes])
}

/// Writes `/memory`.
fn write_memory(writer: &mut FdtWriter, memory: Memory) -> FdtWriterResult<()> {
    let node = writer.begin_node(&format!("memory@{:x}", memory.base()))?;
    writer.property_string("device_type", "memory")?;
    write_reg(writer, memory.base(), memory.bytes())?;
    writer.end_node(node)
}

/// Writes the interrupt controller: context `h` is the supervisor of hart `h`.
fn write_plic(writer: &mut FdtWriter, description: &Description<'_>) -> FdtWriterResult<()> {
    let node = writer.begin_node(&format!("interrupt-controller@{:x}", description.plic.base))?;
    let compatible = ["sifive,plic-1.0.0", "riscv,plic0"].map(ToString::to_string);
    writer.property_string_list("compatible", compatible.to_vec())?;
    write_reg(writer, description.plic.base, description.plic.bytes)?;
    writer.property_u32("#interrupt-cells", 1)?;
    writer.property_u32("#address-cells", 0)?;
    writer.property_null("interrupt-controller")?;
    let external = Interrupt::SupervisorExternal.number() as u32;
    let contexts = (0..description.harts).flat_map(|hart| [FIRST_HART + hart, external]);
    writer.property_array_u32("interrupts-extended", &contexts.collect::<Vec<_>>())?;
    writer.property_u32("riscv,ndev", description.sources)?;
    writer.property_phandle(PLIC_HANDLE)?;
    writer.end_node(node)
}

/// Writes a serial port.
fn write_serial(writer: &mut FdtWriter, serial: &Serial) -> FdtWriterResult<()> {
    let node = writer.begin_node(&serial_name(serial))?;
    writer.property_string("compatible", "ns16550a")?;
    write_reg(writer, serial.range.base, serial.range.bytes)?;
    writer.property_u32("clock-frequency", SERIAL_CLOCK)?;
    writer.property_u32("interrupt-parent", PLIC_HANDLE)?;
    writer.property_array_u32("interrupts", &[serial.interrupt])?;
    writer.end_node(node)
}
