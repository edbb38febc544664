//! A Chromium without a window, driven over HTTP by the protocol of WebDriver.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use alike_testkit::wait_until;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use ureq::Agent;

use crate::common::SOON;
use crate::page::agent;

/// How WebDriver calls an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

pub struct Chromium {
    driver: Child,
    agent: Agent,
    session: String,
    _profile: tempfile::TempDir,
}

impl Chromium {
    /// Starts it with an empty profile.
    #[track_caller]
    pub fn start() -> Self {
        // A port that is free for one kind of address may be taken for the other; then it ends.
        let started = (0..10).find_map(|_| start_driver());
        let (driver, port) = started.expect("chromedriver finds no port");
        let profile = tempfile::TempDir::with_prefix("alike-chromium-").unwrap();
        let data = format!("--user-data-dir={}", profile.path().display());
        let args = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--force-color-profile=srgb",
            "--hide-scrollbars",
            &data,
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": args },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        } } });
        let agent = agent();
        let base = format!("http://127.0.0.1:{port}/session");
        let mut browser = Self { driver, agent, session: base, _profile: profile };
        let made = browser.post("", &wanted);
        browser.session = format!("{}/{}", browser.session, made["sessionId"].as_str().unwrap());
        browser.size(1080, 900);
        // What it opened by itself is none of the page's doing.
        browser.open("about:blank");
        browser.log("performance");
        browser.log("browser");
        browser
    }

    #[track_caller]
    fn post(&self, path: &str, wish: &Value) -> Value {
        let done = self.try_post(path, wish);
        done.unwrap_or_else(|why| panic!("{path} {wish}: {why}"))
    }

    fn try_post(&self, path: &str, wish: &Value) -> Result<Value, Value> {
        let sent =
            self.agent.post(format!("{}{path}", self.session)).header("content-type", "application/json");
        let mut answer = sent.send(wish.to_string()).unwrap();
        let value: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
        if answer.status() == 200 { Ok(value["value"].clone()) } else { Err(value["value"].clone()) }
    }

    #[track_caller]
    pub fn open(&self, address: &str) {
        self.post("/url", &json!({ "url": address }));
    }

    /// What a script returns.
    #[track_caller]
    pub fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until a script returns true.
    #[track_caller]
    pub fn until(&self, what: &str, script: &str) {
        // What is brought back is brought to the disk, which others may keep busy.
        let came = wait_until(SOON * 3, || self.run(script) == true);
        assert!(came, "never {what}:\n{}", self.text("body"));
    }

    #[track_caller]
    fn find(&self, selector: &str) -> String {
        let found = self.post("/element", &json!({ "using": "css selector", "value": selector }));
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub fn text(&self, selector: &str) -> String {
        let address = format!("{}/element/{}/text", self.session, self.find(selector));
        let answer = self.agent.get(address).call().unwrap().body_mut().read_to_string().unwrap();
        serde_json::from_str::<Value>(&answer).unwrap()["value"].as_str().unwrap().to_owned()
    }

    /// Clicks as a person would: what is covered or out of reach fails.
    #[track_caller]
    pub fn click(&self, selector: &str) {
        let mut why = Value::Null;
        let done = wait_until(SOON, || {
            let found = self.try_post("/element", &json!({ "using": "css selector", "value": selector }));
            let clicked = found.and_then(|found| {
                let id = found[ELEMENT].as_str().unwrap_or_default().to_owned();
                self.try_post(&format!("/element/{id}/click"), &json!({}))
            });
            clicked.map_err(|error| why = error).is_ok()
        });
        assert!(done, "cannot click {selector}: {why}\n{}", self.text("body"));
    }

    /// Clicks the first element of a kind that begins with this text.
    #[track_caller]
    pub fn click_text(&self, tag: &str, text: &str) {
        let mark = format!(
            "const it = [...document.querySelectorAll('{tag}')].find((one) => one.textContent.startsWith('{text}')); \
             if (it) it.dataset.meant = 'yes'; return !!it"
        );
        self.until(text, &mark);
        self.click("[data-meant]");
        self.run("delete document.querySelector('[data-meant]').dataset.meant");
    }

    /// Types into a field that is emptied first.
    #[track_caller]
    pub fn send(&self, selector: &str, text: &str) {
        let id = self.find(selector);
        self.post(&format!("/element/{id}/clear"), &json!({}));
        self.post(&format!("/element/{id}/value"), &json!({ "text": text }));
    }

    /// Presses a key.
    #[track_caller]
    pub fn press(&self, key: &str) {
        let actions = [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })];
        self.post("/actions", &json!({ "actions": [{ "type": "key", "id": "keys", "actions": actions }] }));
    }

    #[track_caller]
    fn command(&self, name: &str, given: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({ "cmd": name, "params": given }))
    }

    #[track_caller]
    pub fn size(&self, width: u32, height: u32) {
        let given =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700 });
        self.command("Emulation.setDeviceMetricsOverride", &given);
        std::thread::sleep(Duration::from_millis(100));
    }

    #[track_caller]
    pub fn prefers(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.command("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    #[track_caller]
    pub fn without_scripts(&self) {
        self.command("Emulation.setScriptExecutionDisabled", &json!({ "value": true }));
    }

    #[track_caller]
    pub fn screenshot(&self) -> Vec<u8> {
        // The last lines of the window are drawn late.
        let clip = json!({ "x": 0, "y": 0, "width": 1080, "height": 880, "scale": 1 });
        let png = self.command("Page.captureScreenshot", &json!({ "format": "png", "clip": clip }));
        BASE64_STANDARD.decode(png["data"].as_str().unwrap()).unwrap()
    }

    #[track_caller]
    fn log(&self, kind: &str) -> Vec<Value> {
        self.post("/se/log", &json!({ "type": kind })).as_array().unwrap().clone()
    }

    /// Panics if the page complained, broke its own policy, or asked anybody but `at` for anything.
    #[track_caller]
    pub fn assert_innocent(&self, at: &str) {
        let complaints = self.log("browser");
        assert_eq!(complaints, [Value::Null; 0], "the console is not empty");
        let ours = format!("http://{at}/");
        let mut asked = 0;
        for line in self.log("performance") {
            let message: Value = serde_json::from_str(line["message"].as_str().unwrap()).unwrap();
            let message = &message["message"];
            if message["method"] == "Network.requestWillBeSent" {
                let address = message["params"]["request"]["url"].as_str().unwrap();
                assert!(address.starts_with(&ours) || address.starts_with("data:"), "it asked {address}");
                asked += 1;
            }
        }
        assert!(asked >= 2, "the log of requests is empty");
    }
}

/// Starts it on a free port; `None` when it ended at once.
#[track_caller]
fn start_driver() -> Option<(Child, String)> {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|why| {
            panic!("chromedriver: {why}; scripts/test installs chromium and chromium-driver")
        });
    let said = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut said = said.filter_map(|line| {
        line.split_once("on port ").map(|(_, port)| port.trim_end_matches('.').to_owned())
    });
    let port = said.find(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if port.is_none() {
        let _ = driver.kill();
        let _ = driver.wait();
    }
    // It must never wait for who reads what it says.
    std::thread::spawn(move || said.for_each(drop));
    Some((driver, port?))
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.agent.delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
