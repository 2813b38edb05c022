//! What travels keeps its bytes.

extern crate std;
use super::*;
use proptest::prelude::*;
use std::vec::Vec;

fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    let mut buffer = [0; 256];
    postcard::to_slice(value, &mut buffer).unwrap().to_vec()
}

fn reply(reply: Reply) -> Vec<u8> {
    encoded(&Ok::<_, Refusal>(reply))
}

fn refusal(refusal: Refusal) -> Vec<u8> {
    encoded(&Err::<Reply, _>(refusal))
}

#[test]
fn requests_keep_their_bytes() {
    let pages = Pages::from_bytes(256 << 20).unwrap();
    let allocate = Request::Allocate {
        pages,
        start_page: 0x8_0000,
        node: 0,
    };
    assert_eq!(encoded(&allocate), [0, 0x80, 0x80, 4, 0x80, 0x80, 0x20, 0]);
    let allocation = Allocation(3);
    assert_eq!(
        encoded(&Request::Collect {
            allocation,
            first: 4
        }),
        [1, 3, 4]
    );
    assert_eq!(encoded(&Request::Release { allocation }), [2, 3]);
    assert_eq!(encoded(&Request::Statistics), [3]);
    let find = Request::Find {
        allocation,
        page: 9,
    };
    assert_eq!(encoded(&find), [4, 3, 9]);
    let pages = Pages::new(300).unwrap();
    let free = Request::Free {
        allocation,
        page: 1,
        pages,
    };
    assert_eq!(encoded(&free), [5, 3, 1, 0xac, 2]);
    let contiguous = Request::Contiguous {
        pages,
        align: 9,
        area: 1,
    };
    assert_eq!(encoded(&contiguous), [6, 0xac, 2, 9, 1]);
    assert_eq!(encoded(&Request::Metrics), [7]);
    assert_eq!(encoded(&Request::Account { client: 2 }), [8, 2]);
}

#[test]
fn requests_about_devices_and_sizes_keep_their_bytes() {
    let allocation = Allocation(3);
    let pages = Pages::new(300).unwrap();
    let page = 1;
    assert_eq!(encoded(&Request::RegisterSize { order: 9 }), [9, 9]);
    let folio = Request::AllocateFolio {
        order: 9,
        start_page: 512,
        node: 1,
    };
    assert_eq!(encoded(&folio), [10, 9, 0x80, 4, 1]);
    let pin = Request::Pin {
        allocation,
        page,
        pages,
    };
    assert_eq!(encoded(&pin), [11, 3, 1, 0xac, 2]);
    let unpin = Request::Unpin {
        allocation,
        page,
        pages,
        wrote: true,
    };
    assert_eq!(encoded(&unpin), [12, 3, 1, 0xac, 2, 1]);
    let scatter = Request::Scatter {
        allocation,
        offset: 300,
        length: 128,
        entries: 8,
    };
    assert_eq!(encoded(&scatter), [13, 3, 0xac, 2, 0x80, 1, 8]);
    let readable = Request::Readable {
        allocation,
        offset: 300,
        length: 128,
    };
    assert_eq!(encoded(&readable), [14, 3, 0xac, 2, 0x80, 1]);
    let report = Request::ReportDefect { allocation, page };
    assert_eq!(encoded(&report), [15, 3, 1]);
    let inspect = Request::Inspect { allocation, page };
    assert_eq!(encoded(&inspect), [16, 3, 1]);
}

#[test]
fn replies_about_devices_and_sizes_keep_their_bytes() {
    assert_eq!(reply(Reply::Registered), [0, 7]);
    assert_eq!(reply(Reply::Pinned), [0, 8]);
    assert_eq!(reply(Reply::Unpinned), [0, 9]);
    let mut entries = [None; ENTRIES_PER_REPLY];
    entries[0] = Some(Entry {
        address: 0x8000,
        length: 300,
    });
    let mut bytes = [0; 15];
    bytes[1..8].copy_from_slice(&[10, 1, 0x80, 0x80, 2, 0xac, 2]);
    assert_eq!(reply(Reply::Scatter(entries)), bytes);
    assert_eq!(reply(Reply::Readable(300)), [0, 11, 0xac, 2]);
    assert_eq!(reply(Reply::Reported), [0, 12]);
    let state = FolioState {
        folio: Folio {
            offset_pages: 512,
            order: 21,
        },
        pins: 300,
        is_dirty: true,
        is_damaged: false,
        is_mapped: true,
    };
    assert_eq!(
        reply(Reply::Inspected(state)),
        [0, 13, 0x80, 4, 21, 0xac, 2, 1, 0, 1]
    );
}

#[test]
fn replies_keep_their_bytes() {
    let allocated = Reply::Allocated {
        allocation: Allocation(3),
        folios: 2,
    };
    assert_eq!(reply(allocated), [0, 0, 3, 2]);
    let folio = Folio {
        offset_pages: 512,
        order: 21,
    };
    let folios = Reply::Folios([Some(folio), None, None, None]);
    assert_eq!(reply(folios), [0, 1, 1, 0x80, 4, 21, 0, 0, 0]);
    assert_eq!(reply(Reply::Released), [0, 2]);
    let statistics = Statistics {
        free_bytes: 4096,
        used_bytes: 1,
        largest_order: 12,
        allocations: 1,
    };
    assert_eq!(
        reply(Reply::Statistics(statistics)),
        [0, 3, 0x80, 0x20, 1, 12, 1]
    );
    assert_eq!(reply(Reply::Freed), [0, 4]);
    let mut metrics = Metrics {
        free_pages: 7,
        area_pages: 300,
        area_free_pages: 6,
        moved_pages: 5,
        fragmentation: 1000,
        ..Metrics::default()
    };
    metrics.free_blocks[1] = 2;
    let mut bytes = [0; 33];
    bytes[..2].copy_from_slice(&[0, 5]);
    bytes[3] = 2;
    bytes[26..].copy_from_slice(&[7, 0xac, 2, 6, 5, 0xe8, 7]);
    assert_eq!(reply(Reply::Metrics(metrics)), bytes);
    let account = Account {
        process: 4,
        guest: Some(1),
        used_pages: 5,
        limit_pages: 128,
        refused: 1,
        slowed: 2,
    };
    assert_eq!(
        reply(Reply::Account(Some(account))),
        [0, 6, 1, 4, 1, 1, 5, 0x80, 1, 1, 2]
    );
    assert_eq!(reply(Reply::Account(None)), [0, 6, 0]);
}

#[test]
fn refusals_keep_their_bytes() {
    assert_eq!(refusal(Refusal::TooLittle { free_bytes: 5 }), [1, 0, 5]);
    assert_eq!(refusal(Refusal::Quota { left_bytes: 6 }), [1, 1, 6]);
    assert_eq!(refusal(Refusal::NoSuchAllocation), [1, 2]);
    assert_eq!(refusal(Refusal::TooMany), [1, 3]);
    assert_eq!(refusal(Refusal::NoSuchNode), [1, 4]);
    assert_eq!(refusal(Refusal::Overflow), [1, 5]);
    assert_eq!(refusal(Refusal::Overlap { page: 128 }), [1, 6, 0x80, 1]);
    assert_eq!(refusal(Refusal::TooLarge { max_order: 18 }), [1, 7, 18]);
    assert_eq!(refusal(Refusal::NotAllocated { page: 1 }), [1, 8, 1]);
    assert_eq!(refusal(Refusal::Mapped { page: 2 }), [1, 9, 2]);
    assert_eq!(refusal(Refusal::Busy { page: 3 }), [1, 10, 3]);
    assert_eq!(refusal(Refusal::NoSuchArea), [1, 11]);
    assert_eq!(refusal(Refusal::NoPlace), [1, 12]);
    assert_eq!(refusal(Refusal::NoClient), [1, 13]);
    assert_eq!(refusal(Refusal::ZeroLength), [1, 14]);
    assert_eq!(refusal(Refusal::Misaligned), [1, 15]);
    assert_eq!(refusal(Refusal::NoSuchSize), [1, 16]);
    assert_eq!(refusal(Refusal::PinQuota { left_bytes: 5 }), [1, 17, 5]);
    assert_eq!(refusal(Refusal::NotPinned { page: 1 }), [1, 18, 1]);
    assert_eq!(refusal(Refusal::Defect { page: 2 }), [1, 19, 2]);
    assert_eq!(refusal(Refusal::NonContiguous { page: 3 }), [1, 20, 3]);
    assert_eq!(refusal(Refusal::TooManyDefects), [1, 21]);
}

#[test]
fn messages_fit_and_travel() {
    let words = api::encode_request::<Mem>(&Request::Statistics).unwrap();
    let request = api::decode_request::<Mem>(words.as_slice());
    assert_eq!(request, Ok(Request::Statistics));
}

proptest! {
    #[test]
    fn bytes_and_pages_agree(bytes in 0u64..1 << 46) {
        let pages = Pages::from_bytes(bytes);
        let whole = bytes > 0 && bytes % 4096 == 0 && bytes >> 12 <= u64::from(u32::MAX);
        prop_assert_eq!(pages.map(Pages::bytes), whole.then_some(bytes));
    }
}

#[test]
fn nothing_is_no_number_of_pages() {
    assert!(postcard::from_bytes::<Request>(&[0, 0, 0, 0]).is_err());
}

/// Whoever adds a message adds its bytes above: until then this law does not hold.
#[test]
fn numbers_behind_the_last_message_are_none() {
    let of = |numbers: &[u8]| {
        let mut bytes = [0; 64];
        bytes[..numbers.len()].copy_from_slice(numbers);
        bytes
    };
    assert!(postcard::from_bytes::<Request>(&of(&[16])).is_ok());
    assert!(postcard::from_bytes::<Request>(&of(&[17])).is_err());
    assert!(postcard::from_bytes::<Reply>(&of(&[13])).is_ok());
    assert!(postcard::from_bytes::<Reply>(&of(&[14])).is_err());
    assert!(postcard::from_bytes::<Refusal>(&of(&[21])).is_ok());
    assert!(postcard::from_bytes::<Refusal>(&of(&[22])).is_err());
}
