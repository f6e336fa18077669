//! How the harness ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// What has an exit code of its own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// Code 3.
    #[error(
        "{0}: netlab makes network namespaces, which needs root and CAP_NET_ADMIN; run it with sudo"
    )]
    NotAllowed(String),
    /// Code 4.
    #[error(
        "the emulation is off, nothing was measured: {0}; try again when the machine is less busy"
    )]
    Emulation(String),
    /// Code 7.
    #[error("interrupted; namespaces, processes and files are removed")]
    Interrupted,
}

/// The exit code after an error.
pub(crate) fn code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Fault>() {
        Some(Fault::NotAllowed(_)) => 3,
        Some(Fault::Emulation(_)) => 4,
        Some(Fault::Interrupted) => 7,
        None => 1,
    }
}

/// Set by Ctrl-C, SIGTERM and SIGHUP.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From here on those signals do not end the process, but set this.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub(crate) fn install() -> Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, flag.clone()).context("a signal handler")?;
        }
        Ok(Self(flag))
    }

    /// # Errors
    /// [`Fault::Interrupted`] once a signal has come.
    pub(crate) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(Fault::Interrupted.into());
        }
        Ok(())
    }

    /// Lets `time` pass.
    ///
    /// # Errors
    /// [`Fault::Interrupted`] when a signal comes meanwhile.
    pub(crate) fn rest(&self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.check()?;
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}
