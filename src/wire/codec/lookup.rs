//! Lookups and their answers (paper 3.2).
//!
//! Lookup: `a` asker's addresses (may be empty), `c` coordinate, `h` hops, `i` ignored addresses (absent: none), `k`
//! ranking (0 overlap, 1 closeness), `m` matches so far (absent: none), `n` random answers (absent: 0), `o` object, `p`
//! answers, `r` 1 to go on to the root (absent: 0), `w` wanted chunks: start, length, bits (absent: any).
//!
//! Answer: `b` id of the answering node, `h` hops, `m` matches, `r` 1 when the root answered (absent: 0).

use std::net::SocketAddr;

use bendy::decoding::DictDecoder;
use bendy::encoding::SortedDictEncoder;

use super::body::{addr_form, bound, canonical};
use super::fields::{Written, bytes, form, forms, int_to, need, put_bytes, put_int, put_list};
use super::{DecodeError, EncodeError};
use crate::coords::Coord;
use crate::id::{Id, ObjectId};
use crate::wire::compact::{put_addrs, put_match, take_addr, take_addrs, take_match, usable};
use crate::wire::windows::{MAX_LOOKUP_BITS, put_window, sendable, take_window};
use crate::wire::{
    Found, Lookup, MAX_CHUNKS, MAX_HOPS, MAX_IGNORED, MAX_MATCHES, Match, PeerAddrs, Ranking,
    Wanted,
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
        bound(sendable(wanted, MAX_LOOKUP_BITS), "wanted window")?;
    }
    check_matches(&lookup.matches)
}

pub(super) fn check_found(found: &Found) -> Result<(), EncodeError> {
    bound(found.hops <= MAX_HOPS, "hops")?;
    check_matches(&found.matches)
}

fn check_matches(matches: &[Match]) -> Result<(), EncodeError> {
    bound(matches.len() <= MAX_MATCHES, "number of matches")?;
    let reachable = |m: &Match| !m.addrs.is_empty() && m.addrs.iter().all(usable);
    bound(matches.iter().all(reachable), "match's addresses")
}

pub(super) fn write(lookup: &Lookup, d: &mut SortedDictEncoder<'_>) -> Written {
    let mut asker = Vec::with_capacity(24);
    put_addrs(&mut asker, &lookup.asker);
    put_bytes(d, b"a", &asker)?;
    put_bytes(d, b"c", &lookup.coord.to_bytes())?;
    put_int(d, b"h", lookup.hops)?;
    if !lookup.ignore.is_empty() {
        put_list(d, b"i", &lookup.ignore, |a| addr_form(*a))?;
    }
    put_int(d, b"k", ranking_number(lookup.ranking))?;
    if !lookup.matches.is_empty() {
        put_list(d, b"m", &lookup.matches, put_match)?;
    }
    if lookup.mix > 0 {
        put_int(d, b"n", lookup.mix)?;
    }
    put_bytes(d, b"o", &lookup.object.0.0)?;
    put_int(d, b"p", lookup.p)?;
    if lookup.to_root {
        put_int(d, b"r", true)?;
    }
    match &lookup.wanted {
        Wanted::Any => Ok(()),
        Wanted::Chunks(wanted) => put_bytes(d, b"w", &put_window(wanted)),
    }
}

pub(super) fn write_found(found: &Found, d: &mut SortedDictEncoder<'_>) -> Written {
    put_bytes(d, b"b", &found.by.0)?;
    put_int(d, b"h", found.hops)?;
    put_list(d, b"m", &found.matches, put_match)?;
    if found.root {
        put_int(d, b"r", true)
    } else {
        Ok(())
    }
}

pub(super) fn read(mut fields: DictDecoder<'_, '_>) -> Result<Lookup, DecodeError> {
    let (mut asker, mut coord, mut hops, mut ranking) = (None, None, None, None);
    let (mut object, mut p, mut wanted) = (None, None, None);
    let (mut mix, mut to_root) = (0, false);
    let mut ignore: Vec<SocketAddr> = Vec::new();
    let mut matches: Vec<Match> = Vec::new();
    while let Some((key, value)) = fields.next_pair()? {
        match key {
            b"a" => asker = Some(form::<PeerAddrs>(value, "asker's addresses", take_addrs)?),
            b"c" => coord = Some(form(value, "coordinate", Coord::from_bytes)?),
            b"h" => hops = Some(int_to(value, MAX_HOPS, "hops")?),
            b"i" => ignore = forms(value, MAX_IGNORED, "ignored addresses", take_addr)?,
            b"k" => ranking = Some(self::ranking(int_to(value, 1, "ranking")?)),
            b"m" => matches = forms(value, MAX_MATCHES, "matches", take_match)?,
            b"n" => mix = int_to(value, MAX_P, "mix")?,
            b"o" => object = Some(form(value, "object", Id::from_slice)?),
            b"p" => p = Some(int_to(value, MAX_P, "p")?),
            b"r" => to_root = int_to(value, 1, "root flag")? == 1,
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
    let wanted = match wanted {
        None => Wanted::Any,
        Some(bytes) => take_window(bytes, MAX_LOOKUP_BITS, MAX_CHUNKS, &mut { MAX_CHUNKS })
            .map(Wanted::Chunks)
            .map_err(|_| DecodeError::Bounds("wanted window"))?,
    };
    Ok(Lookup {
        object,
        wanted,
        p,
        mix,
        ranking,
        coord,
        asker,
        ignore,
        to_root,
        hops,
        matches,
    })
}

pub(super) fn read_found(mut fields: DictDecoder<'_, '_>) -> Result<Found, DecodeError> {
    let (mut by, mut hops, mut matches, mut root) = (None, None, None, false);
    while let Some((key, value)) = fields.next_pair()? {
        match key {
            b"b" => by = Some(form(value, "answering node", Id::from_slice)?),
            b"h" => hops = Some(int_to(value, MAX_HOPS, "hops")?),
            b"m" => matches = Some(forms(value, MAX_MATCHES, "matches", take_match)?),
            b"r" => root = int_to(value, 1, "root flag")? == 1,
            _ => {}
        }
    }
    let (matches, hops) = (need(matches, "m")?, need(hops, "h")?);
    Ok(Found {
        matches,
        hops,
        root,
        by: need(by, "b")?,
    })
}

fn ranking_number(ranking: Ranking) -> u64 {
    match ranking {
        Ranking::Overlap => 0,
        Ranking::Closeness => 1,
    }
}

fn ranking(number: u8) -> Ranking {
    if number == 0 {
        Ranking::Overlap
    } else {
        Ranking::Closeness
    }
}
