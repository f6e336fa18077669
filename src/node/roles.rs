//! Settings of reachability tests, dial-backs and a client's choice of its index node.

use std::time::Duration;

use super::ConfigError;

/// Settings of reachability tests, dial-backs and a client's choice of its index node. Every period is drawn anew from
/// 0.5 to 1.5 times its value.
#[derive(Clone, Debug)]
pub struct RolesConfig {
    /// Tries of one test of the own reachability.
    pub reach_tries: u8,
    /// How long a datagram that was sent is waited for.
    pub reach_wait: Duration,
    /// How often a client tests again.
    pub reach_period: Duration,
    /// How soon a test is repeated that nobody could help with.
    pub reach_retry: Duration,
    /// An index node to which no stranger has written for so long tests itself.
    pub silence: Duration,
    /// Times a minute that one host is helped with such a test.
    pub helps: u32,
    /// The same for all hosts together.
    pub helps_in_all: u32,

    /// How often a client that publishes makes sure that its index node is there.
    pub home_ping: Duration,
    /// How often a client looks for a nearer index node.
    pub attach_period: Duration,
    /// Index nodes that it pings for one answer that names some: the predicted nearest, and a random one beside.
    pub drawn: usize,
    /// Index nodes that it knows beside its own.
    pub warm: usize,
    /// It changes to one that is as near as this share of its own's distance, 0.0 ..= 1.0.
    pub nearer: f64,
    /// And nearer by this.
    pub nearer_by: Duration,

    /// Dials under way at once.
    pub dials: usize,
    /// Dials a minute to one host.
    pub dials_each: u32,
    /// Dials a minute altogether.
    pub dials_in_all: u32,
    /// Addresses whose result is remembered.
    pub dials_known: usize,
    /// How long "somebody accepts" stays valid.
    pub dial_reached: Duration,
    /// How long "nobody accepts" stays valid.
    pub dial_unreached: Duration,
    /// Pause before an own port is tested again that nobody could test.
    pub dial_retry: Duration,
}

impl Default for RolesConfig {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self {
            reach_tries: 4,   // measured: see docs/evaluation.md; at 5 % loss one in 2,000 fails
            reach_wait: s(2), // guess: longer than any path
            reach_period: s(1_800), // guess
            reach_retry: s(60), // guess
            silence: s(600),  // guess: longer than a NAT keeps a mapping that nobody uses
            helps: 32,        // guess: eight tests of hosts behind one NAT
            helps_in_all: 1_200, // guess: 20 datagrams a second
            home_ping: s(5),  // guess: a death is noticed within seconds
            attach_period: s(120), // guess
            drawn: 4,         // guess
            warm: 3,          // guess
            nearer: 0.7,      // guess: more than the jitter of a path
            nearer_by: Duration::from_millis(2), // guess: less matters to nobody
            dials: 64,        // guess
            dials_each: 16,   // guess: as many peers behind one address
            dials_in_all: 600, // guess
            dials_known: 8_192, // guess
            dial_reached: s(600), // guess
            dial_unreached: s(120), // guess: a port that was opened is noticed at the next refresh
            dial_retry: s(30), // guess
        }
    }
}

impl RolesConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let check = |ok: bool, field, expected| match ok {
            true => Ok(()),
            false => Err(ConfigError { field, expected }),
        };
        let periods = [
            ("roles.reach_wait", self.reach_wait),
            ("roles.reach_period", self.reach_period),
            ("roles.reach_retry", self.reach_retry),
            ("roles.silence", self.silence),
            ("roles.home_ping", self.home_ping),
            ("roles.attach_period", self.attach_period),
            ("roles.dial_reached", self.dial_reached),
            ("roles.dial_unreached", self.dial_unreached),
            ("roles.dial_retry", self.dial_retry),
        ];
        for (field, period) in periods {
            let range = Duration::from_millis(100)..=Duration::from_secs(86_400);
            check(
                range.contains(&period),
                field,
                "a tenth of a second to a day",
            )?;
        }
        let share = (0.0..=1.0).contains(&self.nearer);
        check(share, "roles.nearer", "0.0 to 1.0")?;
        check(
            (1..=16).contains(&self.reach_tries),
            "roles.reach_tries",
            "1 to 16",
        )?;
        check((1..=16).contains(&self.drawn), "roles.drawn", "1 to 16")?;
        check(self.warm <= 16, "roles.warm", "at most 16")?;
        check(self.dials > 0, "roles.dials", "at least 1")?;
        check(self.dials_known > 0, "roles.dials_known", "at least 1")
    }
}
