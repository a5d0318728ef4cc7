// SPDX-License-Identifier: GPL-2.0-only
//! Reads which module of a crate imports which, and holds that against the order that the crate says.
//!
//! A crate's root (`lib.rs`, `main.rs`), or the `mod.rs` of a room, has a line `//! Floors, from the lowest: a, b, c.` A
//! module in floor b may name `crate::a::...` and `crate::b::...`, and not `crate::c::...`. Unit tests and comments do not
//! count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The line that says the order.
const ORDER: &str = "Floors, from the lowest:";

/// What one crate's sources import.
#[derive(Default)]
pub struct House {
    /// Each module's path in the crate (`a::b`; the root is empty), and the modules that it names.
    pub imports: BTreeMap<String, BTreeSet<String>>,
    /// The orders: by the module that says them.
    pub orders: BTreeMap<String, Vec<String>>,
}

/// Reads the crate whose sources are in `src`.
pub fn read(src: &Path) -> House {
    let mut files = BTreeMap::new();
    collect(src, src, &mut files);
    assert!(!files.is_empty(), "no sources in {}", src.display());
    house(&files)
}

fn collect(src: &Path, dir: &Path, files: &mut BTreeMap<String, String>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(src, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            // A crate may have two roots: a library, and a program that uses the library.
            let text: &mut String = files.entry(module_of(src, &path)).or_default();
            text.push_str(&fs::read_to_string(&path).expect("a source"));
        }
    }
}

fn module_of(src: &Path, file: &Path) -> String {
    let path = file.strip_prefix(src).expect("below").with_extension("");
    let mut names: Vec<_> = path.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    if matches!(names.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        names.pop();
    }
    names.join("::")
}

/// The house of these modules: path and text.
pub fn house(files: &BTreeMap<String, String>) -> House {
    let mut house = House::default();
    for (module, text) in files {
        if let Some(order) = order(text) {
            house.orders.insert(module.clone(), order);
        }
        let named = paths(&code(text), module);
        let imports = named.iter().filter_map(|path| longest_module(files, path));
        let imports = imports.filter(|other| other != module).collect();
        house.imports.insert(module.clone(), imports);
    }
    house
}

/// The order that a module's head says.
fn order(text: &str) -> Option<Vec<String>> {
    let head: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("//!")).map(str::trim).collect();
    let head = head.join(" ");
    let list = head.split_once(ORDER)?.1.split_once('.')?.0;
    Some(list.split(',').map(|name| name.trim().to_string()).collect())
}

/// The text without comments and without its unit tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text);
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or(""));
    lines.collect::<Vec<_>>().join("\n")
}

/// Every path that begins with `crate::`, or with `super::` in a module at `at`, with groups taken apart.
fn paths(code: &str, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (start, _) in code.match_indices("crate::") {
        let is_word = code[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if !is_word {
            expand("", &code[start + "crate::".len()..], &mut found);
        }
    }
    let parent = at.rsplit_once("::").map_or("", |(parent, _)| parent);
    for (start, _) in code.match_indices("super::") {
        if !code[..start].ends_with("::") {
            let prefix = if parent.is_empty() { String::new() } else { format!("{parent}::") };
            expand(&prefix, &code[start + "super::".len()..], &mut found);
        }
    }
    found
}

/// Takes `a::{b, c::{d}}` apart.
fn expand(prefix: &str, text: &str, found: &mut Vec<String>) {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    let path = format!("{prefix}{}", &text[..end]);
    if !text[end..].starts_with('{') {
        found.push(path.trim_end_matches(':').to_string());
        return;
    }
    let (mut depth, mut item) = (0, end + 1);
    for (i, c) in text[end..].char_indices() {
        let i = end + i;
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || depth == 1 && c == ',' {
            let part = text[item..i].trim();
            if !part.is_empty() {
                expand(&path, part, found);
            }
            item = i + 1;
        }
        if depth == 0 {
            break;
        }
    }
}

/// The module that a path leads into: a path ends with names that are none.
fn longest_module(files: &BTreeMap<String, String>, path: &str) -> Option<String> {
    let mut path = path;
    loop {
        if files.contains_key(path) && !path.is_empty() {
            return Some(path.to_string());
        }
        path = path.rsplit_once("::")?.0;
    }
}

impl House {
    /// Imports that point upwards, as `from -> to`, and modules that stand on no floor.
    pub fn arrows_up(&self) -> Vec<String> {
        let mut up = Vec::new();
        for (room, order) in &self.orders {
            let prefix = if room.is_empty() { String::new() } else { format!("{room}::") };
            let floor = |module: &str| {
                let name = module.strip_prefix(&prefix)?.split("::").next()?;
                Some(order.iter().position(|floor| floor == name))
            };
            for (module, imports) in &self.imports {
                let Some(from) = floor(module).filter(|_| module != room) else { continue };
                let Some(from) = from else {
                    up.push(format!("{module} stands on no floor"));
                    continue;
                };
                let above = |to: &&String| floor(to).is_some_and(|to| to.is_some_and(|to| to > from));
                up.extend(imports.iter().filter(above).map(|to| format!("{module} -> {to}")));
            }
        }
        up
    }

    /// Circles of imports with more than two modules.
    pub fn circles(&self) -> Vec<Vec<String>> {
        let mut circles: Vec<Vec<String>> = Vec::new();
        for module in self.imports.keys() {
            let reached = self.reach(module);
            let circle: Vec<String> =
                reached.iter().filter(|other| self.reach(other).contains(module)).cloned().collect();
            if circle.len() > 2 && !circles.contains(&circle) {
                circles.push(circle);
            }
        }
        circles
    }

    /// Every module that a module's imports lead to.
    fn reach(&self, module: &str) -> BTreeSet<String> {
        let mut reached = BTreeSet::new();
        let mut open = vec![module.to_string()];
        while let Some(next) = open.pop() {
            for import in self.imports.get(&next).into_iter().flatten() {
                if reached.insert(import.clone()) {
                    open.push(import.clone());
                }
            }
        }
        reached
    }
}
