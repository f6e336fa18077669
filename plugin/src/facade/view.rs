//! What is known of one client behind the facade: read from it as any peer would. Sans-IO.
//!
//! The bits are the client's own, from its bitfield and HAVEs; what it says of itself in announces is not believed for
//! them. Before the number of pieces is known the bitfield is kept as it came.

use bytes::Bytes;
use chunkcast::chunks::ChunkSet;

use crate::metadata::{MetadataAssembly, Metainfo, Outcome};
use crate::wire::extended::{ExtendedHandshake, OUR_UT_METADATA, UtMetadata};
use crate::wire::message::Message;

/// HAVEs that are kept before the number of pieces is known.
const MAX_EARLY: usize = 65_536; // guess: a client that has so many sends a bitfield

/// The metadata's only source here.
const SOURCE: u64 = 0;

/// What is to be done after a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send this.
    Send(Message),
    /// It has the metadata: the info dict, whose SHA-1 is the infohash.
    Metadata(Bytes),
    /// It does not keep to the protocol: leave it.
    Fault(&'static str),
}

/// A client as its messages show it.
#[derive(Debug)]
pub(super) struct View {
    /// Pieces that it has; of the right length once `pieces` is known.
    held: ChunkSet,
    pieces: Option<u32>,
    early: Early,
    assembly: Option<MetadataAssembly>,
    /// Its id for `ut_metadata`.
    ut_metadata: Option<u8>,
    /// Whether it has said what it holds: a bitfield, or anything that comes after where that would have been.
    told: bool,
    /// Whether it says that it has the metadata; `None` before its extended handshake.
    has_metadata: Option<bool>,
}

#[derive(Debug, Default)]
struct Early {
    bitfield: Option<Bytes>,
    all: bool,
    haves: Vec<u32>,
}

impl View {
    /// Nothing is known yet; `pieces` if the metadata is. Otherwise it is asked for the metadata.
    pub(super) fn new(info_hash: [u8; 20], pieces: Option<u32>) -> Self {
        Self {
            held: ChunkSet::empty(pieces.unwrap_or(0)),
            pieces,
            early: Early::default(),
            assembly: pieces.is_none().then(|| MetadataAssembly::new(info_hash)),
            ut_metadata: None,
            told: false,
            has_metadata: None,
        }
    }

    /// What to say first to a peer that speaks these extensions.
    pub(super) fn greeting(fast: bool, extended: bool) -> Vec<Message> {
        let mut say = Vec::new();
        if fast {
            say.push(Message::HaveNone); // BEP 6 wants one of three
        }
        if extended {
            let handshake = ExtendedHandshake {
                ut_metadata: Some(OUR_UT_METADATA),
                version: Some(format!("ChunkCast {}", env!("CARGO_PKG_VERSION"))),
                ..ExtendedHandshake::default()
            };
            say.push(Message::Extended {
                id: 0,
                payload: handshake.encode(),
            });
        }
        say
    }

    /// The pieces that it has; `None` before it has said so, or while their number is not known.
    pub(super) fn held(&self) -> Option<&ChunkSet> {
        (self.told && self.pieces.is_some()).then_some(&self.held)
    }

    /// Whether it has said that it lacks the metadata.
    pub(super) fn lacks_metadata(&self) -> bool {
        self.has_metadata == Some(false)
    }

    /// Whether it has pieces and yet says that it lacks the metadata: clients do so with private torrents.
    pub(super) fn withholds_metadata(&self) -> bool {
        let early = &self.early;
        let bits = early.bitfield.as_ref();
        let some = bits.is_some_and(|bits| bits.iter().any(|byte| *byte != 0));
        self.lacks_metadata() && (some || early.all || !early.haves.is_empty())
    }

    /// The number of pieces is known.
    pub(super) fn set_pieces(&mut self, pieces: u32) -> Result<(), &'static str> {
        if self.pieces.is_some() {
            return Ok(());
        }
        self.pieces = Some(pieces);
        self.assembly = None;
        self.held = ChunkSet::empty(pieces);
        let early = std::mem::take(&mut self.early);
        if let Some(bits) = early.bitfield {
            self.held = bitfield(pieces, &bits)?;
        }
        if early.all {
            self.held = ChunkSet::full(pieces);
        }
        early
            .haves
            .into_iter()
            .try_for_each(|piece| self.have(piece))
    }

    /// It sent a message.
    pub(super) fn handle(&mut self, message: Message) -> Vec<Step> {
        let fault = |why| vec![Step::Fault(why)];
        match message {
            Message::Bitfield(bits) => match self.pieces {
                Some(pieces) => match bitfield(pieces, &bits) {
                    Ok(held) => self.held = held,
                    Err(why) => return fault(why),
                },
                None => self.early.bitfield = Some(bits),
            },
            Message::HaveAll => match self.pieces {
                Some(pieces) => self.held = ChunkSet::full(pieces),
                None => self.early.all = true,
            },
            Message::HaveNone => {}
            Message::Have(piece) => {
                if let Err(why) = self.have(piece) {
                    return fault(why);
                }
            }
            Message::Extended { id: 0, payload } => return self.on_handshake(&payload),
            Message::Extended {
                id: OUR_UT_METADATA,
                payload,
            } => return self.on_metadata(&payload),
            // it asks for what we said that we do not have
            Message::Request(_) => return fault("a request for a piece that was not offered"),
            // says nothing about what it holds, and may come before the bitfield
            Message::Extended { .. } | Message::KeepAlive | Message::Port(_) => return Vec::new(),
            _ => {}
        }
        self.told = true;
        Vec::new()
    }

    /// Without a bitfield within the time that one takes, it has nothing.
    pub(super) fn is_silent(&mut self) {
        self.told = true;
    }

    fn have(&mut self, piece: u32) -> Result<(), &'static str> {
        match self.pieces {
            Some(pieces) if piece >= pieces => Err("a HAVE of a piece that there is not"),
            Some(_) => {
                self.held.insert(piece);
                Ok(())
            }
            None if self.early.haves.len() >= MAX_EARLY => Err("too many HAVEs without a bitfield"),
            None => {
                self.early.haves.push(piece);
                Ok(())
            }
        }
    }

    fn on_handshake(&mut self, payload: &[u8]) -> Vec<Step> {
        let Ok(handshake) = ExtendedHandshake::decode(payload) else {
            return vec![Step::Fault("an extended handshake that cannot be read")];
        };
        self.ut_metadata = handshake.ut_metadata.filter(|id| *id != 0);
        self.has_metadata = Some(handshake.metadata_size.is_some() && self.ut_metadata.is_some());
        if let (Some(assembly), Some(size)) = (&mut self.assembly, handshake.metadata_size) {
            assembly.on_size(SOURCE, size);
        }
        self.ask()
    }

    fn on_metadata(&mut self, payload: &[u8]) -> Vec<Step> {
        let Ok(message) = UtMetadata::decode(payload) else {
            return vec![Step::Fault("a metadata message that cannot be read")];
        };
        let Some(assembly) = &mut self.assembly else {
            return Vec::new();
        };
        match message {
            UtMetadata::Data {
                piece,
                total_size,
                data,
            } => match assembly.on_data(SOURCE, piece, total_size, &data) {
                Outcome::Complete(info) => vec![Step::Metadata(info)],
                Outcome::BadPeer(_) => vec![Step::Fault("metadata with the wrong hash")],
                Outcome::Ignored | Outcome::Progress => self.ask(),
            },
            UtMetadata::Reject(_) => vec![Step::Fault("it does not hand out its metadata")],
            UtMetadata::Request(piece) => {
                let reject = UtMetadata::Reject(piece).encode();
                let reply = |id| {
                    Step::Send(Message::Extended {
                        id,
                        payload: reject,
                    })
                };
                self.ut_metadata.map(reply).into_iter().collect()
            }
        }
    }

    /// Asks for as much of the metadata as may be under way.
    fn ask(&mut self) -> Vec<Step> {
        let (Some(assembly), Some(id)) = (&mut self.assembly, self.ut_metadata) else {
            return Vec::new();
        };
        let mut steps = Vec::new();
        while let Some(piece) = assembly.next_request(SOURCE) {
            let payload = UtMetadata::Request(piece).encode();
            steps.push(Step::Send(Message::Extended { id, payload }));
        }
        steps
    }
}

/// Checks metadata that a client or a stranger handed out.
pub(super) fn read_metadata(info: Bytes, info_hash: [u8; 20]) -> Option<Metainfo> {
    Metainfo::from_info(info, Some(info_hash)).ok()
}

fn bitfield(pieces: u32, bits: &[u8]) -> Result<ChunkSet, &'static str> {
    ChunkSet::from_bytes(0, pieces, bits).map_err(|_| "a bitfield of the wrong length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha1::{Digest, Sha1};

    fn indices(view: &View) -> Option<Vec<u32>> {
        view.held().map(|held| held.iter().collect())
    }

    #[test]
    fn bits_are_the_bitfield_and_the_haves_after_it() {
        let mut view = View::new([0; 20], Some(10));
        assert_eq!(indices(&view), None, "it has said nothing yet");
        let bits = Bytes::from_static(&[0b1010_0000, 0]);
        assert_eq!(view.handle(Message::Bitfield(bits)), []);
        assert_eq!(view.handle(Message::Have(9)), []);
        assert_eq!(indices(&view), Some(vec![0, 2, 9]));
        assert_eq!(view.handle(Message::HaveAll), []);
        assert!(view.held().is_some_and(ChunkSet::is_full));
    }

    #[test]
    fn what_came_before_the_metadata_counts_after_it() {
        let mut view = View::new([0; 20], None);
        let bits = Bytes::from_static(&[0b1000_0000, 0]);
        view.handle(Message::Bitfield(bits));
        view.handle(Message::Have(3));
        assert_eq!(indices(&view), None);
        view.set_pieces(12).expect("a bitfield of that length");
        assert_eq!(indices(&view), Some(vec![0, 3]));
        let mut wrong = View::new([0; 20], None);
        wrong.handle(Message::Bitfield(Bytes::from_static(&[0])));
        assert!(wrong.set_pieces(12).is_err());
    }

    #[test]
    fn a_client_that_sends_no_bitfield_has_nothing() {
        let mut view = View::new([0; 20], Some(10));
        view.handle(Message::KeepAlive);
        assert_eq!(indices(&view), None);
        view.handle(Message::Unchoke);
        assert_eq!(
            indices(&view),
            Some(vec![]),
            "a bitfield would have come before"
        );
        let mut silent = View::new([0; 20], Some(10));
        silent.is_silent();
        assert_eq!(indices(&silent), Some(vec![]));
    }

    #[test]
    fn faults_are_told() {
        let faulty = |message| {
            let steps = View::new([0; 20], Some(10)).handle(message);
            matches!(steps.as_slice(), [Step::Fault(_)])
        };
        assert!(faulty(Message::Bitfield(Bytes::from_static(&[0; 3]))));
        assert!(
            faulty(Message::Bitfield(Bytes::from_static(&[0, 1]))),
            "a spare bit"
        );
        assert!(faulty(Message::Have(10)));
        let payload = Bytes::from_static(b"d1:m");
        assert!(faulty(Message::Extended { id: 0, payload }));
    }

    #[test]
    fn the_metadata_is_asked_for_and_checked() {
        let info = Bytes::from(vec![b'x'; 20_000]);
        let hash = Sha1::digest(&info).into();
        let mut view = View::new(hash, None);
        let handshake = ExtendedHandshake {
            ut_metadata: Some(7),
            metadata_size: Some(20_000),
            ..ExtendedHandshake::default()
        };
        let payload = handshake.encode();
        let asked = view.handle(Message::Extended { id: 0, payload });
        assert_eq!(asked.len(), 2, "two pieces");
        assert!(!view.lacks_metadata());
        let data = |piece: u32| {
            let begin = piece as usize * 16384;
            let data = info.slice(begin..(begin + 16384).min(info.len()));
            let payload = UtMetadata::Data {
                piece,
                total_size: 20_000,
                data,
            };
            Message::Extended {
                id: OUR_UT_METADATA,
                payload: payload.encode(),
            }
        };
        assert_eq!(view.handle(data(1)), []);
        assert_eq!(view.handle(data(0)), [Step::Metadata(info.clone())]);
    }

    #[test]
    fn a_client_without_metadata_says_so() {
        let mut view = View::new([0; 20], None);
        let payload = ExtendedHandshake::default().encode();
        assert_eq!(view.handle(Message::Extended { id: 0, payload }), []);
        assert!(view.lacks_metadata());
    }

    #[test]
    fn a_client_that_has_pieces_and_no_metadata_keeps_that_to_itself() {
        let shaken = |first: Message| {
            let mut view = View::new([0; 20], None);
            view.handle(first);
            let payload = ExtendedHandshake::default().encode();
            view.handle(Message::Extended { id: 0, payload });
            view.withholds_metadata()
        };
        assert!(shaken(Message::HaveAll));
        assert!(shaken(Message::Have(3)));
        assert!(shaken(Message::Bitfield(Bytes::from_static(&[0, 4]))));
        assert!(!shaken(Message::Bitfield(Bytes::from_static(&[0, 0]))));
        assert!(!shaken(Message::HaveNone));
    }

    fn message() -> impl Strategy<Value = Message> {
        let bytes = prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
        prop_oneof![
            (0u32..20).prop_map(Message::Have),
            any::<u32>().prop_map(Message::Have),
            bytes.clone().prop_map(Message::Bitfield),
            Just(Message::HaveAll),
            Just(Message::HaveNone),
            (0u8..4, bytes).prop_map(|(id, payload)| Message::Extended { id, payload }),
        ]
    }

    proptest! {
        #[test]
        fn bits_always_fit_the_torrent(
            known: bool, messages in prop::collection::vec(message(), 0..30),
        ) {
            let mut view = View::new([0; 20], known.then_some(12));
            for message in messages {
                view.handle(message);
            }
            let _ = view.set_pieces(12);
            if let Some(held) = view.held() {
                prop_assert_eq!((held.start(), held.len()), (0, 12));
            }
        }
    }
}
