//! The kinds of message and their fields.
//!
//! | kind | message | fields |
//! | --- | --- | --- |
//! | 0 | ping | |
//! | 1 | pong | `a` observed address, `t` token |
//! | 2 | ack | |
//! | 3 | refuse | `r` reason, `t` token (optional) |
//! | 4, 5 | leaves, reply | `i` names (absent: none); the reply `c` contacts |
//! | 6, 7 | row, reply | `i` names (absent: none), `r` row; the reply `c` contacts, `r` row |
//! | 8 | join | `h` hops, `j` joiner's id |
//! | 9 | join reply | `c` contacts, `h` hops |
//! | 10 | publish | `e` entry (see `entry.rs`) |
//! | 11 | propagate | `e` list of entries |
//! | 12 | lookup | see `lookup.rs` |
//! | 13 | found | see `lookup.rs` |
//! | 14 | send full | `k` list of object 20, publisher 20 |
//! | 15 | dial | `p` port |
//! | 16 | dialled | `p` port, `r` 1 when somebody accepted, else 0 |
//! | 17 | reach | `n` nonce 8 |
//! | 18 | reach for | `a` address, `n` nonce 8 |
//! | 19 | reached | `n` nonce 8 |
//!
//! A ping without a token has the fields `x`, 32 bytes of zero: its answer is no longer than it is.
//!
//! Reasons: 0 token, 1 foreign address, 2 busy, 3 hops, 4 unsupported, 5 proof; others read as 4, because a refusal is one
//! whatever its reason.

use std::net::SocketAddr;

use super::envelope::take_token;
use super::fields::{dict, form, forms, int, int_to, need, put_bytes, put_form, put_int, put_list};
use super::{DecodeError, EncodeError, entry, lookup};
use crate::id::{Id, ObjectId};
use crate::wire::bencode::{Dict, Pairs, Value};
use crate::wire::compact::{put_addr, put_contact, take_addr, take_contact, usable};
use crate::wire::{
    Body, Contact, Entry, MAX_CHUNKS, MAX_CONTACTS, MAX_GAPS, MAX_HOPS, MAX_NAMES, Name,
    RefuseReason,
};

const PING: u64 = 0;
const PONG: u64 = 1;
const ACK: u64 = 2;
const REFUSE: u64 = 3;
const LEAVES: u64 = 4;
const LEAVES_REPLY: u64 = 5;
const ROW: u64 = 6;
const ROW_REPLY: u64 = 7;
const JOIN: u64 = 8;
const JOIN_REPLY: u64 = 9;
const PUBLISH: u64 = 10;
const PROPAGATE: u64 = 11;
const LOOKUP: u64 = 12;
const FOUND: u64 = 13;
const SEND_FULL: u64 = 14;
const DIAL: u64 = 15;
const DIALLED: u64 = 16;
const REACH: u64 = 17;
const REACH_FOR: u64 = 18;
const REACHED: u64 = 19;

/// Zeros in a ping without a token: as long as what a pong says of an IPv6 address.
const PADDING: [u8; 32] = [0; 32];

/// The last row of a routing table.
const LAST_ROW: u8 = 39; // Id::DIGITS - 1

pub(super) fn kind(body: &Body) -> u64 {
    match body {
        Body::Ping => PING,
        Body::Pong { .. } => PONG,
        Body::Ack => ACK,
        Body::Refuse { .. } => REFUSE,
        Body::Leaves { .. } => LEAVES,
        Body::LeavesReply { .. } => LEAVES_REPLY,
        Body::Row { .. } => ROW,
        Body::RowReply { .. } => ROW_REPLY,
        Body::Join { .. } => JOIN,
        Body::JoinReply { .. } => JOIN_REPLY,
        Body::Publish { .. } => PUBLISH,
        Body::Propagate { .. } => PROPAGATE,
        Body::Lookup(_) => LOOKUP,
        Body::Found(_) => FOUND,
        Body::SendFull { .. } => SEND_FULL,
        Body::Dial { .. } => DIAL,
        Body::Dialled { .. } => DIALLED,
        Body::Reach { .. } => REACH,
        Body::ReachFor { .. } => REACH_FOR,
        Body::Reached { .. } => REACHED,
    }
}

pub(super) fn known(kind: u64) -> bool {
    kind <= REACHED
}

/// Whether there are fields to write: those of the kind, or a ping's padding.
pub(super) fn has_fields(body: &Body, token: bool) -> bool {
    bare(kind(body)).is_none() || (*body == Body::Ping && !token)
}

/// The kinds that say everything by themselves.
pub(super) fn bare(kind: u64) -> Option<Body> {
    match kind {
        PING => Some(Body::Ping),
        ACK => Some(Body::Ack),
        _ => None,
    }
}

/// Whether every field is within its bounds.
pub(super) fn check(body: &Body) -> Result<(), EncodeError> {
    match body {
        Body::Ping | Body::Ack | Body::Refuse { .. } => Ok(()),
        Body::Pong { observed, .. } => bound(usable(canonical(*observed)), "observed address"),
        Body::Leaves { names } => check_names(names),
        Body::LeavesReply { contacts } => check_contacts(contacts),
        Body::Row { row, names } => {
            bound(*row <= LAST_ROW, "row")?;
            check_names(names)
        }
        Body::RowReply { row, contacts } => {
            bound(*row <= LAST_ROW, "row")?;
            check_contacts(contacts)
        }
        Body::Join { hops, .. } => bound(*hops <= MAX_HOPS, "hops"),
        Body::JoinReply { contacts, hops } => {
            bound(*hops <= MAX_HOPS, "hops")?;
            check_contacts(contacts)
        }
        Body::Publish { entry } => entry::check(entry),
        Body::Propagate { entries } => {
            entries.iter().try_for_each(entry::check)?;
            let chunks: u64 = entries.iter().map(|e| u64::from(e.held.len())).sum();
            bound(
                chunks <= u64::from(MAX_CHUNKS),
                "number of chunks in all entries",
            )
        }
        Body::Lookup(lookup) => lookup::check(lookup),
        Body::Found(found) => lookup::check_found(found),
        Body::SendFull { keys } => bound(keys.len() <= MAX_GAPS, "number of keys"),
        Body::Dial { port } | Body::Dialled { port, .. } => bound(*port != 0, "port"),
        Body::ReachFor { addr, .. } => bound(usable(canonical(*addr)), "address"),
        Body::Reach { .. } | Body::Reached { .. } => Ok(()),
    }
}

pub(super) fn bound(ok: bool, name: &'static str) -> Result<(), EncodeError> {
    if ok {
        Ok(())
    } else {
        Err(EncodeError::Bounds(name))
    }
}

fn check_names(names: &[Name]) -> Result<(), EncodeError> {
    bound(names.len() <= MAX_NAMES, "number of names")
}

fn check_contacts(contacts: &[Contact]) -> Result<(), EncodeError> {
    bound(contacts.len() <= MAX_CONTACTS, "number of contacts")?;
    bound(
        contacts.iter().all(|c| usable(canonical(c.addr))),
        "contact's address",
    )
}

/// An IPv4 address that a dual-stack socket reports as IPv6, as IPv4.
pub(super) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

pub(super) fn write(body: &Body, d: &mut Pairs<'_>) {
    match body {
        Body::Ping => put_bytes(d, b"x", &PADDING),
        Body::Ack => {}
        Body::Pong { token, observed } => {
            put_form(d, b"a", |out| addr_form(out, *observed));
            put_bytes(d, b"t", &token.0);
        }
        Body::Refuse { reason, token } => {
            put_int(d, b"r", reason_number(*reason));
            if let Some(token) = token {
                put_bytes(d, b"t", &token.0);
            }
        }
        Body::Leaves { names } => put_names(d, names),
        Body::LeavesReply { contacts } => put_contacts(d, contacts),
        Body::Row { row, names } => {
            put_names(d, names);
            put_int(d, b"r", *row);
        }
        Body::RowReply { row, contacts } => {
            put_contacts(d, contacts);
            put_int(d, b"r", *row);
        }
        Body::Join { joiner, hops } => {
            put_int(d, b"h", *hops);
            put_bytes(d, b"j", &joiner.0);
        }
        Body::JoinReply { contacts, hops } => {
            put_contacts(d, contacts);
            put_int(d, b"h", *hops);
        }
        Body::Publish { entry } => d.key(b"e").dict(|d| entry::write(entry, d)),
        Body::Propagate { entries } => d.key(b"e").list(|list| {
            for entry in entries {
                list.dict(|d| entry::write(entry, d));
            }
        }),
        Body::Lookup(lookup) => lookup::write(lookup, d),
        Body::Found(found) => lookup::write_found(found, d),
        Body::SendFull { keys } => put_list(d, b"k", keys, |out, (object, publisher)| {
            out.extend(object.0.0);
            out.extend(publisher.0);
        }),
        Body::Dial { port } => put_int(d, b"p", *port),
        Body::Dialled { port, reached } => {
            put_int(d, b"p", *port);
            put_int(d, b"r", *reached);
        }
        Body::Reach { nonce } | Body::Reached { nonce } => put_bytes(d, b"n", &nonce.to_be_bytes()),
        Body::ReachFor { addr, nonce } => {
            put_form(d, b"a", |out| addr_form(out, *addr));
            put_bytes(d, b"n", &nonce.to_be_bytes());
        }
    }
}

pub(super) fn addr_form(out: &mut Vec<u8>, addr: SocketAddr) {
    put_addr(out, canonical(addr));
}

/// Nothing for none.
fn put_names(d: &mut Pairs<'_>, names: &[Name]) {
    if !names.is_empty() {
        let bytes: Vec<u8> = names.iter().flat_map(|name| name.0).collect();
        put_bytes(d, b"i", &bytes);
    }
}

fn take_names(bytes: &[u8]) -> Option<Vec<Name>> {
    let (names, rest) = bytes.as_chunks::<4>();
    let fit = rest.is_empty() && names.len() <= MAX_NAMES;
    fit.then(|| names.iter().copied().map(Name).collect())
}

fn put_contacts(d: &mut Pairs<'_>, contacts: &[Contact]) {
    put_list(d, b"c", contacts, |out, c| {
        let addr = canonical(c.addr);
        put_contact(out, &Contact { addr, ..*c });
    });
}

/// Reads the fields of a known kind.
pub(super) fn read(kind: u64, fields: Dict<'_, '_>) -> Result<Body, DecodeError> {
    match kind {
        PUBLISH => entry_field(fields),
        PROPAGATE => entries_field(fields),
        LOOKUP => lookup::read(fields).map(Body::Lookup),
        FOUND => lookup::read_found(fields).map(Body::Found),
        _ => Small::read(fields).and_then(|small| small.join(kind)),
    }
}

/// The fields of all other kinds; each key means the same in every kind but `r`.
#[derive(Default)]
struct Small<'a> {
    addr: Option<SocketAddr>,
    contacts: Option<Vec<Contact>>,
    hops: Option<u8>,
    names: Vec<Name>,
    joiner: Option<Id>,
    keys: Option<Vec<(ObjectId, Id)>>,
    nonce: Option<u64>,
    port: Option<u16>,
    number: Option<u64>,
    token: Option<&'a [u8]>,
}

impl<'a> Small<'a> {
    fn read(mut fields: Dict<'_, 'a>) -> Result<Self, DecodeError> {
        let mut small = Small::default();
        while let Some((key, value)) = fields.next_pair()? {
            match key {
                b"a" => small.addr = Some(form(value, "address", take_addr)?),
                b"c" => {
                    small.contacts = Some(forms(value, MAX_CONTACTS, "contacts", take_contact)?);
                }
                b"h" => small.hops = Some(int_to(value, MAX_HOPS, "hops")?),
                b"i" => small.names = form(value, "names", take_names)?,
                b"j" => small.joiner = Some(form(value, "joiner", Id::from_slice)?),
                b"k" => small.keys = Some(forms(value, MAX_GAPS, "keys", take_key)?),
                b"n" => small.nonce = Some(form(value, "nonce", take_nonce)?),
                b"p" => small.port = Some(int(value, "port")?),
                b"r" => small.number = Some(int(value, "row or reason")?),
                b"t" => small.token = Some(form(value, "token", Some)?),
                _ => {}
            }
        }
        Ok(small)
    }

    fn join(self, kind: u64) -> Result<Body, DecodeError> {
        let token = self
            .token
            .map(|t| take_token(t).ok_or(DecodeError::Bounds("token")));
        let token = token.transpose()?;
        let contacts = || need(self.contacts, "c");
        let hops = || need(self.hops, "h");
        let nonce = || need(self.nonce, "n");
        let port = || match need(self.port, "p")? {
            0 => Err(DecodeError::Bounds("port")),
            port => Ok(port),
        };
        let row = || {
            let row = u8::try_from(need(self.number, "r")?).unwrap_or(u8::MAX);
            if row <= LAST_ROW {
                Ok(row)
            } else {
                Err(DecodeError::Bounds("row"))
            }
        };
        Ok(match kind {
            PING => Body::Ping,
            ACK => Body::Ack,
            PONG => Body::Pong {
                token: need(token, "t")?,
                observed: need(self.addr, "a")?,
            },
            REFUSE => Body::Refuse {
                reason: reason(need(self.number, "r")?),
                token,
            },
            LEAVES => Body::Leaves { names: self.names },
            LEAVES_REPLY => Body::LeavesReply {
                contacts: contacts()?,
            },
            ROW => Body::Row {
                row: row()?,
                names: self.names,
            },
            ROW_REPLY => Body::RowReply {
                row: row()?,
                contacts: contacts()?,
            },
            JOIN => Body::Join {
                joiner: need(self.joiner, "j")?,
                hops: hops()?,
            },
            JOIN_REPLY => Body::JoinReply {
                contacts: contacts()?,
                hops: hops()?,
            },
            SEND_FULL => Body::SendFull {
                keys: need(self.keys, "k")?,
            },
            DIAL => Body::Dial { port: port()? },
            DIALLED => Body::Dialled {
                port: port()?,
                reached: match need(self.number, "r")? {
                    0 => false,
                    1 => true,
                    _ => return Err(DecodeError::Bounds("reached")),
                },
            },
            REACH => Body::Reach { nonce: nonce()? },
            REACH_FOR => Body::ReachFor {
                addr: need(self.addr, "a")?,
                nonce: nonce()?,
            },
            REACHED => Body::Reached { nonce: nonce()? },
            _ => return Err(DecodeError::Bounds("kind")),
        })
    }
}

fn take_key(bytes: &[u8]) -> Option<(ObjectId, Id)> {
    let (object, publisher) = bytes.split_at_checked(Id::LEN)?;
    Some((
        ObjectId(Id::from_slice(object)?),
        Id::from_slice(publisher)?,
    ))
}

fn take_nonce(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

fn entry_field(mut fields: Dict<'_, '_>) -> Result<Body, DecodeError> {
    let mut entry = None;
    while let Some((key, value)) = fields.next_pair()? {
        if key == b"e" {
            entry = Some(entry::read(dict(value, "entry")?, &mut { MAX_CHUNKS })?);
        }
    }
    Ok(Body::Publish {
        entry: need(entry, "e")?,
    })
}

fn entries_field(mut fields: Dict<'_, '_>) -> Result<Body, DecodeError> {
    let mut entries = None;
    while let Some((key, value)) = fields.next_pair()? {
        if key == b"e" {
            entries = Some(read_entries(value)?);
        }
    }
    Ok(Body::Propagate {
        entries: need(entries, "e")?,
    })
}

/// The datagram's length bounds the number of entries, `budget` what their chunk sets allocate.
fn read_entries(value: Value<'_, '_>) -> Result<Vec<Entry>, DecodeError> {
    let mut budget = MAX_CHUNKS;
    let mut entries = Vec::new();
    let Value::List(mut list) = value else {
        return Err(DecodeError::Bounds("entries"));
    };
    while let Some(item) = list.next_object()? {
        entries.push(entry::read(dict(item, "entry")?, &mut budget)?);
    }
    Ok(entries)
}

fn reason_number(reason: RefuseReason) -> u64 {
    match reason {
        RefuseReason::Token => 0,
        RefuseReason::ForeignAddress => 1,
        RefuseReason::Busy => 2,
        RefuseReason::Hops => 3,
        RefuseReason::Unsupported => 4,
        RefuseReason::Proof => 5,
    }
}

fn reason(number: u64) -> RefuseReason {
    match number {
        0 => RefuseReason::Token,
        1 => RefuseReason::ForeignAddress,
        2 => RefuseReason::Busy,
        3 => RefuseReason::Hops,
        5 => RefuseReason::Proof,
        _ => RefuseReason::Unsupported,
    }
}
