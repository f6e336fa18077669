//! What arrives: requests of others, and answers to one's own.

use std::net::SocketAddr;

use super::route::Routes;
use super::rpc::Asked;
use super::timers::Timer;
use super::{DropReason, Event, Node};
use crate::id::Id;
use crate::overlay::{Kept, NEIGHBOUR};
use crate::time::Instant;
use crate::wire::{Body, Contact, Envelope, RefuseReason, Sender, Token};

impl Node {
    pub(super) fn on_envelope(&mut self, from: SocketAddr, envelope: Envelope, bytes: usize) {
        let Envelope {
            tx,
            sender,
            token,
            body,
        } = envelope;
        self.counters.received(&body, bytes);
        if sender.id == self.id {
            self.counters.drop(DropReason::OwnId);
            return self.guarded(from, token, bytes, |node, _| {
                node.met_myself(tx, from, &body)
            });
        }
        match body {
            Body::Pong { .. }
            | Body::Ack
            | Body::Refuse { .. }
            | Body::LeavesReply { .. }
            | Body::RowReply { .. }
            | Body::JoinReply { .. }
            | Body::Found(_)
            | Body::SendFull { .. }
            | Body::Dialled { .. } => self.on_answer(from, tx, sender, body),
            // From a stranger, by its nature: neither token nor table has anything to say to it.
            Body::Reached { nonce } => self.on_reached(from, nonce),
            _ => self.guarded(from, token, bytes, |node, proven| {
                if node.may_ask(from, tx, proven, &body) {
                    node.on_request(from, tx, sender, proven, body);
                }
            }),
        }
    }

    fn on_request(&mut self, from: SocketAddr, tx: u32, sender: Sender, proven: bool, body: Body) {
        self.reach_heard(from);
        // From here on only a ping may come from someone who was never seen to receive anything.
        if proven {
            self.overlay.heard(&sender.id, from, sender.coord, self.now);
        }
        if self.is_client() && body != Body::Ping {
            self.counters.drop(DropReason::Role);
            return self.refuse(from, tx, RefuseReason::Unsupported);
        }
        if sender.client {
            if !matches!(
                body,
                Body::Ping
                    | Body::Publish { .. }
                    | Body::Lookup(_)
                    | Body::Row { .. }
                    | Body::Reach { .. }
                    | Body::Dial { .. }
            ) {
                self.counters.drop(DropReason::Role);
                return self.refuse(from, tx, RefuseReason::Unsupported);
            }
            if proven {
                self.on_farewell(from, &sender.id);
            }
        } else if proven {
            self.consider(Contact {
                id: sender.id,
                addr: from,
                coord: sender.coord,
            });
        }
        match body {
            Body::Ping => {
                let pong = Body::Pong {
                    token: self.mint.issue(from),
                    observed: from,
                };
                self.send(from, tx, None, pong);
            }
            Body::Leaves { names } => {
                let contacts = self.overlay.leaf_news(&sender.id, &names);
                self.send(from, tx, None, Body::LeavesReply { contacts });
            }
            Body::Row { row, names } => {
                let (here, there) = (self.vivaldi.coord(), &sender.coord);
                // Most of what was not heard from for longer is dead where nodes come and go: others would probe it in vain.
                let heard = self.now - self.paced(self.config.overlay.table_ping) * 3 / 2;
                let contacts = self
                    .overlay
                    .row_contacts(row.into(), &here, there, &names, heard);
                self.send(from, tx, None, Body::RowReply { row, contacts });
            }
            Body::Join { joiner, hops } => self.on_join(from, tx, joiner, hops),
            Body::Lookup(lookup) => self.on_lookup(from, tx, &sender, lookup),
            Body::Publish { entry } => self.on_publish(from, tx, entry),
            Body::Propagate { entries } => self.on_propagate(from, tx, &sender.id, entries),
            Body::Dial { port } => self.on_dial(from, tx, port),
            Body::Reach { nonce } => self.on_reach(from, tx, nonce),
            Body::ReachFor { addr, nonce } => self.on_reach_for(from, tx, addr, nonce),
            Body::Pong { .. }
            | Body::Ack
            | Body::Refuse { .. }
            | Body::LeavesReply { .. }
            | Body::RowReply { .. }
            | Body::JoinReply { .. }
            | Body::Found(_)
            | Body::SendFull { .. }
            | Body::Reached { .. }
            | Body::Dialled { .. } => unreachable!("answers were sorted out before"),
        }
    }

    pub(super) fn refuse(&mut self, to: SocketAddr, tx: u32, reason: RefuseReason) {
        let token = (reason == RefuseReason::Token).then(|| self.mint.issue(to));
        self.send(to, tx, None, Body::Refuse { reason, token });
    }

    fn on_answer(&mut self, from: SocketAddr, tx: u32, sender: Sender, body: Body) {
        let Some(request) = self
            .pending
            .of(tx, from)
            .filter(|r| answers(&body, &r.asked, &self.routes))
        else {
            return self.counters.drop(DropReason::Unsolicited);
        };
        // Those come when another node, or the driver, has done its part: they measure nothing.
        let immediate =
            !request.acked && !matches!(request.asked, Asked::Reach { .. } | Asked::Dial { .. });
        let sent = request.sent;
        if !sender.client {
            self.on_verified(from, sender, sent, immediate, &body);
        } else if matches!(body, Body::Pong { .. }) {
            self.on_gone(from, &sender.id);
        }
        if let Body::Refuse {
            reason: RefuseReason::Token,
            token: Some(token),
        } = body
            && self.ask_again(tx, sender.id, token)
        {
            return;
        }
        if matches!(
            (&body, self.asked(tx, from)),
            (Body::Ack, Some(Asked::Routed(_)))
        ) {
            return self.on_routed_ack(tx);
        }
        if matches!(
            (&body, self.asked(tx, from)),
            (Body::Ack, Some(Asked::Dial { .. }))
        ) {
            return self.on_dial_begun(tx);
        }
        let Some(request) = self.pending.remove(tx) else {
            return;
        };
        match (body, request.asked) {
            (Body::Pong { observed, token }, asked) => {
                self.on_observed(observed, sender.id);
                match asked {
                    Asked::Bootstrap if !sender.client => self.met_bootstrap(
                        Contact {
                            id: sender.id,
                            addr: from,
                            coord: sender.coord,
                        },
                        token,
                    ),
                    Asked::Farewell => self.settle_leave(),
                    Asked::Probe => self.candidate_answered(from.is_ipv4(), true),
                    _ => {}
                }
            }
            (Body::RowReply { contacts, .. }, _) if self.is_client() => {
                self.on_candidates(contacts)
            }
            (Body::LeavesReply { contacts } | Body::RowReply { contacts, .. }, _) => {
                let by = self.overlay.peer(&sender.id).map(|p| p.measured());
                let near = by.is_some_and(|rtt| rtt <= NEIGHBOUR);
                contacts.into_iter().for_each(|c| self.hear_of(c, near));
            }
            (Body::Ack, Asked::Propagate(passed)) => self.passed_on(&sender.id, passed, &[]),
            (Body::SendFull { keys }, Asked::Propagate(passed)) => {
                self.passed_on(&sender.id, passed, &keys);
            }
            (Body::SendFull { keys }, Asked::Publish { slot, passed, .. }) => {
                self.published(&sender.id, slot, passed, &keys);
            }
            (Body::Ack, Asked::Publish { slot, passed, .. }) => {
                self.published(&sender.id, slot, passed, &[]);
            }
            (Body::Ack | Body::SendFull { .. }, Asked::Withdraw { .. }) => self.settle_leave(),
            (Body::Ack, Asked::Reach { .. }) => self.on_reach_sent(),
            (Body::Ack, Asked::ReachFor { addr, tx, .. }) => {
                self.send(addr, tx, None, Body::Ack);
            }
            (Body::Dialled { reached, .. }, Asked::Dial { port, .. }) => {
                self.on_own_port(port, reached);
            }
            (Body::Refuse { reason, token }, asked) => {
                self.on_refused(sender.id, reason, token, asked);
            }
            (Body::Found(found), Asked::Routed(route)) => {
                self.on_found(route, sender.id, from, found);
            }
            (Body::JoinReply { contacts, hops }, Asked::Routed(route)) => {
                let by = Contact {
                    id: sender.id,
                    addr: from,
                    coord: sender.coord,
                };
                self.on_join_reply(route, by, contacts, hops);
            }
            _ => {}
        }
        self.step_done(tx);
        self.pump_probes();
    }

    fn asked(&mut self, tx: u32, from: SocketAddr) -> Option<&Asked> {
        self.pending.of(tx, from).map(|r| &r.asked)
    }

    /// An index node has answered: it may enter the tables, and an immediate answer measures the path to it.
    fn on_verified(
        &mut self,
        from: SocketAddr,
        sender: Sender,
        sent: Instant,
        immediate: bool,
        body: &Body,
    ) {
        let contact = Contact {
            id: sender.id,
            addr: from,
            coord: sender.coord,
        };
        if !self.is_of_overlay(from) {
            return;
        }
        if let Err(reason) = self.has_place(&contact) {
            return self.counters.drop(reason);
        }
        let rtt = immediate.then(|| self.now - sent);
        if let Some(rtt) = rtt {
            self.vivaldi.sample(sender.id, &sender.coord, rtt);
        }
        let keep = self.is_client();
        let kept = self.overlay.verified(contact, rtt, keep, self.now);
        if let (Body::Pong { token, .. }, Some(peer)) = (body, self.overlay.peer_mut(&sender.id)) {
            peer.token = Some(*token);
        }
        let close = kept == Kept::NewLeaf && self.overlay.is_close_leaf(&sender.id);
        if close && !keep && !matches!(body, Body::LeavesReply { .. }) {
            self.exchange_leaves(&sender.id);
        } else if matches!(kept, Kept::NewLeaf | Kept::NewContact) && !keep {
            // The probe had no token, so the other one may not ask back yet. This has.
            self.ping(&sender.id);
        }
        if matches!(kept, Kept::NewLeaf | Kept::NewContact) && !self.cache.is_empty() {
            self.hasten(self.config.directory.active_period);
        }
        if matches!(body, Body::Pong { .. }) && self.cache.has_changes() {
            let soon = self.now + self.config.directory.first_hold;
            self.timers.set_earlier(Timer::Propagate, soon);
        }
        if self.is_client() {
            self.client_met();
        }
    }

    /// Another node says at which address it sees this one. One voice can set it, two are needed to change it.
    fn on_observed(&mut self, observed: SocketAddr, by: Id) {
        let observed = SocketAddr::new(observed.ip().to_canonical(), observed.port());
        if !super::probe::usable(observed) {
            return;
        }
        if self.observed == Some(observed) {
            self.observed_vote = None; // two liars have to be asked one right after the other
            return self.fit_address(observed.ip());
        }
        let confirmed = self
            .observed_vote
            .is_some_and(|(addr, voter)| addr == observed && voter != by);
        if self.observed.is_none() || confirmed {
            let moved = self.observed.replace(observed).is_some();
            self.observed_vote = None;
            self.event(Event::Observed(observed));
            self.fit_address(observed.ip());
            self.republish_unresolved();
            if moved {
                self.reach_moved();
            }
        } else {
            self.observed_vote = Some((observed, by));
        }
    }

    fn on_refused(&mut self, by: Id, reason: RefuseReason, token: Option<Token>, asked: Asked) {
        if let (Some(token), Some(peer)) = (token, self.overlay.peer_mut(&by)) {
            // As tokens are renewed before they end, it has probably started anew and holds nothing.
            if peer.token.replace(token).is_some() {
                self.tell_everything(&by);
            }
        }
        match asked {
            Asked::Routed(route) => self.on_route_refused(route, reason),
            Asked::Propagate(passed) => self.on_propagate_refused(&by, reason, passed),
            Asked::Publish {
                slot,
                retried,
                passed,
            } => {
                self.bases.lost(&by, &passed.key, passed.sequence);
                self.on_publish_refused(slot, reason, retried);
            }
            Asked::Reach { retried } => self.on_reach_refused(&by, reason, retried),
            Asked::ReachFor { .. } => self.on_reach_for_refused(&by, reason, &asked),
            Asked::Dial { .. } => self.on_dial_refused(Some(by), reason, &asked),
            Asked::Withdraw { entry, tries } if reason == RefuseReason::Token => {
                self.withdraw_again(Some(by), *entry, tries);
            }
            Asked::Withdraw { .. } => self.settle_leave(),
            _ => {}
        }
    }
}

/// Whether this kind of answer belongs to that kind of request.
fn answers(body: &Body, asked: &Asked, routes: &Routes) -> bool {
    match body {
        Body::Pong { .. } => matches!(
            asked,
            Asked::Ping | Asked::Probe | Asked::Bootstrap | Asked::Farewell
        ),
        Body::LeavesReply { .. } => matches!(asked, Asked::Leaves),
        Body::RowReply { .. } => matches!(asked, Asked::Row),
        Body::Dialled { port, .. } => matches!(asked, Asked::Dial { port: p, .. } if p == port),
        Body::SendFull { .. } => {
            matches!(
                asked,
                Asked::Propagate(_) | Asked::Publish { .. } | Asked::Withdraw { .. }
            )
        }
        Body::Found(_) => matches!(asked, Asked::Routed(route) if !routes.is_join(*route)),
        Body::JoinReply { .. } => matches!(asked, Asked::Routed(route) if routes.is_join(*route)),
        Body::Ack => {
            matches!(
                asked,
                Asked::Routed(_)
                    | Asked::Propagate(_)
                    | Asked::Publish { .. }
                    | Asked::Parting
                    | Asked::Reach { .. }
                    | Asked::ReachFor { .. }
                    | Asked::Dial { .. }
                    | Asked::Withdraw { .. }
            )
        }
        _ => matches!(body, Body::Refuse { .. }),
    }
}
