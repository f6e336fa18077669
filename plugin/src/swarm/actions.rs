//! The client's actions become messages and outputs.

use chunkcast::client::{Action, DropReason as ClientDrop, Reveal};

use super::{CloseReason, ConnId, Output, Swarm};
use crate::wire::message::Message;

/// Actions done after one input; the rest waits for the next. No input legitimately causes so many.
const MAX_ACTIONS: usize = 1 << 16;

impl Swarm {
    /// Does what the client wants done, until it wants nothing more.
    pub(super) fn run_actions(&mut self) {
        for _ in 0..MAX_ACTIONS {
            let Some(action) = self.client.poll_action() else {
                break;
            };
            self.run(action);
        }
    }

    fn run(&mut self, action: Action) {
        match action {
            Action::LookUp(query) if self.config.private => {
                // BEP 27: a private torrent has no directory; the client is to go on without an answer.
                drop(query);
                self.client.handle_no_answer(self.now);
            }
            Action::LookUp(query) => self.push(Output::LookUp(query)),
            Action::Publish { .. } if self.config.private => {}
            Action::Publish {
                held,
                complete,
                load,
            } => {
                self.push(Output::Publish {
                    held,
                    complete,
                    load,
                });
            }
            Action::Dial { addr, source } => {
                if self.is_banned(addr) {
                    self.client.handle_dial_failed(addr, self.now);
                } else {
                    self.push(Output::Dial { addr, source });
                }
            }
            Action::Drop { peer, reason } => self.close_dropped(peer.into(), close_reason(reason)),
            Action::Interest { peer, interested } => self.set_interest(peer.into(), interested),
            Action::Ask { peer } => {
                let conn = ConnId::from(peer);
                if let Some(peer) = self.peers.get_mut(&conn) {
                    peer.down.active = true;
                    self.fill(conn);
                }
            }
            Action::Stop { peer } => self.stop_asking(peer.into()),
            Action::Serve { peer, serve } => self.serve(peer.into(), serve),
            Action::Tell { peer } => self.tell_status(peer.into()),
            Action::Introduce { peer } => self.introduce(peer.into()),
            Action::Reveal {
                peer,
                what: Reveal::All,
            } => self.reveal_all(peer.into()),
            Action::Reveal {
                peer,
                what: Reveal::Chunk(piece),
            } => self.tell(peer.into(), piece),
        }
    }

    fn set_interest(&mut self, conn: ConnId, interested: bool) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if peer.interesting != interested {
            peer.interesting = interested;
            self.send(
                conn,
                if interested {
                    Message::Interested
                } else {
                    Message::NotInterested
                },
            );
        }
    }
}

fn close_reason(reason: ClientDrop) -> CloseReason {
    match reason {
        ClientDrop::TableFull => CloseReason::TableFull,
        ClientDrop::Duplicate => CloseReason::DuplicatePeer,
        ClientDrop::Banned => CloseReason::Banned,
        ClientDrop::Useless => CloseReason::Useless,
        ClientDrop::Dead => CloseReason::Dead,
    }
}
