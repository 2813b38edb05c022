//! What a manifest that is not refused becomes.

mod common;

use common::{TWO_GUESTS, compiled, compiled_with};
use manifest::compiled::{DecodeError, LogLevel, ProcessIndex, System};
use manifest::{GuestOverrides, Overrides, Size};

/// Returns the system of the example.
fn example() -> System {
    compiled(TWO_GUESTS).expect("the example compiles").system
}

/// Returns the process with this name.
fn process<'a>(system: &'a System, name: &str) -> &'a manifest::compiled::Process {
    system
        .processes
        .iter()
        .find(|process| process.name == name)
        .expect("it exists")
}

#[test]
fn each_guest_has_processes_of_its_own() {
    let system = example();
    let names: Vec<_> = system
        .processes
        .iter()
        .map(|process| process.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "mem",
            "uart-driver",
            "console",
            "left.vcpu",
            "left.irq",
            "left.ttyS0",
            "right.vcpu",
            "right.irq",
            "right.ttyS0"
        ]
    );
    assert_eq!(system.guests[1].vcpu, ProcessIndex(6));
    assert_eq!(system.guests[1].devices[0].process, ProcessIndex(8));
    assert_eq!(system.guests[1].devices[0].model, "device-uart16550");
}

#[test]
fn a_guests_process_reaches_its_own_peers_first() {
    let system = example();
    for (name, irq, mem) in [("left.vcpu", 4, 0), ("right.vcpu", 7, 0)] {
        let peers: Vec<_> = process(&system, name)
            .uses
            .iter()
            .map(|link| (link.name.as_str(), link.peer))
            .collect();
        assert_eq!(
            peers,
            [("mem", ProcessIndex(mem)), ("irq", ProcessIndex(irq))]
        );
    }
}

#[test]
fn a_server_serves_the_cores_that_its_callers_are_on() {
    let system = example();
    assert_eq!(process(&system, "left.irq").cores, [0, 1]);
    assert_eq!(process(&system, "right.irq").cores, [1]);
    assert_eq!(process(&system, "mem").cores, [0, 1]);
    assert_eq!(process(&system, "uart-driver").cores, [0, 1]);
}

#[test]
fn given_cores_stay_as_given() {
    let text = TWO_GUESTS.replace(
        "package = \"console\"",
        "package = \"console\"\ncores = [0]",
    );
    let system = compiled(&text).expect("compiles").system;
    assert_eq!(process(&system, "console").cores, [0]);
    assert_eq!(process(&system, "uart-driver").cores, [0]);
}

#[test]
fn fewer_harts_fold_the_cores() {
    let overrides = Overrides {
        cores: Some(1),
        ..Overrides::default()
    };
    let system = compiled_with(TWO_GUESTS, &overrides)
        .expect("compiles")
        .system;
    assert_eq!(system.guests[0].cores, [0, 0]);
    assert_eq!(process(&system, "left.vcpu").cores, [0]);
}

#[test]
fn all_cores_follow_the_harts() {
    let text = TWO_GUESTS.replace("package = \"mem\"", "package = \"mem\"\ncores = \"all\"");
    let overrides = Overrides {
        cores: Some(4),
        ..Overrides::default()
    };
    let system = compiled_with(&text, &overrides).expect("compiles").system;
    assert_eq!(process(&system, "mem").cores, [0, 1, 2, 3]);
}

#[test]
fn equal_images_are_in_the_bundle_once() {
    let compiled = compiled(TWO_GUESTS).expect("compiles");
    let entries: Vec<_> = compiled
        .files
        .iter()
        .map(|file| file.entry.as_str())
        .collect();
    assert_eq!(entries, ["kernel-0", "initrd-0"]);
    assert_eq!(
        compiled.system.guests[0].kernel.image,
        compiled.system.guests[1].kernel.image
    );
    let packages: Vec<_> = compiled
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    assert_eq!(
        packages,
        [
            "console",
            "device-uart16550",
            "driver-uart",
            "irq",
            "mem",
            "vcpu"
        ]
    );
}

#[test]
fn options_change_only_the_first_guest() {
    let guest = GuestOverrides {
        append: Some("poweroff".to_owned()),
        memory: Some(Size::from_bytes(64 << 20)),
        vcpus: Some(3),
        ..GuestOverrides::default()
    };
    let overrides = Overrides {
        guest,
        log: Some(LogLevel::Debug),
        ..Overrides::default()
    };
    let system = compiled_with(TWO_GUESTS, &overrides)
        .expect("compiles")
        .system;
    assert_eq!(system.guests[0].append, "console=ttyS0 poweroff");
    assert_eq!(system.guests[0].memory, 64 << 20);
    assert_eq!(system.guests[0].cores, [0, 1, 0]);
    assert_eq!(system.guests[1], example().guests[1]);
    assert_eq!(system.log, LogLevel::Debug);
}

#[test]
fn a_foreign_guest_gets_nothing_of_the_replaced_one() {
    // Also one with the header of Linux: test kernels have it, and they count their arguments.
    for kernel in ["flat", "debian"] {
        let guest = GuestOverrides {
            kernel: Some(kernel.to_owned()),
            append: Some("one two".to_owned()),
            ..GuestOverrides::default()
        };
        let overrides = Overrides {
            guest,
            ..Overrides::default()
        };
        let system = compiled_with(TWO_GUESTS, &overrides)
            .expect("compiles")
            .system;
        assert_eq!(system.guests[0].append, "one two");
        assert_eq!(system.guests[0].initrd.is_some(), kernel == "debian");
    }
}

#[test]
fn a_panicking_vcpu_server_is_that_of_its_guest() {
    let text = TWO_GUESTS.replace(
        "[guest.right]",
        "[guest.right]\npanic_on_sbi = { extension = 0x0a000000, function = 1 }\n\
         touch_on_sbi = { extension = 1, function = 2, address = 0x1000 }\nreboots = 1",
    );
    let system = compiled(&text).expect("compiles").system;
    assert_eq!(process(&system, "left.vcpu").panic_on_sbi, None);
    assert!(process(&system, "right.vcpu").panic_on_sbi.is_some());
    assert_eq!(process(&system, "right.irq").panic_on_sbi, None);
    let touch = process(&system, "right.vcpu").touch_on_sbi.expect("given");
    assert_eq!((touch.call.extension, touch.address), (1, 0x1000));
    assert_eq!(process(&system, "left.vcpu").touch_on_sbi, None);
    let reboots = system.guests.iter().map(|guest| guest.reboots);
    assert_eq!(reboots.collect::<Vec<_>>(), [None, Some(1)]);
}

#[test]
fn the_compiled_form_reads_back() {
    let system = example();
    let bytes = system.encode().expect("encodes");
    assert_eq!(System::decode(&bytes), Ok(system));
}

#[test]
fn a_cut_or_longer_compiled_form_is_refused() {
    let mut bytes = example().encode().expect("encodes");
    for length in 0..bytes.len() {
        assert!(System::decode(&bytes[..length]).is_err(), "{length} bytes");
    }
    bytes.push(0);
    assert_eq!(System::decode(&bytes), Err(DecodeError::Malformed));
}

#[test]
fn another_format_is_refused() {
    let mut system = example();
    system.format += 1;
    let bytes = system.encode().expect("encodes");
    assert_eq!(System::decode(&bytes), Err(DecodeError::Format));
}

#[test]
fn an_index_that_names_nothing_is_refused() {
    let mut system = example();
    system.guests[0].irq = ProcessIndex(9);
    let bytes = system.encode().expect("encodes");
    assert_eq!(System::decode(&bytes), Err(DecodeError::Dangling));
}

#[test]
fn texts_of_the_command_line_replace_those_of_the_manifest() {
    let text = format!("{TWO_GUESTS}\n[text]\nseed = \"1\"\nrounds = \"9\"\n");
    let texts = vec![("seed".to_owned(), "2".to_owned())];
    let overrides = Overrides {
        texts,
        ..Overrides::default()
    };
    let compiled = compiled_with(&text, &overrides).expect("compiles");
    let texts: Vec<_> = compiled
        .texts
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    assert_eq!(texts, [("rounds", "9"), ("seed", "2")]);
}
