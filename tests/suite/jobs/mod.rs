#![allow(clippy::unwrap_used, clippy::expect_used)]
//! The configuration and its jobs, through the program.

mod configuration;
mod daemon;
mod export;
mod monitoring;
mod runs;
mod schedule;
mod space;
mod status;

use crate::cli::TestEnvironment;

/// A database, a tree with something to leave out, and a repository opened by a key file, all named
/// by a configuration. `job` is added to its one job.
pub fn world(job: &str) -> TestEnvironment {
    let world = TestEnvironment::bare();
    world.database("app.db", 100);
    world.write("srv/a.txt", "alpha");
    world.write("srv/node_modules/x.js", "rebuilt");
    world.run(&["key", "generate", "host.key"]).expect(0);
    configure(&world, job);
    world.run(&["repo", "init", "-r", "local"]).expect(0);
    world
}

/// Writes the configuration anew.
pub fn configure(world: &TestEnvironment, job: &str) {
    let text = format!(
        "version = 1\nname = \"portal\"\ntimezone = \"Asia/Almaty\"\nenv_files = [\"app.env\"]\n\n\
         [repository.local]\nurl = \"backup\"\nkey = {{ file = \"host.key\" }}\n\n\
         [source.db]\ntype = \"sqlite\"\npath = \"app.db\"\nexpect = {{ t = {{ min_rows = 50, max_drop = \"20%\" }} }}\n\
         labels = {{ sensitivity = \"critical\" }}\n\n\
         [source.files]\ntype = \"files\"\npaths = [\"srv\"]\n\
         exclude = [{{ glob = \"node_modules\", reason = \"npm ci\" }}]\n\n\
         [source.token]\ntype = \"env\"\nnames = [\"TOKEN\"]\n\n\
         [source.dump]\ntype = \"command\"\nfile = \"dump.txt\"\ncommand = [\"printenv\", \"TOKEN\"]\n\n\
         [observe]\nmetrics = \"portal.prom\"\n\n\
         [job.nightly]\nsources = [\"db\", \"files\", \"token\", \"dump\"]\n\
         repositories = [\"local\"]\nschedule = \"daily 03:00\"\n{job}\n"
    );
    world.write("icecore.toml", text);
    world.write("app.env", "TOKEN=sesame\n");
}
