//! Who may call whom: a guest's processes see each other and the servers, servers see servers.

use crate::compiled::Use;
use crate::refusal::{Problem, Reason};
use crate::source::{SystemSource, in_order};

use super::process_index;
use super::processes::Draft;

/// Fills in the peers of all processes.
pub(super) fn resolve(drafts: &mut [Draft<'_>], source: &SystemSource) -> Result<(), Problem> {
    let uses: Vec<_> = drafts
        .iter()
        .map(|draft| peers(draft, drafts, source))
        .collect::<Result<_, _>>()?;
    for (draft, uses) in drafts.iter_mut().zip(uses) {
        draft.process.uses = uses;
    }
    Ok(())
}

/// Returns the peers of one process, in the manifest's order.
fn peers(user: &Draft<'_>, all: &[Draft<'_>], source: &SystemSource) -> Result<Vec<Use>, Problem> {
    in_order(&user.source.uses)
        .into_iter()
        .map(|(name, peer)| {
            let wanted = peer.get_ref().as_str();
            let in_scope = |draft: &&Draft<'_>| draft.role == wanted;
            let own = |draft: &&Draft<'_>| draft.process.guest == user.process.guest;
            let position = all
                .iter()
                .position(|draft| in_scope(&draft) && own(&draft))
                .or_else(|| {
                    all.iter()
                        .position(|draft| in_scope(&draft) && draft.process.guest.is_none())
                });
            let position = position.ok_or_else(|| {
                let user = user.process.name.clone();
                let peer_name = wanted.to_owned();
                let hint = hint(wanted, source);
                Reason::UnknownPeer {
                    user,
                    peer: peer_name,
                    hint,
                }
                .at(peer.span())
            })?;
            Ok(Use {
                name: name.get_ref().clone(),
                peer: process_index(position),
            })
        })
        .collect()
}

/// Returns what is known about a name that is no peer.
fn hint(name: &str, source: &SystemSource) -> &'static str {
    if source.template.contains_key(name) {
        "that is a template of which no process is in reach"
    } else {
        "there is no server of that name"
    }
}
