//! `chunkcast man` and `chunkcast completions`: what the command line says of itself, for `man` and for shells.

use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;

use super::args::{Cli, CompletionsArgs, ManArgs};
use super::exit::{Code, Failure};

/// Writes the manual: the first page to standard output, or all pages into a directory.
///
/// # Errors
/// Code 6 when the directory cannot be written.
pub(super) fn man(args: &ManArgs) -> Result<(), Failure> {
    let mut command = Cli::command();
    command.build();
    match &args.dir {
        None => {
            let page =
                render(command.clone(), "chunkcast").map_err(|e| disk(Path::new("-"), &e))?;
            // a closed pipe is no error of ours
            let _ = io::stdout().lock().write_all(&page);
            Ok(())
        }
        Some(dir) => {
            std::fs::create_dir_all(dir).map_err(|e| disk(dir, &e))?;
            pages(&command, "chunkcast", dir)
        }
    }
}

/// The pages of a command and all below it; hidden ones have none.
fn pages(command: &clap::Command, name: &str, dir: &Path) -> Result<(), Failure> {
    let path = dir.join(format!("{name}.1"));
    render(command.clone(), name)
        .and_then(|page| std::fs::write(&path, page))
        .map_err(|e| disk(&path, &e))?;
    let below = command.get_subcommands();
    for command in below.filter(|c| !c.is_hide_set() && c.get_name() != "help") {
        pages(command, &format!("{name}-{}", command.get_name()), dir)?;
    }
    Ok(())
}

fn render(command: clap::Command, name: &str) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let title = name.to_uppercase();
    // the name must live as long as the program
    let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
    clap_mangen::Man::new(command.name(name))
        .title(title)
        .manual("ChunkCast")
        .render(&mut page)?;
    Ok(page)
}

fn disk(path: &Path, e: &io::Error) -> Failure {
    let line = format!("`{}` cannot be written: {e}", path.display());
    Failure::new(Code::Disk, line)
}

/// Prints the completions of a shell.
pub(super) fn completions(args: &CompletionsArgs) {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "chunkcast", &mut script);
    let _ = io::stdout().lock().write_all(&script);
}
