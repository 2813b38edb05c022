//! Laws of the fast paths of `Map` and `Unmap`.

use abi::call::Binding;
use abi::{CallNumber, Error, ObjectKind, Rights};
use kernel::fake::Machine;
use kernel::fake::script::User;
use proptest::prelude::*;

const PAGE: u64 = 4096;
/// Where tests map: nothing else is in this gigabyte.
const HERE: u64 = 3 << 30;
/// Bytes that one table of leaves maps.
const TABLE: u64 = 2 << 20;
/// Frames, by the logarithms of their sizes.
const FRAMES: [u64; 10] = [12, 12, 12, 12, 13, 15, 17, 18, 21, 22];
/// Places of a process and of a guest: beside each other, in other tables, and no places at all.
const PLACES: [u64; 12] = [
    HERE,
    HERE + PAGE,
    HERE + 2 * PAGE,
    HERE + TABLE - PAGE,
    HERE + TABLE,
    HERE + TABLE + PAGE,
    HERE + 8 * PAGE,
    HERE + 511 * TABLE,
    HERE + 512 * TABLE,
    HERE + 1,
    1 << 38,
    !(PAGE - 1),
];

/// A machine with a process that has a thread on each of two cores, a guest's space, one without
/// memory for tables, and frames.
struct Stage {
    machine: Machine,
    spaces: [u64; 3],
    funds: [u64; 2],
    users: [User; 2],
    frames: Vec<u64>,
}

impl Stage {
    fn new(takes_fast_paths: bool) -> Self {
        let machine = Machine::new(2);
        if !takes_fast_paths {
            machine.leave_all_to_the_general_path();
        }
        // The largest first, so that they have room.
        let frames = FRAMES.iter().rev();
        let mut frames: Vec<u64> = frames
            .map(|order| machine.make(ObjectKind::Frame, *order))
            .collect();
        frames.reverse();
        let kinds = [ObjectKind::Space, ObjectKind::GuestSpace, ObjectKind::Space];
        let spaces = kinds.map(|kind| machine.make(kind, 0));
        let funds = [16, 17].map(|order| machine.make(ObjectKind::Untyped, order));
        for (space, fund) in spaces.iter().zip(&funds) {
            machine.must(CallNumber::Fund, &[*space, *fund]);
        }
        let users = [0, 1].map(|core| {
            let user = machine.stopped_user(core);
            machine.bind(user.slot, Binding::Space, 0).expect("cleared");
            let bound = machine.bind(user.slot, Binding::Space, spaces[0]);
            bound.expect("bound");
            user
        });
        // The other one runs when a step says so: no other core knows the process before.
        machine.must(CallNumber::ThreadResume, &[users[0].slot]);
        machine.make_current(users[0].id);
        Self {
            machine,
            spaces,
            funds,
            users,
            frames,
        }
    }

    /// Makes a call; returns how many fast paths that took, and what the caller got.
    fn paths(&self, number: CallNumber, arguments: &[u64]) -> (u64, Result<(), Error>) {
        let before = self.machine.fast_paths_taken();
        let answer = self.machine.call(self.users[0].id, number, arguments);
        (self.machine.fast_paths_taken() - before, answer.status())
    }

    /// Does what a step says; returns what the caller got, and everything that there is then.
    fn step(&self, step: &Step) -> (Result<(), Error>, Vec<u64>) {
        let machine = &self.machine;
        let [caller, other] = &self.users;
        let call = |number, arguments: &[u64]| machine.call(caller.id, number, arguments).status();
        let got = match *step {
            Step::Map(frame, space, place, access) => {
                let (frame, space) = (self.frames[frame], self.spaces[space]);
                call(CallNumber::Map, &[frame, space, PLACES[place], access])
            }
            Step::Unmap(frame) => call(CallNumber::Unmap, &[self.frames[frame]]),
            Step::Other => {
                // Refused where it runs already.
                machine.init_call(CallNumber::ThreadResume, &[other.slot]);
                machine.make_current(other.id);
                Ok(())
            }
            Step::Revoke(fund) => call(CallNumber::Revoke, &[self.funds[fund]]),
            Step::Fund(fund) => call(CallNumber::Fund, &[self.spaces[fund], self.funds[fund]]),
        };
        machine.settle();
        machine.make_current(caller.id);
        let mut image = machine.image();
        let read = Rights::new().with_read(true);
        for place in &PLACES[..9] {
            for core in [0, 1] {
                image.push(machine.touch(core, *place, read).unwrap_or(0));
            }
        }
        machine.check();
        (got, image)
    }
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// A frame is mapped in a space at a place with an access.
    Map(usize, usize, usize, u64),
    /// A frame is unmapped.
    Unmap(usize),
    /// The other core runs the process too.
    Other,
    /// All tables of a space are taken away.
    Revoke(usize),
    /// A space gets memory for tables.
    Fund(usize),
}

/// Draws a step.
fn step() -> impl Strategy<Value = Step> {
    let access = prop_oneof![6 => Just(3_u64), 2 => Just(1), 1 => Just(7), 1 => 0..16_u64];
    let space = prop_oneof![6 => Just(0_usize), 3 => Just(1), 1 => Just(2)];
    let map = (0..FRAMES.len(), space, 0..PLACES.len(), access);
    prop_oneof![
        12 => map.prop_map(|(frame, space, place, access)| Step::Map(frame, space, place, access)),
        8 => (0..FRAMES.len()).prop_map(Step::Unmap),
        1 => Just(Step::Other),
        1 => (1..2_usize).prop_map(Step::Revoke),
        2 => (1..2_usize).prop_map(Step::Fund),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_fast_map_or_unmap_leaves_what_the_general_path_leaves(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let (fast, general) = (Stage::new(true), Stage::new(false));
        for step in &steps {
            prop_assert_eq!(fast.step(step), general.step(step), "{:?}", step);
        }
        prop_assert_eq!(general.machine.fast_paths_taken(), 0);
    }
}

#[test]
fn mapping_and_unmapping_a_page_take_fast_paths() {
    let stage = Stage::new(true);
    let (machine, frames) = (&stage.machine, &stage.frames);
    let takes = |paths: u64, number: CallNumber, arguments: &[u64], what: &str| {
        assert_eq!(stage.paths(number, arguments), (paths, Ok(())), "{what}");
    };
    for space in &stage.spaces[..2] {
        let map = |frame: usize, place: u64| [frames[frame], *space, HERE + place, 3];
        let made = map(0, 0);
        takes(0, CallNumber::Map, &made, "a map that makes two tables");
        let beside = map(1, PAGE);
        takes(
            1,
            CallNumber::Map,
            &beside,
            "a map in a table that is there",
        );
        let made = map(2, TABLE);
        takes(1, CallNumber::Map, &made, "a map that makes one table");
        let two = map(4, 4 * PAGE);
        takes(1, CallNumber::Map, &two, "a map of two pages");
        let beside = frames[1];
        takes(1, CallNumber::Unmap, &[beside], "a page beside another");
        let last = frames[2];
        takes(0, CallNumber::Unmap, &[last], "the last page of a table");
        for frame in [0, 4] {
            let answer = machine.call(stage.users[0].id, CallNumber::Unmap, &[frames[frame]]);
            answer.status().expect("it was mapped");
        }
        machine.check();
    }
}

#[test]
fn a_map_of_many_leaves_takes_a_fast_path_where_it_is_one_step_in_one_table() {
    let taken = Err(Error::AlreadyMapped);
    let maps = [
        (0, 0, 0, Ok(()), "a map that makes two tables"),
        (5, 8 * PAGE, 1, Ok(()), "eight pages"),
        (1, 17 * PAGE, 1, Ok(()), "a page"),
        (4, 16 * PAGE, 0, taken, "the second of two pages is there"),
        (4, 18 * PAGE, 0, Ok(()), "what was refused before"),
        (6, TABLE - 31 * PAGE, 0, Ok(()), "pages of two tables"),
        (7, TABLE + 8 * PAGE, 0, Ok(()), "more than a step"),
        (9, 0, 0, taken, "a table is there"),
        (8, 2 * TABLE, 1, Ok(()), "a leaf of the next level"),
        (9, 511 * TABLE, 0, Ok(()), "leaves of two tables there"),
        (5, 9 * PAGE, 0, taken, "what is mapped already"),
    ];
    let stage = Stage::new(true);
    for space in &stage.spaces[..2] {
        for (frame, place, paths, got, what) in maps {
            let arguments = [stage.frames[frame], *space, HERE + place, 3];
            let found = stage.paths(CallNumber::Map, &arguments);
            assert_eq!(found, (paths, got), "{what}");
            stage.machine.check();
        }
        for frame in [9, 8, 7, 6, 4, 5, 1, 0] {
            let unmapped = stage.paths(CallNumber::Unmap, &[stage.frames[frame]]);
            unmapped.1.expect("it was mapped");
        }
        let arguments = [stage.frames[9], *space, HERE, 3];
        let found = stage.paths(CallNumber::Map, &arguments);
        assert_eq!(found, (1, Ok(())), "a map that makes a larger leaf's table");
        let unmapped = stage.paths(CallNumber::Unmap, &[stage.frames[9]]);
        unmapped.1.expect("it was mapped");
        stage.machine.check();
    }
}
