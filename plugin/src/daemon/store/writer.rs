//! Files on disk, whole or not at all. What comes in while one batch is written is the next batch: its files are written and
//! synced side by side, then renamed in the order of asking, and each directory is synced once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::storage::sync_directory;

/// Jobs of a batch.
const BATCH: usize = 64; // guess: a batch is answered together
/// Files that are synced at a time: a journalling file system commits them together.
const THREADS: usize = 4; // guess

/// Suffix of a file that is being written; those that a killed process left are removed at the start.
pub(super) const UNFINISHED: &str = "tmp";

/// One change on disk.
pub(in crate::daemon) enum Op {
    /// A file gets these bytes.
    Put(PathBuf, Vec<u8>),
    /// A file is removed, if it is there.
    Remove(PathBuf),
    /// A file gets another name.
    Rename(PathBuf, PathBuf),
    /// Something else that is on disk when it returns.
    Call(Box<dyn FnOnce() -> io::Result<()> + Send>),
}

type Reply = oneshot::Sender<io::Result<()>>;
type Job = (Vec<Op>, Reply);

/// Writes files, in the order of asking. Clones ask the same one.
///
/// What waits has no bound of its own: the actor, which alone asks, takes no more commands while many wait.
#[derive(Clone, Debug)]
pub(in crate::daemon) struct Writer {
    jobs: mpsc::UnboundedSender<Job>,
}

impl Writer {
    /// Starts one. It ends when all its clones are gone and all is written.
    pub(in crate::daemon) fn spawn() -> (Self, JoinHandle<()>) {
        let (jobs, inbox) = mpsc::unbounded_channel();
        (Self { jobs }, tokio::spawn(run(inbox)))
    }

    /// Does all of `ops`, in their order; what follows a failure is left undone. They are asked for at once, and on disk when the
    /// future is done.
    pub(in crate::daemon) fn write(
        &self,
        ops: Vec<Op>,
    ) -> impl Future<Output = io::Result<()>> + use<> {
        let (reply, done) = oneshot::channel();
        let asked = self.jobs.send((ops, reply));
        async move {
            let gone = || io::Error::other("the daemon is ending");
            asked.map_err(|_| gone())?;
            done.await.unwrap_or_else(|_| Err(gone()))
        }
    }
}

async fn run(mut inbox: mpsc::UnboundedReceiver<Job>) {
    while let Some(first) = inbox.recv().await {
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(job) = inbox.try_recv()
        {
            batch.push(job);
        }
        let (ops, replies): (Vec<_>, Vec<Reply>) = batch.into_iter().unzip();
        let done = tokio::task::spawn_blocking(move || write_batch(ops)).await;
        let done = done.unwrap_or_else(|e| {
            tracing::error!("writing state: {e}");
            Vec::new()
        });
        let mut done = done.into_iter();
        for reply in replies {
            let result = done.next();
            let _ = reply.send(result.unwrap_or_else(|| Err(io::Error::other("writing failed"))));
        }
    }
}

/// An op whose bytes are on disk already.
enum Step {
    Place(PathBuf, PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    Call(Box<dyn FnOnce() -> io::Result<()> + Send>),
}

/// Does the jobs of a batch; the result of each.
fn write_batch(jobs: Vec<Vec<Op>>) -> Vec<io::Result<()>> {
    let mut results: Vec<io::Result<()>> = jobs.iter().map(|_| Ok(())).collect();
    let mut puts = Vec::new();
    let mut steps = Vec::new();
    for (job, ops) in jobs.into_iter().enumerate() {
        for op in ops {
            let step = match op {
                Op::Put(path, bytes) => {
                    let unfinished = unfinished(&path);
                    puts.push((job, unfinished.clone(), bytes));
                    Step::Place(unfinished, path)
                }
                Op::Rename(from, to) => Step::Rename(from, to),
                Op::Remove(path) => Step::Remove(path),
                Op::Call(call) => Step::Call(call),
            };
            steps.push((job, step));
        }
    }
    for (job, result) in write_all(&puts) {
        results[job] = result;
    }
    let mut touched: BTreeMap<PathBuf, BTreeSet<usize>> = BTreeMap::new();
    for (job, step) in steps {
        if results[job].is_err() {
            if let Step::Place(unfinished, _) = &step {
                let _ = fs::remove_file(unfinished);
            }
            continue;
        }
        if let Step::Place(_, path) | Step::Rename(_, path) | Step::Remove(path) = &step {
            let parent = path.parent().unwrap_or(Path::new("/")).to_path_buf();
            touched.entry(parent).or_default().insert(job);
        }
        results[job] = match step {
            Step::Place(from, to) | Step::Rename(from, to) => fs::rename(from, to),
            Step::Call(call) => call(),
            Step::Remove(path) => match fs::remove_file(path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            },
        };
    }
    for (directory, jobs) in touched {
        if let Err(error) = sync_directory(&directory) {
            for job in jobs {
                results[job] = Err(io::Error::new(error.kind(), error.to_string()));
            }
        }
    }
    results
}

/// Writes files that nobody knows yet; the failures, by job.
fn write_all(puts: &[(usize, PathBuf, Vec<u8>)]) -> Vec<(usize, io::Result<()>)> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    let work = || {
        while let Some((job, path, bytes)) = puts.get(next.fetch_add(1, Relaxed)) {
            if let Err(error) = write_file(path, bytes) {
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.push((*job, Err(error)));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..THREADS.min(puts.len()) {
            scope.spawn(work);
        }
        work();
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A name beside `path` that nobody else has.
fn unfinished(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Relaxed);
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}-{count}.{UNFINISHED}", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_is_there_in_the_order_of_asking() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        let (writer, task) = Writer::spawn();
        let mut jobs = Vec::new();
        for n in 0..200_u32 {
            let ops = vec![
                Op::Put(at(&format!("own-{n}")), n.to_string().into_bytes()),
                Op::Put(at("shared"), n.to_string().into_bytes()),
            ];
            jobs.push(writer.write(ops));
        }
        jobs.push(writer.write(vec![
            Op::Remove(at("own-0")),
            Op::Remove(at("never was")),
            Op::Rename(at("own-1"), at("renamed")),
        ]));
        for done in futures::future::join_all(jobs).await {
            done.expect("written");
        }
        assert_eq!(fs::read(at("shared")).expect("there"), b"199");
        assert_eq!(fs::read(at("own-77")).expect("there"), b"77");
        assert!(!at("own-0").exists() && !at("own-1").exists() && at("renamed").exists());
        drop(writer);
        task.await.expect("it ends");
        let left = fs::read_dir(dir.path()).expect("readable").count();
        assert_eq!(left, 200, "198 of their own, a renamed and a shared one");
    }

    #[tokio::test]
    async fn a_job_that_fails_leaves_others_alone_and_nothing_behind() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        let (writer, _task) = Writer::spawn();
        let bad = writer.write(vec![
            Op::Put(at("first"), b"1".to_vec()),
            Op::Put(at("no/such/directory"), b"2".to_vec()),
        ]);
        let good = writer.write(vec![Op::Put(at("good"), b"3".to_vec())]);
        let (bad, good) = tokio::join!(bad, good);
        assert!(bad.is_err() && good.is_ok());
        let names: Vec<_> = fs::read_dir(dir.path())
            .expect("readable")
            .map(|e| e.expect("an entry").file_name())
            .collect();
        assert_eq!(names, ["good"]);
    }
}
