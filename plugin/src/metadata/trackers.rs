//! Which tracker URLs from a torrent or a magnet link are kept.

use url::Url;

use super::MetadataLimits;

/// Whether `text` is the URL of a tracker that an announcer can ask: http, https, or udp with a port.
pub(super) fn usable(text: &str, limits: &MetadataLimits) -> bool {
    if text.len() > limits.tracker_bytes {
        return false;
    }
    let Ok(url) = Url::parse(text) else {
        return false;
    };
    let scheme = match url.scheme() {
        "http" | "https" => true,
        "udp" => url.port().is_some(),
        _ => false,
    };
    scheme && url.host_str().is_some_and(|host| !host.is_empty()) && url.port() != Some(0)
}

/// Whether `text` is the URL of a tracker that can be asked: http, https, or udp with a port.
pub fn usable_tracker(text: &str) -> bool {
    usable(text, &MetadataLimits::default())
}

/// Collects tracker URLs in tiers, without repeats, up to the limit.
pub(super) struct Tiers<'a> {
    limits: &'a MetadataLimits,
    tiers: Vec<Vec<String>>,
    count: usize,
}

impl<'a> Tiers<'a> {
    pub(super) fn new(limits: &'a MetadataLimits) -> Self {
        Self {
            limits,
            tiers: Vec::new(),
            count: 0,
        }
    }

    /// Adds one tier; unusable and repeated URLs are left out, and a tier that is left empty.
    pub(super) fn add<'t>(&mut self, urls: impl IntoIterator<Item = &'t str>) {
        let mut tier: Vec<String> = Vec::new();
        for url in urls {
            let url = url.trim();
            if self.count == self.limits.trackers {
                break;
            }
            let known = self.tiers.iter().flatten().chain(&tier).any(|u| u == url);
            if !known && usable(url, self.limits) {
                tier.push(url.to_owned());
                self.count += 1;
            }
        }
        if !tier.is_empty() {
            self.tiers.push(tier);
        }
    }

    pub(super) fn into_tiers(self) -> Vec<Vec<String>> {
        self.tiers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_that_an_announcer_can_ask_are_kept() {
        let limits = MetadataLimits::default();
        let long = format!("http://a/{}", "x".repeat(2048));
        for (url, kept) in [
            ("http://tracker.example/announce", true),
            ("https://tracker.example:8443/a?key=1", true),
            ("udp://tracker.example:6969", true),
            ("udp://[2001:db8::1]:6969/announce", true),
            ("udp://tracker.example/announce", false),
            ("wss://tracker.example", false),
            ("file:///etc/passwd", false),
            ("http://", false),
            ("http://tracker.example:0/announce", false),
            ("tracker.example", false),
            ("", false),
            (&long, false),
        ] {
            assert_eq!(usable(url, &limits), kept, "{url}");
        }
    }

    #[test]
    fn tiers_keep_their_order_and_stop_at_the_limit() {
        let limits = MetadataLimits {
            trackers: 3,
            ..MetadataLimits::default()
        };
        let mut tiers = Tiers::new(&limits);
        tiers.add(["http://a/", "wss://b/", " http://c/ "]);
        tiers.add(["http://a/", "nonsense"]);
        tiers.add(["http://d/", "http://e/"]);
        assert_eq!(
            tiers.into_tiers(),
            [
                vec!["http://a/".to_owned(), "http://c/".to_owned()],
                vec!["http://d/".to_owned()]
            ]
        );
    }
}
