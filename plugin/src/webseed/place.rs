//! Which URL a file of a torrent has on a web seed (BEP 19), and by what name that is spoken of.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use crate::metadata::Layout;

/// What is escaped within a path: all but the unreserved characters of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The URL of file `file` on the web seed at `base`: of a single file `base` itself, or below it if it ends in a slash;
/// of a folder always below it, with the torrent's name and the file's path. A query of `base` stays.
pub fn file_url(base: &Url, layout: &Layout, file: usize) -> Url {
    let mut url = base.clone();
    url.set_fragment(None);
    let names = layout.files[file].path.components();
    let names: Vec<String> = names
        .map(|name| {
            let name = name.as_os_str().to_string_lossy();
            utf8_percent_encode(&name, ESCAPED).to_string()
        })
        .collect();
    let single = layout.files.len() == 1 && names.len() == 1;
    if single && !base.path().ends_with('/') {
        return url;
    }
    let folder = base.path().trim_end_matches('/');
    url.set_path(&format!("{folder}/{}", names.join("/")));
    url
}

/// The URL as it may be shown: without user, password and query, which may be secrets.
pub fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // these fail only for URLs without a host, which hold no secret of that kind
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

/// The host, with the port if that is not the scheme's own.
pub fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use bytes::Bytes;
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;
    use crate::metadata::FileEntry;

    fn layout(paths: &[&str]) -> Layout {
        let files = paths.iter().zip(0..).map(|(path, offset)| FileEntry {
            path: PathBuf::from(path),
            length: 1,
            offset,
            padding: false,
            executable: false,
        });
        Layout {
            name: String::new(),
            piece_length: 1,
            total_length: paths.len() as u64,
            files: files.collect(),
            hashes: Bytes::new(),
        }
    }

    fn url(base: &str, paths: &[&str]) -> String {
        let base = Url::parse(base).expect("a URL");
        file_url(&base, &layout(paths), paths.len() - 1).into()
    }

    #[test]
    fn a_single_file_is_at_the_url_or_below_it_if_that_ends_in_a_slash() {
        let at = |base| url(base, &["a b.iso"]);
        assert_eq!(at("http://h/x.iso"), "http://h/x.iso");
        assert_eq!(at("http://h/dir/"), "http://h/dir/a%20b.iso");
        assert_eq!(at("http://h"), "http://h/a%20b.iso");
        assert_eq!(at("http://h/x?key=1#part"), "http://h/x?key=1");
    }

    #[test]
    fn files_of_a_folder_are_below_the_url_with_or_without_a_slash() {
        let at = |base| url(base, &["n", "name/sub dir/ü#?%2e/f"]);
        let path = "name/sub%20dir/%C3%BC%23%3F%252e/f";
        assert_eq!(at("http://h/d"), format!("http://h/d/{path}"));
        assert_eq!(at("http://h/d/"), format!("http://h/d/{path}"));
        assert_eq!(at("https://h"), format!("https://h/{path}"));
        assert_eq!(at("http://h/d/?k=v"), format!("http://h/d/{path}?k=v"));
        assert_eq!(url("http://h/d", &["name/only"]), "http://h/d/name/only");
    }

    #[test]
    fn secrets_are_not_shown() {
        let url = Url::parse("https://me:secret@h:8080/d/?token=1#x").expect("a URL");
        assert_eq!(shown(&url), "https://h:8080/d/");
        assert_eq!(host(&url), "h:8080");
        let url = Url::parse("http://[2001:db8::1]/").expect("a URL");
        assert_eq!(host(&url), "[2001:db8::1]");
    }

    proptest! {
        /// Whatever the names are (they are checked to be plain components), the server is asked for exactly these, and
        /// for nothing outside of the URL.
        #[test]
        fn the_path_is_the_base_and_the_names(
            names in prop::collection::vec("[^/\\\\\0]{1,12}", 2..6),
            base in "http://[a-z]{1,5}(:[1-9][0-9]{1,3})?(/[a-z%.]{0,5}){0,3}",
        ) {
            prop_assume!(names.iter().all(|n| n != "." && n != ".."));
            let Ok(base) = Url::parse(&base) else { return Ok(()) };
            let path = names.join("/");
            let url = file_url(&base, &layout(&[&path]), 0);
            let folder = base.path().trim_end_matches('/');
            let rest = url.path().strip_prefix(folder).expect("below the base");
            let decoded: Vec<String> = rest
                .split('/')
                .skip(1)
                .map(|s| percent_decode_str(s).decode_utf8().expect("UTF-8").into_owned())
                .collect();
            prop_assert_eq!(decoded, names);
            prop_assert_eq!((url.host_str(), url.port()), (base.host_str(), base.port()));
        }
    }
}
