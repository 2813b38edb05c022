//! Every refusal names its reason, its line and its column.

mod common;

use common::{TWO_GUESTS, compiled, compiled_with};
use manifest::{GuestOverrides, Overrides, Reason, Refusal, Size};

/// Returns the refusal of the example after `old` became `new`, which stands at `marker`.
#[track_caller]
fn refusal(old: &str, new: &str) -> Box<Refusal> {
    assert!(TWO_GUESTS.contains(old), "the example has no `{old}`");
    compiled(&TWO_GUESTS.replacen(old, new, 1)).expect_err("must be refused")
}

/// Asserts that the refusal stands where `text` begins in the changed example.
#[track_caller]
fn stands_at(refusal: &Refusal, old: &str, new: &str, text: &str) {
    let changed = TWO_GUESTS.replacen(old, new, 1);
    let at = changed.find(text).expect("the marker is in the text");
    let line = changed[..at].matches('\n').count() + 1;
    let column = at - changed[..at].rfind('\n').map_or(0, |newline| newline + 1) + 1;
    assert_eq!((refusal.line, refusal.column), (line, column), "{refusal}");
    assert!(
        refusal
            .to_string()
            .starts_with(&format!("system.toml:{line}:{column}: "))
    );
}

#[test]
fn the_example_is_not_refused() {
    assert!(compiled(TWO_GUESTS).is_ok());
}

#[test]
fn an_unknown_key_is_refused() {
    let (old, new) = ("memory = \"4M\"", "memroy = \"4M\"");
    let refusal = refusal(old, new);
    stands_at(&refusal, old, new, "memroy");
    assert!(matches!(&refusal.reason, Reason::Syntax(text) if text.contains("memroy")));
}

#[test]
fn an_unknown_key_of_a_device_is_refused() {
    let refusal = refusal("server = \"uart\"", "server = \"uart\", speed = 1");
    assert!(matches!(&refusal.reason, Reason::Syntax(text) if text.contains("speed")));
}

#[test]
fn a_missing_key_is_refused() {
    let refusal = refusal("package = \"mem\"\n", "");
    assert!(matches!(&refusal.reason, Reason::Syntax(text) if text.contains("package")));
    assert_eq!(refusal.line, 4);
}

#[test]
fn text_that_is_no_toml_is_refused() {
    let refusal = refusal("priority = 20", "priority = = 20");
    assert!(matches!(refusal.reason, Reason::Syntax(_)));
    assert_eq!(refusal.line, 6);
}

#[test]
fn an_unknown_machine_is_refused() {
    let refusal = refusal("qemu-virt", "toaster");
    assert_eq!(refusal.reason, Reason::UnknownMachine("toaster".to_owned()));
    assert_eq!((refusal.line, refusal.column), (1, 11));
}

#[test]
fn a_missing_kernel_is_refused() {
    let (old, new) = ("kernel = \"debian\"", "kernel = \"nowhere\"");
    let refusal = refusal(old, new);
    stands_at(&refusal, old, new, "\"nowhere\"");
    assert_eq!(
        refusal.reason,
        Reason::BadImage("nowhere: no such file".to_owned())
    );
}

#[test]
fn a_missing_initial_file_system_is_refused() {
    let (old, new) = ("append =", "initrd = \"nowhere\"\nappend =");
    let refusal = refusal(old, new);
    stands_at(&refusal, old, new, "\"nowhere\"");
}

#[test]
fn two_overlapping_devices_of_a_guest_are_refused() {
    let (old, new) = (
        "irq = 10 } }\n[guest.right]",
        "irq = 10 }, ttyS1 = { server = \"uart\", base = 0x100000fc, irq = 11 } }\n[guest.right]",
    );
    let refusal = refusal(old, new);
    stands_at(&refusal, old, new, "{ server = \"uart\", base = 0x100000fc");
    let what = "address 0x100000fc".to_owned();
    assert_eq!(
        refusal.reason,
        Reason::TwoOwners {
            what,
            owner: "device `ttyS0`".to_owned()
        }
    );
}

#[test]
fn two_devices_of_a_guest_on_one_interrupt_line_are_refused() {
    let refusal = refusal(
        "irq = 10 } }\n[guest.right]",
        "irq = 10 }, ttyS1 = { server = \"uart\", base = 0x10001000, irq = 10 } }\n[guest.right]",
    );
    let what = "interrupt line 10".to_owned();
    assert_eq!(
        refusal.reason,
        Reason::TwoOwners {
            what,
            owner: "device `ttyS0`".to_owned()
        }
    );
}

#[test]
fn a_device_inside_the_guests_memory_is_refused() {
    let refusal = refusal("base = 0x10000000, irq", "base = 0x80000000, irq");
    let what = "address 0x80000000".to_owned();
    assert_eq!(
        refusal.reason,
        Reason::TwoOwners {
            what,
            owner: "the guest's memory".to_owned()
        }
    );
}

#[test]
fn a_device_in_the_interrupt_controller_is_refused() {
    let refusal = refusal("base = 0x10000000, irq", "base = 0x0c000100, irq");
    assert!(matches!(refusal.reason, Reason::TwoOwners { .. }));
}

#[test]
fn two_servers_that_own_one_host_device_are_refused() {
    let (old, new) = (
        "[server.console]",
        "[server.thief]\npackage = \"mem\"\npriority = 1\n\
         device = { base = 0x10000000, size = 0x100, irq = 11 }\n[server.console]",
    );
    let refusal = refusal(old, new);
    stands_at(
        &refusal,
        old,
        new,
        "{ base = 0x10000000, size = 0x100, irq = 11",
    );
    let owner = "server `uart-driver`".to_owned();
    assert_eq!(
        refusal.reason,
        Reason::TwoOwners {
            what: "address 0x10000000".to_owned(),
            owner
        }
    );
}

#[test]
fn a_template_with_a_host_device_is_refused() {
    let refusal = refusal(
        "[template.irq]\n",
        "[template.irq]\ndevice = { base = 0x20000000, size = 0x100 }\n",
    );
    assert_eq!(refusal.reason, Reason::DeviceInTemplate);
}

#[test]
fn an_empty_or_endless_device_is_refused() {
    for device in [
        "base = 0x10000000, size = 0",
        "base = 0x7ffffffffffff000, size = 1",
    ] {
        let outcome = refusal("base = 0x10000000, size = 0x100", device);
        assert!(matches!(outcome.reason, Reason::BadRange(_)), "{outcome}");
    }
    let unaligned = refusal("base = 0x10000000, size", "base = 0x10000010, size");
    assert!(matches!(unaligned.reason, Reason::BadRange(_)));
}

#[test]
fn more_guest_memory_than_the_machine_has_is_refused() {
    let (old, new) = ("memory = \"128M\"", "memory = \"800M\"");
    let refusal = refusal(old, new);
    stands_at(&refusal, old, new, "\"800M\"");
    assert!(matches!(&refusal.reason, Reason::TooMuchMemory { name, .. } if name == "right"));
}

#[test]
fn memory_that_overflows_the_sum_is_refused() {
    let refusal = refusal("memory = \"128M\"", "memory = 9223372036852678656");
    assert!(
        matches!(refusal.reason, Reason::TooMuchMemory { .. }),
        "{refusal}"
    );
}

#[test]
fn an_unknown_peer_is_refused() {
    let (old, new) = ("out = \"console\"", "out = \"konsole\"");
    let refusal = refusal(old, new);
    stands_at(&refusal, old, new, "\"konsole\"");
    assert!(matches!(&refusal.reason, Reason::UnknownPeer { peer, .. } if peer == "konsole"));
}

#[test]
fn a_server_that_uses_a_template_is_refused() {
    let refusal = refusal("uart = \"uart-driver\"", "uart = \"irq\"");
    assert!(
        matches!(&refusal.reason, Reason::UnknownPeer { hint, .. } if hint.contains("template"))
    );
}

#[test]
fn an_unknown_template_is_refused() {
    let (old, new) = (
        "servers = [\"vcpu\", \"irq\"]",
        "servers = [\"vcpu\", \"irk\"]",
    );
    let refusal = refusal(old, new);
    stands_at(&refusal, old, new, "\"irk\"");
    assert_eq!(refusal.reason, Reason::UnknownTemplate("irk".to_owned()));
    let device = self::refusal("server = \"uart\"", "server = \"vart\"");
    assert_eq!(device.reason, Reason::UnknownTemplate("vart".to_owned()));
}

#[test]
fn a_guest_without_its_two_servers_is_refused() {
    let refusal = refusal("servers = [\"vcpu\", \"irq\"]", "servers = [\"vcpu\"]");
    assert!(matches!(
        refusal.reason,
        Reason::UnknownPeer { .. } | Reason::ServerCount { .. }
    ));
}

#[test]
fn a_core_out_of_range_is_refused() {
    let (old, new) = ("cores = [0, 1]", "cores = [0, 2]");
    let refusal = refusal(old, new);
    stands_at(&refusal, old, new, "2]");
    assert_eq!(refusal.reason, Reason::CoreOutOfRange { core: 2, cores: 2 });
    let negative = self::refusal(old, "cores = [0, -1]");
    assert_eq!(
        negative.reason,
        Reason::CoreOutOfRange { core: -1, cores: 2 }
    );
}

#[test]
fn a_core_of_a_server_out_of_range_is_refused() {
    let refusal = refusal("package = \"mem\"", "package = \"mem\"\ncores = [0, 9]");
    assert_eq!(refusal.reason, Reason::CoreOutOfRange { core: 9, cores: 2 });
    let word = self::refusal("package = \"mem\"", "package = \"mem\"\ncores = \"some\"");
    assert!(matches!(word.reason, Reason::BadCores(_)));
}

#[test]
fn a_guest_without_cores_is_refused() {
    let refusal = refusal("cores = [0, 1]", "cores = []");
    assert_eq!(refusal.reason, Reason::NoCores("left".to_owned()));
}

#[test]
fn an_impossible_number_of_cores_is_refused() {
    for cores in ["0", "-3", "9", "70000"] {
        let outcome = refusal("\nconsole = ", &format!("\ncores = {cores}\nconsole = "));
        assert!(
            matches!(outcome.reason, Reason::BadCoreCount { .. }),
            "{outcome}"
        );
    }
}

#[test]
fn a_priority_out_of_range_is_refused() {
    for priority in ["64", "-1", "300"] {
        let outcome = refusal("priority = 20", &format!("priority = {priority}"));
        assert!(matches!(outcome.reason, Reason::PriorityOutOfRange(_)));
        assert_eq!((outcome.line, outcome.column), (6, 12));
    }
}

#[test]
fn a_name_given_twice_is_refused() {
    let twice = refusal("[template.uart]", "[template.mem]");
    assert_eq!(twice.reason, Reason::DuplicateName("mem".to_owned()));
    let table = refusal("[guest.right]", "[guest.left]");
    assert!(matches!(table.reason, Reason::Syntax(_)));
    let server = refusal("[\"vcpu\", \"irq\"]", "[\"vcpu\", \"irq\", \"irq\"]");
    assert_eq!(server.reason, Reason::DuplicateName("irq".to_owned()));
    let device = refusal("{ ttyS0 =", "{ irq =");
    assert_eq!(device.reason, Reason::DuplicateName("irq".to_owned()));
}

#[test]
fn a_bad_name_is_refused() {
    for name in [
        "\"\"",
        "\"a b\"",
        "\"a.b\"",
        "\"a/b\"",
        "\"abcdefghijklmnopqrstuvwxyz\"",
    ] {
        let outcome = refusal("[guest.right]", &format!("[guest.{name}]"));
        assert!(matches!(outcome.reason, Reason::BadName(_)), "{outcome}");
    }
}

#[test]
fn a_bad_size_is_refused() {
    let text = refusal("stack = \"16K\"", "stack = \"16Q\"");
    assert!(
        matches!(&text.reason, Reason::Syntax(text) if text.contains("16Q")),
        "{text}"
    );
    assert_eq!((text.line, text.column), (7, 9));
    for (old, new) in [
        ("stack = \"16K\"", "stack = \"5000\""),
        ("stack = \"16K\"", "stack = 0"),
        ("memory = \"4M\"", "memory = 4095"),
        ("memory = \"256M\"", "memory = \"1M\""),
    ] {
        let outcome = refusal(old, new);
        assert!(
            matches!(outcome.reason, Reason::BadSize { .. }),
            "{new}: {outcome}"
        );
    }
}

#[test]
fn an_unknown_console_is_refused() {
    let refusal = refusal("console = \"console\"", "console = \"telly\"");
    assert_eq!(refusal.reason, Reason::UnknownConsole("telly".to_owned()));
}

#[test]
fn a_bad_option_is_refused_by_its_name() {
    let guest = |guest| Overrides {
        guest,
        ..Overrides::default()
    };
    let kernel = guest(GuestOverrides {
        kernel: Some("gone".to_owned()),
        ..Default::default()
    });
    let vcpus = guest(GuestOverrides {
        vcpus: Some(0),
        ..Default::default()
    });
    let size = Some(Size::from_bytes(3 << 30));
    let memory = guest(GuestOverrides {
        memory: size,
        ..Default::default()
    });
    let harts = Overrides {
        cores: Some(0),
        ..Overrides::default()
    };
    let argument = ("nobody".to_owned(), String::new());
    let arguments = Overrides {
        arguments: vec![argument],
        ..Overrides::default()
    };
    for (option, overrides) in [
        ("--guest", kernel),
        ("--vcpus", vcpus),
        ("--memory", memory),
        ("--harts", harts),
        ("--argument", arguments),
    ] {
        let refusal = compiled_with(TWO_GUESTS, &overrides).expect_err("must be refused");
        assert!(refusal.to_string().starts_with(option), "{refusal}");
    }
}

/// An x86 system with a driver, of which `device` is the device.
fn ports(device: &str) -> String {
    format!(
        "machine = \"qemu-q35\"\n[server.one]\npackage = \"driver-uart\"\npriority = 3\ndevice = {device}\n[server.two]\npackage = \"driver-uart\"\npriority = 3\ndevice = {{ port = 0x2f8, size = 8, irq = 3 }}\n"
    )
}

#[test]
fn ports_have_one_owner_and_are_no_addresses() {
    let reason = |device: &str| match compiled(&ports(device)) {
        Ok(_) => None,
        Err(refusal) => Some(refusal.reason.to_string()),
    };
    for good in [
        "{ port = 0x3f8, size = 8, irq = 4 }",
        "{ port = 0x300, size = 1 }",
        "{ base = 0x2000, size = 8 }",
    ] {
        assert_eq!(reason(good), None, "{good}");
    }
    for (bad, why) in [
        ("{ port = 0x2f0, size = 9 }", "port 0x2f8"),
        ("{ port = 0x3f8, size = 8, irq = 3 }", "interrupt line 3"),
        ("{ port = 0xfff9, size = 8 }", "past the end"),
        ("{ port = 0x3f8, base = 0x1000, size = 8 }", "not both"),
        ("{ size = 8 }", "needs a base or a port"),
    ] {
        let reason = reason(bad).expect("it is refused");
        assert!(reason.contains(why), "{bad}: {reason}");
    }
    let virt = ports("{ port = 0x3f8, size = 8 }").replace("q35", "virt");
    let refusal = compiled(&virt).expect_err("it is refused");
    assert!(refusal.reason.to_string().contains("has no ports"));
}

/// The refusal of the example with areas at its end: size and base of each.
#[track_caller]
fn refusal_of_areas(areas: &[(&str, Option<u64>)]) -> Box<Refusal> {
    let rows = areas.iter().map(|(size, base)| {
        let base = base.map_or(String::new(), |base| format!("base = {base:#x}\n"));
        format!("\n[[area]]\nsize = \"{size}\"\n{base}")
    });
    let text = format!("{TWO_GUESTS}{}", rows.collect::<String>());
    compiled(&text).expect_err("must be refused")
}

#[test]
fn an_area_outside_memory_is_refused() {
    let first = 0x8000_0000;
    for (size, base) in [
        ("2M", Some(first - (2 << 20))),
        ("4M", Some(first - (2 << 20))),
        ("2M", Some(first + (1 << 40))),
        ("2M", Some(1 << 62)),
        ("1024G", None),
        ("1024G", Some(first)),
    ] {
        let refusal = refusal_of_areas(&[("2M", Some(first)), (size, base)]);
        let is_outside = matches!(refusal.reason, Reason::AreaOutsideMemory { area: 1, .. });
        assert!(is_outside, "{size} {base:?}: {refusal}");
        assert!(refusal.line > 0);
    }
}

#[test]
fn an_area_over_another_is_refused() {
    let first = 0x8000_0000;
    for (size, base) in [("2M", first), ("2M", first + (2 << 20)), ("8M", first)] {
        let refusal = refusal_of_areas(&[("2M", None), ("4M", Some(first)), (size, Some(base))]);
        let reason = Reason::OverlappingAreas { area: 2, other: 1 };
        assert_eq!(refusal.reason, reason, "{size} {base:#x}");
    }
}
