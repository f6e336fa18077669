//! Making a .torrent file (BEP 3, 12, 19, 27). Reads files; no clock: the same files and options give the same bytes.
//!
//! Own code: `librqbit`'s writes one hash too many when the length is a multiple of the piece length, and stock clients
//! refuse that. Files are in bytewise order of their path components, symbolic links and special files are left out and
//! reported, empty files are kept. There is no creation date, as it would make each run's file differ.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bendy::encoding::{Encoder, Error as BendyError, SingleItemEncoder};
use sha1::{Digest, Sha1};

use super::bencode::scan;
use super::{MetadataLimits, Metainfo, MetainfoError, NameError, names, trackers, web_seeds};

/// Smallest piece length, and the unit of all others: one block.
const MIN_PIECE: u32 = 16 << 10;
/// Largest piece length that is chosen without being asked for.
const MAX_AUTO_PIECE: u32 = 16 << 20;
/// Pieces that the automatic piece length aims to stay at or below: 1024 to 2048 from 16 MiB to 32 GiB.
const AIM_PIECES: u64 = 2048; // guess: metainfo of at most 40 KiB, three requests for a magnet link
/// Bytes read at a time.
const READ: usize = 256 << 10;

/// What goes into a .torrent file besides the data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateOptions {
    /// Bytes in a piece: a power of two from 16 KiB to 256 MiB. `None`: chosen from the size.
    pub piece_length: Option<u32>,
    /// Tracker URLs, one tier each, the first is asked first.
    pub trackers: Vec<String>,
    /// Web seeds (BEP 19): URLs of web servers that hold the data.
    pub web_seeds: Vec<String>,
    /// BEP 27: peers come from the trackers only.
    pub private: bool,
    /// The torrent's name. `None`: that of the file or folder.
    pub name: Option<String>,
    /// A comment to people.
    pub comment: Option<String>,
    /// The program that made it.
    pub created_by: Option<String>,
}

/// A new .torrent file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// The file's bytes.
    pub bytes: Vec<u8>,
    /// What [`Metainfo::from_torrent`] reads from them.
    pub metainfo: Metainfo,
    /// SHA-1 of the info dict.
    pub info_hash: [u8; 20],
    /// Bytes in a piece.
    pub piece_length: u32,
    /// Bytes of data.
    pub total_length: u64,
    /// Number of files, empty ones included.
    pub files: usize,
    /// Symbolic links and special files that were left out.
    pub skipped: Vec<PathBuf>,
}

/// Why there is no .torrent file. Each message is one line.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}; check that it exists and that you may read it", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Neither file nor folder.
    #[error("{} is neither a file nor a folder; name one of those", .0.display())]
    Special(PathBuf),
    /// Nothing to share.
    #[error("{} holds no data: a torrent needs at least one file that is not empty", .0.display())]
    Empty(PathBuf),
    /// A file's name cannot be written to a torrent.
    #[error("the name of {} is not UTF-8; rename it", .0.display())]
    NotUtf8(PathBuf),
    /// A file's name, or the torrent's, that other clients would refuse.
    #[error("{} cannot be in a torrent: it has {why}; rename it", path.display())]
    Name {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: NameError,
    },
    /// A piece length that is not a power of two in range.
    #[error(
        "a piece length of {0} bytes; use a power of two from 16 KiB (16384) to 256 MiB (268435456)"
    )]
    PieceLength(u32),
    /// A tracker URL that nobody could ask.
    #[error("{0:?} is not a tracker's URL; use http://…, https://… or udp://HOST:PORT/…")]
    Tracker(String),
    /// A web seed URL that nobody could ask, or more of them than are read.
    #[error(
        "{0:?} is not a web seed's URL, or named twice; use up to 64 different http://… or https://…"
    )]
    WebSeed(String),
    /// A file grew or shrank meanwhile.
    #[error("{} changed while it was read; try again when nobody writes to it", .0.display())]
    Changed(PathBuf),
    /// The result is beyond what clients open: too many pieces or files.
    #[error("no client would open this torrent: {0}")]
    Refused(#[from] MetainfoError),
}

/// Makes a .torrent file for a file or a folder. `progress` is told how many bytes are hashed, and of how many.
///
/// # Errors
/// [`CreateError`]; nothing is written anywhere.
pub fn create(
    path: &Path,
    options: &CreateOptions,
    mut progress: impl FnMut(u64, u64),
) -> Result<Created, CreateError> {
    let limits = MetadataLimits::default();
    if let Some(bad) = options
        .trackers
        .iter()
        .find(|t| !trackers::usable(t, &limits))
    {
        return Err(CreateError::Tracker(bad.clone()));
    }
    let mut seeds = Vec::new();
    if let Some(bad) = (options.web_seeds.iter()).find(|s| !web_seeds::add(&mut seeds, s, &limits))
    {
        return Err(CreateError::WebSeed(bad.clone()));
    }
    let name = match &options.name {
        Some(name) => name.clone(),
        None => own_name(path)?,
    };
    names::check(&name).map_err(|why| CreateError::Name {
        path: PathBuf::from(&name),
        why,
    })?;

    let tree = walk(path, &name)?;
    let total = tree.files.iter().map(|f| f.length).sum::<u64>();
    if total == 0 {
        return Err(CreateError::Empty(path.to_owned()));
    }
    let piece_length = piece_length(total, options.piece_length, &limits)?;
    let count = total.div_ceil(u64::from(piece_length));
    if count > u64::from(limits.pieces) {
        return Err(MetainfoError::TooManyPieces {
            count,
            limit: limits.pieces,
        }
        .into());
    }

    let encode = |hashes: &[u8]| {
        encode(&name, &tree, piece_length, hashes, options)
            .expect("keys are written in order, and depth is below the encoder's limit")
    };
    // what can be seen before the hours of reading: too many files
    scan(&encode(&[]), &limits).map_err(MetainfoError::from)?;
    let bytes = encode(&hash(&tree.files, piece_length, total, &mut progress)?);
    let metainfo = Metainfo::from_torrent(&bytes)?;
    Ok(Created {
        info_hash: metainfo.info_hash,
        metainfo,
        bytes,
        piece_length,
        total_length: total,
        files: tree.files.len(),
        skipped: tree.skipped,
    })
}

struct Source {
    path: PathBuf,
    /// Path components below the torrent's name; none for a single file.
    components: Vec<String>,
    length: u64,
}

struct Tree {
    folder: bool,
    files: Vec<Source>,
    skipped: Vec<PathBuf>,
}

/// The last component of `path`, also when it is `.` or ends in `..`.
fn own_name(path: &Path) -> Result<String, CreateError> {
    let name = match path.file_name() {
        Some(name) => name.to_owned(),
        None => fs::canonicalize(path)
            .map_err(read_error(path))?
            .file_name()
            .map_or_else(|| OsStr::new("").to_owned(), OsStr::to_owned),
    };
    name.into_string()
        .map_err(|_| CreateError::NotUtf8(path.to_owned()))
}

/// Every regular file below `root`, in bytewise order of its path components. Only `root` itself may be a link.
fn walk(root: &Path, name: &str) -> Result<Tree, CreateError> {
    let meta = fs::metadata(root).map_err(read_error(root))?;
    let mut tree = Tree {
        folder: meta.is_dir(),
        files: Vec::new(),
        skipped: Vec::new(),
    };
    if meta.is_file() {
        let file = Source {
            path: root.to_owned(),
            components: Vec::new(),
            length: meta.len(),
        };
        tree.files.push(file);
        return Ok(tree);
    }
    if !meta.is_dir() {
        return Err(CreateError::Special(root.to_owned()));
    }
    let mut folders: Vec<(PathBuf, Vec<String>)> = vec![(root.to_owned(), Vec::new())];
    while let Some((folder, components)) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(read_error(&folder))? {
            let entry = entry.map_err(read_error(&folder))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(read_error(&path))?;
            if !kind.is_dir() && !kind.is_file() {
                tree.skipped.push(path);
                continue;
            }
            let Ok(component) = entry.file_name().into_string() else {
                return Err(CreateError::NotUtf8(path));
            };
            let mut components = components.clone();
            components.push(component);
            let below = components.iter().map(String::as_str);
            if let Err(why) = names::join(name, below) {
                return Err(CreateError::Name { path, why });
            }
            if kind.is_dir() {
                folders.push((path, components));
            } else {
                let length = entry.metadata().map_err(read_error(&path))?.len();
                tree.files.push(Source {
                    path,
                    components,
                    length,
                });
            }
        }
    }
    tree.files
        .sort_unstable_by(|a, b| a.components.cmp(&b.components));
    tree.skipped.sort_unstable();
    Ok(tree)
}

fn piece_length(
    total: u64,
    wanted: Option<u32>,
    limits: &MetadataLimits,
) -> Result<u32, CreateError> {
    if let Some(wanted) = wanted {
        let fits = wanted.is_power_of_two() && (MIN_PIECE..=limits.piece_length).contains(&wanted);
        return fits
            .then_some(wanted)
            .ok_or(CreateError::PieceLength(wanted));
    }
    let mut length = MIN_PIECE;
    while length < MAX_AUTO_PIECE && total.div_ceil(u64::from(length)) > AIM_PIECES {
        length *= 2;
    }
    Ok(length)
}

/// 20 bytes of SHA-1 a piece; pieces run across files.
fn hash(
    files: &[Source],
    piece_length: u32,
    total: u64,
    progress: &mut impl FnMut(u64, u64),
) -> Result<Vec<u8>, CreateError> {
    let piece_length = piece_length as usize;
    let mut hashes = Vec::new();
    let mut hasher = Sha1::new();
    let mut filled = 0;
    let mut done = 0;
    let mut buffer = vec![0; READ];
    progress(0, total);
    for file in files {
        let changed = || CreateError::Changed(file.path.clone());
        let mut input = File::open(&file.path).map_err(read_error(&file.path))?;
        let mut left = file.length;
        loop {
            let got = match input.read(&mut buffer) {
                Ok(got) => got,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(read_error(&file.path)(e)),
            };
            if got == 0 {
                break;
            }
            left = left.checked_sub(got as u64).ok_or_else(changed)?;
            let mut data = &buffer[..got];
            while !data.is_empty() {
                let (now, rest) = data.split_at(data.len().min(piece_length - filled));
                hasher.update(now);
                filled += now.len();
                data = rest;
                if filled == piece_length {
                    hashes.extend_from_slice(&hasher.finalize_reset());
                    filled = 0;
                }
            }
            done += got as u64;
            progress(done, total);
        }
        if left > 0 {
            return Err(changed());
        }
    }
    // a last piece that was filled to the end has its hash already
    if filled > 0 {
        hashes.extend_from_slice(&hasher.finalize());
    }
    Ok(hashes)
}

/// The .torrent file: canonical bencode, keys in order.
fn encode(
    name: &str,
    tree: &Tree,
    piece_length: u32,
    hashes: &[u8],
    options: &CreateOptions,
) -> Result<Vec<u8>, BendyError> {
    let info = |e: SingleItemEncoder<'_>| {
        e.emit_dict(|mut e| {
            if tree.folder {
                e.emit_pair_with(b"files", |e| {
                    e.emit_list(|e| {
                        tree.files
                            .iter()
                            .try_for_each(|f| e.emit_with(|e| entry(f, e)))
                    })
                })?;
            } else {
                e.emit_pair(b"length", tree.files[0].length)?;
            }
            e.emit_pair(b"name", name)?;
            e.emit_pair(b"piece length", piece_length)?;
            e.emit_pair_with(b"pieces", |e| e.emit_bytes(hashes))?;
            if options.private {
                e.emit_pair(b"private", 1)?;
            }
            Ok(())
        })
    };
    let mut encoder = Encoder::new();
    encoder.emit_dict(|mut e| {
        if let Some(first) = options.trackers.first() {
            e.emit_pair(b"announce", first)?;
        }
        if options.trackers.len() > 1 {
            let tiers: Vec<Vec<String>> =
                options.trackers.iter().map(|t| vec![t.clone()]).collect();
            e.emit_pair(b"announce-list", tiers)?;
        }
        if let Some(comment) = &options.comment {
            e.emit_pair(b"comment", comment)?;
        }
        if let Some(program) = &options.created_by {
            e.emit_pair(b"created by", program)?;
        }
        e.emit_pair_with(b"info", info)?;
        if !options.web_seeds.is_empty() {
            e.emit_pair(b"url-list", &options.web_seeds)?;
        }
        Ok(())
    })?;
    encoder.get_output()
}

fn entry(file: &Source, e: SingleItemEncoder<'_>) -> Result<(), BendyError> {
    e.emit_dict(|mut e| {
        e.emit_pair(b"length", file.length)?;
        e.emit_pair(b"path", &file.components)
    })
}

fn read_error(path: &Path) -> impl FnOnce(io::Error) -> CreateError + '_ {
    move |source| CreateError::Read {
        path: path.to_owned(),
        source,
    }
}
