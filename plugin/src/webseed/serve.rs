//! The task of one web seed: requests in, blocks out, and pauses after trouble.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use url::Url;

use super::answer::WebSeedFault;
use super::client::WebClient;
use super::fetch::{Outcome, Source};
use super::queue::Queue;
use crate::limits::{Memory, Pace};
use crate::metadata::Layout;
use crate::wire::conn::{ConnEvent, Inbox, Received};
use crate::wire::message::{BlockRef, Message};

/// Requests to one web seed at a time: while one's answer is awaited others bring bytes.
pub(crate) const PARALLEL: usize = 4; // Transmission's limit of connections to a web seed

/// Pause after the first trouble; it doubles with each that follows without a block in between.
const FIRST_PAUSE: Duration = Duration::from_secs(1); // guess

/// Longest pause that is our own choice.
const LONGEST_PAUSE: Duration = Duration::from_secs(300); // guess: libtorrent waits 30 s each time

/// A peer that says nothing is closed: a keep-alive goes out when nothing else did for that long.
const KEEP_ALIVE: Duration = Duration::from_secs(60); // guess: well within the swarm's 150 s

/// What a web seed needs to know.
pub(crate) struct WebSeed<K> {
    /// By what its events are known.
    pub(crate) key: K,
    /// As the torrent names it.
    pub(crate) url: Url,
    /// The torrent's files.
    pub(crate) layout: Arc<Layout>,
    /// The HTTP of the session.
    pub(crate) client: Arc<WebClient>,
    /// Rate limits.
    pub(crate) pace: Pace,
    /// What blocks count against until they are looked at.
    pub(crate) memory: Memory,
    /// Requests at a time, 1 ..= [`PARALLEL`].
    pub(crate) parallel: usize,
    /// Where its events go.
    pub(crate) events: mpsc::Sender<(K, ConnEvent)>,
}

/// Why a web seed's task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nobody wants anything of it.
    Closed,
    /// It is not to be asked again.
    GiveUp(WebSeedFault),
}

/// Answers what comes out of `inbox` until its outbox is closed or the server turns out to be of no use.
pub(crate) async fn serve<K: Copy + Send + Sync>(seed: WebSeed<K>, mut inbox: Inbox) -> End {
    let source = Source {
        key: seed.key,
        url: seed.url,
        layout: seed.layout,
        client: seed.client,
        pace: seed.pace,
        memory: seed.memory,
        events: seed.events,
        open: Mutex::default(),
    };
    if !say(&source, vec![Message::HaveAll, Message::Unchoke]).await {
        return End::Closed;
    }
    let mut queue = Queue::default();
    let mut fetches = FuturesUnordered::new();
    let mut parallel = seed.parallel;
    let (mut troubles, mut resume) = (0_u32, None);
    let mut alive = Instant::now() + KEEP_ALIVE;
    loop {
        while resume.is_none()
            && fetches.len() < parallel
            && let Some(run) = queue.next(&source.layout, !fetches.is_empty())
        {
            source.open().extend(&run.blocks);
            fetches.push(source.fetch(run));
        }
        tokio::select! {
            message = inbox.recv() => {
                let answer = match message {
                    None => return End::Closed,
                    Some(Message::Request(block)) => {
                        let known = source.open().contains(&block);
                        let taken = known || resume.is_none() && queue.push(&source.layout, block);
                        (!taken).then_some(block)
                    }
                    Some(Message::Cancel(block)) => {
                        let dropped = queue.cancel(block) || source.open().remove(&block);
                        dropped.then_some(block)
                    }
                    Some(_) => None,
                };
                if let Some(block) = answer
                    && !say(&source, vec![Message::Reject(block)]).await
                {
                    return End::Closed;
                }
            }
            Some((left, came, outcome)) = fetches.next(), if !fetches.is_empty() => {
                let wait = match outcome {
                    Outcome::Closed => return End::Closed,
                    Outcome::GiveUp(fault) => return End::GiveUp(fault),
                    Outcome::Done => None,
                    Outcome::Later(wait) => Some(wait),
                };
                if came {
                    troubles = 0;
                }
                let lost = give_back(&source, &mut queue, &left);
                if !lost.is_empty() && !say(&source, lost).await {
                    return End::Closed;
                }
                match wait {
                    None => {}
                    // it takes fewer at a time: those that it serves go on
                    Some(_) if !fetches.is_empty() => parallel = fetches.len(),
                    Some(wait) => {
                        let own = FIRST_PAUSE.saturating_mul(1 << troubles.min(16));
                        let pause = wait.unwrap_or(own.min(LONGEST_PAUSE)).max(FIRST_PAUSE);
                        troubles = troubles.saturating_add(1);
                        resume = Some(Instant::now() + pause);
                        // with Fast (BEP 6) a choke does not take requests back: each is rejected
                        let all = queue.take_all().map(Message::Reject);
                        let messages = std::iter::once(Message::Choke).chain(all).collect();
                        if !say(&source, messages).await {
                            return End::Closed;
                        }
                    }
                }
            }
            () = sleep_until(resume.unwrap_or(alive)), if resume.is_some() => {
                resume = None;
                if !say(&source, vec![Message::Unchoke]).await {
                    return End::Closed;
                }
            }
            () = sleep_until(alive) => {
                alive = Instant::now() + KEEP_ALIVE;
                if !say(&source, vec![Message::KeepAlive]).await {
                    return End::Closed;
                }
            }
        }
    }
}

/// Blocks of a fetch that ended early wait again; those for which there is no place are refused.
fn give_back<K: Copy + Send + Sync>(
    source: &Source<K>,
    queue: &mut Queue,
    left: &[BlockRef],
) -> Vec<Message> {
    let mut open = source.open();
    left.iter().for_each(|block| {
        open.remove(block);
    });
    let lost = left.iter().filter(|b| !queue.push(&source.layout, **b));
    lost.map(|b| Message::Reject(*b)).collect()
}

async fn say<K: Copy + Send + Sync>(source: &Source<K>, messages: Vec<Message>) -> bool {
    let received = Received::new(messages, None);
    source.tell(ConnEvent::Messages(received)).await
}
