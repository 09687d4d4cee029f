//! The cards of the tasks that `t5` knows: each a TOML file in `data/tasks`, which the crate `t5-trainer` reads.

/// The built-in task cards: name and TOML, by name.
pub const BUILTIN_TASKS: [(&str, &str); 2] = [
    ("glue/cola", include_str!("../tasks/glue/cola.toml")),
    ("glue/rte", include_str!("../tasks/glue/rte.toml")),
];
