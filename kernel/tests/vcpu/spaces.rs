//! Address spaces of accesses, and windows.

use super::*;

/// A one-byte read of a port, described by hardware.
fn port(address: u64) -> Exit {
    let info = AccessInfo::new()
        .with_merge(true)
        .with_instruction_length(2);
    Exit::Access(Access {
        key: RouteKey::Port,
        address,
        virtual_address: 0,
        cause: 0x7b,
        description: info.into_bits(),
    })
}

#[test]
fn ports_and_memory_are_two_address_spaces() {
    let guest = Guest::new(2, 1);
    let key = RouteKey::Port.number();
    let route = [guest.space, 3, key, 0x1000_0000, 8];
    let taken = guest.machine.init_call(CallNumber::AddRoute, &route);
    assert_eq!(taken.status(), Err(Error::SlotOccupied));
    // A port may have the number of an address that is a device's already.
    let route = [guest.space, 5, key, 0x1000_0000, 8];
    guest.machine.must(CallNumber::AddRoute, &route);
    let devices = guest.devices;
    let route = [guest.vcpu, 5, devices];
    guest.machine.must(CallNumber::VcpuDeviceRoute, &route);
    guest.resume();
    for (exit, index) in [(port(0x1000_0004), 5), (load(0x1000_0004), 3)] {
        guest.run_low();
        guest.exit(exit);
        let heard = guest.machine.finish(guest.device.id).expect("heard");
        assert_eq!(AccessInfo::from_bits(heard.x[2]).route(), index);
        guest.answer(guest.device, ExitReply::Resume, &[0]);
        guest.machine.receive(guest.device.id, guest.devices);
    }
    // Nobody has this port, though a device has the address.
    guest.run_low();
    guest.exit(port(0x1000_0010));
    let heard = guest.machine.finish(guest.server.id).expect("heard");
    let class = u64::from(heard.info.label());
    assert_eq!(class, ExitClass::Unclaimed.number());
    assert_eq!((heard.x[2], heard.x[5]), (0x1000_0010, key));
    // A forwarded access names the address space too; one that there is not has no routes.
    let info = AccessInfo::new().with_instruction_length(2);
    let forwarded = [
        0x1000_0004,
        info.with_key(RouteKey::Port as u8).into_bits(),
        0,
    ];
    guest.answer(guest.server, ExitReply::Forward, &forwarded);
    let heard = guest.machine.finish(guest.device.id).expect("heard");
    assert_eq!(AccessInfo::from_bits(heard.x[2]).route(), 5);
    guest.answer(guest.device, ExitReply::Resume, &[0]);
    guest.machine.receive(guest.server.id, guest.exits);
    guest.run_low();
    guest.exit(port(0x1000_0010));
    guest.machine.finish(guest.server.id).expect("heard");
    let forwarded = [0x1000_0004, info.with_key(15).into_bits(), 0];
    guest.answer(guest.server, ExitReply::Forward, &forwarded);
    let heard = guest.machine.receive(guest.server.id, guest.exits);
    let heard = heard.expect("it comes back");
    let class = u64::from(heard.info.label());
    assert_eq!((class, heard.x[5]), (ExitClass::Unclaimed.number(), 15));
}

#[test]
fn an_open_window_tells_the_lines_and_leaves_them_raised() {
    let guest = Guest::new(2, 1);
    guest.resume();
    guest.run_low();
    guest.machine.must(CallNumber::Inject, &[guest.vcpu, 5, 0]);
    guest.machine.settle();
    guest.run_low();
    guest.exit(Exit::Window { lines: 4 });
    let heard = guest.machine.finish(guest.server.id).expect("heard");
    let class = u64::from(heard.info.label());
    assert_eq!((class, heard.x[2]), (ExitClass::Window.number(), 4));
    // All of them were pending: none is newly raised.
    let again = guest.machine.must(CallNumber::Inject, &[guest.vcpu, 5, 0]);
    assert_eq!(again, 0);
}
