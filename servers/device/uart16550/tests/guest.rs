//! The port as a guest's driver sees it.
#![allow(missing_docs)]

use device_uart16550::device::FIFO_BYTES;
use device_uart16550::persist::RestoreError;
use device_uart16550::{Effects, ExitStatus, Request, Uart};
use proptest::prelude::*;

const RBR: u64 = 0;
const IER: u64 = 1;
const IIR: u64 = 2;
const FCR: u64 = 2;
const LCR: u64 = 3;
const MCR: u64 = 4;
const LSR: u64 = 5;
const MSR: u64 = 6;
const SCR: u64 = 7;

fn read(uart: &mut Uart, offset: u64) -> u8 {
    let response = uart.access(Request {
        offset,
        size: 1,
        store: None,
    });
    u8::try_from(response.value).unwrap()
}

fn write(uart: &mut Uart, offset: u64, value: u8) -> Effects {
    uart.access(Request {
        offset,
        size: 1,
        store: Some(u64::from(value)),
    })
    .effects
}

fn with_fifo(trigger: u8) -> Uart {
    let mut uart = Uart::new();
    write(&mut uart, FCR, 1 | trigger << 6);
    uart
}

fn output(uart: &mut Uart) -> Vec<u8> {
    let mut buffer = [0; 4096];
    let taken = uart.take_output(&mut buffer);
    buffer[..taken].to_vec()
}

/// The steps by which Linux's 8250 driver identifies a port (facts of its probe, not its code).
#[test]
fn linux_takes_it_for_a_16550a() {
    let mut uart = Uart::new();
    write(&mut uart, IER, 0);
    assert_eq!(read(&mut uart, IER) & 0x0f, 0);
    write(&mut uart, IER, 0x0f);
    assert_eq!(read(&mut uart, IER) & 0x0f, 0x0f);
    write(&mut uart, IER, 0);
    write(&mut uart, MCR, 0x10 | 0x0a);
    assert_eq!(read(&mut uart, MSR) & 0xf0, 0x90);
    write(&mut uart, MCR, 0);
    write(&mut uart, LCR, 0);
    write(&mut uart, FCR, 1);
    assert_eq!(read(&mut uart, IIR) >> 6, 3, "FIFOs work");
    write(&mut uart, LCR, 0x80);
    assert_ne!(read(&mut uart, 2), 0, "no 16650");
    write(&mut uart, LCR, 0xbf);
    assert_ne!(read(&mut uart, 2), 0, "no 16650V2");
    write(&mut uart, LCR, 0);
    let loop_before = read(&mut uart, MCR) & 0x10;
    write(&mut uart, LCR, 0xe0);
    assert_eq!(read(&mut uart, 2) & 0x10, loop_before, "maybe a superio");
    write(&mut uart, LCR, 0);
    write(&mut uart, MCR, 0x10);
    write(&mut uart, LCR, 0xe0);
    assert_eq!(read(&mut uart, 2) & 0x10, 0, "no superio");
    write(&mut uart, LCR, 0);
    write(&mut uart, MCR, 0);
    write(&mut uart, IER, 0x40);
    assert_eq!(read(&mut uart, IER) & 0x40, 0, "no XScale");
    write(&mut uart, FCR, 0x21);
    let plain = read(&mut uart, IIR) >> 5;
    write(&mut uart, LCR, 0x80);
    write(&mut uart, FCR, 0x21);
    let latched = read(&mut uart, IIR) >> 5;
    assert_eq!((plain, latched), (6, 6), "no 16750");
    write(&mut uart, LCR, 0);
    for value in [0x55, 0xaa] {
        write(&mut uart, SCR, value);
        assert_eq!(read(&mut uart, SCR), value);
    }
}

#[test]
fn the_transmitter_reports_again_whenever_its_enable_rises() {
    let mut uart = with_fifo(0);
    for _ in 0..2 {
        assert_eq!(write(&mut uart, IER, 2).interrupt, Some(true));
        assert_eq!(read(&mut uart, IIR), 0xc2);
        assert_eq!(read(&mut uart, IIR), 0xc1, "reading settled it");
        write(&mut uart, IER, 0);
    }
}

#[test]
fn a_sent_byte_makes_the_transmitter_report() {
    let mut uart = with_fifo(0);
    write(&mut uart, IER, 2);
    read(&mut uart, IIR);
    assert_eq!(write(&mut uart, RBR, b'x').interrupt, Some(true));
    assert_eq!(
        read(&mut uart, LSR) & 0x60,
        0x60,
        "the line is infinitely fast"
    );
    assert_eq!(output(&mut uart), b"x");
}

#[test]
fn sources_come_in_the_order_of_their_priority() {
    let mut uart = with_fifo(1);
    write(&mut uart, IER, 0x0f);
    uart.receive(b"12345");
    uart.receive_break();
    write(&mut uart, MCR, 0x10);
    assert_eq!(read(&mut uart, IIR), 0xc6, "line status");
    assert_eq!(read(&mut uart, LSR) & 0x91, 0x91);
    assert_eq!(read(&mut uart, IIR), 0xc4, "trigger level reached");
    for _ in 0..3 {
        read(&mut uart, RBR);
    }
    assert_eq!(read(&mut uart, IIR), 0xcc, "fewer bytes, for a while");
    for _ in 0..3 {
        read(&mut uart, RBR);
    }
    assert_eq!(read(&mut uart, IIR), 0xc2, "transmitter");
    assert_eq!(read(&mut uart, IIR), 0xc0, "modem status");
    assert_ne!(read(&mut uart, MSR) & 0x0f, 0);
    assert_eq!(read(&mut uart, IIR), 0xc1, "none");
    assert!(!uart.interrupt());
}

#[test]
fn loopback_keeps_bytes_inside_and_can_overrun() {
    let mut uart = with_fifo(0);
    write(&mut uart, MCR, 0x10);
    for byte in 0..=FIFO_BYTES as u8 {
        write(&mut uart, RBR, byte);
    }
    assert_eq!(uart.receive(b"x").0, 0, "the line is cut");
    assert_eq!(read(&mut uart, LSR) & 0x03, 0x03);
    assert_eq!(
        read(&mut uart, LSR) & 0x03,
        0x01,
        "reading cleared the overrun"
    );
    let looped: Vec<u8> = (0..FIFO_BYTES).map(|_| read(&mut uart, RBR)).collect();
    assert_eq!(looped, (0..FIFO_BYTES as u8).collect::<Vec<_>>());
    assert_eq!(output(&mut uart), b"");
    assert!(write(&mut uart, MCR, 0).room);
}

#[test]
fn without_fifos_one_byte_fits() {
    let mut uart = Uart::new();
    assert_eq!(uart.receive(b"ab").0, 1);
    assert_eq!(read(&mut uart, IIR) >> 6, 0);
    assert_eq!(read(&mut uart, RBR), b'a');
    assert_eq!(uart.metrics().refused, 1);
}

#[test]
fn the_divisor_hides_behind_its_latch() {
    let mut uart = Uart::new();
    write(&mut uart, LCR, 0x83);
    write(&mut uart, 0, 0x34);
    write(&mut uart, 1, 0x12);
    assert_eq!((read(&mut uart, 0), read(&mut uart, 1)), (0x34, 0x12));
    write(&mut uart, LCR, 0x03);
    assert_eq!((read(&mut uart, 0), read(&mut uart, 1)), (0, 0));
    assert_eq!(output(&mut uart), b"");
}

#[test]
fn an_exit_line_is_reported_once_and_still_printed() {
    let mut uart = Uart::new();
    let exits: Vec<ExitStatus> = b"\nEXIT: STATUS=3\n"
        .iter()
        .filter_map(|&byte| write(&mut uart, RBR, byte).exit)
        .collect();
    assert_eq!(exits, [ExitStatus(3)]);
    assert_eq!(output(&mut uart), b"\nEXIT: STATUS=3\n");
}

#[test]
fn wide_and_stray_accesses_meet_eight_data_lines() {
    let mut uart = Uart::new();
    uart.access(Request {
        offset: SCR,
        size: 4,
        store: Some(0x1234_5678),
    });
    assert_eq!(
        uart.access(Request {
            offset: SCR,
            size: 8,
            store: None
        })
        .value,
        0x78
    );
    assert_eq!(
        uart.access(Request {
            offset: 8,
            size: 1,
            store: None
        })
        .value,
        0
    );
    uart.access(Request {
        offset: 0xff,
        size: 1,
        store: Some(1),
    });
    assert_eq!(uart.metrics().odd_accesses, 4);
}

#[derive(Clone, Debug)]
enum Step {
    Read(u64),
    Write(u64, u8),
    Receive(Vec<u8>),
    Break,
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u64..10).prop_map(Step::Read),
        4 => (0u64..10, any::<u8>()).prop_map(|(offset, value)| Step::Write(offset, value)),
        2 => proptest::collection::vec(any::<u8>(), 0..20).prop_map(Step::Receive),
        1 => Just(Step::Break),
        1 => Just(Step::Drain),
    ]
}

fn perform(uart: &mut Uart, step: Step) -> Option<bool> {
    match step {
        Step::Read(offset) => {
            uart.access(Request {
                offset,
                size: 1,
                store: None,
            })
            .effects
        }
        Step::Write(offset, value) => write(uart, offset, value),
        Step::Receive(bytes) => uart.receive(&bytes).1,
        Step::Break => uart.receive_break().1,
        Step::Drain => {
            output(uart);
            Effects::default()
        }
    }
    .interrupt
}

proptest! {
    #[test]
    fn the_reported_line_is_the_line(steps in proptest::collection::vec(step(), 0..200)) {
        let mut uart = Uart::new();
        let mut line = false;
        for step in steps {
            if let Some(level) = perform(&mut uart, step) {
                prop_assert_ne!(level, line, "reported without a change");
                line = level;
            }
            prop_assert_eq!(uart.interrupt(), line);
            let idle = read(&mut uart.clone(), IIR) & 1 == 1;
            prop_assert_ne!(uart.interrupt(), idle);
        }
    }

    #[test]
    fn saved_and_restored_ports_behave_alike(
        before in proptest::collection::vec(step(), 0..100),
        after in proptest::collection::vec(step(), 0..100),
    ) {
        let mut uart = Uart::new();
        for step in before {
            perform(&mut uart, step);
        }
        let mut twin = Uart::restore(&uart.save()).unwrap();
        for step in after {
            prop_assert_eq!(perform(&mut uart, step.clone()), perform(&mut twin, step));
        }
        prop_assert_eq!(uart.save(), twin.save());
    }

    #[test]
    fn no_byte_is_lost_or_reordered_in_either_direction(
        input in proptest::collection::vec(any::<u8>(), 0..300),
        sent in proptest::collection::vec(any::<u8>(), 0..3000),
    ) {
        let mut uart = with_fifo(3);
        write(&mut uart, IER, 1);
        let (mut rest, mut got) = (&input[..], Vec::new());
        while !rest.is_empty() || uart.interrupt() {
            let (accepted, _) = uart.receive(rest);
            rest = &rest[accepted..];
            while uart.interrupt() {
                got.push(read(&mut uart, RBR));
            }
        }
        prop_assert_eq!(&got, &input);
        let mut printed = Vec::new();
        for &byte in &sent {
            if write(&mut uart, RBR, byte).drain {
                printed.extend(output(&mut uart));
            }
        }
        printed.extend(output(&mut uart));
        prop_assert_eq!(printed, sent);
        prop_assert_eq!(uart.metrics().dropped, 0);
    }
}

#[test]
fn impossible_states_are_refused() {
    let good = with_fifo(0).save();
    let refused = |change: fn(&mut device_uart16550::persist::Saved)| {
        let mut saved = good.clone();
        change(&mut saved);
        Uart::restore(&saved).err()
    };
    assert_eq!(
        refused(|saved| saved.enable = 0x10),
        Some(RestoreError::ReservedBits)
    );
    assert_eq!(
        refused(|saved| saved.fifo = 0xc0),
        Some(RestoreError::ReservedBits)
    );
    assert_eq!(
        refused(|saved| saved.modem_status = 0),
        Some(RestoreError::ModemLines)
    );
    let crowded = |saved: &mut device_uart16550::persist::Saved| {
        saved.fifo = 0;
        saved.receiver.extend([1, 2]);
    };
    assert_eq!(refused(crowded), Some(RestoreError::TooManyBytes));
}
