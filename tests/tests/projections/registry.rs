//! The list of read models is the only place that names them all.

use projections::descriptions;
use std::fs;
use std::path::{Path, PathBuf};

/// Files with the code of the service, the command line and what they share.
fn sources() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let crates = ["cli", "client", "domain", "engine", "projections", "server"];
    let mut folders: Vec<_> = crates.map(|name| root.join(name).join("src")).into();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files
}

#[test]
fn a_read_model_is_named_in_its_file_and_in_the_list() {
    let names = ["WrapUpQueue", "wrap_up_queue", "wrap-up-queue"];
    let mut naming: Vec<_> = sources()
        .into_iter()
        .filter(|path| {
            let text = fs::read_to_string(path).unwrap();
            names.iter().any(|name| text.contains(name))
        })
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    naming.sort_unstable();
    // Beside them only a metric that counts its rows, and an example in the help.
    let expected = [
        "args.rs",
        "lib.rs",
        "observe.rs",
        "registry.rs",
        "wrap_up_queue.rs",
    ];
    assert_eq!(naming, expected);
}

#[test]
fn the_routes_of_a_read_model_have_its_name() {
    for model in descriptions() {
        assert_eq!(model.paths[0], format!("/v1/{}", model.name));
        assert_eq!(model.changes_path, format!("{}/changes", model.paths[0]));
    }
}

/// CSV has its columns in this order, and JSON its fields.
#[test]
fn the_columns_of_every_row_stand_in_the_order_of_the_interface() {
    let columns: Vec<_> = descriptions()
        .flat_map(|model| model.rows)
        .map(|rows| rows.shape.columns.join(" "))
        .collect();
    let expected = [
        "call revision queue phase phase_since answered_at primary parties consult supervisors",
        "call agent queue since why suggestions",
        "call queue answered_at ended_at talking_ms conference_ms wrap_up_assist_ms handle_ms \
         customer_held_ms consult_ms open",
        "call agent queue answered_at ended_at engaged_ms held_ms wrap_up_ms handle_ms \
         conference_ms consult_ms wrap_up_assist_ms open",
        "key from to metric count sum_ms mean_ms p50_ms p90_ms p95_ms p99_ms max_ms open",
        "call may_start rule sessions",
    ];
    assert_eq!(columns, expected);
}
