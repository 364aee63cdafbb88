//! The arrows of ARCHITECTURE.md, asserted from the manifests, and what the documents promise of the folders.

mod imports;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Our crates, by folder and name.
const CRATES: [(&str, &str); 14] = [
    ("rules", "rules"),
    ("domain", "domain"),
    ("projections", "projections"),
    ("copies", "copies"),
    ("store-sled", "store-sled"),
    ("store-eventstoredb", "store-eventstoredb"),
    ("engine", "engine"),
    ("import", "import"),
    ("simulate", "simulate"),
    ("server", "server"),
    ("client", "client"),
    ("cli", "kaigi"),
    ("tests", "tests"),
    ("benches", "benches"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Which of our crates the one in `folder` depends on, in any section.
fn arrows(folder: &str) -> BTreeSet<&'static str> {
    let manifest = read(&format!("{folder}/Cargo.toml"));
    let mut in_dependencies = false;
    let mut found = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies");
        }
        let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
        let ours = CRATES.iter().find(|(_, ours)| *ours == name);
        found.extend(ours.filter(|_| in_dependencies).map(|(_, name)| *name));
    }
    found
}

#[test]
fn the_domain_knows_the_rules_and_the_rules_no_crate_of_ours() {
    assert_eq!(arrows("rules"), BTreeSet::new());
    assert_eq!(arrows("domain"), BTreeSet::from(["rules"]));
}

#[test]
fn no_projection_knows_a_store_and_no_store_a_projection() {
    assert_eq!(arrows("projections"), BTreeSet::from(["domain"]));
    for store in ["store-sled", "store-eventstoredb"] {
        assert_eq!(arrows(store), BTreeSet::from(["domain"]), "{store}");
    }
}

#[test]
fn copies_are_made_of_any_store_through_the_port() {
    assert_eq!(arrows("copies"), BTreeSet::from(["domain"]));
}

#[test]
fn commands_from_elsewhere_are_made_with_the_rules_alone() {
    assert_eq!(arrows("simulate"), BTreeSet::from(["domain"]));
    assert_eq!(arrows("import"), BTreeSet::from(["domain"]));
}

#[test]
fn the_service_knows_no_store_and_its_client_nothing_of_the_service() {
    assert_eq!(arrows("engine"), BTreeSet::from(["domain", "projections"]));
    assert_eq!(
        arrows("server"),
        BTreeSet::from(["domain", "engine", "projections"])
    );
    assert_eq!(arrows("client"), BTreeSet::from(["domain"]));
}

#[test]
fn the_program_brings_them_together() {
    let stores = ["store-eventstoredb", "store-sled"];
    let all = [
        "client",
        "copies",
        "domain",
        "engine",
        "import",
        "projections",
        "server",
        "simulate",
    ]
    .into_iter()
    .chain(stores);
    assert_eq!(arrows("cli"), all.collect());
}

/// Cargo runs documentation tests after all others, so they would push the closing table up out of sight.
#[test]
fn nothing_runs_after_the_closing_table() {
    for (folder, _) in CRATES {
        let manifest = read(&format!("{folder}/Cargo.toml"));
        let library = manifest.split("[lib]").nth(1).unwrap_or_default();
        let library = library.split("\n[").next().unwrap_or_default();
        assert!(
            library.contains("\ndoctest = false\n"),
            "{folder}/Cargo.toml"
        );
    }
    // Cargo goes by name: first through the packages, then through the tests of each.
    let last = CRATES.iter().map(|(_, name)| *name).max();
    assert_eq!(last, Some("tests"));
    let tests = fs::read_dir(root().join("tests/tests")).expect("the folder is there");
    let names = tests.map(|entry| entry.expect("an entry is read").file_name());
    assert_eq!(names.max().expect("there are tests"), "zz_skipped.rs");
}

#[test]
fn every_member_of_the_workspace_is_in_this_test() {
    let manifest = read("Cargo.toml");
    let members = manifest.lines().find(|line| line.starts_with("members"));
    let members: BTreeSet<_> = members
        .expect("there are members")
        .split('"')
        .skip(1)
        .step_by(2)
        .collect();
    assert_eq!(members, CRATES.iter().map(|(folder, _)| *folder).collect());
}

#[test]
fn only_one_file_of_the_program_chooses_the_store() {
    let folder = root().join("cli/src");
    let mut choosing = Vec::new();
    for file in rust_files(&folder) {
        let text = fs::read_to_string(&file).expect("our sources can be read");
        let stores = ["SledStore", "MemoryStore", "ClusterStore"];
        if stores.iter().any(|store| text.contains(store)) {
            choosing.push(
                file.strip_prefix(&folder)
                    .expect("it lies there")
                    .to_owned(),
            );
        }
    }
    assert_eq!(choosing, [Path::new("store.rs")]);
}

/// `rules/clippy.toml` refuses what the standard library has of it; the words are searched for what a list may miss.
#[test]
fn the_rules_depend_on_nothing_that_does_io() {
    let manifest = read("rules/Cargo.toml");
    let section = manifest.split("[dependencies]\n").nth(1);
    let section = section.and_then(|text| text.split("\n[").next());
    let names = section.expect("there are dependencies").lines();
    let names: BTreeSet<_> = names.filter_map(|line| line.split_once('.')).collect();
    let allowed = [
        "postcard",
        "serde",
        "serde_json",
        "sha2",
        "smol_str",
        "thiserror",
        "uuid",
    ];
    let allowed = allowed.map(|name| (name, "workspace = true"));
    assert_eq!(names, BTreeSet::from(allowed));
    // Random ids are a feature of their own.
    let shared = read("Cargo.toml");
    let uuid = shared.lines().find(|line| line.starts_with("uuid = "));
    assert!(!uuid.expect("it is there").contains("v4"));
    for file in rust_files(&root().join("rules/src")) {
        let text = fs::read_to_string(&file).expect("our sources can be read");
        for impure in [
            "std::fs", "std::net", "std::env", "std::io", "Instant", "new_v4", "async ",
        ] {
            assert!(!text.contains(impure), "{} uses {impure}", file.display());
        }
    }
}

#[test]
fn every_rule_that_a_decision_names_stands_in_the_specification() {
    let rules = read("docs/spec/rules.md");
    let readings = read("docs/decisions/readings.md");
    let decided = rules
        .lines()
        .filter(|line| line.contains("[decision]") && line.starts_with("- **R"));
    for line in decided {
        let rule = line
            .trim_start_matches("- **")
            .split("**")
            .next()
            .unwrap_or_default();
        let named = |line: &&str| {
            let first = line.split('|').nth(1).unwrap_or_default();
            first.split(',').any(|named| named.trim() == rule)
        };
        assert!(
            readings.lines().any(|line| named(&line)),
            "{rule} has a decision, and no function is named for it"
        );
    }
}

#[test]
fn every_function_that_a_reading_names_stands_in_its_module() {
    let readings = read("docs/decisions/readings.md");
    for line in readings.lines().filter(|line| line.starts_with("| R")) {
        let places = line.split('|').nth(3).unwrap_or_default();
        let mut module = None;
        for name in places.split('`').skip(1).step_by(2) {
            // A bare name stands in the module named before it.
            let (path, function) = name.rsplit_once("::").unzip();
            module = path.or(module);
            let source = source_of(module.expect("the first name of a row has its module"));
            let function = format!("fn {}", function.unwrap_or(name));
            let defined = ['(', '<'].map(|next| format!("{function}{next}"));
            assert!(
                defined.iter().any(|begins| source.contains(begins)),
                "{name} is not there: {line}"
            );
        }
        assert!(module.is_some(), "no function is named: {line}");
    }
}

/// Of the recipe for a command: that each file is there, and that the example's command and event are named in no other.
#[test]
fn the_recipe_for_a_command_lists_every_file_that_names_its_command_or_event() {
    let contributing = read("CONTRIBUTING.md");
    let recipe = contributing.split("\n## Add a command with its event and rule\n");
    let recipe = recipe.last().and_then(|text| text.split("\n## ").next());
    let steps = recipe.expect("it is there").lines().filter_map(|line| {
        let (number, step) = line.split_once(". `")?;
        number.parse::<usize>().ok()?;
        step.split('`').next()
    });
    let steps: BTreeSet<_> = steps.collect();
    assert!(recipe.is_some_and(|text| text.contains(&format!(" {} files:", steps.len()))));
    for file in &steps {
        assert!(root().join(file).exists(), "{file}");
    }
    // The simulator may do it more often, and make mistakes with it.
    let more = [
        "simulate/src/story/mistakes.rs",
        "simulate/src/story/mod.rs",
    ];
    let crates = CRATES
        .iter()
        .map(|(folder, _)| root().join(folder).join("src"));
    let sources = crates.filter(|folder| !folder.starts_with(root().join("tests")));
    for file in sources
        .filter(|folder| folder.exists())
        .flat_map(|folder| rust_files(&folder))
    {
        let text = fs::read_to_string(&file).expect("our sources can be read");
        let named = ["SuggestWrapUp", "WrapUpSuggested"]
            .iter()
            .any(|name| text.contains(name));
        let file = file.strip_prefix(root()).expect("it lies there");
        let file = file.to_str().expect("our files have plain names");
        assert!(
            !named || steps.contains(file) || more.contains(&file),
            "{file}"
        );
    }
}

/// The text of a module of `rules` or `domain`, as its path names it.
fn source_of(module: &str) -> String {
    let path = module.replace("::", "/");
    let places = ["rules", "domain"].map(|folder| format!("{folder}/src/{path}"));
    let files = places.map(|place| [format!("{place}.rs"), format!("{place}/mod.rs")]);
    let mut files = files.iter().flatten();
    let file = files.find(|file| root().join(file).exists());
    read(file.unwrap_or_else(|| panic!("{module} is no module")))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
