// SPDX-License-Identifier: GPL-2.0-only
//! The pages for people: every relative link and anchor leads somewhere, and the book has every page.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// README.md is read in a minute; the rest is in the book.
const README_LINES: usize = 150;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a parent").to_path_buf()
}

/// The pages by their path from the root.
fn pages() -> BTreeMap<PathBuf, String> {
    let root = root();
    let top = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root.join(name));
    let book = walkdir::WalkDir::new(root.join("docs"))
        .into_iter()
        .map(|entry| entry.expect("an entry").into_path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let text = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path.strip_prefix(&root).expect("inside").to_path_buf(), text)
    };
    top.into_iter().chain(book).map(text).collect()
}

/// The lines outside of code blocks, without code spans.
fn prose(text: &str) -> Vec<String> {
    let mut in_code = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            lines.push(line.split('`').step_by(2).collect::<Vec<_>>().join("`"));
        }
    }
    lines
}

/// The targets of `[text](target)`.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(text) {
        for piece in line.split("](").skip(1) {
            found.push(piece.split(')').next().unwrap_or_default().to_string());
        }
    }
    found
}

/// The anchors of a page, as GitHub and mdBook make them of its headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.starts_with("```") {
            in_code = !in_code;
        }
        let title = line.trim_start_matches('#');
        if in_code || title == line || !title.starts_with(' ') {
            continue;
        }
        let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let base: String = kept.collect::<String>().to_lowercase().replace(' ', "-");
        let mut name = base.clone();
        let mut number = 0;
        while !found.insert(name.clone()) {
            number += 1;
            name = format!("{base}-{number}");
        }
    }
    found
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

/// What is wrong with a link of a page; `exists` knows the files that are no pages.
fn wrong(
    pages: &BTreeMap<PathBuf, String>,
    page: &Path,
    link: &str,
    exists: &dyn Fn(&Path) -> bool,
) -> Option<&'static str> {
    if link.contains("://") || link.starts_with("mailto:") || link.is_empty() {
        return None;
    }
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let target = match file {
        "" => page.to_path_buf(),
        file => plain(&page.parent().unwrap_or(Path::new("")).join(file)),
    };
    if page.starts_with("docs") && !target.starts_with("docs") {
        return Some("leads out of the book");
    }
    match (pages.get(&target), anchor) {
        (None, None) => (!exists(&target)).then_some("no such file"),
        (None, Some(_)) => Some("no such page"),
        (Some(text), Some(anchor)) => (!anchors(text).contains(anchor)).then_some("no such heading"),
        (Some(_), None) => None,
    }
}

#[test]
fn every_link_leads_somewhere() {
    let (pages, root) = (pages(), root());
    let exists = |path: &Path| root.join(path).exists();
    let mut problems = Vec::new();
    for (page, text) in &pages {
        for link in links(text) {
            let problem = wrong(&pages, page, &link, &exists);
            problems.extend(problem.map(|why| format!("{}: {link}: {why}", page.display())));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_book_has_every_page() {
    let pages = pages();
    let summary = PathBuf::from("docs/SUMMARY.md");
    let listed: BTreeSet<PathBuf> =
        links(&pages[&summary]).iter().map(|link| plain(&Path::new("docs").join(link))).collect();
    let missing: Vec<_> = pages
        .keys()
        .filter(|page| page.starts_with("docs") && **page != summary && !listed.contains(*page))
        .collect();
    assert!(missing.is_empty(), "not in docs/SUMMARY.md: {missing:?}");
}

#[test]
fn every_example_is_a_recipe() {
    let recipes = &pages()[Path::new("docs/recipes.md")];
    for entry in fs::read_dir(root().join("examples")).expect("the examples") {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        assert!(
            name == "common.sh" || recipes.contains(&format!("examples/{name}")),
            "docs/recipes.md: {name}"
        );
    }
}

#[test]
fn the_readme_is_short() {
    assert!(pages()[Path::new("README.md")].lines().count() <= README_LINES);
}

/// The check itself: it finds what is wrong, and nothing else.
#[test]
fn broken_links_are_found() {
    let text = "# A page\n\n## `--mem SIZE`: how much?\n\n[a](other.md) `[no](link)`\n```\n[no](code)\n# no heading\n```\n## Twice\n## Twice\n";
    assert_eq!(links(text), ["other.md"]);
    assert_eq!(anchors(text), ["--mem-size-how-much", "a-page", "twice", "twice-1"].map(String::from).into());
    let page = |path: &str, text: &str| (PathBuf::from(path), text.to_string());
    let pages =
        BTreeMap::from([page("docs/a.md", text), page("docs/in/b.md", "# B\n"), page("README.md", "")]);
    let exists = |path: &Path| path == Path::new("docs/picture.svg");
    let check = |from: &str, link: &str| wrong(&pages, Path::new(from), link, &exists);
    for (from, link) in [
        ("docs/a.md", "in/b.md#b"),
        ("docs/a.md", "#twice-1"),
        ("docs/in/b.md", "../a.md#a-page"),
        ("docs/in/b.md", "../picture.svg"),
        ("README.md", "docs/a.md"),
        ("README.md", "https://example.org/x#y"),
    ] {
        assert_eq!(check(from, link), None, "{from}: {link}");
    }
    assert_eq!(check("docs/a.md", "c.md"), Some("no such file"));
    assert_eq!(check("docs/a.md", "c.md#x"), Some("no such page"));
    assert_eq!(check("docs/a.md", "in/b.md#c"), Some("no such heading"));
    assert_eq!(check("docs/a.md", "../README.md"), Some("leads out of the book"));
}
