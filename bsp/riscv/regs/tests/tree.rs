//! The device-tree reader against trees that another crate wrote, and against anything at all.

use proptest::prelude::*;
use riscv_regs::tree::{Node, Tree};
use vm_fdt::{FdtReserveEntry, FdtWriter};

/// Returns a tree with a node of each sort.
fn sample() -> Vec<u8> {
    let reserved = FdtReserveEntry::new(0x8000_0000, 0x1000).unwrap();
    let mut writer = FdtWriter::new_with_mem_reserv(&[reserved]).unwrap();
    let root = writer.begin_node("").unwrap();
    writer.property_u32("#address-cells", 2).unwrap();
    let cpus = writer.begin_node("cpus").unwrap();
    writer
        .property_u32("timebase-frequency", 10_000_000)
        .unwrap();
    for hart in 0..2 {
        let cpu = writer.begin_node(&format!("cpu@{hart}")).unwrap();
        writer.property_string("device_type", "cpu").unwrap();
        let controller = writer.begin_node("interrupt-controller").unwrap();
        writer.property_null("interrupt-controller").unwrap();
        writer.end_node(controller).unwrap();
        writer.end_node(cpu).unwrap();
    }
    writer.end_node(cpus).unwrap();
    let chosen = writer.begin_node("chosen").unwrap();
    writer.property_string("bootargs", "quiet").unwrap();
    writer.end_node(chosen).unwrap();
    writer.end_node(root).unwrap();
    writer.finish().unwrap()
}

fn names<'a>(nodes: impl Iterator<Item = Node<'a>>) -> Vec<String> {
    nodes
        .map(|node| String::from_utf8_lossy(node.name()).into_owned())
        .collect()
}

#[test]
fn nodes_come_in_order_and_children_are_only_the_next_level() {
    let bytes = sample();
    let tree = Tree::new(&bytes).expect("is a tree");
    let controller = "interrupt-controller";
    let all = [
        "", "cpus", "cpu@0", controller, "cpu@1", controller, "chosen",
    ];
    assert_eq!(names(tree.nodes()), all);
    let root = tree.nodes().next().expect("has a root");
    assert_eq!(names(root.children()), ["cpus", "chosen"]);
    let cpus = tree.child_of_root("cpus").expect("has cpus");
    assert_eq!(names(cpus.children()), ["cpu@0", "cpu@1"]);
    assert!(tree.child_of_root("cpu@0").is_none());
}

#[test]
fn properties_are_those_of_the_node_itself() {
    let bytes = sample();
    let tree = Tree::new(&bytes).expect("is a tree");
    let cpus = tree.child_of_root("cpus").expect("has cpus");
    let frequency = 10_000_000_u32.to_be_bytes();
    assert_eq!(
        cpus.property("timebase-frequency"),
        Some(frequency.as_slice())
    );
    assert_eq!(cpus.property("device_type"), None);
    let cpu = cpus.children().next().expect("has a cpu");
    assert_eq!(cpu.property("device_type"), Some(b"cpu\0".as_slice()));
    assert_eq!(cpu.property("interrupt-controller"), None);
    let controller = cpu.children().next().expect("has a controller");
    assert_eq!(
        controller.property("interrupt-controller"),
        Some([].as_slice())
    );
    assert_eq!(
        tree.reservations().collect::<Vec<_>>(),
        [(0x8000_0000, 0x1000)]
    );
}

/// Reads everything that there is.
fn read_all(bytes: &[u8]) -> usize {
    let Some(tree) = Tree::new(bytes) else {
        return 0;
    };
    let inner = tree.nodes().map(|node| {
        let _ = node.property("device_type");
        node.children().count() + node.name().len()
    });
    inner.sum::<usize>() + tree.reservations().count()
}

#[test]
fn a_truncated_tree_ends_early() {
    let bytes = sample();
    let whole = read_all(&bytes);
    for length in 0..bytes.len() {
        assert!(read_all(bytes.get(..length).expect("is shorter")) <= whole);
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(changes in proptest::collection::vec((0usize..400, any::<u8>()), 0..8)) {
        let mut bytes = sample();
        for (at, value) in changes {
            let length = bytes.len();
            bytes[at % length] = value;
        }
        read_all(&bytes);
    }
}
