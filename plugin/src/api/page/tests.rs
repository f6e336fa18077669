use std::collections::BTreeSet;
use std::fs;
use std::path::{Path as FilePath, PathBuf};

use super::*;

/// Every file of the folder, by its path in it.
fn on_disk() -> BTreeSet<String> {
    let root = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("src/api/page/static");
    let mut found = BTreeSet::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path: PathBuf = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let inside = path.strip_prefix(&root).expect("inside");
                found.insert(inside.to_string_lossy().into_owned());
            }
        }
    }
    found
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    let value = response.headers().get(name).expect(name);
    value.to_str().expect("text")
}

/// What stands between `before` and the next quotation mark, each time.
fn quoted<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
    let parts = text.split(before).skip(1);
    parts.filter_map(|p| p.split('"').next()).collect()
}

#[test]
fn every_file_of_the_folder_is_in_the_program() {
    let mut listed: BTreeSet<String> = FILES.iter().map(|(path, _)| (*path).to_owned()).collect();
    listed.insert("index.html".to_owned());
    assert_eq!(listed, on_disk());
}

#[test]
fn all_that_is_asked_for_is_there_and_ours() {
    let there = |path: &str| FILES.iter().any(|(name, _)| *name == path);
    for reference in [quoted(INDEX, "href=\""), quoted(INDEX, "src=\"")].concat() {
        if reference.starts_with('#') {
            continue;
        }
        let path = reference.strip_prefix("/assets/").expect(reference);
        assert!(there(path.split('#').next().unwrap_or_default()), "{path}");
    }
    for (name, content) in FILES.iter().filter(|(name, _)| is_module(name)) {
        for module in quoted(content, " from \"") {
            let folder = FilePath::new(name).parent().expect("a folder");
            let mut parts: Vec<&str> = folder.iter().filter_map(|p| p.to_str()).collect();
            for part in module.split('/') {
                match part {
                    "." => {}
                    ".." => drop(parts.pop()),
                    _ => parts.push(part),
                }
            }
            assert!(there(&parts.join("/")), "{name} imports {module}");
        }
    }
}

#[test]
fn nothing_in_the_page_is_more_than_its_policy_allows() {
    // scripts and styles in the page itself would be blocked, and what is parsed as HTML could be somebody's name
    for inside in ["<style", " style=", "<script>", " onclick=", "javascript:"] {
        assert!(!INDEX.contains(inside), "{inside}");
    }
    let banned = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "DOMParser",
    ];
    for (name, content) in FILES.iter().filter(|(name, _)| name.ends_with(".js")) {
        for word in banned {
            assert!(!content.contains(word), "{name}: {word}");
        }
    }
    for (name, content) in FILES {
        let elsewhere = content.replace("http://www.w3.org/2000/svg", ""); // a name, not an address
        for start in ["http://", "https://", "\"//"] {
            assert!(!elsewhere.contains(start), "{name} names another origin");
        }
    }
}

#[test]
fn a_file_comes_with_its_type_and_not_twice() {
    let fresh = asset("js/main.js", &HeaderMap::new()).expect("there");
    assert_eq!(fresh.status(), StatusCode::OK);
    assert_eq!(
        header(&fresh, "content-type"),
        "text/javascript; charset=utf-8"
    );
    assert_eq!(header(&fresh, "cache-control"), "no-cache");
    let mut headers = HeaderMap::new();
    headers.insert(IF_NONE_MATCH, fresh.headers()[ETAG].clone());
    let known = asset("js/main.js", &headers).expect("there");
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
    let other = asset("css/base.css", &headers).expect("there");
    assert_eq!(other.status(), StatusCode::OK, "of another file");
    assert_eq!(header(&other, "content-type"), "text/css; charset=utf-8");
    let icons = asset("favicon.svg", &headers).expect("there");
    assert_eq!(header(&icons, "content-type"), "image/svg+xml");
    for nothing in ["", "js/../index.html", "js/absent.js", "../mod.rs"] {
        assert!(asset(nothing, &headers).is_err(), "{nothing}");
    }
}

#[test]
fn the_page_names_its_modules_before_they_are_needed() {
    let page = index(&HeaderMap::new());
    assert_eq!(header(&page, "content-type"), "text/html; charset=utf-8");
    let links = header(&page, "link");
    assert!(links.contains("</assets/js/core/api.js>; rel=modulepreload"));
    assert!(!links.contains("theme_first"), "it is no module");
}
