//! The way of calls and replies has no atomic read-modify-write (`docs/fast-ipc.md`): looked for in
//! the code of each kernel, in all that its first functions for system calls reach.

use std::fs;

use ::trace::operation::{Machine, Operation};
use anyhow::{Context, Result, ensure};
use iced_x86::{Decoder, DecoderOptions};
use manifest::Overrides;

use super::{Report, deps, sources};
use crate::build::kernel_code;
use crate::build::reach::Function;
use crate::build::system::{self, Programs};
use crate::guest::catalogue::NoImages;
use crate::machine::MACHINES;
use crate::trace::image;
use crate::workspace::Workspace;

/// Where the frequent calls begin; a machine need not have a function of its own for each.
const ROOTS: [&str; 3] = ["trap::call", "trap::reply_receive", "trap::long_call"];
/// Where they go on if they are not calls and replies of threads (a guest's lines are set by any core),
/// or if something stands in the way.
const ENDS: [&str; 3] = ["trap::rare_call", "trap::answer", "trap::general"];
/// What makes signals: on the same way, but a notification's bits are set by any core.
const SIGNALS: [&str; 2] = ["fast_signal", "fast_wake"];

/// Looks at the kernel of one system of each machine.
pub fn check(workspace: &Workspace) -> Result<Report> {
    let mut report = Report::default();
    let files = deps::manifests(workspace.root())?;
    for machine in &MACHINES {
        let folder = format!("bsp/{}/", machine.name);
        let is_here = |file: &&std::path::PathBuf| {
            sources::relative(workspace.root(), file).starts_with(&folder)
        };
        let file = files.iter().find(is_here).context("no system")?;
        let compiled = system::compile(workspace, file, &Overrides::default(), &mut NoImages)?;
        let programs = Programs::build(workspace, &compiled)?;
        let bytes = fs::read(&programs.kernel)?;
        let functions = kernel_code::Image::parse(&bytes)?.reached(&ROOTS, &ENDS)?;
        let lines = image::Image::read("kernel", &programs.kernel)?;
        let lines = lines.functions()?;
        let kind = Machine::named(machine.name).context("unknown machine")?;
        let mut count = 0;
        for function in &functions {
            for (address, code) in instructions(kind, function)? {
                count += 1;
                if !Operation::of(kind, code).is_atomic {
                    continue;
                }
                let place = lines.place(address);
                if !place.functions.iter().any(|name| is_signal(name)) {
                    let text = format!("{}: {address:#x} is atomic: {place:?}", machine.name);
                    report.wrong.push(text);
                }
            }
        }
        let names: Vec<_> = functions.iter().map(|function| &*function.name).collect();
        let names = names.join(", ");
        let note = format!("{}: {count} instructions of {names}", machine.name);
        report.notes.push(note);
    }
    Ok(report)
}

/// Tells whether a function makes signals.
fn is_signal(name: &str) -> bool {
    // Behind the name there may be what it is generic over.
    let generic = name.ends_with('>').then(|| name.rsplit_once("::<"));
    let name = generic.flatten().map_or(name, |(name, _)| name);
    let last = name.rsplit("::").next().unwrap_or(name);
    SIGNALS.contains(&last)
}

/// Returns the instructions of a function, with their addresses.
fn instructions<'a>(machine: Machine, function: &Function<'a>) -> Result<Vec<(u64, &'a [u8])>> {
    let (mut found, mut rest) = (Vec::new(), function.code);
    let mut address = function.address;
    while let Some(first) = rest.first() {
        let length = match machine {
            // Unprivileged ISA, "Base Instruction-Length Encoding".
            Machine::Riscv => 2 << u8::from(first & 3 == 3),
            // PoP, "Instruction Formats".
            Machine::S390 => [2, 4, 4, 6][usize::from(first >> 6)],
            Machine::X86 => {
                let mut decoder = Decoder::with_ip(64, rest, address, DecoderOptions::NONE);
                let instruction = decoder.decode();
                ensure!(!instruction.is_invalid(), "no instruction at {address:#x}");
                instruction.len()
            }
        };
        let code = rest.get(..length);
        found.push((address, code.context("an instruction that is cut")?));
        rest = &rest[length..];
        address += length as u64;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns which instructions of a function are atomic.
    fn atomics(machine: Machine, code: &[u8]) -> Vec<bool> {
        let function = Function {
            name: "function".to_owned(),
            address: 0x1000,
            code,
        };
        let all = instructions(machine, &function).expect("instructions");
        let is_atomic = |(_, code): &(u64, &[u8])| Operation::of(machine, code).is_atomic;
        all.iter().map(is_atomic).collect()
    }

    #[test]
    fn atomic_instructions_are_found_between_others() {
        // c.nop; amoor.d.aqrl zero, a0, (t5); nop
        let riscv = [1, 0, 0x2f, 0x30, 0xaf, 0x46, 0x13, 0, 0, 0];
        assert_eq!(atomics(Machine::Riscv, &riscv), [false, true, false]);
        // mov eax, 0xf0f0f0f0; lock or [rdi], eax; xchg [rdi], rax; ret
        let x86 = [
            0xb8, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0x09, 0x07, 0x48, 0x87, 0x07, 0xc3,
        ];
        assert_eq!(atomics(Machine::X86, &x86), [false, true, true, false]);
        // lr %r1, %r2; csg %r1, %r4, 8(%r2); br %r14
        let s390 = [0x18, 0x12, 0xeb, 0x14, 0x20, 8, 0, 0x30, 0x07, 0xfe];
        assert_eq!(atomics(Machine::S390, &s390), [false, true, false]);
    }

    #[test]
    fn what_is_cut_is_no_function() {
        let function = Function {
            name: "function".to_owned(),
            address: 0,
            code: &[0x13, 0],
        };
        assert!(instructions(Machine::Riscv, &function).is_err());
    }

    #[test]
    fn signals_are_known_by_their_names_in_both_manglings() {
        assert!(is_signal(
            "<kernel::visit::Visit<bsp_s390::machine::S390>>::fast_signal"
        ));
        assert!(is_signal(
            "kernel::fast::signal::<impl kernel::visit::Visit<A>>::fast_wake"
        ));
        assert!(is_signal("<kernel::visit::Visit<S>>::fast_signal::<false>"));
        assert!(!is_signal(
            "kernel::fast::message::<impl kernel::visit::Visit<A>>::fast_call"
        ));
    }
}
