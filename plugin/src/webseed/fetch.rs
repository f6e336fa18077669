//! One run of blocks: a range request for each file that it lies in, and the blocks as they arrive.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::Response;
use reqwest::header::{CONTENT_ENCODING, CONTENT_RANGE, HeaderName, RETRY_AFTER};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;

use super::answer::{Head, Verdict, WebSeedFault, judge};
use super::client::{NoAnswer, WebClient};
use super::place::file_url;
use super::queue::Run;
use crate::discovery::http::{HttpError, classify};
use crate::limits::{Memory, Pace};
use crate::metadata::{BLOCK, FileSlice, Layout};
use crate::wire::conn::{ConnEvent, Received};
use crate::wire::message::{BlockRef, Message};

/// Longest wait for an answer, and for each block of it.
const PATIENCE: Duration = Duration::from_secs(20); // libtorrent's urlseed_timeout

/// How long the end of a body that is complete is waited for, so that the connection can be used again.
const LINGER: Duration = Duration::from_millis(200); // guess: it is there already

/// A limit that holds a fetch is told of at least that often.
const HELD_STEP: Duration = Duration::from_millis(250); // the period of the swarm's housekeeping

/// What the fetches of a web seed share.
pub(super) struct Source<K> {
    pub(super) key: K,
    pub(super) url: Url,
    pub(super) layout: Arc<Layout>,
    pub(super) client: Arc<WebClient>,
    pub(super) pace: Pace,
    pub(super) memory: Memory,
    pub(super) events: mpsc::Sender<(K, ConnEvent)>,
    /// Blocks that are being fetched and still wanted.
    pub(super) open: Mutex<BTreeSet<BlockRef>>,
}

/// How a fetch ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// With every block that is still wanted.
    Done,
    /// Early, by trouble that may pass; the server may have said how long it takes.
    Later(Option<Duration>),
    /// By trouble that will not pass.
    GiveUp(WebSeedFault),
    /// Nobody is there any more to be told.
    Closed,
}

impl From<NoAnswer> for Outcome {
    fn from(no: NoAnswer) -> Self {
        match no {
            NoAnswer::GiveUp(fault) => Self::GiveUp(fault),
            NoAnswer::Later(error) => later(&error),
        }
    }
}

/// Trouble that may pass.
fn later(error: &HttpError) -> Outcome {
    tracing::debug!("web seed: {error:?}");
    Outcome::Later(None)
}

impl<K: Copy + Send + Sync> Source<K> {
    /// Blocks that are being fetched and still wanted.
    pub(super) fn open(&self) -> MutexGuard<'_, BTreeSet<BlockRef>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the swarm; false if it is gone.
    pub(super) async fn tell(&self, event: ConnEvent) -> bool {
        self.events.send((self.key, event)).await.is_ok()
    }

    /// Fetches the blocks of a run that are open, and tells of each as it is whole. Returns those that are still open,
    /// whether any block came, and how it ended.
    pub(super) async fn fetch(&self, run: Run) -> (Vec<BlockRef>, bool, Outcome) {
        let span = run.start..run.end();
        let mut blocks = Blocks::new(run);
        let mut outcome = Outcome::Done;
        for part in self.layout.slices(span) {
            if !self.wants_any(&blocks) {
                break;
            }
            let got = if self.layout.files[part.file].padding {
                self.zeros(part.len, &mut blocks).await
            } else {
                self.part(&part, &mut blocks).await
            };
            if let Err(end) = got {
                outcome = end;
                break;
            }
        }
        let came = blocks.next > 0;
        let open = self.open();
        let left: Vec<BlockRef> = blocks.run.blocks[blocks.next..]
            .iter()
            .filter(|b| open.contains(b))
            .copied()
            .collect();
        drop(open);
        (left, came, outcome)
    }

    /// Whether any block that has not come is still wanted.
    fn wants_any(&self, blocks: &Blocks) -> bool {
        let open = self.open();
        blocks.run.blocks[blocks.next..]
            .iter()
            .any(|b| open.contains(b))
    }

    /// Bytes of a padding file (BEP 47), which no server has.
    async fn zeros(&self, mut len: u64, blocks: &mut Blocks) -> Result<(), Outcome> {
        static ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];
        while len > 0 {
            let step = usize::try_from(len).map_or(ZEROS.len(), |l| l.min(ZEROS.len()));
            self.take(&Bytes::from_static(&ZEROS[..step]), blocks)
                .await?;
            len -= step as u64;
        }
        Ok(())
    }

    /// Bytes of a file.
    async fn part(&self, part: &FileSlice, blocks: &mut Blocks) -> Result<(), Outcome> {
        let url = file_url(&self.url, &self.layout, part.file);
        let mut left = part.offset..part.offset + part.len;
        while !left.is_empty() {
            let asked = timeout(PATIENCE, self.client.get(url.clone(), &left)).await;
            let response = asked.unwrap_or(Err(NoAnswer::Later(HttpError::Timeout)))?;
            let length = self.layout.files[part.file].length;
            match judge(&head_of(&response), &left, length) {
                Verdict::Later(wait) => return Err(Outcome::Later(wait)),
                Verdict::GiveUp(fault) => return Err(Outcome::GiveUp(fault)),
                Verdict::Take { skip, take } => {
                    let more = response.status() == 200 && left.end < length;
                    let before = blocks.next;
                    self.body(response, skip, take, more, blocks).await?;
                    left.start += take;
                    // it is asked for the rest of what it sends a part of, but not byte by byte
                    if !left.is_empty() && blocks.next == before {
                        return Err(Outcome::Later(None));
                    }
                }
            }
            if !left.is_empty() && !self.wants_any(blocks) {
                break;
            }
        }
        Ok(())
    }

    /// Reads `take` bytes of a body behind its first `skip`; one that holds the whole file may have `more`.
    async fn body(
        &self,
        mut response: Response,
        mut skip: u64,
        mut take: u64,
        more: bool,
        blocks: &mut Blocks,
    ) -> Result<(), Outcome> {
        let mut deadline = Instant::now() + PATIENCE;
        while take > 0 {
            let read = timeout_at(deadline, response.chunk()).await;
            let mut chunk = match read {
                Ok(Ok(Some(chunk))) => chunk,
                // shorter than it said
                Ok(Ok(None)) => {
                    self.bad_answer().await?;
                    return Err(Outcome::Later(None));
                }
                Ok(Err(error)) => {
                    self.bad_answer().await?;
                    return Err(later(&classify(error)));
                }
                Err(_) => return Err(later(&HttpError::Timeout)),
            };
            let came = Instant::now();
            self.pace(chunk.len()).await?;
            let skipped = chunk.len().min(usize::try_from(skip).unwrap_or(usize::MAX));
            skip -= skipped as u64;
            chunk = chunk.slice(skipped..);
            let mut wanted = chunk.len().min(usize::try_from(take).unwrap_or(usize::MAX));
            take -= wanted as u64;
            let too_long = wanted < chunk.len();
            chunk.truncate(wanted);
            let before = blocks.next;
            self.take(&chunk, blocks).await?;
            wanted = blocks.next - before;
            if too_long && !more {
                self.bad_answer().await?;
                return Ok(());
            }
            // what we waited for ourselves is not the server's time
            deadline = match wanted {
                0 if skip == 0 => deadline + came.elapsed(),
                _ => Instant::now() + PATIENCE,
            };
            if take > 0 && !self.wants_any(blocks) {
                return Ok(());
            }
        }
        // a body that is read to its end leaves a connection that can be used again; one that goes on is cut off
        if !more && let Ok(Ok(Some(_))) = timeout(LINGER, response.chunk()).await {
            self.bad_answer().await?;
        }
        Ok(())
    }

    /// Waits in line where rate limits hold, and tells that it does.
    async fn pace(&self, bytes: usize) -> Result<(), Outcome> {
        let mut left = bytes;
        while left > 0 && !self.pace.down.is_free() {
            let portion = self.pace.down.portion(left);
            let turn = self.pace.down.take(portion);
            tokio::pin!(turn);
            loop {
                let began = Instant::now();
                let mine = timeout(HELD_STEP, &mut turn).await.is_ok();
                let down = began.elapsed();
                let held = ConnEvent::Held {
                    down,
                    up: Duration::ZERO,
                };
                // whoever waits in line keeps nobody waiting: if the channel is full it is told the next time
                if let Err(mpsc::error::TrySendError::Closed(_)) =
                    self.events.try_send((self.key, held))
                {
                    return Err(Outcome::Closed);
                }
                if mine {
                    break;
                }
            }
            left -= portion;
        }
        Ok(())
    }

    /// Adds bytes, and tells of the blocks that are whole by that and still wanted.
    async fn take(&self, bytes: &Bytes, blocks: &mut Blocks) -> Result<(), Outcome> {
        let mut messages = Vec::new();
        let mut len = 0;
        for (block, data) in blocks.add(bytes) {
            if self.open().remove(&block) {
                len += data.len() as u64;
                messages.push(Message::Piece {
                    piece: block.piece,
                    begin: block.begin,
                    data,
                });
            }
        }
        if messages.is_empty() {
            return Ok(());
        }
        let room = self.memory.incoming().take(len).await;
        let received = Received::new(messages, Some(room));
        match self.tell(ConnEvent::Messages(received)).await {
            true => Ok(()),
            false => Err(Outcome::Closed),
        }
    }

    async fn bad_answer(&self) -> Result<(), Outcome> {
        match self.tell(ConnEvent::BadAnswer).await {
            true => Ok(()),
            false => Err(Outcome::Closed),
        }
    }
}

/// A run as its bytes arrive.
struct Blocks {
    run: Run,
    /// The block that the next byte belongs to.
    next: usize,
    /// What has come of it.
    begun: BytesMut,
}

impl Blocks {
    fn new(run: Run) -> Self {
        Self {
            run,
            next: 0,
            begun: BytesMut::new(),
        }
    }

    /// Adds bytes; the blocks that are whole by that. What is behind the last one is not used.
    fn add(&mut self, mut bytes: &[u8]) -> Vec<(BlockRef, Bytes)> {
        let mut whole = Vec::new();
        while let Some(block) = self.run.blocks.get(self.next) {
            let missing = block.len as usize - self.begun.len();
            let (part, rest) = bytes.split_at(missing.min(bytes.len()));
            if self.begun.is_empty() {
                // memory of its own: the block is kept for longer than what it was read with
                self.begun.reserve(block.len as usize);
            }
            self.begun.extend_from_slice(part);
            bytes = rest;
            if part.len() < missing {
                break;
            }
            let data = std::mem::take(&mut self.begun).freeze();
            whole.push((*block, data));
            self.next += 1;
        }
        whole
    }
}

fn head_of(response: &Response) -> Head<'_> {
    let text = |name: HeaderName| response.headers().get(name)?.to_str().ok();
    Head {
        status: response.status().as_u16(),
        content_length: response.content_length(),
        content_range: text(CONTENT_RANGE),
        content_encoding: text(CONTENT_ENCODING),
        retry_after: text(RETRY_AFTER),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However the bytes arrive, the blocks are these.
        #[test]
        fn blocks_are_cut_where_they_end(
            lens in prop::collection::vec(1u32..40, 1..8),
            steps in prop::collection::vec(1usize..50, 1..60),
        ) {
            let total: u32 = lens.iter().sum();
            let bytes: Vec<u8> = (0..total).map(|i| i.to_le_bytes()[0]).collect();
            let blocks = lens.iter().scan(0, |at, &len| {
                let begin = *at;
                *at += len;
                Some(BlockRef { piece: 0, begin, len })
            });
            let run = Run { start: 0, blocks: blocks.collect() };
            let mut blocks = Blocks::new(run.clone());
            let mut got = Vec::new();
            let mut rest = &bytes[..];
            for step in steps {
                let (now, later) = rest.split_at(step.min(rest.len()));
                got.extend(blocks.add(now));
                rest = later;
            }
            got.extend(blocks.add(rest));
            got.extend(blocks.add(b"more than was asked for"));
            let expected: Vec<_> = run.blocks.iter().map(|b| {
                let range = b.begin as usize..(b.begin + b.len) as usize;
                (*b, Bytes::copy_from_slice(&bytes[range]))
            }).collect();
            prop_assert_eq!(got, expected);
        }
    }
}
