//! The device tree, read back with a parser that nobody here wrote.
#![allow(missing_docs)]

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};
use riscv_regs::isa::Offer;
use riscv_regs::translation::Mode;
use riscv_regs::{Extension, isa};
use vcpu::machine::riscv::fdt::{Description, Range, Serial, TreeError, abilities, device_tree};
use vcpu::machine::riscv::loader::{Memory, Place};

const SERIALS: [Serial; 2] = [
    Serial {
        range: Range {
            base: 0x1000_0000,
            bytes: 0x100,
        },
        interrupt: 10,
    },
    Serial {
        range: Range {
            base: 0x1000_1000,
            bytes: 0x100,
        },
        interrupt: 11,
    },
];

fn offer(extensions: &[Extension]) -> Offer {
    Offer::new(extensions.iter().copied().collect(), 64, 128)
}

fn description() -> Description<'static> {
    Description {
        harts: 2,
        abilities: abilities(offer(&[Extension::Sstc])),
        mode: Mode::Sv39,
        timebase: 10_000_000,
        memory: Memory::new(0x8000_0000, 256 << 20).unwrap(),
        plic: Range {
            base: 0xc00_0000,
            bytes: 0x40_0000,
        },
        sources: 127,
        serials: &SERIALS,
        command_line: "console=ttyS0",
        initrd: Some(Place {
            address: 0x8f00_0000,
            bytes: 0x1234,
        }),
        seed: Some(&[1, 2, 3]),
    }
}

fn value(node: &FdtNode<'_>, name: &str) -> Vec<u8> {
    node.property(name)
        .unwrap_or_else(|| panic!("no {name}"))
        .value()
        .to_vec()
}

fn cells(node: &FdtNode<'_>, name: &str) -> Vec<u32> {
    value(node, name)
        .chunks(4)
        .map(|cell| u32::from_be_bytes(cell.try_into().unwrap()))
        .collect()
}

fn strings(node: &FdtNode<'_>, name: &str) -> Vec<String> {
    let text = String::from_utf8(value(node, name)).unwrap();
    text.trim_end_matches('\0')
        .split('\0')
        .map(str::to_string)
        .collect()
}

#[test]
fn a_parser_finds_what_linux_looks_for() {
    let blob = device_tree(&description()).unwrap();
    let tree = Fdt::new(&blob).unwrap();
    let node = |path: &str| tree.find_node(path).unwrap_or_else(|| panic!("no {path}"));
    let chosen = node("/chosen");
    assert_eq!(strings(&chosen, "bootargs"), ["console=ttyS0"]);
    assert_eq!(strings(&chosen, "stdout-path"), ["/soc/serial@10000000"]);
    assert_eq!(cells(&chosen, "linux,initrd-start"), [0, 0x8f00_0000]);
    assert_eq!(cells(&chosen, "linux,initrd-end"), [0, 0x8f00_1234]);
    assert_eq!(value(&chosen, "rng-seed"), [1, 2, 3]);
    let memory = node("/memory@80000000");
    assert_eq!(cells(&memory, "reg"), [0, 0x8000_0000, 0, 256 << 20]);
    assert_eq!(strings(&memory, "device_type"), ["memory"]);
    assert_eq!(cells(&node("/cpus"), "timebase-frequency"), [10_000_000]);
    let hart = node("/cpus/cpu@1");
    assert_eq!(cells(&hart, "reg"), [1]);
    assert_eq!(
        strings(&hart, "riscv,isa"),
        ["rv64imafdc_zicntr_zicsr_zifencei_sstc"]
    );
    assert_eq!(strings(&hart, "riscv,isa-base"), ["rv64i"]);
    assert_eq!(strings(&hart, "mmu-type"), ["riscv,sv39"]);
    for serial in ["/soc/serial@10000000", "/soc/serial@10001000"] {
        assert_eq!(strings(&node(serial), "compatible"), ["ns16550a"]);
        assert_eq!(cells(&node(serial), "clock-frequency"), [3_686_400]);
    }
    assert_eq!(cells(&node("/soc/serial@10001000"), "interrupts"), [11]);
}

#[test]
fn contexts_of_the_plic_are_the_harts_supervisors_in_order() {
    let blob = device_tree(&description()).unwrap();
    let tree = Fdt::new(&blob).unwrap();
    let plic = tree.find_node("/soc/interrupt-controller@c000000").unwrap();
    let handle = |path: &str| cells(&tree.find_node(path).unwrap(), "phandle")[0];
    let first = handle("/cpus/cpu@0/interrupt-controller");
    let second = handle("/cpus/cpu@1/interrupt-controller");
    assert_ne!(first, second);
    assert_eq!(cells(&plic, "interrupts-extended"), [first, 9, second, 9]);
    assert_eq!(
        strings(&plic, "compatible"),
        ["sifive,plic-1.0.0", "riscv,plic0"]
    );
    assert_eq!(cells(&plic, "riscv,ndev"), [127]);
    let serial = tree.find_node("/soc/serial@10000000").unwrap();
    assert_eq!(cells(&serial, "interrupt-parent"), cells(&plic, "phandle"));
}

#[test]
fn both_forms_of_the_isa_name_a_set_that_validates() {
    for offered in [
        &[][..],
        &[Extension::Sstc, Extension::Zbb, Extension::Svpbmt],
    ] {
        let mut abilities = abilities(offer(offered));
        abilities.extensions = abilities.extensions.with(Extension::Zilsd);
        let blob = device_tree(&Description {
            abilities,
            ..description()
        })
        .unwrap();
        let tree = Fdt::new(&blob).unwrap();
        let hart = tree.find_node("/cpus/cpu@0").unwrap();
        let list = strings(&hart, "riscv,isa-extensions");
        let from_list = isa::from_list(list.iter().map(String::as_bytes));
        let (xlen, from_string) =
            isa::from_string(strings(&hart, "riscv,isa")[0].as_bytes()).unwrap();
        let accepted = isa::validate(xlen, from_string).accepted;
        assert_eq!(accepted, from_list);
        assert!(!from_list.contains(Extension::Zilsd), "not on rv64");
        assert!(from_list.contains_all(offered));
        assert_eq!(from_list.contains(Extension::Sstc), !offered.is_empty());
    }
}

#[test]
fn blocks_are_told_with_their_extension_and_not_without() {
    let sizes = |offered: &[Extension]| {
        let blob = device_tree(&Description {
            abilities: abilities(offer(offered)),
            ..description()
        });
        let blob = blob.unwrap();
        let tree = Fdt::new(&blob).unwrap();
        let hart = tree.find_node("/cpus/cpu@1").unwrap();
        ["riscv,cbom-block-size", "riscv,cboz-block-size"]
            .map(|name| hart.property(name).map(|_| cells(&hart, name)[0]))
    };
    assert_eq!(sizes(&[Extension::Zba]), [None, None]);
    assert_eq!(sizes(&[Extension::Zicboz]), [None, Some(128)]);
    assert_eq!(
        sizes(&[Extension::Zicbom, Extension::Zicboz]),
        [Some(64), Some(128)]
    );
}

#[test]
fn a_machine_without_extras_has_no_properties_for_them() {
    let bare = Description {
        initrd: None,
        seed: None,
        serials: &[],
        ..description()
    };
    let blob = device_tree(&bare).unwrap();
    let tree = Fdt::new(&blob).unwrap();
    let chosen = tree.find_node("/chosen").unwrap();
    for name in ["stdout-path", "linux,initrd-start", "rng-seed"] {
        assert!(chosen.property(name).is_none());
    }
}

#[test]
fn a_command_line_with_a_zero_byte_is_refused() {
    let bad = Description {
        command_line: "a\0b",
        ..description()
    };
    assert_eq!(device_tree(&bad), Err(TreeError::Text));
}
