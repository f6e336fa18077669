//! Extended handshakes and metadata messages: round trips, stock clients' bytes, and hostile ones.

use bytes::Bytes;
use chunkcast_bittorrent::wire::extended::{
    ExtendedError, ExtendedHandshake, MAX_HANDSHAKE, MAX_METADATA, MAX_VERSION, UtMetadata,
    decode_upload_only,
};
use librqbit_peer_protocol::{Message as StockMessage, extended as stock};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn handshake() -> impl Strategy<Value = ExtendedHandshake> {
    (
        option::of(any::<u8>()),
        option::of(any::<u8>()),
        option::of(any::<u8>()),
        option::of(1..=MAX_METADATA),
        option::of(1..=u16::MAX),
        option::of("[a-zA-Z0-9 ./µ-]{1,64}"),
        option::of(1..=u32::MAX),
        option::of(1..=u16::MAX),
        (option::of(any::<u8>()), option::of(any::<bool>())),
    )
        .prop_map(
            |(
                ut_metadata,
                ut_pex,
                cc_status,
                metadata_size,
                port,
                version,
                reqq,
                index_port,
                upload,
            )| {
                ExtendedHandshake {
                    upload_only_id: upload.0,
                    upload_only: upload.1,
                    ut_metadata,
                    ut_pex,
                    cc_status,
                    metadata_size,
                    port,
                    version,
                    reqq,
                    index_port,
                }
            },
        )
}

fn ut_metadata() -> impl Strategy<Value = UtMetadata> {
    prop_oneof![
        (0..4096_u32).prop_map(UtMetadata::Request),
        (0..4096_u32).prop_map(UtMetadata::Reject),
        (0..64_u32, vec(any::<u8>(), 1..200)).prop_map(|(piece, data)| UtMetadata::Data {
            piece,
            total_size: 64 * 16 * 1024,
            data: data.into(),
        }),
    ]
}

proptest! {
    #[test]
    fn handshakes_survive_the_wire(handshake in handshake()) {
        prop_assert_eq!(ExtendedHandshake::decode(&handshake.encode()), Ok(handshake));
    }

    #[test]
    fn metadata_messages_survive_the_wire(message in ut_metadata()) {
        prop_assert_eq!(UtMetadata::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn a_stock_client_reads_our_handshake(handshake in handshake()) {
        let mut frame = vec![0; 4];
        frame.extend([20, 0]);
        frame.extend(handshake.encode());
        let len = u32::try_from(frame.len() - 4).expect("short");
        frame[..4].copy_from_slice(&len.to_be_bytes());
        let (message, _) = StockMessage::deserialize(&frame, &[]).expect("a stock client reads it");
        let StockMessage::Extended(stock::ExtendedMessage::Handshake(theirs)) = message else {
            panic!("an extended handshake")
        };
        prop_assert_eq!(theirs.m.ut_metadata, handshake.ut_metadata);
        prop_assert_eq!(theirs.m.ut_pex, handshake.ut_pex);
        prop_assert_eq!(theirs.metadata_size, handshake.metadata_size);
        prop_assert_eq!(theirs.port(), handshake.port);
        prop_assert_eq!(theirs.reqq, handshake.reqq);
        prop_assert_eq!(theirs.v.map(|v| v.0.to_vec()), handshake.version.map(String::into_bytes));
    }

    #[test]
    fn any_bytes_are_refused_or_read_but_never_a_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = ExtendedHandshake::decode(&bytes);
        prop_assert_eq!(decode_upload_only(&bytes).is_ok(), bytes.len() == 1);
        let _ = UtMetadata::decode(&bytes);
    }

    /// Bytes that bencode is made of get deeper than random ones.
    #[test]
    fn any_bencode_like_text_is_refused_or_read_but_never_a_panic(
        text in "(d|l|e|i|-|:|0|1|9|99999999999999999999|1:m|1:p|5:piece|8:msg_type|i1e|de|le){0,60}",
    ) {
        let _ = ExtendedHandshake::decode(text.as_bytes());
        let _ = ExtendedHandshake::decode(format!("d{text}").as_bytes());
        let _ = UtMetadata::decode(format!("d{text}e").as_bytes());
    }

    #[test]
    fn mutated_messages_never_panic(
        handshake in handshake(),
        message in ut_metadata(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        for bytes in [handshake.encode(), message.encode()] {
            let mut bytes = bytes.to_vec();
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            let _ = ExtendedHandshake::decode(&bytes);
            let _ = UtMetadata::decode(&bytes);
        }
    }
}

/// What libtorrent 2 sends, with keys that we do not use and nested values.
#[test]
fn a_libtorrent_handshake_is_read() {
    let bytes = b"d12:complete_agoi-1e1:md11:lt_donthavei7e10:share_modei8e11:upload_onlyi3e\
        12:ut_holepunchi4e11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei31235e4:reqqi2000e\
        11:upload_onlyi1e1:v17:libtorrent/2.0.11e";
    assert_eq!(
        ExtendedHandshake::decode(bytes),
        Ok(ExtendedHandshake {
            ut_metadata: Some(2),
            ut_pex: Some(1),
            cc_status: None,
            upload_only_id: Some(3),
            upload_only: Some(true),
            metadata_size: Some(31235),
            port: None,
            version: Some("libtorrent/2.0.11".into()),
            reqq: Some(2000),
            index_port: None,
        })
    );
}

#[test]
fn sloppy_handshakes_are_read() {
    // Keys out of order and twice, unknown nested values, bytes after the end, a disabled extension.
    let bytes = b"d1:v3:abc6:nestedd1:xlli1eed1:yi2eeee1:md6:ut_pexi1e11:ut_metadatai0ee1:v3:xyz\
        4:hugei99999999999999999999999ee trailing";
    let handshake = ExtendedHandshake::decode(bytes).expect("tolerated");
    assert_eq!(handshake.ut_metadata, Some(0));
    assert_eq!(handshake.version.as_deref(), Some("xyz"));

    // Values of no use count as not said.
    let bytes = b"d8:cc_indexi70000e13:metadata_sizei0e1:pi0e4:reqqi-1e1:vi3ee";
    assert_eq!(
        ExtendedHandshake::decode(bytes),
        Ok(ExtendedHandshake::default())
    );
    assert_eq!(
        ExtendedHandshake::decode(b"de"),
        Ok(ExtendedHandshake::default())
    );
}

#[test]
fn sizes_and_ids_out_of_range_are_refused() {
    for bytes in [
        &b"d13:metadata_sizei-1ee"[..],
        b"d13:metadata_sizei4294967296ee",
        b"d13:metadata_sizei99999999999999999999ee",
        b"d13:metadata_sizei67108865ee",
        b"d13:metadata_size3:bige",
    ] {
        assert_eq!(
            ExtendedHandshake::decode(bytes),
            Err(ExtendedError::Key("metadata_size"))
        );
    }
    for bytes in [
        &b"d1:md11:ut_metadatai256eee"[..],
        b"d1:md11:ut_metadatai-1eee",
    ] {
        assert_eq!(
            ExtendedHandshake::decode(bytes),
            Err(ExtendedError::Key("ut_metadata"))
        );
    }
    assert_eq!(
        ExtendedHandshake::decode(b"d1:mlee"),
        Err(ExtendedError::Key("m"))
    );
}

#[test]
fn broken_dictionaries_are_refused() {
    for bytes in [
        &b""[..],
        b"d",
        b"i1e",
        b"le",
        b"d1:ae",
        b"d1:ai1e",
        b"di1ei2ee",
        b"d99999999999999999999:ae",
        b"d18446744073709551615:ae",
        b"d1:ai--1ee",
        b"d1:aie",
        b"d1:ai+1ee",
        b"d-1:ai1ee",
    ] {
        let decoded = ExtendedHandshake::decode(bytes);
        assert!(
            matches!(decoded, Err(ExtendedError::Bencode(_))),
            "{bytes:?}: {decoded:?}"
        );
    }
}

#[test]
fn nesting_as_deep_as_a_message_is_long_costs_no_stack() {
    let mut bytes = b"d1:a".to_vec();
    bytes.extend(std::iter::repeat_n(b'l', MAX_HANDSHAKE - 4));
    assert!(ExtendedHandshake::decode(&bytes).is_err());
    bytes.truncate(8000);
    bytes.extend(std::iter::repeat_n(b'e', 7996));
    bytes.extend(b"e");
    assert!(
        ExtendedHandshake::decode(&bytes).is_err(),
        "no client nests like that"
    );
    bytes.resize(MAX_HANDSHAKE + 1, b'x');
    assert_eq!(
        ExtendedHandshake::decode(&bytes),
        Err(ExtendedError::TooLong(MAX_HANDSHAKE + 1))
    );
}

#[test]
fn a_version_is_short_and_harmless_on_a_terminal() {
    let version = |version: &[u8]| {
        let mut bytes = format!("d1:v{}:", version.len()).into_bytes();
        bytes.extend(version);
        bytes.push(b'e');
        ExtendedHandshake::decode(&bytes)
            .expect("any version is read")
            .version
    };
    assert_eq!(version(b"\x1b[2Jcl\near\0").as_deref(), Some("?[2Jcl?ear?"));
    assert_eq!(version(&[b'x'; 5000]), Some("x".repeat(MAX_VERSION)));
    let long = "\u{1f980}".repeat(100);
    assert_eq!(
        version(long.as_bytes()),
        Some("\u{1f980}".repeat(MAX_VERSION))
    );
    assert_eq!(version(b"\xff\xfe").as_deref(), Some("\u{fffd}\u{fffd}"));
    assert_eq!(version(b""), None);
}

#[test]
fn metadata_messages_have_the_form_of_bep_9() {
    assert_eq!(
        &UtMetadata::Request(0).encode()[..],
        b"d8:msg_typei0e5:piecei0ee"
    );
    assert_eq!(
        &UtMetadata::Reject(7).encode()[..],
        b"d8:msg_typei2e5:piecei7ee"
    );
    let data = UtMetadata::Data {
        piece: 0,
        total_size: 3,
        data: Bytes::from_static(b"e\0d"),
    };
    assert_eq!(
        &data.encode()[..],
        b"d8:msg_typei1e5:piecei0e10:total_sizei3eee\0d"
    );
}

#[test]
fn metadata_numbers_out_of_range_are_refused() {
    let cases: [(&[u8], ExtendedError); 10] = [
        (b"d5:piecei0ee", ExtendedError::Key("msg_type")),
        (b"d8:msg_typei0ee", ExtendedError::Key("piece")),
        (b"d8:msg_typei0e5:piecei-1ee", ExtendedError::Key("piece")),
        (b"d8:msg_typei0e5:piecei4096ee", ExtendedError::Key("piece")),
        (b"d8:msg_typei3e5:piecei0ee", ExtendedError::UnknownType(3)),
        (
            b"d8:msg_typei1e5:piecei0eex",
            ExtendedError::Key("total_size"),
        ),
        (
            b"d8:msg_typei1e5:piecei0e10:total_sizei-5eex",
            ExtendedError::Key("total_size"),
        ),
        (
            b"d8:msg_typei1e5:piecei0e10:total_sizei99999999999eex",
            ExtendedError::Key("total_size"),
        ),
        (
            b"d8:msg_typei1e5:piecei1e10:total_sizei16384eex",
            ExtendedError::Key("piece"),
        ),
        (
            b"d8:msg_typei1e5:piecei0e10:total_sizei5ee",
            ExtendedError::PieceLength(0),
        ),
    ];
    for (bytes, error) in cases {
        assert_eq!(
            UtMetadata::decode(bytes),
            Err(error),
            "{}",
            String::from_utf8_lossy(bytes)
        );
    }
    let mut long = b"d8:msg_typei1e5:piecei0e10:total_sizei99999ee".to_vec();
    long.extend([0; 16385]);
    assert_eq!(
        UtMetadata::decode(&long),
        Err(ExtendedError::PieceLength(16385))
    );
}
