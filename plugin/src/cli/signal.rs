//! Ctrl-C, SIGTERM and, where asked for, the end of standard input.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Turns true when the program is asked to end: by a signal or, if `stdin`, by the end of standard input.
pub(super) fn end_asked(stdin: bool) -> watch::Receiver<bool> {
    let (tell, end) = watch::channel(false);
    let signal = interrupted();
    tokio::spawn(async move {
        tokio::select! {
            () = signal => {}
            () = stdin_closed(stdin) => {}
        }
        let _ = tell.send(true);
    });
    end
}

/// Returns when the end was asked for.
pub(super) async fn asked(mut end: watch::Receiver<bool>) {
    if end.wait_for(|end| *end).await.is_err() {
        // nobody is left to ask
        std::future::pending().await
    }
}

/// Returns at the first SIGINT or SIGTERM; at the next one the process ends at once with code 7.
///
/// The handlers are installed when this is called, not when it is first polled.
pub(super) fn interrupted() -> impl Future<Output = ()> {
    let handlers =
        signal(SignalKind::interrupt()).and_then(|i| Ok((i, signal(SignalKind::terminate())?)));
    async move {
        let Ok((mut interrupt, mut terminate)) = handlers else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            std::process::exit(super::exit::Code::Interrupted as i32);
        });
    }
}

/// Returns when standard input ends; never, unless `watch`.
///
/// A thread of its own reads, so that a terminal that stays open does not keep the program from ending.
pub(super) async fn stdin_closed(watch: bool) {
    if !watch {
        return std::future::pending().await;
    }
    let (tell, closed) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = tell.send(());
    });
    let _ = closed.await;
}
