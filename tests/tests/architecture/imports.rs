//! No file of a crate imports, over any number of others, from a file that imports from it.
//!
//! An arrow leads from a file that names an item, in a `use` or a path, to the file that defines the item. A re-export
//! is followed to the definition, and is no arrow itself. Declaring a module is none either, and code only for tests is
//! left out.

use super::{CRATES, root, rust_files};
use fancy_regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A module's path from the root of its crate.
type Name = Vec<String>;

/// One file, which is one module with the modules written inside it.
#[derive(Default)]
struct SourceFile {
    name: Name,
    /// Names of items that stand in it.
    items: BTreeSet<String>,
    /// Names that a `use` brings in, and what they stand for.
    imports: BTreeMap<String, Name>,
    /// The names among them that a `pub use` hands on.
    re_exports: BTreeSet<String>,
    /// Modules from which a `use` brings in everything.
    globs: Vec<Name>,
    /// Every name that occurs outside of a `use`.
    words: BTreeSet<String>,
    /// Paths with at least two parts, as they are written.
    paths: BTreeSet<Name>,
}

#[test]
fn no_files_of_a_crate_import_from_each_other_in_a_circle() {
    let mut circles = Vec::new();
    for (folder, _) in CRATES {
        let files = files_of(&root().join(folder).join("src"));
        assert!(!files.is_empty(), "{folder} has no sources");
        let arrows = arrows_among(&files);
        for circle in circles_among(&arrows) {
            circles.push(format!("in {folder}:"));
            for from in &circle {
                let within = circle.iter().filter(|to| arrows[*from].contains(*to));
                let names: Vec<_> = within.map(|name| shown(name)).collect();
                circles.push(format!("  {} -> {}", shown(from), names.join(", ")));
            }
        }
    }
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn a_circle_over_a_re_export_and_a_path_is_found() {
    let files: Vec<_> = [
        (&[][..], "mod a; mod b; pub use a::One; fn f() {}"),
        (&["a"], "pub struct One; fn g() { crate::b::two() }"),
        (&["b"], "use super::One; pub fn two() -> One { One }"),
    ]
    .into_iter()
    .map(|(name, text)| parsed(name.iter().map(ToString::to_string).collect(), text))
    .collect();
    let circles = circles_among(&arrows_among(&files));
    let names = circles.iter().flatten().map(|name| name.join("::"));
    assert_eq!(names.collect::<Vec<_>>(), ["a", "b"]);
}

/// The files of a crate; the root is `lib.rs`, and where there is none `main.rs`.
fn files_of(folder: &Path) -> Vec<SourceFile> {
    let mut files = Vec::new();
    for path in rust_files(folder) {
        let inside = path.strip_prefix(folder).expect("it lies there");
        let is_other_root = inside.starts_with("bin") || inside == Path::new("main.rs");
        if is_other_root && folder.join("lib.rs").exists() {
            continue;
        }
        let text = fs::read_to_string(&path).expect("our sources can be read");
        files.push(parsed(name_of(inside), &text));
    }
    files
}

fn shown(name: &Name) -> String {
    if name.is_empty() {
        "lib.rs".to_owned()
    } else {
        name.join("::")
    }
}

fn name_of(inside: &Path) -> Name {
    let path = inside.with_extension("");
    let parts = path.iter().map(|part| part.to_string_lossy().into_owned());
    let mut name: Name = parts.collect();
    if name.last().is_some_and(|last| last == "mod") || ["lib", "main"].contains(&&*name.join("/"))
    {
        name.pop();
    }
    name
}

fn parsed(name: Name, text: &str) -> SourceFile {
    let mut source = SourceFile {
        name,
        ..SourceFile::default()
    };
    let tokens = without_tests(&tokens_of(text));
    let mut depth = 0_usize;
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].as_str() {
            "{" => depth += 1,
            "}" => {
                depth = depth
                    .checked_sub(1)
                    .expect("every block that ends has begun");
            }
            "use" if tokens[at + 1] != "<" => {
                let end = at + until(&tokens[at..], ";");
                let known: BTreeSet<_> = source.imports.keys().cloned().collect();
                source.add_use(&[], &tokens[at + 1..end]);
                if at > 0 && ["pub", ")"].contains(&&*tokens[at - 1]) {
                    let names = source.imports.keys().filter(|name| !known.contains(*name));
                    source.re_exports.extend(names.cloned());
                }
                at = end;
            }
            "mod" => at += 1,
            word if depth == 0 && DEFINING.contains(&word) => {
                source.items.insert(tokens[at + 1].clone());
            }
            "macro_rules" => drop(source.items.insert(tokens[at + 2].clone())),
            word if is_name(word) && tokens.get(at + 1).is_some_and(|next| next == "::") => {
                let path = path_at(&tokens[at..]);
                source.words.extend(path.iter().cloned());
                at += 2 * path.len() - 2;
                source.paths.insert(path);
            }
            word => drop(source.words.insert(word.to_owned())),
        }
        at += 1;
    }
    source
}

/// The keywords before the name of an item.
const DEFINING: [&str; 7] = ["const", "enum", "fn", "static", "struct", "trait", "type"];

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Where that token first stands; the end if it does not.
fn until(tokens: &[String], token: &str) -> usize {
    let found = tokens.iter().position(|other| other == token);
    found.unwrap_or(tokens.len())
}

/// The names joined by `::` that begin here.
fn path_at(tokens: &[String]) -> Name {
    let mut path = vec![tokens[0].clone()];
    for pair in tokens[1..].chunks_exact(2) {
        if pair[0] != "::" || !is_name(&pair[1]) {
            break;
        }
        path.push(pair[1].clone());
    }
    path
}

/// Names, `::` and single signs; comments, texts, numbers and lifetimes are left out.
fn tokens_of(text: &str) -> Vec<String> {
    let literal = r##"//[^\n]*|/\*(?s:.*?)\*/|b?r#"(?s:.*?)"#|b?r"[^"]*"|b?"(?:\\(?s:.)|[^"\\])*"|b?'(?:\\[^\n][^'\n]{0,8}|[^'\\\n])'|'\w+"##;
    let token = Regex::new(&format!(r"(?P<left_out>{literal})|[A-Za-z_]\w*|::|[^\s\w]"))
        .expect("it is a pattern");
    let found = token
        .captures_iter(text)
        .map(|found| found.expect("it ends"));
    let kept = found.filter(|found| found.name("left_out").is_none());
    kept.map(|found| found[0].to_owned()).collect()
}

/// The same without each item that only tests have.
fn without_tests(tokens: &[String]) -> Vec<String> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at..].iter().take(MARK.len()).eq(MARK) {
            at += MARK.len();
            at += item_length(&tokens[at..]);
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// How many tokens the item has that begins here: up to its block's end, or its semicolon.
fn item_length(tokens: &[String]) -> usize {
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "(" | "[" => depth += 1,
            ")" | "]" => depth -= 1,
            ";" if depth == 0 => return index + 1,
            "{" if tokens[0] != "use" => return index + block_length(&tokens[index..]),
            _ => {}
        }
    }
    tokens.len()
}

/// How many tokens the block has that begins here.
fn block_length(tokens: &[String]) -> usize {
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate() {
        depth += match token.as_str() {
            "{" => 1,
            "}" => -1,
            _ => 0,
        };
        if depth == 0 {
            return index + 1;
        }
    }
    tokens.len()
}

impl SourceFile {
    /// A path as it is written here, from the root of the crate; `None` if it leads out of the crate.
    fn absolute(&self, path: &[String]) -> Option<Name> {
        let (first, rest) = path.split_first()?;
        let mut name = match first.as_str() {
            "crate" => Vec::new(),
            "self" => self.name.clone(),
            "super" => self.name.split_last()?.1.to_vec(),
            _ => return None,
        };
        for part in rest {
            match part.as_str() {
                "self" => {}
                "super" => drop(name.pop()),
                _ => name.push(part.clone()),
            }
        }
        Some(name)
    }

    /// Adds what a `use` brings in; `tokens` is its tree, or a part of it.
    fn add_use(&mut self, before: &[String], tokens: &[String]) {
        let mut path = before.to_vec();
        let mut at = 0;
        while at < tokens.len() {
            match tokens[at].as_str() {
                "{" => {
                    let end = at + block_length(&tokens[at..]);
                    for part in split_at_commas(&tokens[at + 1..end - 1]) {
                        self.add_use(&path, part);
                    }
                    return;
                }
                "*" => return self.globs.push(path),
                "as" => return drop(self.imports.insert(tokens[at + 1].clone(), path)),
                "self" if at > 0 || !before.is_empty() => {}
                name if is_name(name) => path.push(name.to_owned()),
                _ => {}
            }
            at += 1;
        }
        if let Some(last) = path.last().cloned() {
            self.imports.insert(last, path);
        }
    }
}

fn split_at_commas(tokens: &[String]) -> Vec<&[String]> {
    let mut depth = 0;
    let parts = tokens.split(|token| {
        depth += match token.as_str() {
            "{" => 1,
            "}" => -1,
            _ => 0,
        };
        depth == 0 && token == ","
    });
    parts.collect()
}

/// From each file to the files it names items of.
fn arrows_among(files: &[SourceFile]) -> BTreeMap<&Name, BTreeSet<&Name>> {
    let by_name: BTreeMap<_, _> = files.iter().map(|file| (&file.name, file)).collect();
    let mut arrows = BTreeMap::new();
    for file in files {
        let is_used = |name| !file.re_exports.contains(name) || file.words.contains(name);
        let imports = file.imports.iter().filter(|(name, _)| is_used(*name));
        let targets = imports
            .map(|(_, path)| path)
            .chain(&file.globs)
            .chain(&file.paths)
            .filter_map(|path| defining_file(&by_name, file, path, 0))
            .filter(|target| **target != file.name);
        arrows.insert(&file.name, targets.collect());
    }
    arrows
}

/// Imports may lead in a circle by glob, which the compiler resolves and this search gives up.
const MOST_STEPS: usize = 8;

/// The file that defines what a path in that file stands for. A path that names a module leads nowhere.
fn defining_file<'f>(
    files: &BTreeMap<&'f Name, &'f SourceFile>,
    from: &'f SourceFile,
    path: &[String],
    steps: usize,
) -> Option<&'f Name> {
    let (first, rest) = path.split_first()?;
    if steps > MOST_STEPS {
        return None;
    }
    let absolute = from.absolute(path).or_else(|| {
        let mut child = from.name.clone();
        child.push(first.clone());
        if files.contains_key(&child) {
            child.extend(rest.iter().cloned());
            return Some(child);
        }
        let import = from.imports.get(first).filter(|_| !rest.is_empty())?;
        (import.first() != Some(first)).then_some(())?;
        let mut path = from.absolute(import)?;
        path.extend(rest.iter().cloned());
        Some(path)
    })?;
    let depth = (0..=absolute.len()).rev();
    let mut modules = depth.filter_map(|depth| {
        let file = files.get(&absolute[..depth].to_vec())?;
        Some((*file, &absolute[depth..]))
    });
    let (module, inside) = modules.next()?;
    let item = inside.first()?;
    if module.items.contains(item) {
        return Some(&module.name);
    }
    if module.name == from.name && steps > 0 {
        return None;
    }
    let import = module.imports.get(item);
    let globs = module.globs.iter().map(|glob| {
        let mut path = glob.clone();
        path.push(item.clone());
        path
    });
    let mut candidates = import.cloned().into_iter().chain(globs);
    candidates.find_map(|path| defining_file(files, module, &path, steps + 1))
}

/// The sets of files each of which reaches all others of its set.
fn circles_among<'f>(arrows: &BTreeMap<&'f Name, BTreeSet<&'f Name>>) -> Vec<Vec<&'f Name>> {
    let reached: BTreeMap<_, _> = arrows
        .keys()
        .map(|name| (*name, all_reached(arrows, name)))
        .collect();
    let mut circles: BTreeSet<Vec<&Name>> = BTreeSet::new();
    for (name, there) in &reached {
        if there.contains(name) {
            let back = there.iter().filter(|other| reached[*other].contains(name));
            circles.insert(back.copied().collect());
        }
    }
    circles.into_iter().collect()
}

fn all_reached<'f>(
    arrows: &BTreeMap<&'f Name, BTreeSet<&'f Name>>,
    from: &Name,
) -> BTreeSet<&'f Name> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<_> = arrows[from].iter().copied().collect();
    while let Some(name) = next.pop() {
        if reached.insert(name) {
            next.extend(arrows[name].iter().copied());
        }
    }
    reached
}
