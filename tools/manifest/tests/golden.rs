//! The bytes of the compiled form are a promise between xtask and `init`.

use manifest::compiled::{
    AddressSpace, Area, Grant, Guest, GuestDevice, GuestImage, GuestIndex, HostDevice, LogLevel,
    Population, Process, ProcessIndex, SbiCall, SbiTouch, System, Use,
};

/// Returns a process with every field in use.
fn process() -> Process {
    Process {
        name: "a.v".to_owned(),
        image: "vcpu".to_owned(),
        priority: 18,
        stack: 0x4000,
        memory: 0x1000,
        cores: vec![0, 1],
        uses: vec![Use {
            name: "me".to_owned(),
            peer: ProcessIndex(0),
        }],
        guest: Some(GuestIndex(0)),
        device: Some(HostDevice {
            base: 0x1000_0000,
            size: 0x100,
            irq: Some(10),
            space: AddressSpace::Ports,
        }),
        grants: vec![Grant::AllMemory, Grant::OwnObjects],
        arguments: "x".to_owned(),
        panic_on_sbi: Some(SbiCall {
            extension: 16,
            function: 2,
        }),
        touch_on_sbi: Some(SbiTouch {
            call: SbiCall {
                extension: 17,
                function: 3,
            },
            address: 0x80,
        }),
        quota: 0x2000,
        own_budget: true,
        pins: 0x1000,
    }
}

/// Returns a guest with every field in use.
fn guest() -> Guest {
    let kernel = GuestImage {
        image: "kernel-0".to_owned(),
        load: 0x8020_0000,
        entry_point: 0x8020_0000,
        memory_size: 1,
    };
    let device = GuestDevice {
        name: "t".to_owned(),
        model: "u".to_owned(),
        base: 0x1000_0000,
        size: 0x100,
        irq: 10,
        process: ProcessIndex(0),
        space: AddressSpace::Memory,
    };
    Guest {
        name: "a".to_owned(),
        memory: 0x20_0000,
        memory_base: 0x8000_0000,
        cores: vec![0],
        kernel,
        initrd: Some("initrd-0".to_owned()),
        append: "q".to_owned(),
        vcpu: ProcessIndex(0),
        irq: ProcessIndex(0),
        devices: vec![device],
        population: Population::Lazy,
        reboots: Some(4),
        quota: 0x40_0000,
    }
}

#[test]
fn the_compiled_form_keeps_its_bytes() {
    let system = System {
        format: 6,
        machine: "m".to_owned(),
        cores: 2,
        memory: 0x4000_0000,
        log: LogLevel::Info,
        console: Some(ProcessIndex(0)),
        processes: vec![process()],
        guests: vec![guest()],
        areas: vec![Area {
            base: Some(0x9000_0000),
            bytes: 0x20_0000,
        }],
    };
    let expected: &[&[u8]] = &[
        b"\x06\x01m\x02\x80\x80\x80\x80\x04\x03\x01\x00", // format to console
        b"\x01\x03a.v\x04vcpu\x12\x80\x80\x01\x80\x20\x02\x00\x01", // one process, to its cores
        b"\x01\x02me\x00\x01\x00",                        // uses, guest
        b"\x01\x80\x80\x80\x80\x01\x80\x02\x01\x0a\x01",  // device
        b"\x02\x00\x03\x01x\x01\x10\x02",                 // grants, arguments, panic_on_sbi
        b"\x01\x11\x03\x80\x01\x80\x40\x01\x80\x20",      // touch_on_sbi, quota, own_budget, pins
        b"\x01\x01a\x80\x80\x80\x01\x80\x80\x80\x80\x08\x01\x00", // one guest, to its cores
        b"\x08kernel-0\x80\x80\x80\x81\x08\x80\x80\x80\x81\x08\x01", // kernel
        b"\x01\x08initrd-0\x01q\x00\x00",                 // initrd, append, vcpu, irq
        b"\x01\x01t\x01u\x80\x80\x80\x80\x01\x80\x02\x0a\x00\x00", // one device
        b"\x01",                                          // population
        b"\x01\x04\x80\x80\x80\x02",                      // reboots, quota
        b"\x01\x01\x80\x80\x80\x80\x09\x80\x80\x80\x01",  // one area
    ];
    assert_eq!(system.encode().expect("encodes"), expected.concat());
    assert_eq!(System::decode(&expected.concat()), Ok(system));
}
