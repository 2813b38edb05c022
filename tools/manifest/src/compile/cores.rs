//! Cores of servers: each serves the cores that its callers are on.

use super::processes::Draft;

/// Gives every process without given cores those of its callers; one without callers gets core 0.
pub(super) fn derive(drafts: &mut [Draft<'_>]) {
    spread(drafts);
    let called: Vec<_> = drafts
        .iter()
        .flat_map(|draft| {
            draft
                .process
                .uses
                .iter()
                .map(|link| usize::from(link.peer.0))
        })
        .collect();
    for (index, draft) in drafts.iter_mut().enumerate() {
        if draft.process.cores.is_empty() && !called.contains(&index) {
            draft.process.cores.push(0);
        }
    }
    spread(drafts);
    for draft in drafts
        .iter_mut()
        .filter(|draft| draft.process.cores.is_empty())
    {
        draft.process.cores.push(0); // processes that only call each other
    }
    spread(drafts);
}

/// Hands cores on from callers to the called, until nothing changes.
fn spread(drafts: &mut [Draft<'_>]) {
    loop {
        let links: Vec<_> = drafts
            .iter()
            .flat_map(|draft| {
                let process = &draft.process;
                process
                    .uses
                    .iter()
                    .map(|link| (process.cores.clone(), usize::from(link.peer.0)))
            })
            .collect();
        let mut changed = false;
        for (cores, peer) in links {
            changed |= serve(&mut drafts[peer], &cores);
        }
        if !changed {
            return;
        }
    }
}

/// Adds `cores` to those of `draft` unless they were given; tells whether that changed anything.
fn serve(draft: &mut Draft<'_>, cores: &[u16]) -> bool {
    if draft.cores_are_given {
        return false;
    }
    let own = &mut draft.process.cores;
    let before = own.len();
    own.extend(cores);
    own.sort_unstable();
    own.dedup();
    own.len() != before
}
