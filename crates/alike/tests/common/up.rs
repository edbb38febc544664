//! A running `alike up` with sources, replicas and a config file of its own.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use alike_testkit::{Alike, Live, Run, Tree, wait_until};
use serde_json::Value;
use tempfile::TempDir;

use super::{SOON, text};

pub struct Up {
    pub alike: Alike,
    pub room: TempDir,
    live: Option<Live>,
}

impl Up {
    /// A room with nothing in it but a place for the config file.
    pub fn new() -> Self {
        let room = TempDir::with_prefix("alike-up-").unwrap();
        Self { alike: Alike::new(env!("CARGO_BIN_EXE_alike")), room, live: None }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.room.path().join(name)
    }

    pub fn config_file(&self) -> PathBuf {
        self.path("alike.toml")
    }

    pub fn source(&self, name: &str) -> Tree {
        Tree::make(self.path(name))
    }

    /// A job from the folder `name` to the folder `name`.replica, with more lines.
    pub fn job(&self, name: &str, more: &str) -> String {
        let (source, replica) = (self.path(name), self.path(&format!("{name}.replica")));
        format!("[[job]]\nname = {name:?}\nsource = {source:?}\nreplicas = [{replica:?}]\n{more}\n")
    }

    pub fn configure(&self, text: &str) {
        // As an editor that is careful does it: nobody reads half of it.
        let beside = self.path("alike.toml.new");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, self.config_file()).unwrap();
    }

    pub fn start(&mut self) -> &mut Live {
        let config = self.config_file();
        self.start_with(&["up", "--json", "-c", text(&config)])
    }

    pub fn start_with(&mut self, words: &[&str]) -> &mut Live {
        let here = self.room.path().to_owned();
        self.live.insert(self.alike.start(words, &here, &here))
    }

    /// The same as systemd starts a service that it listens for: with the listener, which is called `name`.
    pub fn start_for(&mut self, listener: TcpListener, name: &str) -> &mut Live {
        let (config, here) = (self.config_file(), self.room.path().to_owned());
        let words = ["up", "-c", text(&config)];
        self.live.insert(self.alike.start_for((listener, name), &words, &here, &here))
    }

    pub fn live(&mut self) -> &mut Live {
        self.live.as_mut().unwrap()
    }

    pub fn ask(&self, words: &[&str]) -> Run {
        self.alike.run(words)
    }

    /// `alike status --json`; none while nobody answers.
    pub fn status(&self) -> Option<Value> {
        serde_json::from_str(&self.ask(&["status", "--json"]).out()).ok()
    }

    /// What the status has of the first replica of a job.
    pub fn replica(&self, job: &str) -> Value {
        let status = self.status().unwrap_or_default();
        let jobs = status["jobs"].as_array().cloned().unwrap_or_default();
        let job = jobs.into_iter().find(|found| found["name"] == job);
        job.map_or(Value::Null, |job| job["replicas"][0].clone())
    }

    #[track_caller]
    pub fn wait_for_state(&self, job: &str, state: &str) -> Value {
        let mut last = Value::Null;
        let came = wait_until(SOON, || {
            last = self.replica(job);
            last["state"] == state
        });
        assert!(came, "{job} is not {state}: {last:#}");
        last
    }

    #[track_caller]
    pub fn wait_until_same(&self, job: &str) {
        let (source, replica) = (self.path(job), self.path(&format!("{job}.replica")));
        assert!(wait_until(SOON, || same(&source, &replica)), "{job} is not identical after {SOON:?}");
    }

    #[track_caller]
    pub fn stop(&mut self) -> Option<i32> {
        let live = self.live();
        live.terminate();
        live.wait_exit(Duration::from_secs(20))
    }
}

pub fn same(source: &Path, replica: &Path) -> bool {
    replica.is_dir() && alike_testkit::compare(source, replica).is_empty()
}
