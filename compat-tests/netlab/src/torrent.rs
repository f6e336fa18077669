//! The file that is shared: its bytes, its torrent, and whether a copy is the same.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha1::{Digest, Sha1};

/// The name of the file in the torrent.
pub(crate) const NAME: &str = "netlab.bin";

/// Where a `chunkcast tracker` on the own host answers.
const NEAR: &str = "http://127.0.0.1:6969/announce";

/// A file and three torrents of it, with the same infohash.
#[derive(Debug)]
pub(crate) struct Source {
    /// The file itself.
    pub(crate) file: PathBuf,
    /// Its bytes.
    pub(crate) size: u64,
    /// Without a tracker.
    pub(crate) trackerless: PathBuf,
    /// With one.
    pub(crate) tracked: PathBuf,
    /// With a `chunkcast tracker` on the client's own host.
    pub(crate) near: PathBuf,
    /// In hexadecimal.
    pub(crate) infohash: String,
    /// A file with the hashes of all pieces.
    pub(crate) hashes: PathBuf,
    sha1: [u8; 20],
}

impl Source {
    /// Makes `size` bytes that look random, and torrents of them, in `dir`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn make(dir: &Path, size: u64, piece: u64, tracker: &str) -> Result<Self> {
        let file = dir.join(NAME);
        let (pieces, sha1) =
            write_noise(&file, size, piece).with_context(|| format!("`{}`", file.display()))?;
        let info = info_dictionary(NAME, size, piece, &pieces);
        let hash = Sha1::digest(&info);
        let this = Self {
            file,
            size,
            trackerless: dir.join("trackerless.torrent"),
            tracked: dir.join("tracked.torrent"),
            near: dir.join("near.torrent"),
            infohash: hash.iter().map(|b| format!("{b:02x}")).collect(),
            hashes: dir.join("hashes"),
            sha1,
        };
        std::fs::write(&this.hashes, &pieces)?;
        std::fs::write(&this.trackerless, metainfo(&info, None))?;
        std::fs::write(&this.tracked, metainfo(&info, Some(tracker)))?;
        std::fs::write(&this.near, metainfo(&info, Some(NEAR)))?;
        Ok(this)
    }

    /// Whether `copy` has the same bytes.
    pub(crate) fn same(&self, copy: &Path) -> bool {
        let hash = || -> std::io::Result<[u8; 20]> {
            let mut file = File::open(copy)?;
            let mut hash = Sha1::new();
            let mut block = vec![0; 1 << 18];
            loop {
                match file.read(&mut block)? {
                    0 => return Ok(hash.finalize().into()),
                    n => hash.update(&block[..n]),
                }
            }
        };
        hash().is_ok_and(|h| h == self.sha1)
    }
}

/// Writes the file; the hashes of its pieces, and its own.
fn write_noise(path: &Path, size: u64, piece: u64) -> Result<(Vec<u8>, [u8; 20])> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (mut all, mut pieces) = (Sha1::new(), Vec::new());
    // xorshift64*: no engine compresses, so it need only not repeat
    let mut state = 0x9E37_79B9_7F4A_7C15u64 ^ size;
    let mut block = vec![0; usize::try_from(piece)?];
    let mut left = size;
    while left > 0 {
        for word in block.chunks_mut(8) {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            let bytes = state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes();
            word.copy_from_slice(&bytes[..word.len()]);
        }
        let n = usize::try_from(left.min(piece))?;
        pieces.extend_from_slice(&Sha1::digest(&block[..n]));
        all.update(&block[..n]);
        out.write_all(&block[..n])?;
        left -= n as u64;
    }
    out.flush()?;
    Ok((pieces, all.finalize().into()))
}

/// The `info` of a torrent of one file; `pieces` are the hashes.
pub(crate) fn info_dictionary(name: &str, size: u64, piece: u64, pieces: &[u8]) -> Vec<u8> {
    let head = format!(
        "d6:lengthi{size}e4:name{}:{name}12:piece lengthi{piece}e6:pieces{}:",
        name.len(),
        pieces.len()
    );
    [head.as_bytes(), pieces, b"e"].concat()
}

/// A .torrent file.
pub(crate) fn metainfo(info: &[u8], tracker: Option<&str>) -> Vec<u8> {
    let announce = tracker.map_or_else(String::new, |url| format!("8:announce{}:{url}", url.len()));
    [b"d", announce.as_bytes(), b"4:info", info, b"e"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torrents_with_and_without_a_tracker_have_one_infohash() {
        let dir = tempfile::tempdir().expect("a directory");
        let source = Source::make(dir.path(), 40_000, 16 << 10, "http://t/announce").expect("made");
        let read = |path: &Path| std::fs::read(path).expect("written");
        let (plain, tracked) = (read(&source.trackerless), read(&source.tracked));
        assert!(plain.starts_with(b"d4:infod6:lengthi40000e4:name10:netlab.bin"));
        assert!(tracked.starts_with(b"d8:announce17:http://t/announce4:infod6:length"));
        let info = &plain[7..plain.len() - 1];
        assert!(tracked.ends_with(&plain[7..]));
        let hash: String = Sha1::digest(info)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(source.infohash, hash);
        // three pieces: 16 KiB, 16 KiB, the rest
        let data = read(&source.file);
        assert_eq!(data.len(), 40_000);
        let hashes: Vec<u8> = data.chunks(16 << 10).flat_map(Sha1::digest).collect();
        assert_eq!(read(&source.hashes), hashes);
        assert!(info.ends_with(&[b"6:pieces60:".as_slice(), &hashes, b"e"].concat()));
    }

    #[test]
    fn a_copy_with_one_other_byte_is_not_the_same() {
        let dir = tempfile::tempdir().expect("a directory");
        let source = Source::make(dir.path(), 100_001, 16 << 10, "http://t/").expect("made");
        let copy = dir.path().join("copy");
        let mut data = std::fs::read(&source.file).expect("written");
        std::fs::write(&copy, &data).expect("written");
        assert!(source.same(&copy));
        data[100_000] ^= 1;
        std::fs::write(&copy, &data).expect("written");
        assert!(!source.same(&copy));
        std::fs::write(&copy, &data[..100_000]).expect("written");
        assert!(!source.same(&copy));
        assert!(!source.same(&dir.path().join("none")));
    }
}
