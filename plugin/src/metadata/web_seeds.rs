//! Which web seed URLs (BEP 19: `url-list` of a torrent, `ws` of a magnet link) are kept.

use url::Url;

use super::MetadataLimits;

/// Whether `text` is the URL of a web server that can be asked: http or https. BEP 19 has ftp too, which is not spoken.
pub(super) fn usable(text: &str, limits: &MetadataLimits) -> bool {
    if text.len() > limits.web_seed_bytes {
        return false;
    }
    // a name with control characters is nothing that anybody would write
    if text.contains(char::is_control) {
        return false;
    }
    let Ok(url) = Url::parse(text) else {
        return false;
    };
    matches!(url.scheme(), "http" | "https")
        && url.host_str().is_some_and(|host| !host.is_empty())
        && url.port() != Some(0)
}

/// Adds a URL; false if it is unusable, repeated or beyond the limit. White space around it is no part of it.
pub(super) fn add(seeds: &mut Vec<String>, text: &str, limits: &MetadataLimits) -> bool {
    let text = text.trim();
    let kept = seeds.len() < limits.web_seeds
        && usable(text, limits)
        && !seeds.iter().any(|known| known == text);
    if kept {
        seeds.push(text.to_owned());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_of_web_servers_are_kept_each_once_and_so_many() {
        let limits = MetadataLimits {
            web_seeds: 3,
            ..MetadataLimits::default()
        };
        let long = format!("http://a/{}", "x".repeat(limits.web_seed_bytes));
        let mut seeds = Vec::new();
        for (url, kept) in [
            ("ftp://mirror.example/f", false),
            ("file:///etc/passwd", false),
            ("mirror.example/f", false),
            ("http://", false),
            ("http://mirror.example:0/f", false),
            ("http://mirror.example/a\nb", false),
            ("", false),
            (&long, false),
            (" http://mirror.example/f ", true),
            ("http://mirror.example/f", false),
            ("https://user:secret@[2001:db8::1]:8443/d/?key=1", true),
            ("HTTP://third.example", true),
            ("http://fourth.example", false),
        ] {
            assert_eq!(add(&mut seeds, url, &limits), kept, "{url}");
        }
        assert_eq!(seeds.len(), 3);
        assert_eq!(seeds[0], "http://mirror.example/f");
    }
}
