//! What a .torrent file says of itself beside what it is: comment, program, date; and making such a file of metadata that came
//! from peers.

use crate::bencode::{Malformed, Reader, Token};

use super::Metainfo;

/// Bytes of a remark that are kept.
const LONGEST: usize = 4096; // guess: a page of text

/// What a .torrent file says of itself. Text for people, from strangers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// `comment`.
    pub comment: String,
    /// `created by`.
    pub creator: String,
    /// `creation date`, seconds since 1970; 0: none.
    pub created: u64,
}

impl Remarks {
    /// Those of a .torrent file; what cannot be read is empty.
    pub fn of_torrent(bytes: &[u8]) -> Self {
        let mut remarks = Self::default();
        // what was read before something odd stays
        let _ = remarks.read(bytes);
        remarks
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(bytes);
        reader.dict()?;
        while let Some(key) = reader.key()? {
            let value = reader.next()?;
            match (key, value) {
                (b"comment", Token::Bytes(text)) => self.comment = shown(text),
                (b"created by", Token::Bytes(text)) => self.creator = shown(text),
                (b"creation date", Token::Int(at)) => self.created = u64::try_from(at).unwrap_or(0),
                (_, other) => reader.skip(other)?,
            }
        }
        Ok(())
    }
}

fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(LONGEST)]).into_owned()
}

impl Metainfo {
    /// A .torrent file with this metadata, its trackers and its web seeds, of which [`Metainfo::from_torrent`] makes the same
    /// again.
    pub fn to_torrent(&self) -> Vec<u8> {
        let mut out = b"d".to_vec();
        let list = |out: &mut Vec<u8>, texts: &[String]| {
            out.push(b'l');
            texts.iter().for_each(|t| text(out, t));
            out.push(b'e');
        };
        if let Some(first) = self.trackers.iter().flatten().next() {
            text(&mut out, "announce");
            text(&mut out, first);
            text(&mut out, "announce-list");
            out.push(b'l');
            self.trackers.iter().for_each(|tier| list(&mut out, tier));
            out.push(b'e');
        }
        text(&mut out, "info");
        out.extend_from_slice(&self.info);
        if !self.web_seeds.is_empty() {
            text(&mut out, "url-list");
            list(&mut out, &self.web_seeds);
        }
        out.push(b'e');
        out
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(format!("{}:{text}", text.len()).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn info() -> Vec<u8> {
        let mut info = b"d6:lengthi5e4:name1:x12:piece lengthi16384e6:pieces20:".to_vec();
        info.extend([7; 20]);
        info.push(b'e');
        info
    }

    #[test]
    fn metadata_of_peers_becomes_a_torrent_with_the_links_trackers() {
        let mut meta = Metainfo::from_info(info().into(), None).expect("a valid info dict");
        meta.trackers = vec![
            vec![
                "http://a.example/announce".into(),
                "udp://b.example:80".into(),
            ],
            vec!["http://c.example/announce".into()],
        ];
        meta.web_seeds = vec!["http://d.example/x".into()];
        let file = meta.to_torrent();
        assert_eq!(Metainfo::from_torrent(&file), Ok(meta.clone()));
        (meta.trackers, meta.web_seeds) = (vec![], vec![]);
        assert_eq!(Metainfo::from_torrent(&meta.to_torrent()), Ok(meta));
    }

    #[test]
    fn remarks_are_read_and_what_is_odd_is_none() {
        let mut file =
            b"d7:comment5:hello10:created by1:p13:creation datei1700000000e4:info".to_vec();
        file.extend(info());
        file.push(b'e');
        let remarks = Remarks {
            comment: "hello".into(),
            creator: "p".into(),
            created: 1_700_000_000,
        };
        assert_eq!(Remarks::of_torrent(&file), remarks);
        let odd = b"d7:commenti5e10:created by2:\xff\xfe13:creation datei-5e";
        let remarks = Remarks {
            creator: "\u{fffd}\u{fffd}".into(),
            ..Remarks::default()
        };
        assert_eq!(Remarks::of_torrent(odd), remarks);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            Remarks::of_torrent(&bytes);
        }
    }
}
