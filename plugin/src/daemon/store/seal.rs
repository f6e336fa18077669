//! The form of the files that only this program writes: a line with what it is, its version, and SHA-1 of the rest, so that one
//! that was cut or damaged is seen to be.

use sha1::{Digest, Sha1};

use crate::session::hex;

/// The version that is written.
const VERSION: u32 = 1;

/// Why bytes are not such a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotSealed {
    /// It begins like something else.
    #[error("not a file of the daemon")]
    Foreign,
    /// Cut or damaged.
    #[error("damaged")]
    Damaged,
    /// Of a later program.
    #[error("written by a later version of chunkcast")]
    Later,
}

/// The file of `kind` with `body`.
pub(super) fn seal(kind: &str, body: &[u8]) -> Vec<u8> {
    let mut file =
        format!("chunkcast-{kind} {VERSION} {}\n", hex(&Sha1::digest(body))).into_bytes();
    file.extend_from_slice(body);
    file
}

/// The body of a file of `kind`.
pub(super) fn open<'a>(kind: &str, file: &'a [u8]) -> Result<&'a [u8], NotSealed> {
    let head = file.strip_prefix(format!("chunkcast-{kind} ").as_bytes());
    let head = head.ok_or(NotSealed::Foreign)?;
    let end = head.iter().position(|c| *c == b'\n');
    let (line, body) = head.split_at(end.ok_or(NotSealed::Damaged)?);
    let body = &body[1..];
    let line = std::str::from_utf8(line).map_err(|_| NotSealed::Damaged)?;
    let (version, digest) = line.split_once(' ').ok_or(NotSealed::Damaged)?;
    match version.parse::<u32>() {
        Ok(VERSION) if digest == hex(&Sha1::digest(body)) => Ok(body),
        Ok(later) if later > VERSION => Err(NotSealed::Later),
        _ => Err(NotSealed::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn another_kind_and_a_later_version_are_told_apart() {
        let file = seal("torrent", b"body");
        assert_eq!(open("resume", &file), Err(NotSealed::Foreign));
        let text = String::from_utf8(file).expect("text");
        let later = text.replacen(" 1 ", " 2 ", 1);
        assert_eq!(open("torrent", later.as_bytes()), Err(NotSealed::Later));
    }

    proptest! {
        #[test]
        fn what_was_sealed_is_opened_and_nothing_else_is(
            body in prop::collection::vec(any::<u8>(), 0..200), at: prop::sample::Index, bit in 0u8..8,
        ) {
            let file = seal("torrent", &body);
            prop_assert_eq!(open("torrent", &file), Ok(&body[..]));
            let at = at.index(file.len());
            prop_assert!(open("torrent", &file[..at]).is_err());
            let mut damaged = file;
            damaged[at] ^= 1 << bit;
            prop_assert!(open("torrent", &damaged).is_err());
        }
    }
}
