//! `chunkcast create`.

use std::path::PathBuf;

use serde_json::json;

use super::args::CreateArgs;
use super::exit::{Code, Failure};
use super::output::{Reporter, human};
use crate::metadata::{CreateError, CreateOptions, create};

/// Makes a .torrent file.
///
/// # Errors
/// [`Failure`] with code 2 for wrong options, 6 for what the disk refuses.
pub(super) fn run(args: &CreateArgs) -> Result<(), Failure> {
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
        private: args.private,
        ..CreateOptions::default()
    };
    let output = match &args.output {
        Some(path) => path.clone(),
        None => default_output(args)?,
    };
    let mut bar = reporter.torrent("hashing");
    let created = create(&args.path, &options, |done, total| {
        if !args.json {
            let p = crate::session::Progress {
                total_bytes: total,
                verified_bytes: done,
                ..Default::default()
            };
            bar.progress("", &p);
        }
    });
    bar.finish();
    let created = created.map_err(|e| Failure::new(code_of(&e), &e))?;
    std::fs::write(&output, &created.bytes).map_err(|e| {
        Failure::new(
            Code::Disk,
            format!(
                "`{}` cannot be written: {e}; name another with -o",
                output.display()
            ),
        )
    })?;
    let hash: String = created
        .info_hash
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    reporter.event(
        "complete",
        json!({ "torrent": output, "info_hash": hash, "size": created.total_length,
                "piece_length": created.piece_length, "pieces": created.metainfo.layout.piece_count(), "files": created.files,
                "magnet": created.metainfo.magnet() }),
    );
    reporter.line(&format!(
        "{}: {} in {} files, {} pieces of {}",
        output.display(),
        human(created.total_length),
        created.files,
        created.metainfo.layout.piece_count(),
        human(u64::from(created.piece_length))
    ));
    if !created.skipped.is_empty() {
        reporter.line(&format!(
            "{} symbolic links or special files were left out",
            created.skipped.len()
        ));
    }
    reporter.line(&format!("infohash {hash}"));
    reporter.line(&created.metainfo.magnet());
    Ok(())
}

fn default_output(args: &CreateArgs) -> Result<PathBuf, Failure> {
    let real = args
        .path
        .canonicalize()
        .unwrap_or_else(|_| args.path.clone());
    let mut name = real
        .file_name()
        .map(std::ffi::OsStr::to_owned)
        .ok_or_else(|| {
            Failure::new(
                Code::Usage,
                format!(
                    "`{}` has no name; name the torrent with -o",
                    args.path.display()
                ),
            )
        })?;
    name.push(".torrent");
    Ok(PathBuf::from(name))
}

fn code_of(error: &CreateError) -> Code {
    match error {
        CreateError::PieceLength(_) | CreateError::Tracker(_) => Code::Usage,
        CreateError::Refused(_) => Code::BadTorrent,
        _ => Code::Disk,
    }
}
