//! Verified pieces, and what the files looked like then.

use chunkcast::chunks::ChunkSet;
use serde::{Deserialize, Serialize};

use super::seal::{self, NotSealed};
use crate::session::hex;
use crate::storage::{FileStamp, Resume};

const KIND: &str = "resume";

#[derive(Serialize, Deserialize)]
struct Saved {
    pieces: u32,
    /// The bitfield in hexadecimal.
    held: String,
    /// Length and time of each file.
    files: Vec<(u64, i64)>,
}

pub(super) fn encode(resume: &Resume) -> Vec<u8> {
    let saved = Saved {
        pieces: resume.held.len(),
        held: hex(resume.held.as_bytes()),
        files: resume.files.iter().map(|f| (f.len, f.mtime_ns)).collect(),
    };
    let body = serde_json::to_vec(&saved).expect("numbers and text");
    seal::seal(KIND, &body)
}

pub(super) fn decode(file: &[u8]) -> Result<Resume, NotSealed> {
    let body = seal::open(KIND, file)?;
    let saved: Saved = serde_json::from_slice(body).map_err(|_| NotSealed::Damaged)?;
    let held = unhex(&saved.held).ok_or(NotSealed::Damaged)?;
    let held = ChunkSet::from_bytes(0, saved.pieces, &held).map_err(|_| NotSealed::Damaged)?;
    let stamp = |(len, mtime_ns)| FileStamp { len, mtime_ns };
    Ok(Resume {
        held,
        files: saved.files.into_iter().map(stamp).collect(),
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect();
    let digits = digits.filter(|d| d.len().is_multiple_of(2))?;
    Some(digits.chunks_exact(2).map(|d| d[0] << 4 | d[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_kept_is_read_again(
            pieces in 1u32..300, held in prop::collection::vec(0u32..300, 0..100),
            files in prop::collection::vec(any::<(u64, i64)>(), 0..20),
        ) {
            let resume = Resume {
                held: ChunkSet::from_indices(pieces, held),
                files: files.into_iter().map(|(len, mtime_ns)| FileStamp { len, mtime_ns }).collect(),
            };
            prop_assert_eq!(decode(&encode(&resume)), Ok(resume));
        }

        #[test]
        fn any_body_is_survived(body in "\\{\"pieces\":[0-9]{1,12},\"held\":\"[0-9a-fé]{0,9}\",\"files\":\\[(\\[1,-2\\])?\\]\\}") {
            let _ = decode(&seal::seal(KIND, body.as_bytes()));
        }
    }
}
