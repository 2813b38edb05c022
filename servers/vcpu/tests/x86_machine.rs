//! x86 guests against a scripted world: what exits come to, and that none breaks the server.
#![allow(missing_docs)]

mod x86_fake;

use abi::exit::{AccessInfo, ExitClass, RouteKey};
use irq_api::CONTROL_REGISTER_8;
use proptest::prelude::*;
use vcpu::machine::x86::X86;
use vcpu::machine::x86::cpuid::Vendor;
use vcpu::machine::{Boot, Machine};
use vcpu::{Absent, EndReason, Exit, Lifecycle, Outcome, RebootKind, Start, VcpuSet};
use x86_fake::{BYTES, World, id};
use x86_regs::msr;
use x86_regs::one_reg::{Register, SegmentField};

/// Where the code is.
const CODE: u64 = 0x1000;
const APIC: u64 = 0xfee0_0000;

/// A guest in 64-bit mode without translation, which no processor has, but the walk is tested apart.
fn booted(code: &[u8]) -> (X86, World) {
    let mut world = World {
        memory: vec![0; BYTES],
        ..World::default()
    };
    let mut vm = X86::new(2, Vendor::Amd).unwrap();
    let boot = Boot {
        entry: CODE,
        device_tree: 0x9000,
    };
    vm.boot(boot, &mut world).unwrap();
    let at = CODE as usize;
    world.memory[at..at + code.len()].copy_from_slice(code);
    world.set(Register::ModelSpecific(msr::EFER), 0x500);
    world.set(Register::Segment(1, SegmentField::Attributes), 0xa9b);
    (vm, world)
}

fn exit(
    vm: &mut X86,
    world: &mut World,
    class: ExitClass,
    words: [u64; 6],
) -> Result<Outcome, Absent> {
    vm.exit(id(0), Exit { class, words }, world)
}

/// An access to a device at `address`.
fn access(vm: &mut X86, world: &mut World, address: u64, write: bool) -> Result<Outcome, Absent> {
    let cause = u64::from(write) << 1;
    let words = [CODE, address, 0, cause, 0, 0];
    exit(vm, world, ExitClass::Device, words)
}

/// An access to a port.
fn port(
    vm: &mut X86,
    world: &mut World,
    class: ExitClass,
    port: u64,
    info: u64,
) -> Result<Outcome, Absent> {
    let words = [CODE, port, 0, 0, RouteKey::Port.number(), info];
    exit(vm, world, class, words)
}

#[test]
fn a_guest_begins_in_protected_mode_with_what_the_loader_tells() {
    let mut world = World::default();
    let mut vm = X86::new(2, Vendor::Amd).unwrap();
    let boot = Boot {
        entry: 0x10_0000,
        device_tree: 0x9_0040,
    };
    assert_eq!(vm.boot(boot, &mut world).unwrap(), id(0));
    assert_eq!(world.register(Register::Rip), 0x10_0000);
    assert_eq!(world.register(Register::Cr0), 0x11);
    assert_eq!(
        (world.general[&(0, 0)], world.general[&(0, 3)]),
        (0x2bad_b002, 0x9_0040)
    );
    assert_eq!(vm.running(), VcpuSet::first(1));
}

#[test]
fn a_plain_load_is_forwarded_and_the_rest_is_asked_for() {
    // mov r9d, [r8]
    let (mut vm, mut world) = booted(&[0x45, 0x8b, 0x08]);
    let info = AccessInfo::new()
        .with_size_log2(2)
        .with_register(9)
        .with_instruction_length(3);
    let Some(found) = access(&mut vm, &mut world, APIC + 0x80, false)
        .ok()
        .and_then(Outcome::access)
    else {
        panic!("it is forwarded");
    };
    assert_eq!(
        (found.address, found.info, world.loads),
        (APIC + 0x80, info, 0)
    );
    // movzx r9w, byte [r8]: the kernel cannot end it.
    let (mut vm, mut world) = booted(&[0x66, 0x45, 0x0f, 0xb6, 0x08]);
    world.devices.insert(0xd000_0005, 0x60);
    world.general.insert((0, 9), u64::MAX);
    assert_eq!(
        access(&mut vm, &mut world, 0xd000_0005, false),
        Ok(Outcome::behind(5))
    );
    assert_eq!(world.general[&(0, 9)], 0xffff_ffff_ffff_0060);
}

#[test]
fn a_value_that_is_changed_is_loaded_at_once_and_stored_by_the_kernel() {
    // lock or dword [rdi], 0x100
    let (mut vm, mut world) = booted(&[0xf0, 0x81, 0x0f, 0, 1, 0, 0]);
    world.devices.insert(APIC + 0xf0, 0xff);
    let Some(found) = access(&mut vm, &mut world, APIC + 0xf0, true)
        .ok()
        .and_then(Outcome::access)
    else {
        panic!("it is forwarded");
    };
    assert!(found.info.write() && found.info.instruction_length() == 7);
    assert_eq!(found.value, 0x1ff);
    // test byte [rdi], 0x20 only sets flags: zero, and parity of zero.
    let (mut vm, mut world) = booted(&[0xf6, 0x07, 0x20]);
    world.devices.insert(0xd000_0005, 0x1f);
    assert_eq!(
        access(&mut vm, &mut world, 0xd000_0005, false),
        Ok(Outcome::behind(3))
    );
    assert_eq!(world.register(Register::Rflags) & 0x8d5, 0x44);
}

#[test]
fn where_nothing_is_there_are_all_ones_and_stores_vanish() {
    // mov eax, [rdi]
    let (mut vm, mut world) = booted(&[0x8b, 0x07]);
    let words = [CODE, 0xd000_0000, 0, 0, 0, 0];
    let outcome = exit(&mut vm, &mut world, ExitClass::Unclaimed, words);
    assert_eq!(
        (outcome, world.general[&(0, 0)]),
        (Ok(Outcome::behind(2)), 0xffff_ffff)
    );
    // A port likewise: in al, dx keeps the rest.
    world.general.insert((0, 0), 0x1200);
    let info = AccessInfo::new()
        .with_merge(true)
        .with_instruction_length(1)
        .into_bits();
    let outcome = port(&mut vm, &mut world, ExitClass::Unclaimed, 0x1f0f, info);
    assert_eq!(outcome, Ok(Outcome::behind(1)));
    assert_eq!(world.general[&(0, 0)], 0x12ff);
}

#[test]
fn a_string_to_a_port_is_forwarded_element_by_element() {
    // rep outsb
    let (mut vm, mut world) = booted(&[0xf3, 0x6e]);
    world.memory[0x2000..0x2002].copy_from_slice(b"hi");
    for (register, value) in [(6, 0x2000), (1, 2)] {
        world.general.insert((0, register), value);
    }
    for (byte, length, left) in [(b'h', 0, 1), (b'i', 2, 0)] {
        let outcome = port(&mut vm, &mut world, ExitClass::Device, 0x3f8, 0);
        let Some(found) = outcome.ok().and_then(Outcome::access) else {
            panic!("it is forwarded");
        };
        assert_eq!((found.address, found.value), (0x3f8, u64::from(byte)));
        assert_eq!(found.info.instruction_length(), length);
        assert_eq!(found.info.key(), RouteKey::Port as u8);
        assert_eq!(world.general[&(0, 1)], left);
    }
    // Nothing happens while the page is absent.
    world.absent = Some(2);
    let outcome = port(&mut vm, &mut world, ExitClass::Device, 0x3f8, 0);
    assert_eq!(outcome, Err(Absent { address: 0x2000 }));
    assert_eq!(world.general[&(0, 6)], 0x2002);
}

#[test]
fn registers_that_are_not_there_are_general_protections() {
    let (mut vm, mut world) = booted(&[]);
    world.controller.insert(0x1b, 0xfee0_0900);
    let mut access = |world: &mut World, number: u64, bits: u64| {
        world.general.insert((0, 1), number);
        world.set(Register::Event, 0);
        let words = [CODE, bits, 0, 0, 0, 0];
        let outcome = exit(&mut vm, world, ExitClass::Instruction, words);
        let event = world.register(Register::Event);
        let goes_on = if event == 0 {
            Ok(Outcome::behind(2))
        } else {
            Ok(Outcome::RESUME)
        };
        assert_eq!(outcome, goes_on);
        event
    };
    assert_eq!(access(&mut world, 0x1b, 0x320f), 0);
    assert_eq!(world.general[&(0, 0)], 0xfee0_0900);
    assert_eq!(access(&mut world, 0x4fff_ff00, 0x320f), 0x8000_0b0d);
    assert_eq!(access(&mut world, 0x6e0, 0x300f), 0x8000_0b0d);
    // What is no instruction of this processor is an invalid opcode.
    assert_eq!(access(&mut world, 0, 0xd1_010f), 0x8000_0306);
}

#[test]
fn a_guest_ends_and_reboots_by_ports() {
    let write = AccessInfo::new()
        .with_write(true)
        .with_size_log2(1)
        .with_instruction_length(2)
        .into_bits();
    let end = |at: u64, value: u64| {
        let (mut vm, mut world) = booted(&[]);
        world.general.insert((0, 0), value);
        let outcome = port(&mut vm, &mut world, ExitClass::Unclaimed, at, write);
        (outcome == Ok(Outcome::STOP), vm.lifecycle())
    };
    let off = |reason| (true, Lifecycle::PoweredOff { reason });
    assert_eq!(end(0x604, 0x2000), off(EndReason::None));
    assert_eq!(end(0xf4, 5), off(EndReason::ExitLine(11)));
    for (at, value, kind) in [
        (0x64, 0xfe, RebootKind::Warm),
        (0xcf9, 6, RebootKind::Warm),
        (0xcf9, 0xe, RebootKind::Cold),
    ] {
        let reason = EndReason::None;
        assert_eq!(
            end(at, value),
            (true, Lifecycle::Rebooting { kind, reason })
        );
    }
    assert_eq!(end(0x80, 0xfe), (false, Lifecycle::Running));
}

#[test]
fn a_processor_starts_once_and_where_it_was_told() {
    let (mut vm, mut world) = booted(&[]);
    let start = |page, stop| Start {
        vcpu: id(1),
        stop,
        page,
    };
    world.starts = vec![start(Some(9), false), start(Some(8), true)];
    vm.rung(&mut world);
    assert_eq!((&world.started[..], world.stopped.len()), (&[1][..], 0));
    let register = |world: &World, register: Register| world.registers[&(1, register.id())];
    let base = Register::Segment(1, SegmentField::Base);
    assert_eq!(register(&world, base), 0x8000);
    assert_eq!(register(&world, Register::Rip), 0);
    // INIT stops it; it waits then.
    world.starts = vec![start(None, true)];
    vm.rung(&mut world);
    assert_eq!(world.stopped, [1]);
    assert_eq!(vm.running(), VcpuSet::first(1));
}

#[test]
fn debug_registers_keep_what_is_written() {
    // mov dr3, r9; mov rax, dr3
    let (mut vm, mut world) = booted(&[0x41, 0x0f, 0x23, 0xd9]);
    world.general.insert((0, 9), 0x1234_5678_9abc);
    let words = [CODE, 0x33, 0, 0, 0, 0];
    assert_eq!(
        exit(&mut vm, &mut world, ExitClass::Other, words),
        Ok(Outcome::behind(4))
    );
    world.memory[CODE as usize..][..3].copy_from_slice(&[0x0f, 0x21, 0xd8]);
    let words = [CODE, 0x23, 0, 0, 0, 0];
    assert_eq!(
        exit(&mut vm, &mut world, ExitClass::Other, words),
        Ok(Outcome::behind(3))
    );
    assert_eq!(world.general[&(0, 0)], 0x1234_5678_9abc);
}

#[test]
fn a_store_into_cr8_is_the_interrupt_controllers() {
    // mov cr8, r9
    let (mut vm, mut world) = booted(&[0x45, 0x0f, 0x22, 0xc1]);
    world.controller.insert(CONTROL_REGISTER_8, 0);
    world.general.insert((0, 9), 5);
    let words = [CODE, 0x18, 0, 0, 0, 0];
    let outcome = exit(&mut vm, &mut world, ExitClass::Other, words);
    assert_eq!(outcome, Ok(Outcome::behind(4)));
    assert_eq!(world.controller[&CONTROL_REGISTER_8], 5);
    // What is no priority is a general protection, and changes nothing.
    world.general.insert((0, 9), 16);
    let outcome = exit(&mut vm, &mut world, ExitClass::Other, words);
    assert_eq!(outcome, Ok(Outcome::RESUME));
    assert_eq!(world.register(Register::Event), 0x8000_0b0d);
    assert_eq!(world.controller[&CONTROL_REGISTER_8], 5);
    // By now it is another instruction: it is executed.
    world.memory[CODE as usize..][..3].copy_from_slice(&[0x0f, 0x21, 0xd8]);
    let outcome = exit(&mut vm, &mut world, ExitClass::Other, words);
    assert_eq!(outcome, Ok(Outcome::RESUME));
}

proptest! {
    #[test]
    fn no_exit_panics(
        class in 0_u16..8,
        words: [u64; 6],
        code: [u8; 15],
        control in (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>()),
        near in any::<bool>(),
    ) {
        let (mut vm, mut world) = booted(&code);
        let (cr0, cr3, cr4, attributes) = control;
        world.set(Register::Cr0, cr0);
        world.set(Register::Cr3, cr3 & 0xffff);
        world.set(Register::Cr4, cr4);
        world.set(Register::ModelSpecific(msr::EFER), cr4 & 0x500);
        world.set(Register::Segment(1, SegmentField::Attributes), attributes);
        let mut words = words;
        if near {
            world.set(Register::Cr0, 0x11);
            words = [CODE, words[1], 0, words[3] & 2, words[4] % 3, words[5] & 1];
        }
        if let Some(exit) = Exit::decode(class, words) {
            let _ = vm.exit(id(0), exit, &mut world);
        }
    }
}
