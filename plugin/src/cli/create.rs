//! `chunkcast create`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde_json::json;

use super::args::CreateArgs;
use super::exit::{Code, Failure};
use super::output::{Reporter, count, human};
use super::signal::interrupted;
use crate::metadata::{CreateError, CreateOptions, Created, Metainfo, create};

/// Makes a .torrent file.
///
/// # Errors
/// [`Failure`] with code 2 for wrong options, 6 for what the disk refuses, 7 when interrupted.
pub(super) async fn run(args: &CreateArgs) -> Result<(), Failure> {
    let end = interrupted();
    let (tell, made) = tokio::sync::oneshot::channel();
    let given_up = Arc::new(AtomicBool::new(false));
    let (args, stop) = (args.clone(), given_up.clone());
    // a thread of its own: the program's end does not wait for it
    std::thread::spawn(move || tell.send(make(&args, &stop)));
    tokio::select! {
        made = made => made.unwrap_or_else(|e| Err(Failure::new(Code::Other, e))),
        () = end => {
            given_up.store(true, Relaxed);
            Err(Failure::interrupted("before everything was hashed; no torrent was written"))
        }
    }
}

fn make(args: &CreateArgs, given_up: &AtomicBool) -> Result<(), Failure> {
    let reporter = Reporter::new(args.json, args.quiet);
    let piece_length = args
        .piece_length
        .map(|n| {
            u32::try_from(n).map_err(|_| {
                Failure::new(
                    Code::Usage,
                    format!("--piece-length {n} is too large; at most 256MiB"),
                )
            })
        })
        .transpose()?;
    let options = CreateOptions {
        piece_length,
        trackers: args.tracker.clone(),
        web_seeds: args.web_seed.clone(),
        private: args.private,
        ..CreateOptions::default()
    };
    let output = match &args.output {
        Some(path) => path.clone(),
        None => default_output(args)?,
    };
    // before the hours of hashing, not after them
    let replaces = may_be_written(&output, &args.path)?;

    let mut bar = reporter.torrent("hashing");
    let created = create(&args.path, &options, |done, total| {
        bar.work(&format!("of {}", human(total)), done, total);
    });
    bar.finish();
    let created = created.map_err(|e| Failure::new(code_of(&e), &e))?;
    if given_up.load(Relaxed) {
        return Ok(());
    }
    write(&output, &created.bytes).map_err(|e| unwritable(&output, &e))?;
    tell(&reporter, args, &output, &created, replaces);
    Ok(())
}

fn tell(
    reporter: &Reporter,
    args: &CreateArgs,
    output: &Path,
    created: &Created,
    replaces: Option<Vec<u8>>,
) {
    let hash: String = (created.info_hash.iter())
        .map(|b| format!("{b:02x}"))
        .collect();
    let pieces = created.metainfo.layout.piece_count();
    reporter.event(
        "complete",
        json!({ "torrent": output, "info_hash": hash, "size": created.total_length,
                "piece_length": created.piece_length, "pieces": pieces, "files": created.files,
                "magnet": created.metainfo.magnet() }),
    );
    reporter.line(&format!(
        "{}: {} in {}, {} of {}{}",
        output.display(),
        human(created.total_length),
        count(created.files, "file"),
        count(usize::try_from(pieces).unwrap_or(usize::MAX), "piece"),
        human(u64::from(created.piece_length)),
        match replaces {
            None => "",
            Some(old) if old == created.bytes => " (as it was)",
            Some(_) => " (replaces another torrent)",
        }
    ));
    if !created.skipped.is_empty() {
        reporter.line(&format!(
            "{} left out",
            count(created.skipped.len(), "symbolic link or special file")
        ));
    }
    if args.private && args.tracker.is_empty() && args.web_seed.is_empty() {
        reporter.line(
            "it is private and names no tracker: nobody can find peers for it; add one with --tracker",
        );
    }
    reporter.line(&format!("infohash {hash}"));
    reporter.line(&created.metainfo.magnet());
}

/// The torrent's name with `.torrent`, in the current directory.
fn default_output(args: &CreateArgs) -> Result<PathBuf, Failure> {
    let path = &args.path;
    let name = match path.file_name() {
        Some(name) => Some(name.to_owned()),
        None => (path.canonicalize().ok()).and_then(|p| p.file_name().map(ToOwned::to_owned)),
    };
    let mut name = name.ok_or_else(|| {
        Failure::new(
            Code::Usage,
            format!("`{}` has no name; name the torrent with -o", path.display()),
        )
    })?;
    name.push(".torrent");
    Ok(PathBuf::from(name))
}

/// Whether a torrent may be written to `output`; the bytes of the torrent that it replaces.
///
/// Only torrents are replaced: `create film.mkv -o film.mkv` must not cost the film. And a folder must not get its own
/// torrent as a file, or its infohash would change with every run.
fn may_be_written(output: &Path, source: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let shown = output.display();
    let parent = match output.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let folder = fs::canonicalize(parent).map_err(|e| unwritable(output, &e))?;
    if source.is_dir()
        && let Ok(root) = fs::canonicalize(source)
        && folder.starts_with(&root)
    {
        return Err(Failure::new(
            Code::Usage,
            format!(
                "`{shown}` would lie inside `{}` and be part of the next torrent of it; name a place outside with -o",
                source.display()
            ),
        ));
    }
    let meta = match fs::metadata(output) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(unwritable(output, &e)),
    };
    if meta.is_dir() {
        return Err(unwritable(output, &io::ErrorKind::IsADirectory.into()));
    }
    if !meta.is_file() || meta.len() == 0 {
        return Ok(None);
    }
    let old = super::source::read(output).ok();
    match old.filter(|bytes| Metainfo::from_torrent(bytes).is_ok()) {
        Some(old) => Ok(Some(old)),
        None => Err(Failure::new(
            Code::Disk,
            format!("`{shown}` exists and is no torrent; remove it or name another with -o"),
        )),
    }
}

fn unwritable(output: &Path, error: &io::Error) -> Failure {
    Failure::new(
        Code::Disk,
        format!(
            "`{}` cannot be written: {error}; name another with -o",
            output.display()
        ),
    )
}

/// Writes the whole file or nothing: into a file beside it that then takes its place. Pipes and devices are written to.
fn write(output: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::metadata(output).is_ok_and(|m| !m.is_file()) {
        return fs::OpenOptions::new()
            .write(true)
            .open(output)?
            .write_all(bytes);
    }
    // a symbolic link stays one
    let target = fs::canonicalize(output).unwrap_or_else(|_| output.to_owned());
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = target.with_file_name(name);
    let written = fs::write(&new, bytes).and_then(|()| fs::rename(&new, &target));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

fn code_of(error: &CreateError) -> Code {
    match error {
        CreateError::PieceLength(_) | CreateError::Tracker(_) | CreateError::WebSeed(_) => {
            Code::Usage
        }
        CreateError::Refused(_) => Code::BadTorrent,
        _ => Code::Disk,
    }
}
