//! A headless Chromium, driven over WebDriver (W3C) by chromedriver: what a person at the page can do, and what they see.
//!
//! Each has a profile of its own that goes with it, and resolves no name but loopback's: a page that asks anything of
//! anybody else gets an error.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use reqwest::blocking::Client;
use serde_json::{Value, json};

use crate::{Proc, Scratch, installed, scratch, wait_for};

/// Long enough for a browser's start on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// WebDriver's name of an element in JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Keys that are no letters, as WebDriver names them.
pub mod key {
    #![allow(missing_docs, reason = "they are what is printed on them")]
    pub const TAB: &str = "\u{e004}";
    pub const ENTER: &str = "\u{e007}";
    pub const SHIFT: &str = "\u{e008}";
    pub const CONTROL: &str = "\u{e009}";
    pub const ESCAPE: &str = "\u{e00c}";
    pub const SPACE: &str = "\u{e00d}";
    pub const END: &str = "\u{e010}";
    pub const HOME: &str = "\u{e011}";
    pub const UP: &str = "\u{e013}";
    pub const RIGHT: &str = "\u{e014}";
    pub const DOWN: &str = "\u{e015}";
    pub const DELETE: &str = "\u{e017}";
}

/// What the browser shows on.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// CSS pixels.
    pub width: u32,
    /// CSS pixels.
    pub height: u32,
    /// Whether the user prefers dark colours.
    pub dark: bool,
}

/// A monitor.
pub const WIDE: Screen = Screen {
    width: 1360,
    height: 900,
    dark: false,
};

/// A small telephone.
pub const SMALL: Screen = Screen {
    width: 360,
    height: 740,
    dark: false,
};

/// A browser with one page; it ends when this is dropped.
#[derive(Debug)]
pub struct Browser {
    http: Client,
    session: String,
    // in the order in which they go
    _driver: Proc,
    _profile: Scratch,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // ends Chromium, which would outlive a driver that is killed
        let _ = self.http.delete(&self.session).send();
    }
}

impl Browser {
    /// Starts one; `None`, with a line that says so, where it is not installed. Logs go to `dir`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(dir: &Path, screen: Screen) -> Option<Self> {
        let skipped = "the page in a browser";
        if !installed("chromedriver", skipped) || !installed("chromium", skipped) {
            return None;
        }
        let (driver, port) = driver(dir);
        let http = Client::builder()
            .no_proxy()
            .timeout(DEADLINE)
            .build()
            .expect("a client");
        let profile = scratch();
        let wanted = capabilities(profile.path());
        let root = format!("http://127.0.0.1:{port}/session");
        let made = request(&http, Method::POST, &root, &wanted).expect("a browser starts");
        let id = made["sessionId"].as_str().expect("a session").to_owned();
        let this = Self {
            http,
            session: format!("{root}/{id}"),
            _driver: driver,
            _profile: profile,
        };
        this.show_on(screen);
        Some(this)
    }

    /// Shows the page on another screen.
    ///
    /// # Panics
    /// When the browser is gone.
    pub fn show_on(&self, screen: Screen) {
        let colours = if screen.dark { "dark" } else { "light" };
        let media = json!([{ "name": "prefers-color-scheme", "value": colours }]);
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": media }));
        let (width, height, mobile) = (screen.width, screen.height, screen.width < 500);
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile });
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// Loads a page.
    ///
    /// # Panics
    /// When it cannot be loaded.
    pub fn open(&self, url: &str) {
        self.post("url", &json!({ "url": url }));
    }

    /// Runs the body of an async function in the page, with `args`; what it returns.
    ///
    /// # Panics
    /// When it throws.
    pub fn run(&self, body: &str, args: &Value) -> Value {
        let script = format!(
            "const done = arguments[1]; (async (args) => {{ {body} }})(arguments[0])
                .then((value) => done({{ value }}), (error) => done({{ error: String(error?.stack ?? error) }}));"
        );
        let answer = self.post(
            "execute/async",
            &json!({ "script": script, "args": [args] }),
        );
        assert!(answer["error"].is_null(), "{body}: {}", answer["error"]);
        answer["value"].clone()
    }

    /// Waits until an expression in the page is true, and gives what it is.
    ///
    /// # Panics
    /// When it is not in time; what the page says is printed.
    pub fn wait(&self, expression: &str, deadline: Duration) -> Value {
        let _told = PageText(self);
        let script = json!({ "script": format!("return {expression};"), "args": [] });
        wait_for(expression, deadline, || {
            let value = self.try_post("execute/sync", &script);
            value.ok().filter(truth)
        })
    }

    /// Waits until the first such element says this and nothing else.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn says(&self, css: &str, text: &str, deadline: Duration) {
        let (css, text) = (json!(css), json!(text));
        let said = format!("document.querySelector({css})?.textContent === {text}");
        self.wait(&said, deadline);
    }

    /// Waits until this is part of what the first such element says.
    ///
    /// # Panics
    /// When it is not in time.
    pub fn tells(&self, css: &str, part: &str, deadline: Duration) {
        let (css, part) = (json!(css), json!(part));
        let told = format!("document.querySelector({css})?.textContent.includes({part})");
        self.wait(&told, deadline);
    }

    /// Goes to another place in the page: what is behind the address, from `#` on.
    ///
    /// # Panics
    /// When the browser is gone.
    pub fn go(&self, place: &str) {
        self.run("location.hash = args;", &json!(place));
    }

    /// Two frames, so that what was measured has been drawn.
    ///
    /// # Panics
    /// When the browser is gone.
    pub fn settle(&self) {
        let frames = "await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));";
        self.run(frames, &Value::Null);
    }

    /// Drags something over the middle of the page, or drops it there: `dragEnter`, `dragOver` or `drop`, with `DragData` as
    /// the devtools protocol has it.
    ///
    /// # Panics
    /// When the browser is gone.
    pub fn drag(&self, what: &str, data: &Value) {
        let middle = self.run("return [innerWidth / 2, innerHeight / 2];", &Value::Null);
        let event = json!({ "type": what, "x": middle[0], "y": middle[1], "data": data });
        self.devtools("Input.dispatchDragEvent", &event);
    }

    /// Waits until there is such an element in sight, and clicks it.
    ///
    /// # Panics
    /// When there is none in time.
    pub fn click(&self, css: &str) {
        self.on(css, "click", &json!({}));
    }

    /// Waits until there is such a field, and types into it; into one for files: their paths.
    ///
    /// # Panics
    /// When there is none in time.
    pub fn fill(&self, css: &str, text: &str) {
        self.on(css, "value", &json!({ "text": text }));
    }

    /// Types into a field in the place of what is in it.
    ///
    /// # Panics
    /// When there is none in time.
    pub fn refill(&self, css: &str, text: &str) {
        self.click(css);
        self.run("document.activeElement.select();", &Value::Null);
        self.fill(css, text);
    }

    /// Presses keys, each with those before it that are [`key::SHIFT`] or [`key::CONTROL`] held.
    ///
    /// # Panics
    /// When the browser is gone.
    pub fn press(&self, keys: &[&str]) {
        let (mut actions, mut held) = (Vec::new(), Vec::new());
        for key in keys {
            actions.push(json!({ "type": "keyDown", "value": key }));
            if [key::SHIFT, key::CONTROL].contains(key) {
                held.push(*key);
                continue;
            }
            actions.push(json!({ "type": "keyUp", "value": key }));
            for held in held.drain(..) {
                actions.push(json!({ "type": "keyUp", "value": held }));
            }
        }
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.post("actions", &json!({ "actions": [keyboard] }));
    }

    /// Types letters, each by its key.
    ///
    /// # Panics
    /// When the browser is gone.
    pub fn type_keys(&self, text: &str) {
        let letters: Vec<String> = text.chars().map(String::from).collect();
        let keys: Vec<&str> = letters.iter().map(String::as_str).collect();
        self.press(&keys);
    }

    /// What the page has complained of so far: exceptions, blocked by the policy, requests that failed.
    ///
    /// # Panics
    /// When the browser is gone.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.post("se/log", &json!({ "type": "browser" }));
        let severe = |line: &&Value| line["level"] == "SEVERE";
        let lines = log.as_array().into_iter().flatten().filter(severe);
        lines.map(|line| line["message"].to_string()).collect()
    }

    /// Writes what is on the screen to a PNG file.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn photograph(&self, path: &Path) {
        let url = format!("{}/screenshot", self.session);
        let image = request(&self.http, Method::GET, &url, &Value::Null).expect("a picture");
        let bytes = STANDARD.decode(image.as_str().expect("base64"));
        fs::write(path, bytes.expect("base64")).expect("written");
    }

    /// A command of Chromium's own.
    ///
    /// # Panics
    /// When it is refused.
    pub fn devtools(&self, command: &str, params: &Value) {
        self.post(
            "goog/cdp/execute",
            &json!({ "cmd": command, "params": params }),
        );
    }

    /// Does something with an element, as soon as there is one that it can be done with.
    fn on(&self, css: &str, what: &str, body: &Value) {
        let _told = PageText(self);
        wait_for(&format!("{what} on {css}"), DEADLINE, || {
            let by = json!({ "using": "css selector", "value": css });
            let element = self.try_post("element", &by).ok()?;
            let id = element[ELEMENT].as_str()?;
            // not interactable, covered, gone again: it is tried again
            self.try_post(&format!("element/{id}/{what}"), body).ok()
        });
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.try_post(path, body)
            .unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    fn try_post(&self, path: &str, body: &Value) -> Result<Value, String> {
        let url = format!("{}/{path}", self.session);
        request(&self.http, Method::POST, &url, body)
    }
}

/// Prints what the page says when a wait fails.
struct PageText<'a>(&'a Browser);

impl Drop for PageText<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let script = json!({ "script": "return location.href + '\\n' + document.body.innerText", "args": [] });
        let text = self.0.try_post("execute/sync", &script);
        println!(
            "--- the page: {}",
            text.unwrap_or_default().as_str().unwrap_or("?")
        );
        println!("--- it complains of: {:?}", self.0.complaints());
    }
}

/// The driver, and its port. The one that it finds free is not always free for IPv4 too: then it ends, and another is tried.
fn driver(dir: &Path) -> (Proc, u16) {
    let mut command = Command::new("chromedriver");
    command.arg("--port=0");
    wait_for("chromedriver is up", DEADLINE, || {
        let mut driver = Proc::spawn("chromedriver", dir, &mut command);
        wait_for("chromedriver says where", DEADLINE, || {
            if driver.try_wait().is_some() {
                return Some(None);
            }
            let log = driver.log();
            let (_, rest) = log.split_once("started successfully on port ")?;
            rest.split_once('.')?.0.parse::<u16>().ok().map(Some)
        })
        .map(|port| (driver, port))
    })
}

fn capabilities(profile: &Path) -> Value {
    let mut args = vec![
        "--headless=new".to_owned(),
        "--disable-gpu".to_owned(),
        "--disable-dev-shm-usage".to_owned(), // small in containers
        "--disable-background-networking".to_owned(),
        "--disable-component-update".to_owned(),
        "--no-first-run".to_owned(),
        "--lang=en".to_owned(),
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1".to_owned(),
        format!("--user-data-dir={}", profile.display()),
    ];
    // its sandbox does not work for root
    if fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0) {
        args.push("--no-sandbox".to_owned());
    }
    let options = json!({ "args": args });
    let wanted = json!({ "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } });
    json!({ "capabilities": { "alwaysMatch": wanted } })
}

/// What WebDriver answers, or its error.
fn request(http: &Client, method: Method, url: &str, body: &Value) -> Result<Value, String> {
    let mut request = http.request(method, url);
    if !body.is_null() {
        request = request.body(body.to_string());
    }
    let text = request.send().and_then(|answer| answer.text());
    let text = text.map_err(|e| e.to_string())?;
    let mut answer: Value = serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))?;
    let value = answer["value"].take();
    match value["error"].is_string() && value["message"].is_string() {
        true => Err(value["message"].to_string()),
        false => Ok(value),
    }
}

/// As JavaScript has it.
fn truth(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false)) && *value != json!(0) && *value != json!("")
}
