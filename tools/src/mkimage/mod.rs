// SPDX-License-Identifier: GPL-2.0-only
//! `stowaway mkimage`: makes an image with the distribution's own tool, under a temporary name beside the place
//! where it will be, and moves it there when it is whole.

mod draft;
mod measure;
mod recipe;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use stowaway_config::{format_size, parse_size};

use crate::cli::{FsType, MkimageOptions};
use crate::fail::{reason, Failure, EXIT_FAILED};
use crate::{host, packages};
use draft::Draft;
use measure::Content;
use recipe::Recipe;

/// Makes the image; says so on stdout.
pub fn mkimage(options: &MkimageOptions) -> Result<i32, Failure> {
    let fstype = options.fstype;
    check_dir(options)?;
    let tool = find_tool(recipe::tool(fstype))?;
    let content = match &options.dir {
        Some(dir) => measure::measure(dir).map_err(|why| failed(dir, &why))?,
        None => Content::default(),
    };
    let size = size(options, &content)?;
    host::catch_signals();
    let draft = Draft::new(&options.image, options.force)?;
    if let Some(bytes) = size {
        draft.resize(bytes)?;
    }
    let recipe = Recipe {
        fstype,
        size,
        inodes: content.inodes,
        label: options.label.as_deref(),
        dir: options.dir.as_deref(),
        scratch: draft.scratch(),
        image: draft.path(),
    };
    let mut command = Command::new(&tool);
    recipe.arguments(&mut command).map_err(|why| failed(&options.image, &why))?;
    run_tool(&mut command, options, &draft)?;
    if let Some(mut command) = recipe.finish() {
        run_tool(&mut command, options, &draft)?;
    }
    let bytes = draft.keep()?;
    let from = options.dir.as_ref().map(|dir| format!(", filled from {}", dir.display())).unwrap_or_default();
    let megabytes = format_size(bytes.div_ceil(1 << 20) << 20);
    let line = format!("{}: {} image of {megabytes}{from}", options.image.display(), fstype.name());
    writeln!(std::io::stdout(), "{line}")
        .map_err(|error| failed(Path::new("standard output"), &reason(&error)))?;
    Ok(0)
}

fn failed(path: &Path, why: &str) -> Failure {
    Failure::new(EXIT_FAILED, format!("{}: {why}", path.display()))
}

/// Whether DIR and TYPE go together, and DIR is a directory that does not hold the image.
fn check_dir(options: &MkimageOptions) -> Result<(), Failure> {
    let name = options.fstype.name();
    let Some(dir) = &options.dir else {
        if recipe::needs_dir(options.fstype) {
            let why =
                format!("{name} is read-only: an empty image would be of no use; give a DIR to fill it from");
            return Err(Failure::new(EXIT_FAILED, format!("--type {why}")));
        }
        return Ok(());
    };
    if matches!(options.fstype, FsType::Xfs | FsType::Vfat) {
        let image = options.image.display();
        return Err(Failure::new(
            EXIT_FAILED,
            format!(
                "--type {name}: its image cannot be filled from {dir} while it is made; make it without a DIR, \
                 then: stowaway run --mount {image}:/mnt/data -- cp -a {dir}/. /mnt/data/",
                dir = dir.display()
            ),
        ));
    }
    let meta = std::fs::metadata(dir).map_err(|error| failed(dir, &reason(&error)))?;
    if !meta.is_dir() {
        return Err(failed(dir, "is not a directory"));
    }
    let parent = draft::parent(&options.image);
    match (std::fs::canonicalize(dir), std::fs::canonicalize(parent)) {
        (Ok(dir), Ok(parent)) if parent.starts_with(&dir) => Err(failed(
            &options.image,
            "would lie inside the directory that fills it; put the image elsewhere",
        )),
        _ => Ok(()),
    }
}

fn find_tool(tool: &'static str) -> Result<std::path::PathBuf, Failure> {
    packages::find_command(tool).ok_or_else(|| {
        let package = packages::package_of(tool).unwrap_or(tool);
        let why = format!("{tool}: not found; sudo apt-get install {package}");
        Failure::new(EXIT_FAILED, why)
    })
}

/// The size of the image; `None` where the content alone decides.
fn size(options: &MkimageOptions, content: &Content) -> Result<Option<u64>, Failure> {
    let (name, least) = (options.fstype.name(), recipe::least_size(options.fstype));
    let given = options.size.as_deref().filter(|size| *size != "auto");
    let fail = |why: String| Failure::new(EXIT_FAILED, format!("--size: {why}"));
    if recipe::needs_dir(options.fstype) {
        return match given {
            None => Ok(None),
            Some(_) => Err(fail(format!("an image of {name} is as large as its content"))),
        };
    }
    let Some(text) = given else { return Ok(Some(least.max(content.room()))) };
    let bytes = parse_size(text)
        .ok_or_else(|| fail(format!("{text:?} is not a size; allowed are auto, or such as 64M and 2G")))?;
    if bytes < least {
        return Err(fail(format!("{text} is too little for {name}; at least {}", format_size(least))));
    }
    if bytes > i64::MAX as u64 {
        return Err(fail(format!("{text} is more than a file can hold")));
    }
    Ok(Some(bytes & !4095))
}

/// Runs the tool to its end. A signal to us ends it.
fn run_tool(command: &mut Command, options: &MkimageOptions, draft: &Draft) -> Result<(), Failure> {
    let tool =
        Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let fail = |why: String| failed(&options.image, &format!("{tool}: {why}"));
    // Kept in a file, a tool cannot block on a full pipe while its end is waited for.
    let words = draft.scratch().join("words");
    let said = File::create(&words).and_then(|file| Ok((file.try_clone()?, file)));
    let (out, err) = said.map_err(|error| fail(reason(&error)))?;
    let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
    let mut child = child.map_err(|error| fail(reason(&error)))?;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|error| fail(reason(&error)))? {
            break status;
        }
        if let Some(signal) = host::caught_signal() {
            host::kill(child.id(), signal);
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    if let Some(signal) = host::caught_signal() {
        return Err(fail(format!("interrupted by signal {signal}")));
    }
    if status.success() {
        return Ok(());
    }
    Err(fail(last_words(&words).unwrap_or_else(|| status.to_string())))
}

/// What the tool said last, and what may help.
fn last_words(words: &Path) -> Option<String> {
    let text = String::from_utf8_lossy(&std::fs::read(words).ok()?).into_owned();
    let last = text.lines().rev().find(|line| !line.trim().is_empty())?.trim().to_string();
    let lower = text.to_lowercase();
    let full =
        ["could not allocate", "no space", "not enough", "too small"].iter().any(|word| lower.contains(word));
    Some(if full { format!("{last}; give a larger --size") } else { last })
}
