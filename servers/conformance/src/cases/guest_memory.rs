//! Memory of guests that run: it comes, changes and goes.

use super::exits::{VALUE, exit_reply};
use super::prelude::*;
use crate::guest::{Guest, MEMORY_ORDER, guest_rights};
use crate::machine;
use abi::exit::{ExitClass, ExitReply};

/// The cases.
pub const CASES: &[Case] = &[
    success(
        CallNumber::Map,
        "guest memory that is mapped on demand",
        |context| {
            let machine = &machine::current().guest;
            let guest = context.guest(machine.store)?;
            let address = machine.memory + (1 << 20);
            guest.set_register(0, address + 16);
            guest.set_register(1, VALUE);
            guest.vcpu.resume()?;
            let message = guest.next_exit(context, ExitClass::Memory)?;
            ensure_equal!(message.words[1], (address + 16) & machine.told);
            let frame = context.frame(12)?;
            let window = context.window(Frame::at(context.copy(frame.capability())?.slot()))?;
            frame.map(guest.space.capability(), address, guest_rights())?;
            reply(&exit_reply(ExitReply::Resume))?;
            guest.next_exit(context, ExitClass::Hypercall)?;
            ensure_equal!(machine.cut(window.load(2)), machine.cut(VALUE));
            Ok(())
        },
    ),
    success(
        CallNumber::Map,
        "guest memory of 2 MiB at once",
        |context| {
            let machine = &machine::current().guest;
            let guest = context.guest(machine.store)?;
            guest.memory_frame.unmap()?;
            let frame = context.frame(21)?;
            let window = context.window(Frame::at(context.copy(frame.capability())?.slot()))?;
            window.write_code(machine.store);
            frame.map(guest.space.capability(), machine.memory, guest_rights())?;
            guest.set_register(0, machine.memory + (1 << 21) - 8);
            guest.set_register(1, VALUE);
            guest.vcpu.resume()?;
            guest.next_exit(context, ExitClass::Hypercall)?;
            let last = window.load(window.words() - 1);
            ensure_equal!(machine.cut(last), machine.cut(VALUE));
            Ok(())
        },
    ),
    success(
        CallNumber::Protect,
        "a store to protected guest memory leaves the guest",
        |context| {
            let machine = &machine::current().guest;
            let guest = context.guest(machine.count)?;
            let address = machine.memory + 0x1000;
            guest.set_register(0, address);
            guest
                .memory_frame
                .protect(0x1000, 0x1000, Rights::new().with_read(true))?;
            guest.vcpu.resume()?;
            let message = guest.next_exit(context, ExitClass::Memory)?;
            ensure_equal!(message.words[1], address);
            guest.memory_frame.protect(0x1000, 0x1000, guest_rights())?;
            reply(&exit_reply(ExitReply::Resume))?;
            context.until("the guest counts", || guest.memory.load(0x200) > 10)
        },
    ),
    success(
        CallNumber::Unmap,
        "a running guest loses its memory at once",
        |context| {
            let machine = &machine::current().guest;
            let guest = context.guest(machine.count)?;
            guest.set_register(0, machine.memory + 0x1000);
            guest.vcpu.resume()?;
            context.until("the guest counts", || guest.memory.load(0x200) > 10)?;
            guest.memory_frame.unmap()?;
            let count = guest.memory.load(0x200);
            guest.next_exit(context, ExitClass::Memory)?;
            ensure_equal!(guest.memory.load(0x200), count);
            Ok(())
        },
    ),
    success(
        CallNumber::Map,
        "a guest's page keeps its storage key when other memory is mapped there",
        |context| {
            storage_key_after(context, KEY, |guest, other| {
                let machine = &machine::current().guest;
                other.map(guest.space.capability(), machine.memory, guest_rights())?;
                Ok(())
            })
        },
    ),
    success(
        CallNumber::Map,
        "guest memory comes without the storage key that it had elsewhere",
        |context| {
            storage_key_after(context, 0, |guest, other| {
                let machine = &machine::current().guest;
                let (space, address) = (guest.space.capability(), machine.memory + (1 << 20));
                other.map(space, machine.memory, guest_rights())?;
                guest.memory_frame.map(space, address, guest_rights())?;
                guest.set_register(0, address + KEYED);
                Ok(())
            })
        },
    ),
];

/// A storage key that lets everybody read, of a page that was read and written.
const KEY: u64 = 0x36;
/// Where that page is in the guest's memory: behind what the processor itself may write.
const KEYED: u64 = 0x3000;

/// Lets a guest set the storage key of a page to [`KEY`], maps its memory anew, with another frame that
/// has the same code, and checks which key the guest finds then.
fn storage_key_after(
    context: &Context,
    last: u64,
    map: impl FnOnce(&Guest, Frame) -> Outcome<()>,
) -> Outcome<()> {
    let keys = machine::current().guest.storage_key;
    let code = keys.ok_or(Stop::Skipped("memory has no keys"))?;
    let guest = context.guest(code)?;
    let other = context.frame(MEMORY_ORDER)?;
    let window = context.window(Frame::at(context.copy(other.capability())?.slot()))?;
    window.clear();
    window.write_code(code);
    guest.set_register(0, machine::current().guest.memory + KEYED);
    guest.set_register(1, KEY);
    guest.vcpu.resume()?;
    guest.next_exit(context, ExitClass::Hypercall)?;
    ensure_equal!(guest.register(2) & 0xfe, 0);
    reply(&exit_reply(ExitReply::Resume))?;
    guest.next_exit(context, ExitClass::Hypercall)?;
    match guest.register(2) & 0xfe {
        // Hercules leaves the key as it is where there are no entries for the page's status.
        0 => return Err(Stop::Skipped("the machine's guests set no storage keys")),
        set => {
            ensure_equal!(set, KEY);
        }
    }
    guest.memory_frame.unmap()?;
    map(&guest, other)?;
    reply(&exit_reply(ExitReply::Resume))?;
    guest.next_exit(context, ExitClass::Hypercall)?;
    ensure_equal!(guest.register(2) & 0xfe, last);
    Ok(())
}
