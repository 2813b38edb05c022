//! The controllers of a PC: what the manual and `docs/semantics.md` (A1) have, and laws that hold
//! whatever a guest does.
#![allow(missing_docs)]

use irq::Apics;
use irq::apic::message::{Destination, Message, Mode};
use irq::apic::{BASE, Changes, Event, INTERRUPT, IO_BASE, NON_MASKABLE, TIMER};
use irq_api::{CONTROL_REGISTER_8, Source};
use proptest::prelude::*;

/// Registers of the local APIC.
const SPURIOUS: u64 = 0xf0;
const LOGICAL: u64 = 0xd0;
const COMMAND: u64 = 0x300;
const COMMAND_HIGH: u64 = 0x310;
const TIMER_ENTRY: u64 = 0x320;
const COUNT: u64 = 0x380;
const DIVIDE: u64 = 0x3e0;
const END: u64 = 0xb0;
const PRIORITY: u64 = 0x80;

struct Pc {
    apics: Apics,
    now: u64,
}

impl Pc {
    /// A PC whose APICs are enabled, each with its own logical bit.
    fn new(vcpus: usize) -> Self {
        let mut pc = Self {
            apics: Apics::new(vcpus).unwrap(),
            now: 0,
        };
        for vcpu in 0..vcpus {
            let _ = pc.store(vcpu, SPURIOUS, 0x1ff);
            let _ = pc.store(vcpu, LOGICAL, 1 << (24 + vcpu % 8));
        }
        pc
    }

    fn store(&mut self, vcpu: usize, register: u64, value: u32) -> Changes {
        self.access(vcpu, (BASE + register, Some(value))).1
    }

    fn load(&mut self, vcpu: usize, register: u64) -> u32 {
        self.access(vcpu, (BASE + register, None)).0
    }

    fn access(&mut self, vcpu: usize, access: (u64, Option<u32>)) -> (u32, Changes) {
        let mut changes = Changes::default();
        let loaded = self.apics.memory(vcpu, access, self.now, &mut changes);
        assert!(self.apics.check(), "the ledger adds up");
        assert_eq!(changes.is_empty(), changes == Changes::default());
        (loaded, changes)
    }

    fn io(&mut self, register: u32, value: u32) -> Changes {
        let _ = self.access(0, (IO_BASE, Some(register)));
        self.access(0, (IO_BASE + 0x10, Some(value))).1
    }

    fn line(&mut self, pin: u8, level: bool) -> Changes {
        let source = Source::new(pin).unwrap();
        self.apics.raise(source, level).unwrap()
    }

    fn take(&mut self, vcpu: usize) -> Option<Event> {
        let changes = self.apics.window(vcpu, INTERRUPT, self.now);
        changes.event.map(|(_, event)| event)
    }
}

fn message(vector: u8, mode: Mode, destination: Destination) -> Message {
    Message {
        vector,
        mode,
        destination,
        level: false,
        to_one: false,
    }
}

#[test]
fn the_vector_picks_one_of_those_who_match() {
    let pc = Pc::new(8);
    let chosen = |vector, mask| {
        let message = message(vector, Mode::Lowest, Destination::Logical(mask));
        pc.apics.targets(&message, None)
    };
    // The table of A1: candidates 1, 3, 6.
    for (vector, target) in [(0x30, 1), (0x31, 3), (0x32, 6), (0xef, 6)] {
        assert_eq!(chosen(vector, 0b100_1010), [target]);
    }
    assert_eq!(chosen(0xef, 0b1111), [3]);
    assert!(chosen(0x30, 0).is_empty());
}

#[test]
fn a_disabled_apic_is_no_candidate() {
    let mut pc = Pc::new(4);
    let _ = pc.store(3, SPURIOUS, 0xff);
    // Slot 3 of mask 0b1011 is not there: 50 mod 2 is the first.
    let message = message(0x32, Mode::Lowest, Destination::Logical(0b1011));
    assert_eq!(pc.apics.targets(&message, None), [0]);
}

#[test]
fn destinations_match_as_the_manual_says() {
    let pc = Pc::new(4);
    let targets = |destination, source| {
        pc.apics
            .targets(&message(0x40, Mode::Fixed, destination), source)
    };
    assert_eq!(targets(Destination::Physical(2), None), [2]);
    assert_eq!(targets(Destination::Physical(0xff), None), [0, 1, 2, 3]);
    assert_eq!(targets(Destination::Others, Some(1)), [0, 2, 3]);
    assert_eq!(targets(Destination::Own, Some(3)), [3]);
    assert!(targets(Destination::Physical(9), None).is_empty());
}

#[test]
fn an_interrupt_is_taken_by_priority_and_ended() {
    let mut pc = Pc::new(2);
    let changes = pc.store(0, COMMAND_HIGH, 1 << 24);
    assert_eq!(changes.raised, 0);
    assert_eq!(pc.store(0, COMMAND, 0x4041).raised, 0b10);
    // A second one with the same vector meets the first; a lower one waits behind it.
    assert_eq!(pc.store(0, COMMAND, 0x4041), Changes::default());
    let _ = pc.store(0, COMMAND, 0x4035);
    assert_eq!(pc.take(1), Some(Event::Interrupt(0x41)));
    assert_eq!(pc.take(1), None);
    assert_eq!(pc.store(1, END, 0).raised, 0b10);
    assert_eq!(pc.take(1), Some(Event::Interrupt(0x35)));
    let counts = pc.apics.ledger().counts();
    assert_eq!(
        (counts.raised, counts.injected, counts.coalesced),
        (3, 2, 1)
    );
}

#[test]
fn the_task_priority_holds_back_what_is_not_above_it() {
    let mut pc = Pc::new(1);
    let _ = pc.store(0, PRIORITY, 0x50);
    let _ = pc.store(0, COMMAND, 0x4_0045);
    assert_eq!(pc.take(0), None);
    assert_eq!(pc.store(0, PRIORITY, 0x30).raised, 1);
    assert_eq!(pc.take(0), Some(Event::Interrupt(0x45)));
    assert_eq!(pc.load(0, 0xa0), 0x40);
}

#[test]
fn cr8_is_the_upper_half_of_the_task_priority() {
    let mut pc = Pc::new(2);
    let cr8 = |pc: &mut Pc, store| pc.apics.register(0, (CONTROL_REGISTER_8, store), 0);
    let changes = cr8(&mut pc, Some(5)).unwrap().1;
    assert_eq!((changes.priority, changes.raised), (Some((0, 5)), 0));
    assert_eq!(pc.load(0, PRIORITY), 0x50);
    let _ = pc.store(0, COMMAND, 0x4_0045);
    assert_eq!(pc.take(0), None);
    // What waits is held back again before it is taken, and comes when nothing holds it back.
    assert_eq!(cr8(&mut pc, Some(3)).unwrap().1.raised, 1);
    assert_eq!(cr8(&mut pc, Some(4)).unwrap().1.lowered, 1);
    assert_eq!(pc.take(0), None);
    assert_eq!(cr8(&mut pc, Some(3)).unwrap().1.raised, 1);
    assert_eq!(pc.take(0), Some(Event::Interrupt(0x45)));
    // CR8 is told of what changes it, and of nothing else.
    assert_eq!(pc.store(0, PRIORITY, 0x3f).priority, None);
    assert_eq!(pc.store(0, PRIORITY, 0x7f).priority, Some((0, 7)));
    assert_eq!(cr8(&mut pc, None).unwrap().0, 7);
    assert_eq!(cr8(&mut pc, Some(16)), None);
    assert_eq!((pc.load(0, PRIORITY), pc.load(1, PRIORITY)), (0x7f, 0));
    let off = pc
        .apics
        .register(0, (0x1b, Some(0xfee0_0100)), 0)
        .unwrap()
        .1;
    assert_eq!(off.priority, Some((0, 0)));
}

#[test]
fn an_edge_comes_once_and_a_level_until_it_falls() {
    let mut pc = Pc::new(1);
    let _ = pc.io(0x11 + 2 * 4, 0);
    let _ = pc.io(0x10 + 2 * 4, 0x42);
    assert_eq!(pc.line(4, true).raised, 1);
    assert_eq!(pc.take(0), Some(Event::Interrupt(0x42)));
    let _ = pc.store(0, END, 0);
    assert_eq!(pc.take(0), None);
    let _ = pc.io(0x10 + 2 * 9, 0x8000 | 0x52);
    assert_eq!(pc.line(9, true).raised, 1);
    for _ in 0..3 {
        assert_eq!(pc.take(0), Some(Event::Interrupt(0x52)));
        assert_eq!(pc.store(0, END, 0).raised, 1);
    }
    let _ = pc.line(9, false);
    assert_eq!(pc.take(0), Some(Event::Interrupt(0x52)));
    assert_eq!(pc.store(0, END, 0), Changes::default());
}

#[test]
fn a_masked_edge_is_forgotten_and_counted_and_a_masked_level_waits() {
    let mut pc = Pc::new(1);
    let _ = pc.io(0x10 + 2 * 4, 0x1_0042);
    assert_eq!(pc.line(4, true), Changes::default());
    assert_eq!(pc.io(0x10 + 2 * 4, 0x42), Changes::default());
    assert_eq!(pc.apics.ledger().counts().suppressed, 1);
    let _ = pc.io(0x10 + 2 * 9, 0x1_8052);
    assert_eq!(pc.line(9, true), Changes::default());
    assert_eq!(pc.io(0x10 + 2 * 9, 0x8052).raised, 1);
}

#[test]
fn the_timer_fires_once_or_again_and_again() {
    let mut pc = Pc::new(1);
    let _ = pc.store(0, DIVIDE, 0xb);
    let _ = pc.store(0, TIMER_ENTRY, 0x40);
    let armed = pc.store(0, COUNT, 1000);
    assert_eq!(armed.deadline, Some((0, Some(1000))));
    pc.now = 400;
    assert_eq!(pc.load(0, 0x390), 600);
    pc.now = 1000;
    let changes = pc.apics.window(0, TIMER, pc.now);
    assert_eq!(changes.event, Some((0, Event::Interrupt(0x40))));
    assert_eq!((changes.timer_lowered, changes.deadline), (1, None));
    let _ = pc.store(0, END, 0);
    let _ = pc.store(0, TIMER_ENTRY, 0x2_0040);
    let _ = pc.store(0, COUNT, 1000);
    pc.now = 5500;
    // Four periods passed: three of them met the first.
    let changes = pc.apics.window(0, TIMER, pc.now);
    assert_eq!(changes.deadline, Some((0, Some(6000))));
    assert_eq!(pc.apics.ledger().counts().coalesced, 3);
    assert!(pc.apics.check());
}

#[test]
fn a_masked_timer_wakes_nobody_and_a_deadline_is_a_counter_value() {
    let mut pc = Pc::new(1);
    let _ = pc.store(0, DIVIDE, 0xb);
    assert_eq!(pc.store(0, COUNT, 1000).deadline, None);
    let _ = pc.store(0, TIMER_ENTRY, 0x4_0040);
    let (_, changes) = pc.apics.register(0, (0x6e0, Some(777)), 5).unwrap();
    assert_eq!(changes.deadline, Some((0, Some(777))));
    assert_eq!(pc.apics.register(0, (0x6e0, None), 5).unwrap().0, 777);
}

#[test]
fn init_and_start_go_to_the_vcpu_server_once() {
    let mut pc = Pc::new(2);
    let _ = pc.store(0, COMMAND_HIGH, 1 << 24);
    assert!(pc.store(0, COMMAND, 0x4500).starts);
    assert!(pc.store(0, COMMAND, 0x4608).starts);
    assert!(pc.store(0, COMMAND, 0x4609).starts);
    let (vcpu, start) = pc.apics.take_start().unwrap();
    assert_eq!((vcpu, start.stop, start.page), (1, true, Some(8)));
    assert_eq!(pc.apics.take_start(), None);
    // The end of the level that old processors wanted behind INIT is nothing.
    assert!(!pc.store(0, COMMAND, 0x8500).starts);
}

#[test]
fn an_x2apic_has_registers_and_no_memory() {
    let mut pc = Pc::new(20);
    let mode = |pc: &mut Pc, value| pc.apics.register(17, (0x1b, Some(value)), 0).is_some();
    assert!(mode(&mut pc, 0xfee0_0c00));
    assert!(!mode(&mut pc, 0xfee0_0800), "not back to memory");
    assert!(!mode(&mut pc, 0xfed0_0c00), "not elsewhere");
    assert_eq!(pc.load(17, 0x30), 0);
    let read = |pc: &mut Pc, number| pc.apics.register(17, (number, None), 0).map(|it| it.0);
    assert_eq!(read(&mut pc, 0x802), Some(17));
    assert_eq!(read(&mut pc, 0x80d), Some(1 << 16 | 1 << 1));
    assert_eq!(read(&mut pc, 0x80e), None);
    assert_eq!(pc.apics.register(0, (0x802, None), 0), None);
    let _ = pc.apics.register(17, (0x80f, Some(0x1ff)), 0);
    let sent = pc.apics.register(17, (0x830, Some(17 << 32 | 0x55)), 0);
    assert_eq!(sent.unwrap().1.raised, 1 << 17);
    let own = pc.apics.register(17, (0x83f, Some(0x66)), 0).unwrap();
    assert_eq!(own.1, Changes::default(), "the line is up already");
    assert_eq!(pc.take(17), Some(Event::Interrupt(0x66)));
}

#[test]
fn a_vector_below_16_is_an_error_of_both() {
    let mut pc = Pc::new(1);
    let _ = pc.store(0, COMMAND, 0x4_0005);
    let _ = pc.store(0, 0x280, 0);
    assert_eq!(pc.load(0, 0x280), 0x60);
    assert_eq!(pc.take(0), None);
}

#[test]
fn a_non_maskable_interrupt_has_a_line_of_its_own() {
    let mut pc = Pc::new(1);
    assert_eq!(pc.store(0, COMMAND, 0x4_0400).non_maskable_raised, 1);
    let changes = pc.apics.window(0, NON_MASKABLE, 0);
    assert_eq!(changes.event, Some((0, Event::NonMaskable)));
    assert_eq!(changes.non_maskable_lowered, 1);
}

#[test]
fn a_message_of_a_device_says_who_gets_it() {
    let message = Message::of_store(0xfee0_3000, 0x41).unwrap();
    assert_eq!(message.destination, Destination::Physical(3));
    let message = Message::of_store(0xfee0_300c, 0x141).unwrap();
    assert_eq!(message.destination, Destination::Logical(3));
    assert!(message.to_one && message.mode == Mode::Lowest);
    assert_eq!(Message::of_store(0xfed0_0000, 0x41), None);
}

#[derive(Clone, Debug)]
enum Step {
    Store(usize, u64, u32),
    Io(u32, u32),
    Line(u8, bool),
    Window(usize, u64),
    Register(usize, u32, u64),
    Time(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let register = prop_oneof![
        Just(COMMAND),
        Just(END),
        Just(PRIORITY),
        Just(COUNT),
        Just(SPURIOUS),
        (0..0x40_u64).prop_map(|index| index * 16),
    ];
    prop_oneof![
        4 => (0..3_usize, register, any::<u32>()).prop_map(|(v, r, x)| Step::Store(v, r, x & 0xf_cfff)),
        2 => (0x10..0x40_u32, any::<u32>()).prop_map(|(r, x)| Step::Io(r, x)),
        3 => (1..24_u8, any::<bool>()).prop_map(|(pin, level)| Step::Line(pin, level)),
        3 => (0..3_usize, 0..8_u64).prop_map(|(vcpu, lines)| Step::Window(vcpu, lines)),
        1 => (0..3_usize, prop_oneof![Just(0x1b), Just(0x6e0), 0x800..0x840_u32], any::<u64>())
            .prop_map(|(vcpu, number, value)| Step::Register(vcpu, number, value)),
        1 => (0..1_u64 << 33).prop_map(Step::Time),
    ]
}

proptest! {
    #[test]
    fn whatever_a_guest_does_nothing_is_lost(steps in proptest::collection::vec(step(), 0..200)) {
        let mut pc = Pc::new(3);
        let mut up = [false; 3];
        for step in steps {
            let now = pc.now;
            let changes = match step {
                Step::Store(vcpu, register, value) => pc.store(vcpu, register, value),
                Step::Io(register, value) => pc.io(register, value),
                Step::Line(pin, level) => pc.line(pin, level),
                Step::Window(vcpu, lines) => pc.apics.window(vcpu, lines, now),
                Step::Register(vcpu, number, value) => {
                    let answer = pc.apics.register(vcpu, (number, Some(value)), now);
                    answer.map_or_else(Changes::default, |(_, changes)| changes)
                }
                Step::Time(passed) => {
                    pc.now += passed;
                    Changes::default()
                }
            };
            prop_assert!(pc.apics.check());
            for (vcpu, up) in up.iter_mut().enumerate() {
                let moved = |set: u64| set >> vcpu & 1 == 1;
                prop_assert!(!(moved(changes.raised) && (*up || moved(changes.lowered))));
                *up = (*up || moved(changes.raised)) && !moved(changes.lowered);
                let local = pc.apics.local(vcpu).unwrap();
                prop_assert_eq!(*up, local.deliverable().is_some());
            }
        }
        let _ = pc.apics.reset();
        prop_assert!(pc.apics.check());
        prop_assert_eq!(pc.apics.ledger().counts().deferred, 0);
    }
}
