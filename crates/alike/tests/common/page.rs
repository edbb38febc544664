//! An `alike up` with its page on a free port, and who asks it over HTTP.

#![allow(dead_code, reason = "each test file is a program of its own and uses a part of this")]

use std::io::{BufRead, BufReader};
use std::time::Duration;

use alike_testkit::{Live, Pair, wait_until};
use serde_json::{Value, json};
use ureq::Agent;

use crate::common::{SOON, text};

/// One job with one replica, and its page.
pub struct Page {
    pub pair: Pair,
    pub live: Live,
    /// `127.0.0.1:PORT`
    pub at: String,
    pub token: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub text: String,
    pub headers: Vec<(String, String)>,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(one, _)| one == name);
        found.map_or("", |(_, value)| value)
    }

    #[track_caller]
    pub fn expect(&self, status: u16, text: &str) -> &Self {
        assert!(self.status == status && self.text.contains(text), "expected {status} {text:?}: {self:?}");
        self
    }
}

pub fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(30)))
        .build()
        .into()
}

impl Page {
    /// Starts with what the pair has, and waits until the replica is identical.
    #[track_caller]
    pub fn of(pair: Pair) -> Self {
        Self::of_job(pair, "")
    }

    /// The same, with more keys of the job and more of the file.
    #[track_caller]
    pub fn of_job(pair: Pair, more: &str) -> Self {
        let page = Self::starting(pair, more);
        page.wait_for(SOON, "identical", |report| report["jobs"][0]["replicas"][0]["state"] == "identical");
        page
    }

    /// The same, without waiting.
    #[track_caller]
    pub fn starting(mut pair: Pair, more: &str) -> Self {
        Self::configure(&pair, "127.0.0.1:0", more);
        let run = pair.beside("run");
        std::fs::create_dir_all(&run).unwrap();
        pair.alike.run_after(&format!("export XDG_RUNTIME_DIR='{}'", run.display()));
        let config = pair.beside("alike.toml");
        let live = pair.alike.start(&["up", "-c", text(&config)], pair.source.top(), pair.replica.top());
        let mut page = Self { pair, live, at: String::new(), token: String::new() };
        page.find();
        page
    }

    pub fn configure(pair: &Pair, listen: &str, more: &str) {
        let text = format!(
            "[web]\nlisten = {listen:?}\n\n[[job]]\nname = \"documents\"\nsource = {:?}\nreplicas = [{:?}]\n{more}\n",
            pair.source.top(),
            pair.replica.top()
        );
        std::fs::write(pair.beside("alike.toml"), text).unwrap();
    }

    /// Where it is, as it says itself, the last time that it did.
    #[track_caller]
    pub fn find(&mut self) {
        let says = "the page is at http://";
        let mut at = None;
        let came = wait_until(SOON, || {
            let err = self.live.err();
            // What has come of the line may end anywhere.
            let rest = err.rsplit_once(says).and_then(|(_, rest)| rest.split_once('/'));
            at = rest.map(|(at, _)| at.to_owned());
            at.is_some()
        });
        assert!(came, "no page: {}", self.live.err());
        self.at = at.unwrap_or_default();
        let folder = self.pair.beside("run/alike");
        let tokens = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
        let token = tokens.into_iter().find(|path| path.to_string_lossy().ends_with(".page-token")).unwrap();
        self.token = std::fs::read_to_string(token).unwrap().trim().to_owned();
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    /// Asks for a path, with these headers instead of the usual ones.
    #[track_caller]
    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = agent().get(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request.call())
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[])
    }

    #[track_caller]
    pub fn post_with(&self, path: &str, wish: &Value, headers: &[(&str, &str)]) -> Answer {
        let mut request = agent().post(self.url(path)).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request.send(wish.to_string()))
    }

    /// As the page itself does it.
    #[track_caller]
    pub fn post(&self, path: &str, wish: &Value) -> Answer {
        let origin = format!("http://{}", self.at);
        self.post_with(path, wish, &[("x-alike-token", &self.token), ("origin", &origin)])
    }

    /// A wish that names the job, and more.
    pub fn wish(&self, more: Value) -> Value {
        let mut wish = json!({ "job": "documents" });
        for (key, value) in more.as_object().into_iter().flatten() {
            wish[key] = value.clone();
        }
        wish
    }

    #[track_caller]
    pub fn status(&self) -> Value {
        self.get("/api/status").expect(200, "{").json()
    }

    pub fn replica(&self) -> Value {
        self.status()["jobs"][0]["replicas"][0].clone()
    }

    #[track_caller]
    pub fn wait_for(&self, limit: Duration, what: &str, is_so: impl Fn(&Value) -> bool) {
        let mut last = Value::Null;
        let came = wait_until(limit, || {
            last = self.status();
            is_so(&last)
        });
        assert!(came, "never {what}: {last:#}\n{}", self.live.err());
    }

    /// Waits until a path is gone from the replica, and all is calm.
    #[track_caller]
    pub fn wait_gone(&self, path: &str) {
        assert!(wait_until(SOON, || !self.pair.replica.has(path)), "{path} is still there");
        self.wait_for(SOON, "calm", |report| {
            let replica = &report["jobs"][0]["replicas"][0];
            replica["state"] == "identical" && replica["lag_paths"] == 0
        });
    }

    /// The stream of events, from after this one on.
    pub fn follow(&self, last: Option<&str>) -> Events {
        let mut request = agent().get(self.url("/api/events"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let (_, body) = request.call().unwrap().into_parts();
        Events(Box::new(BufReader::new(body.into_reader())))
    }
}

#[track_caller]
fn answer(answered: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    let mut answered = answered.unwrap();
    let headers = answered.headers().iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("?").to_owned()));
    Answer {
        status: answered.status().as_u16(),
        headers: headers.collect(),
        text: answered.body_mut().read_to_string().unwrap(),
    }
}

/// Server-sent events.
pub struct Events(Box<dyn BufRead>);

/// One of them: what it is, its number, and what it says.
#[derive(Debug, Default, Clone)]
pub struct Sent {
    pub event: String,
    pub id: String,
    pub said: String,
}

impl Sent {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.said).unwrap()
    }
}

impl Iterator for Events {
    type Item = Sent;

    fn next(&mut self) -> Option<Sent> {
        let mut sent = Sent::default();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end_matches('\n');
            match line.split_once(": ") {
                None if !sent.said.is_empty() => return Some(sent),
                Some(("event", name)) => name.clone_into(&mut sent.event),
                Some(("id", id)) => id.clone_into(&mut sent.id),
                Some(("data", said)) => sent.said.push_str(said),
                _ => {}
            }
        }
    }
}
