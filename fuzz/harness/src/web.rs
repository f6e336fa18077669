//! What web servers answer to a request for a range, and what URLs are made of a torrent's.

use std::path::PathBuf;

use bytes::Bytes;
use chunkcast_bittorrent::metadata::{FileEntry, Layout};
use chunkcast_bittorrent::webseed::answer::{
    ContentRange, Head, MAX_RETRY_AFTER, MAX_SKIP, Verdict, judge,
};
use chunkcast_bittorrent::webseed::place::{file_url, shown};
use url::Url;

use crate::input::Input;

/// Status (2 bytes), a length (8, 0: none), a range (8 each, kept small) and the file's length (8), then lines: Content-Range,
/// Retry-After, Content-Encoding, the web seed's URL, and the names of the file's path.
pub fn web_seed(data: &[u8]) {
    let mut input = Input::new(data);
    let status = input.u16();
    let content_length = Some(input.u64()).filter(|l| *l > 0);
    let length = (input.u64() >> 1).max(1);
    let start = input.u64() % length;
    let asked = start..start + 1 + input.u64() % (length - start);
    let text = String::from_utf8_lossy(input.take(usize::MAX)).into_owned();
    let mut lines = text.split('\n');
    let content_range = lines.next();
    let head = Head {
        status,
        content_length,
        content_range,
        retry_after: lines.next(),
        content_encoding: lines.next().filter(|l| !l.is_empty()),
    };
    match judge(&head, &asked, length) {
        Verdict::Take { skip, take } => {
            assert!(take > 0 && take <= asked.end - asked.start && skip <= MAX_SKIP);
            if let Some(range) = content_range.and_then(ContentRange::parse)
                && status == 206
            {
                assert_eq!((range.first, skip), (asked.start, 0));
                assert!(take - 1 <= range.last - range.first);
                assert!(range.total.is_none_or(|t| t == length));
            }
        }
        Verdict::Later(wait) => assert!(wait.is_none_or(|w| w <= MAX_RETRY_AFTER)),
        Verdict::GiveUp(fault) => assert!(!fault.to_string().contains('\n')),
    }
    let base = lines.next().and_then(|url| Url::parse(url).ok());
    let plain = |n: &&str| !matches!(*n, "" | "." | "..") && !n.contains(['/', '\0']);
    let names: Vec<&str> = lines.filter(plain).collect();
    if let Some(base) = base.filter(|u| matches!(u.scheme(), "http" | "https") && !names.is_empty())
    {
        below(&base, &names);
    }
}

/// Whatever the names are, the server that the torrent names is asked, and for nothing outside of its URL.
fn below(base: &Url, names: &[&str]) {
    let file = FileEntry {
        path: names.iter().collect::<PathBuf>(),
        length: 1,
        offset: 0,
        padding: false,
        executable: false,
    };
    let layout = Layout {
        name: names[0].to_owned(),
        piece_length: 1,
        total_length: 1,
        files: vec![file],
        hashes: Bytes::new(),
    };
    let url = file_url(base, &layout, 0);
    assert_eq!(url.origin(), base.origin());
    assert_eq!(
        (url.query(), url.username()),
        (base.query(), base.username())
    );
    let folder = base.path().trim_end_matches('/');
    let rest = url.path().strip_prefix(folder).expect("below the base");
    if names.len() > 1 || base.path().ends_with('/') {
        assert_eq!(rest.split('/').count(), names.len() + 1, "{url}");
    }
    let shown = Url::parse(&shown(&url)).expect("a URL");
    assert!(shown.username().is_empty() && shown.password().is_none() && shown.query().is_none());
}
