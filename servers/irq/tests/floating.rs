//! Laws of the interruptions of s390x.
#![allow(missing_docs)]

use irq::floating::{EXTERNAL, Floating, INPUT_OUTPUT, QUEUE};
use irq_api::floating::{Act, Answer, InputOutput, Interruption, Masks, Open};
use proptest::prelude::*;

const ALL: Masks = Masks {
    external: u64::MAX,
    input_output: u64::MAX,
    machine_check: u64::MAX,
};
const SERVICE: Interruption = Interruption::ServiceSignal { parameter: 0x1000 };

fn open(masks: Masks) -> Open {
    Open {
        external: true,
        input_output: true,
        machine_check: true,
        masks,
    }
}

fn post(all: &mut Floating, cpu: Option<u8>, interruption: Interruption) -> Answer {
    all.act(Act::Post { cpu, interruption }).unwrap()
}

fn take(all: &mut Floating, cpu: u8, masks: Masks) -> Answer {
    let open = open(masks);
    all.act(Act::Take { cpu, open }).unwrap()
}

fn disk(subclass: u32, subsystem: u32) -> Interruption {
    Interruption::InputOutput(InputOutput {
        subsystem,
        parameter: 7,
        word: subclass << 27,
    })
}

#[test]
fn what_floats_is_taken_by_one_cpu_and_lowers_the_lines_of_all() {
    let mut all = Floating::new(2);
    post(&mut all, None, SERVICE);
    assert_eq!(
        (0..2).map(|cpu| all.settle(cpu).raised).collect::<Vec<_>>(),
        [EXTERNAL; 2]
    );
    assert_eq!(take(&mut all, 1, ALL).taken, Some(SERVICE));
    assert_eq!(
        (0..2)
            .map(|cpu| all.settle(cpu).lowered)
            .collect::<Vec<_>>(),
        [EXTERNAL; 2]
    );
    assert_eq!(take(&mut all, 0, ALL).taken, None);
}

#[test]
fn interruptions_come_in_the_order_of_the_manual() {
    let mut all = Floating::new(1);
    let order = [
        Interruption::MachineCheck { code: 5 },
        Interruption::EmergencySignal { sender: 0 },
        Interruption::EmergencySignal { sender: 3 },
        Interruption::ExternalCall { sender: 1 },
        Interruption::ClockComparator,
        Interruption::CpuTimer,
        SERVICE,
        disk(1, 0x1_0002),
        disk(1, 0x1_0001),
        disk(3, 0x1_0000),
    ];
    // Of one subclass the older comes first; all else is posted the other way round.
    let posted = order[..7]
        .iter()
        .rev()
        .chain([&order[9], &order[7], &order[8]]);
    for one in posted {
        let floats = matches!(
            one,
            Interruption::InputOutput(_) | Interruption::ServiceSignal { .. }
        );
        post(&mut all, (!floats).then_some(0), *one);
    }
    for one in order {
        assert_eq!(take(&mut all, 0, ALL).taken, Some(one));
    }
    assert_eq!(all.ledger().counts().injected, 10);
}

#[test]
fn what_a_mask_holds_back_lowers_the_line_until_the_masks_are_loaded() {
    let mut all = Floating::new(2);
    let closed = Masks {
        external: 0x200,
        ..ALL
    };
    post(
        &mut all,
        Some(0),
        Interruption::EmergencySignal { sender: 1 },
    );
    assert_eq!(all.settle(0).raised, EXTERNAL);
    let answer = take(&mut all, 0, closed);
    assert_eq!((answer.taken, answer.watch), (None, true));
    assert_eq!(all.settle(0).lowered, EXTERNAL);
    // Something that it lets through comes meanwhile; the masks stay watched.
    post(&mut all, None, SERVICE);
    assert_eq!(all.settle(0).raised, EXTERNAL);
    let answer = take(&mut all, 0, closed);
    assert_eq!((answer.taken, answer.watch), (Some(SERVICE), true));
    assert_eq!(all.settle(0).lowered, EXTERNAL);
    let answer = all.act(Act::Load { cpu: 0, masks: ALL }).unwrap();
    assert!(!answer.watch);
    assert_eq!(all.settle(0).raised, EXTERNAL);
}

#[test]
fn masks_that_are_not_watched_hold_nothing_back() {
    let mut all = Floating::new(1);
    let closed = Masks { external: 0, ..ALL };
    assert!(!take(&mut all, 0, closed).watch);
    post(&mut all, Some(0), Interruption::ExternalCall { sender: 0 });
    assert_eq!(all.settle(0).raised, EXTERNAL);
}

#[test]
fn one_of_a_kind_is_pending_at_a_time() {
    let mut all = Floating::new(2);
    for interruption in [
        Interruption::EmergencySignal { sender: 1 },
        Interruption::ExternalCall { sender: 1 },
        Interruption::ClockComparator,
    ] {
        assert!(!post(&mut all, Some(0), interruption).coalesced);
        assert!(post(&mut all, Some(0), interruption).coalesced);
    }
    assert!(post(&mut all, Some(0), Interruption::ExternalCall { sender: 0 }).coalesced);
    assert!(
        !post(
            &mut all,
            Some(0),
            Interruption::EmergencySignal { sender: 0 }
        )
        .coalesced
    );
    post(
        &mut all,
        None,
        Interruption::ServiceSignal { parameter: 0x1000 },
    );
    post(&mut all, None, Interruption::ServiceSignal { parameter: 1 });
    all.act(Act::Forget { cpu: 0 }).unwrap();
    let both = Interruption::ServiceSignal { parameter: 0x1001 };
    assert_eq!(take(&mut all, 0, ALL).taken, Some(both));
    let counts = all.ledger().counts();
    assert_eq!(
        (counts.injected, counts.coalesced, counts.suppressed),
        (1, 5, 4)
    );
}

#[test]
fn adapter_interruptions_of_a_subclass_are_one() {
    let mut all = Floating::new(1);
    assert!(!all.post_adapter(3).unwrap().coalesced);
    assert!(all.post_adapter(3).unwrap().coalesced);
    assert!(!all.post_adapter(1).unwrap().coalesced);
    assert_eq!(all.settle(0).raised, INPUT_OUTPUT);
    let subclass_3 = Masks {
        input_output: 0x1000_0000,
        ..ALL
    };
    let word = |answer: Answer| match answer.taken {
        Some(Interruption::InputOutput(one)) => one.word,
        _ => 0,
    };
    assert_eq!(word(take(&mut all, 0, subclass_3)), 0x9800_0000);
    assert_eq!(word(take(&mut all, 0, ALL)), 0x8800_0000);
}

#[test]
fn a_full_queue_suppresses_and_a_reset_forgets_all() {
    let mut all = Floating::new(1);
    for subsystem in 0..QUEUE as u32 + 3 {
        post(&mut all, None, disk(0, subsystem));
    }
    assert_eq!(all.ledger().counts().suppressed, 3);
    all.reset();
    assert_eq!(all.settle(0).raised, 0);
    assert!(all.check());
    assert_eq!(all.act(Act::Forget { cpu: 1 }), None);
}

fn interruption() -> impl Strategy<Value = Interruption> {
    prop_oneof![
        any::<u8>().prop_map(|sender| Interruption::EmergencySignal { sender }),
        any::<u8>().prop_map(|sender| Interruption::ExternalCall { sender }),
        Just(Interruption::ClockComparator),
        Just(Interruption::CpuTimer),
        any::<u32>().prop_map(|parameter| Interruption::ServiceSignal { parameter }),
        any::<u64>().prop_map(|code| Interruption::MachineCheck { code }),
        (0..8_u32, 0..3_u32).prop_map(|(subclass, subsystem)| disk(subclass, subsystem)),
    ]
}

fn masks() -> impl Strategy<Value = Masks> {
    let mask = || prop_oneof![Just(u64::MAX), Just(0), any::<u64>()];
    (mask(), mask(), mask()).prop_map(|(external, input_output, machine_check)| Masks {
        external,
        input_output,
        machine_check,
    })
}

fn act() -> impl Strategy<Value = Act> {
    let cpu = || 0..3_u8;
    prop_oneof![
        (proptest::option::of(cpu()), interruption())
            .prop_map(|(cpu, interruption)| Act::Post { cpu, interruption }),
        (cpu(), masks()).prop_map(|(cpu, masks)| Act::Take {
            cpu,
            open: open(masks)
        }),
        (cpu(), masks()).prop_map(|(cpu, masks)| Act::Load { cpu, masks }),
        cpu().prop_map(|cpu| Act::Forget { cpu }),
    ]
}

proptest! {
    #[test]
    fn the_ledger_adds_up_and_nothing_is_lost(acts in proptest::collection::vec(act(), 0..60)) {
        let mut all = Floating::new(3);
        for act in acts {
            all.act(act).unwrap();
            prop_assert!(all.check());
            for cpu in 0..3 {
                let _ = all.settle(cpu);
            }
        }
        let waiting = all.ledger().counts().deferred;
        let mut taken = 0;
        for cpu in 0..3 {
            while take(&mut all, cpu, ALL).taken.is_some() {
                taken += 1;
            }
        }
        prop_assert_eq!(taken, waiting);
        let low = (0..3).all(|cpu| all.settle(cpu).raised == 0);
        prop_assert!(low, "nothing waits, and no line is raised");
    }
}
