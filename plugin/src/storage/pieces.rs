//! Bytes of pieces in files: reading, writing, hashing. Blocking.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use rustix::fs::SeekFrom;
use sha1::{Digest, Sha1};

use super::StorageError;
use super::files::{Access, Files};
use super::resume::FileStamp;
use crate::metadata::{FileSlice, Layout};

/// SHA-1 of a piece.
pub(super) type Hash = [u8; 20];

/// Bytes read at a time where a whole piece is hashed.
const CHUNK: usize = 256 * 1024;
/// Most buffers that one system call takes everywhere.
const MAX_VECTORS: usize = 1024;

static ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];

/// The slices of `piece`, or of a stretch of it.
pub(super) fn slices(
    layout: &Layout,
    piece: u32,
    begin: u32,
    len: u32,
) -> impl Iterator<Item = FileSlice> + '_ {
    let start = layout.piece_offset(piece) + u64::from(begin);
    layout.slices(start..start + u64::from(len))
}

/// SHA-1 of these bytes in a row.
pub(super) fn hash(blocks: &[Bytes]) -> Hash {
    let mut sha = Sha1::new();
    for block in blocks {
        sha.update(block);
    }
    sha.finalize().into()
}

/// SHA-1 of `len` zeros.
pub(super) fn hash_of_zeros(len: u32) -> Hash {
    let mut sha = Sha1::new();
    feed_zeros(&mut sha, u64::from(len));
    sha.finalize().into()
}

/// Writes a verified piece.
pub(super) fn write(
    layout: &Layout,
    files: &Files,
    piece: u32,
    blocks: &[Bytes],
) -> Result<(), StorageError> {
    let mut rest = Cursor { blocks, at: 0 };
    // all padding first: a torrent that lies about it leaves the disk as it was
    for slice in slices(layout, piece, 0, layout.piece_len(piece)) {
        let bytes = rest.take(slice.len);
        let entry = &layout.files[slice.file];
        if entry.padding && bytes.iter().any(|part| part.iter().any(|&byte| byte != 0)) {
            return Err(StorageError::Padding {
                path: entry.path.clone(),
            });
        }
    }
    let mut rest = Cursor { blocks, at: 0 };
    for slice in slices(layout, piece, 0, layout.piece_len(piece)) {
        let mut bytes = rest.take(slice.len);
        let entry = &layout.files[slice.file];
        if entry.padding {
            continue;
        }
        let file = files.get(slice.file, Access::Write)?;
        files.will_write(slice.file, &file);
        let written = write_all_at(&file, &mut bytes, slice.offset);
        files.wrote(slice.file, &file);
        written.map_err(|e| StorageError::io("write", &files.tree().shown(entry), e))?;
    }
    Ok(())
}

/// Reads a stretch of a piece that was verified; it must exist.
pub(super) fn read(
    layout: &Layout,
    files: &Files,
    piece: u32,
    begin: u32,
    len: u32,
) -> Result<Bytes, StorageError> {
    let mut buffer = vec![0; len as usize];
    let mut rest = &mut buffer[..];
    for slice in slices(layout, piece, begin, len) {
        let len = usize::try_from(slice.len).expect("at most the length of the range");
        let (part, after) = rest.split_at_mut(len);
        rest = after;
        read_slice(layout, files, slice, part)?;
    }
    Ok(buffer.into())
}

/// The same without waiting for the disk or for a file to be opened; `None` if that is not possible.
pub(super) fn read_cached(
    layout: &Layout,
    files: &Files,
    piece: u32,
    begin: u32,
    len: u32,
) -> Option<Bytes> {
    let mut buffer = vec![0; len as usize];
    let mut rest = &mut buffer[..];
    for slice in slices(layout, piece, begin, len) {
        let len = usize::try_from(slice.len).ok()?;
        let (part, after) = rest.split_at_mut(len);
        rest = after;
        if layout.files[slice.file].padding {
            continue; // zeros already
        }
        let file = files.get_open(slice.file)?;
        if read_now(&file, part, slice.offset)? < len {
            return None;
        }
    }
    Some(buffer.into())
}

/// Reads what is in the page cache.
#[cfg(target_os = "linux")]
fn read_now(file: &File, into: &mut [u8], offset: u64) -> Option<usize> {
    use rustix::io::ReadWriteFlags;
    let mut into = [io::IoSliceMut::new(into)];
    rustix::io::preadv2(file, &mut into, offset, ReadWriteFlags::NOWAIT).ok()
}

#[cfg(not(target_os = "linux"))]
fn read_now(_: &File, _: &mut [u8], _: u64) -> Option<usize> {
    None
}

/// What checks found out about a piece on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnDisk {
    /// Files are missing or too short.
    Absent,
    /// The piece was never written: the files have nothing but holes there, which read as zeros.
    Hole,
    /// There is data; this is its hash.
    Data(Hash),
}

/// Whether the files, which look like this, are long enough for `piece`.
pub(super) fn may_be_there(layout: &Layout, files: &[Option<FileStamp>], piece: u32) -> bool {
    slices(layout, piece, 0, layout.piece_len(piece)).all(|s| {
        layout.files[s.file].padding
            || files[s.file].is_some_and(|file| s.offset + s.len <= file.len)
    })
}

/// Hashes what the files hold of `piece`, with `buffer` as scratch space. `there`: what the files look like.
/// Returns also the number of bytes read.
pub(super) fn hash_on_disk(
    layout: &Layout,
    files: &Files,
    there: &[Option<FileStamp>],
    piece: u32,
    buffer: &mut Vec<u8>,
) -> Result<(OnDisk, u64), StorageError> {
    let all = || slices(layout, piece, 0, layout.piece_len(piece));
    let real = || all().filter(|s| !layout.files[s.file].padding);
    if !may_be_there(layout, there, piece) {
        return Ok((OnDisk::Absent, 0));
    }
    let mut hole = true;
    for slice in real() {
        if !is_hole(&*files.get(slice.file, Access::Read)?, slice) {
            hole = false;
            break;
        }
    }
    if hole {
        return Ok((OnDisk::Hole, 0));
    }
    let mut sha = Sha1::new();
    let mut read = 0;
    buffer.resize(CHUNK, 0);
    for slice in all() {
        if layout.files[slice.file].padding {
            feed_zeros(&mut sha, slice.len);
            continue;
        }
        let end = slice.offset + slice.len;
        let mut offset = slice.offset;
        while offset < end {
            let len = usize::try_from(end - offset).map_or(CHUNK, |left| left.min(CHUNK));
            let part = &mut buffer[..len];
            read_slice(
                layout,
                files,
                FileSlice {
                    offset,
                    len: len as u64,
                    ..slice
                },
                part,
            )?;
            sha.update(part);
            offset += len as u64;
        }
        read += slice.len;
    }
    Ok((OnDisk::Data(sha.finalize().into()), read))
}

fn read_slice(
    layout: &Layout,
    files: &Files,
    slice: FileSlice,
    into: &mut [u8],
) -> Result<(), StorageError> {
    let entry = &layout.files[slice.file];
    if entry.padding {
        into.fill(0);
        return Ok(());
    }
    let file = files.get(slice.file, Access::Read)?;
    file.read_exact_at(into, slice.offset)
        .map_err(|e| StorageError::io("read", &files.tree().shown(entry), e))
}

/// Whether nothing was ever written to this stretch. File systems that do not know say "data".
fn is_hole(file: &File, slice: FileSlice) -> bool {
    match rustix::fs::seek(file, SeekFrom::Data(slice.offset)) {
        Ok(data) => data >= slice.offset + slice.len,
        // no data up to the end of the file
        Err(rustix::io::Errno::NXIO) => true,
        Err(_) => false,
    }
}

fn feed_zeros(sha: &mut Sha1, mut len: u64) {
    while len > 0 {
        let part = usize::try_from(len).map_or(ZEROS.len(), |len| len.min(ZEROS.len()));
        sha.update(&ZEROS[..part]);
        len -= part as u64;
    }
}

/// Blocks in a row, taken from the front without copying.
struct Cursor<'a> {
    blocks: &'a [Bytes],
    /// Bytes of the first block that are gone.
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The next `len` bytes; there must be as many.
    fn take(&mut self, len: u64) -> Vec<IoSlice<'a>> {
        let mut parts = Vec::new();
        let mut left = len;
        while left > 0 {
            let (first, others) = self
                .blocks
                .split_first()
                .expect("the piece has these bytes");
            let there = &first[self.at..];
            let part = usize::try_from(left).map_or(there.len(), |left| left.min(there.len()));
            parts.push(IoSlice::new(&there[..part]));
            left -= part as u64;
            self.at += part;
            if self.at == first.len() {
                self.blocks = others;
                self.at = 0;
            }
        }
        parts
    }
}

fn write_all_at(file: &File, mut parts: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
    while !parts.is_empty() {
        let batch = parts.len().min(MAX_VECTORS);
        match rustix::io::pwritev(file, &parts[..batch], offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                IoSlice::advance_slices(&mut parts, written);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_device_is_told_apart() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let blocks = [Bytes::from_static(b"some"), Bytes::from_static(b" bytes")];
        let mut parts = Cursor {
            blocks: &blocks,
            at: 0,
        }
        .take(10);
        let error = write_all_at(&full, &mut parts, 0).unwrap_err();
        let error = StorageError::io("write", "/data/file".as_ref(), error);
        assert!(error.is_disk_full(), "{error}");
        assert!(error.to_string().contains("\"/data/file\""), "{error}");
    }

    #[test]
    fn a_write_of_more_parts_than_one_call_takes_is_whole() {
        let file = tempfile::tempfile().unwrap();
        let blocks: Vec<Bytes> = (0..3 * MAX_VECTORS)
            .map(|i| Bytes::from(vec![u8::try_from(i % 251).unwrap(); i % 7]))
            .collect();
        let flat: Vec<u8> = blocks.concat();
        let mut parts = Cursor {
            blocks: &blocks,
            at: 0,
        }
        .take(flat.len() as u64);
        write_all_at(&file, &mut parts, 5).unwrap();
        let mut read = vec![0; flat.len()];
        file.read_exact_at(&mut read, 5).unwrap();
        assert!(read == flat);
    }

    #[test]
    fn zeros_hash_like_zeros() {
        for len in [1, 16 * 1024, 16 * 1024 + 1, 100_000] {
            let bytes = Bytes::from(vec![0; len as usize]);
            assert_eq!(hash_of_zeros(len), hash(&[bytes]));
        }
    }
}
