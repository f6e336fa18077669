//! Lookups and their answers (paper 3.2).
//!
//! Lookup: `a` asker's addresses (may be empty), `c` coordinate, `h` hops, `i` ignored addresses (absent: none), `k`
//! ranking (0 overlap, 1 closeness, 2 hybrid), `m` matches so far (absent: none), `n` random answers (absent: 0), `o` object, `p`
//! answers, `r` 1 to go on to the root (absent: 0), `s` chunks of the object as varint and the summary of all that is
//! wanted (absent: none; with it the bits of `w` take at most 128 bytes), `t` 1 to be told of every hop (absent: 0), `w`
//! wanted chunks: start, length, bits (absent: any).
//!
//! Answer: `b` id of the answering node, `h` hops, `l` 1 when it answered short as it is asked too often (absent: 0),
//! `m` matches, `r` 1 when the root answered (absent: 0), `t` hops passed (absent: none), each id 20, round-trip time to
//! the next hop in microseconds 4 (0: none), matches known 1, what it did 1 (0 enough, 1 root, 2 cached, 3 loaded, 4
//! silent, 5 too few, 6 to root), address (may be empty).

use std::net::SocketAddr;
use std::time::Duration;

use super::body::{addr_form, bound, canonical};
use super::fields::{bytes, form, forms, int_to, need, put_bytes, put_form, put_int, put_list};
use super::{DecodeError, EncodeError};
use crate::coords::Coord;
use crate::id::{Id, ObjectId};
use crate::wire::bencode::{Dict, Pairs};
use crate::wire::compact::{
    put_addrs, put_match, put_varint, take, take_addr, take_addrs, take_match, take_varint, usable,
};
use crate::wire::windows::{
    MAX_LOOKUP_BITS, SUMMARISED_LOOKUP_BITS, put_window, sendable, take_window,
};
use crate::wire::{
    Found, Lookup, MAX_CHUNKS, MAX_HOPS, MAX_IGNORED, MAX_MATCHES, MAX_TRACE, Match, PeerAddrs,
    Ranking, Summary, TraceHop, Wanted, Why,
};

/// The largest `p`.
const MAX_P: u8 = 8; // MAX_MATCHES

pub(super) fn check(lookup: &Lookup) -> Result<(), EncodeError> {
    bound((1..=MAX_P).contains(&lookup.p), "p")?;
    bound(lookup.mix <= lookup.p, "mix")?;
    bound(lookup.hops <= MAX_HOPS, "hops")?;
    bound(lookup.asker.iter().all(usable), "asker's addresses")?;
    bound(
        lookup.ignore.len() <= MAX_IGNORED,
        "number of ignored addresses",
    )?;
    bound(
        lookup.ignore.iter().all(|a| usable(canonical(*a))),
        "ignored address",
    )?;
    if let Wanted::Chunks(wanted) = &lookup.wanted {
        let bits = window_bits(lookup.summary.is_some());
        bound(sendable(wanted, bits), "wanted window")?;
    }
    check_matches(&lookup.matches)
}

pub(super) fn check_found(found: &Found) -> Result<(), EncodeError> {
    bound(found.hops <= MAX_HOPS, "hops")?;
    bound(found.trace.len() <= MAX_TRACE, "number of traced hops")?;
    let addrs = found.trace.iter().filter_map(|hop| hop.addr);
    bound(addrs.map(canonical).all(usable), "traced hop's address")?;
    check_matches(&found.matches)
}

/// A summary takes the place of half of the window.
fn window_bits(summary: bool) -> u32 {
    if summary {
        SUMMARISED_LOOKUP_BITS
    } else {
        MAX_LOOKUP_BITS
    }
}

fn check_matches(matches: &[Match]) -> Result<(), EncodeError> {
    bound(matches.len() <= MAX_MATCHES, "number of matches")?;
    let reachable = |m: &Match| !m.addrs.is_empty() && m.addrs.iter().all(usable);
    bound(matches.iter().all(reachable), "match's addresses")
}

pub(super) fn write(lookup: &Lookup, d: &mut Pairs<'_>) {
    put_form(d, b"a", |out| put_addrs(out, &lookup.asker));
    put_bytes(d, b"c", &lookup.coord.to_bytes());
    put_int(d, b"h", lookup.hops);
    if !lookup.ignore.is_empty() {
        put_list(d, b"i", &lookup.ignore, |out, addr| addr_form(out, *addr));
    }
    put_int(d, b"k", ranking_number(lookup.ranking));
    if !lookup.matches.is_empty() {
        put_list(d, b"m", &lookup.matches, put_match);
    }
    if lookup.mix > 0 {
        put_int(d, b"n", lookup.mix);
    }
    put_bytes(d, b"o", &lookup.object.0.0);
    put_int(d, b"p", lookup.p);
    if lookup.to_root {
        put_int(d, b"r", true);
    }
    if let Some(summary) = &lookup.summary {
        put_form(d, b"s", |out| {
            put_varint(out, u64::from(summary.chunks()));
            out.extend(summary.encode());
        });
    }
    if lookup.trace {
        put_int(d, b"t", true);
    }
    if let Wanted::Chunks(wanted) = &lookup.wanted {
        put_form(d, b"w", |out| put_window(out, wanted));
    }
}

pub(super) fn write_found(found: &Found, d: &mut Pairs<'_>) {
    put_bytes(d, b"b", &found.by.0);
    put_int(d, b"h", found.hops);
    if found.loaded {
        put_int(d, b"l", true);
    }
    put_list(d, b"m", &found.matches, put_match);
    if found.root {
        put_int(d, b"r", true);
    }
    if !found.trace.is_empty() {
        put_list(d, b"t", &found.trace, put_hop);
    }
}

fn put_hop(out: &mut Vec<u8>, hop: &TraceHop) {
    out.extend(hop.id.0);
    let micros = hop.rtt.map_or(0, |rtt| {
        u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX).max(1)
    });
    out.extend(micros.to_be_bytes());
    out.extend([hop.known, why_number(hop.why)]);
    if let Some(addr) = hop.addr {
        addr_form(out, addr);
    }
}

fn take_hop(mut bytes: &[u8]) -> Option<TraceHop> {
    let id = Id(take(&mut bytes)?);
    let micros = u32::from_be_bytes(take(&mut bytes)?);
    let [known, why] = take(&mut bytes)?;
    let addr = match bytes {
        [] => None,
        bytes => Some(take_addr(bytes)?),
    };
    Some(TraceHop {
        id,
        addr,
        rtt: (micros > 0).then(|| Duration::from_micros(u64::from(micros))),
        known,
        why: self::why(why)?,
    })
}

fn take_summary(mut bytes: &[u8]) -> Option<Box<Summary>> {
    let chunks = u32::try_from(take_varint(&mut bytes)?).ok()?;
    Summary::decode(chunks, bytes).ok().map(Box::new)
}

pub(super) fn read(mut fields: Dict<'_, '_>) -> Result<Lookup, DecodeError> {
    let (mut asker, mut coord, mut hops, mut ranking) = (None, None, None, None);
    let (mut object, mut p, mut wanted) = (None, None, None);
    let (mut mix, mut to_root, mut trace, mut summary) = (0, false, false, None);
    let mut ignore: Vec<SocketAddr> = Vec::new();
    let mut matches: Vec<Match> = Vec::new();
    while let Some((key, value)) = fields.next_pair()? {
        match key {
            b"a" => asker = Some(form::<PeerAddrs>(value, "asker's addresses", take_addrs)?),
            b"c" => coord = Some(form(value, "coordinate", Coord::from_bytes)?),
            b"h" => hops = Some(int_to(value, MAX_HOPS, "hops")?),
            b"i" => ignore = forms(value, MAX_IGNORED, "ignored addresses", take_addr)?,
            b"k" => ranking = Some(self::ranking(int_to(value, 2, "ranking")?)),
            b"m" => matches = forms(value, MAX_MATCHES, "matches", take_match)?,
            b"n" => mix = int_to(value, MAX_P, "mix")?,
            b"o" => object = Some(form(value, "object", Id::from_slice)?),
            b"p" => p = Some(int_to(value, MAX_P, "p")?),
            b"r" => to_root = int_to(value, 1, "root flag")? == 1,
            b"s" => summary = Some(bytes(value, "summary")?),
            b"t" => trace = int_to(value, 1, "trace flag")? == 1,
            b"w" => wanted = Some(bytes(value, "wanted window")?),
            _ => {}
        }
    }
    let p = need(p, "p")?;
    if p == 0 || mix > p {
        return Err(DecodeError::Bounds("p or mix"));
    }
    // Last, so that a lookup that is refused for something else allocates no set.
    let (asker, coord) = (need(asker, "a")?, need(coord, "c")?);
    let (hops, ranking) = (need(hops, "h")?, need(ranking, "k")?);
    let object = ObjectId(need(object, "o")?);
    let summary = summary
        .map(|bytes| take_summary(bytes).ok_or(DecodeError::Bounds("summary")))
        .transpose()?;
    let bits = window_bits(summary.is_some());
    let wanted = match wanted {
        None => Wanted::Any,
        Some(bytes) => take_window(bytes, bits, MAX_CHUNKS, &mut { MAX_CHUNKS })
            .map(Wanted::Chunks)
            .map_err(|_| DecodeError::Bounds("wanted window"))?,
    };
    Ok(Lookup {
        object,
        wanted,
        summary,
        p,
        mix,
        ranking,
        coord,
        asker,
        ignore,
        to_root,
        trace,
        hops,
        matches,
    })
}

pub(super) fn read_found(mut fields: Dict<'_, '_>) -> Result<Found, DecodeError> {
    let (mut by, mut hops, mut matches, mut root) = (None, None, None, false);
    let (mut loaded, mut trace) = (false, Vec::new());
    while let Some((key, value)) = fields.next_pair()? {
        match key {
            b"b" => by = Some(form(value, "answering node", Id::from_slice)?),
            b"h" => hops = Some(int_to(value, MAX_HOPS, "hops")?),
            b"l" => loaded = int_to(value, 1, "load flag")? == 1,
            b"m" => matches = Some(forms(value, MAX_MATCHES, "matches", take_match)?),
            b"r" => root = int_to(value, 1, "root flag")? == 1,
            b"t" => trace = forms(value, MAX_TRACE, "trace", take_hop)?,
            _ => {}
        }
    }
    let (matches, hops) = (need(matches, "m")?, need(hops, "h")?);
    Ok(Found {
        matches,
        hops,
        root,
        by: need(by, "b")?,
        loaded,
        trace,
    })
}

fn ranking_number(ranking: Ranking) -> u64 {
    match ranking {
        Ranking::Overlap => 0,
        Ranking::Closeness => 1,
        Ranking::Hybrid => 2,
    }
}

fn ranking(number: u8) -> Ranking {
    match number {
        0 => Ranking::Overlap,
        1 => Ranking::Closeness,
        _ => Ranking::Hybrid,
    }
}

fn why_number(why: Why) -> u8 {
    match why {
        Why::Enough => 0,
        Why::Root => 1,
        Why::Cached => 2,
        Why::Loaded => 3,
        Why::Silent => 4,
        Why::TooFew => 5,
        Why::ToRoot => 6,
    }
}

fn why(number: u8) -> Option<Why> {
    Some(match number {
        0 => Why::Enough,
        1 => Why::Root,
        2 => Why::Cached,
        3 => Why::Loaded,
        4 => Why::Silent,
        5 => Why::TooFew,
        6 => Why::ToRoot,
        _ => return None,
    })
}
