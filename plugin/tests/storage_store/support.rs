//! Torrents with known bytes, and what is on disk of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use chunkcast::chunks::ChunkSet;
use chunkcast_bittorrent::metadata::{BLOCK, FileEntry, Layout};
use chunkcast_bittorrent::storage::{Mode, PieceResult, Storage, StorageConfig};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha1::{Digest, Sha1};

/// A file to be made.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) path: String,
    pub(crate) length: u64,
    pub(crate) padding: bool,
    pub(crate) executable: bool,
    pub(crate) zeros: bool,
}

pub(crate) fn file(path: &str, length: u64) -> Spec {
    Spec {
        path: path.into(),
        length,
        padding: false,
        executable: false,
        zeros: false,
    }
}

/// A torrent and its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Torrent {
    pub(crate) layout: Arc<Layout>,
    pub(crate) bytes: Vec<u8>,
}

impl Torrent {
    pub(crate) fn new(piece_length: u32, specs: &[Spec]) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let mut bytes = Vec::new();
        let mut files = Vec::new();
        for spec in specs {
            let offset = bytes.len() as u64;
            bytes.resize(bytes.len() + usize::try_from(spec.length).unwrap(), 0);
            if !spec.padding && !spec.zeros {
                random.fill_bytes(&mut bytes[usize::try_from(offset).unwrap()..]);
            }
            files.push(FileEntry {
                path: PathBuf::from(&spec.path),
                length: spec.length,
                offset,
                padding: spec.padding,
                executable: spec.executable,
            });
        }
        let hashes: Vec<u8> = bytes
            .chunks(piece_length as usize)
            .flat_map(Sha1::digest)
            .collect();
        let layout = Layout {
            name: "t".into(),
            piece_length,
            total_length: bytes.len() as u64,
            files,
            hashes: hashes.into(),
        };
        Self {
            layout: Arc::new(layout),
            bytes,
        }
    }

    pub(crate) fn single(piece_length: u32, length: u64) -> Self {
        Self::new(piece_length, &[file("t", length)])
    }

    pub(crate) fn pieces(&self) -> u32 {
        self.layout.piece_count()
    }

    pub(crate) fn piece(&self, piece: u32) -> &[u8] {
        let from = usize::try_from(self.layout.piece_offset(piece)).unwrap();
        &self.bytes[from..from + self.layout.piece_len(piece) as usize]
    }

    pub(crate) fn blocks(&self, piece: u32) -> Vec<Bytes> {
        self.piece(piece)
            .chunks(BLOCK as usize)
            .map(Bytes::copy_from_slice)
            .collect()
    }

    pub(crate) fn file_bytes(&self, index: usize) -> &[u8] {
        let f = &self.layout.files[index];
        let from = usize::try_from(f.offset).unwrap();
        &self.bytes[from..from + usize::try_from(f.length).unwrap()]
    }

    pub(crate) fn download(&self, root: &Path) -> Storage {
        self.open(root, Mode::Download).unwrap()
    }

    pub(crate) fn open(
        &self,
        root: &Path,
        mode: Mode,
    ) -> Result<Storage, chunkcast_bittorrent::storage::StorageError> {
        Storage::open(self.layout.clone(), root, mode, StorageConfig::default())
    }

    pub(crate) async fn write(&self, storage: &Storage, piece: u32) {
        let result = storage.finish_piece(piece, self.blocks(piece)).await;
        assert!(
            matches!(result, PieceResult::Written),
            "piece {piece}: {result:?}"
        );
    }

    pub(crate) async fn write_all(&self, storage: &Storage) {
        for piece in 0..self.pieces() {
            self.write(storage, piece).await;
        }
    }

    /// Writes the files as any other program would.
    pub(crate) fn put(&self, root: &Path) {
        for (i, f) in self
            .layout
            .files
            .iter()
            .enumerate()
            .filter(|(_, f)| !f.padding)
        {
            let path = root.join(&f.path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, self.file_bytes(i)).unwrap();
        }
    }

    /// The naive reference: the pieces whose every byte is on disk.
    pub(crate) fn on_disk(&self, root: &Path) -> ChunkSet {
        let mut there: Vec<Option<u8>> = Vec::new();
        for f in &self.layout.files {
            let length = usize::try_from(f.length).unwrap();
            let mut bytes: Vec<Option<u8>> = match f.padding {
                true => vec![Some(0); length],
                false => {
                    let bytes = fs::read(root.join(&f.path)).unwrap_or_default();
                    bytes.into_iter().map(Some).collect()
                }
            };
            bytes.resize(length, None);
            there.append(&mut bytes);
        }
        let right = there
            .chunks(self.layout.piece_length as usize)
            .zip(0..)
            .filter(|(got, p)| {
                got.iter()
                    .zip(self.piece(*p))
                    .all(|(got, &want)| *got == Some(want))
            });
        ChunkSet::from_indices(self.pieces(), right.map(|(_, p)| p))
    }

    /// Asserts that the files are there, whole, and nothing else is.
    pub(crate) fn assert_complete(&self, root: &Path) {
        let found = snapshot(root);
        let real = || {
            self.layout
                .files
                .iter()
                .enumerate()
                .filter(|(_, f)| !f.padding)
        };
        for (i, f) in real() {
            let got = found.get(&root.join(&f.path));
            assert!(
                got.is_some_and(|got| got == self.file_bytes(i)),
                "{:?} differs",
                f.path
            );
        }
        assert_eq!(found.len(), real().count(), "{:?}", found.keys());
    }
}

/// Every file below `root` and its bytes; symlinks are not followed.
pub(crate) fn snapshot(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut todo = vec![root.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                todo.push(entry.path());
            } else if kind.is_file() {
                found.insert(entry.path(), fs::read(entry.path()).unwrap());
            }
        }
    }
    found
}

pub(crate) async fn check(storage: &Storage) -> ChunkSet {
    storage.check_existing(|_, _| {}).await.unwrap()
}

pub(crate) fn set(torrent: &Torrent, pieces: impl IntoIterator<Item = u32>) -> ChunkSet {
    ChunkSet::from_indices(torrent.pieces(), pieces)
}

/// Torrents of one or several files: empty ones, padding, zeros, directories, a short last piece, pieces of one block
/// and of several, pieces over many files and files over many pieces.
pub(crate) fn torrents() -> impl Strategy<Value = Torrent> {
    let length = prop_oneof![1 => Just(0u64), 4 => 1..200u64, 2 => 200..50_000u64];
    let one = (length, 0..4u8, any::<bool>(), 0..5u8, 0..3u8);
    let piece_length = prop_oneof![1..300u32, 1_000..5_000u32, Just(BLOCK), 20_000..70_000u32];
    let many =
        (prop::collection::vec(one, 1..12), piece_length.clone()).prop_map(|(files, len)| {
            let specs: Vec<Spec> = files
                .into_iter()
                .enumerate()
                .map(|(i, (length, padding, executable, zeros, depth))| Spec {
                    path: match depth {
                        0 => format!("t/{i}"),
                        1 => format!("t/d/{i}"),
                        _ => format!("t/{i}/e/f"),
                    },
                    length: if i == 0 { length.max(1) } else { length },
                    padding: padding == 0,
                    executable,
                    zeros: zeros == 0,
                })
                .collect();
            (len, specs)
        });
    let single =
        (1..100_000u64, piece_length).prop_map(|(length, len)| (len, vec![file("t", length)]));
    prop_oneof![4 => many, 1 => single].prop_map(|(len, specs)| {
        // hundreds of pieces are enough
        let total: u64 = specs.iter().map(|s| s.length).sum();
        Torrent::new(len.max(u32::try_from(total / 400).unwrap()), &specs)
    })
}
