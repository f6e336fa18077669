//! Packets of uTP, as far as `librqbit-utp` lets them be read alone: what a connection does with them has no entry
//! without a socket (see `plugin/tests/wire/utp.rs` for that).

use librqbit_utp::raw::UtpHeader;

/// A datagram on the port for peers.
pub fn utp_packet(data: &[u8]) {
    let Some((header, len)) = UtpHeader::deserialize(data) else {
        return;
    };
    assert!((20..=data.len()).contains(&len));
    let mut written = [0; 128];
    let Ok(len) = header.serialize(&mut written) else {
        panic!("there is room for a header and its two extensions");
    };
    let ours = &header.extensions;
    if ours.selective_ack.is_some() && ours.close_reason.is_some() {
        return; // the crate would write both wrongly; it never sends both
    }
    let read = UtpHeader::deserialize(&written[..len]);
    let (mut again, all) = read.expect("what was written can be read");
    assert_eq!(all, len);
    let acked = |h: &UtpHeader| h.extensions.selective_ack.map(|s| s.as_bytes().to_vec());
    assert_eq!(acked(&again), acked(&header));
    // its length in bits is that of the packet, also beyond what is kept of it
    again.extensions.selective_ack = header.extensions.selective_ack;
    assert_eq!(again, header);
}
