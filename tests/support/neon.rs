//! A small Neon: the part of its API that creating a project needs, with a memory, and with faults on command.
//!
//! It speaks plain HTTP/1.1, one request per connection, so that a connection can be cut at any point.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::poll;

/// The only key that it takes. No part of it occurs anywhere by chance.
pub const KEY: &str = "napi_plantedKey6413";
/// The password of every role that it makes.
pub const PASSWORD: &str = "plantedNeonPw8842";

/// A Neon that runs until it is dropped.
pub struct FakeNeon {
    pub url: String,
    state: Arc<Mutex<State>>,
    server: tokio::task::JoinHandle<()>,
}

/// What it knows. Tests change it before they begin.
pub struct State {
    pub auth_method: &'static str,
    pub organizations: Value,
    pub plan: &'static str,
    pub regions: Value,
    /// How often an operation is asked about until it ends.
    pub polls: u32,
    /// How operations end.
    pub ends_as: &'static str,
    pub projects: Vec<Value>,
    /// Host and port of a server without TLS that stands for all its computes; nothing answers at their own names.
    pub compute: Option<String>,
    /// Every request: method, path with query, body.
    pub log: Vec<(String, String, Value)>,
    faults: Vec<(&'static str, &'static str, Fault)>,
    /// A project that appears after so many more listings.
    late: Option<(u32, Value)>,
    asked: std::collections::BTreeMap<String, u32>,
    made: u32,
}

/// What goes wrong with one request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Nothing, yet: the faults after it wait for the next request.
    None,
    /// It is answered with an error; the message may be anything.
    Refuse(u16, &'static str, &'static str),
    /// The same, with a header.
    RefuseWith(u16, &'static str, String),
    /// The connection is cut before anything was done.
    CutBefore,
    /// It is carried out, and the connection is cut before the answer.
    CutAfter,
    /// It is carried out twice, and the connection is cut.
    Twice,
    /// The connection is cut, and the project appears after so many more listings.
    Late(u32),
    /// It is carried out, and never answered.
    Silence,
    /// It is carried out, and answered with this.
    Nonsense(&'static str),
}

impl FakeNeon {
    /// Starts one.
    pub async fn start() -> FakeNeon {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v2", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let served = state.clone();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, served.clone()));
            }
        });
        FakeNeon { url, state, server }
    }

    /// Looks at what it knows, or changes it.
    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap())
    }

    /// The next request with this method, to a path that ends so, fails.
    pub fn fail(&self, method: &'static str, path: &'static str, fault: Fault) {
        self.with(|state| state.faults.push((method, path, fault)));
    }

    /// How many projects there are.
    pub fn projects(&self) -> usize {
        self.with(|state| state.projects.len())
    }

    /// How many requests with this method went to a path that ends so.
    pub fn requests(&self, method: &str, path: &str) -> usize {
        let is_it = |(its, whole, _): &&(String, String, Value)| its == method && whole.split('?').next().unwrap().ends_with(path);
        self.with(|state| state.log.iter().filter(is_it).count())
    }

    /// The bodies of the creations.
    pub fn creations(&self) -> Vec<Value> {
        let is_it = |(method, path, _): &&(String, String, Value)| method == "POST" && path == "/projects";
        self.with(|state| state.log.iter().filter(is_it).map(|(.., body)| body["project"].clone()).collect())
    }

    /// Waits until a request came in.
    pub async fn until_asked(&self, method: &str, path: &str) {
        let what = format!("{method} {path}");
        poll::until_true(Duration::from_secs(20), &what, async || self.requests(method, path) > 0).await;
    }
}

impl Drop for FakeNeon {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Default for State {
    fn default() -> Self {
        let region = |id: &str, name: &str, default: bool, lat: &str, long: &str| json!({ "region_id": id, "name": name, "default": default, "geo_lat": lat, "geo_long": long });
        State {
            auth_method: "api_key_user",
            organizations: json!([]),
            plan: "scale",
            regions: json!([
                region("aws-us-east-1", "AWS US East 1 (N. Virginia)", false, "38.13", "-78.45"),
                region("aws-us-east-2", "AWS US East 2 (Ohio)", true, "39.96", "-83.0"),
                region("aws-eu-central-1", "AWS Europe Central 1 (Frankfurt)", false, "", ""),
            ]),
            polls: 2,
            ends_as: "finished",
            projects: Vec::new(),
            compute: None,
            log: Vec::new(),
            faults: Vec::new(),
            late: None,
            asked: std::collections::BTreeMap::new(),
            made: 0,
        }
    }
}

struct Request {
    method: String,
    path: String,
    query: String,
    key: String,
    body: Value,
}

struct Answer {
    status: u16,
    header: String,
    body: String,
}

fn answer(status: u16, body: &Value) -> Answer {
    Answer { status, header: String::new(), body: body.to_string() }
}

fn refusal(status: u16, code: &str, message: &str) -> Answer {
    answer(status, &json!({ "request_id": "00000000-test-request", "code": code, "message": message }))
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let Some(request) = read(&mut stream).await else { return };
    let (fault, answer) = {
        let mut state = state.lock().unwrap();
        let logged = if request.query.is_empty() { request.path.clone() } else { format!("{}?{}", request.path, request.query) };
        state.log.push((request.method.clone(), logged, request.body.clone()));
        let fault = state.fault(&request);
        let is_done = !matches!(fault, Some(Fault::Refuse(..) | Fault::RefuseWith(..) | Fault::CutBefore | Fault::Late(_)));
        if let Some(Fault::Late(listings)) = fault {
            let project = state.new_project(&request.body["project"]);
            state.late = Some((listings, project));
        }
        if matches!(fault, Some(Fault::Twice)) {
            state.answer(&request);
        }
        (fault, is_done.then(|| state.answer(&request)))
    };
    let answer = match (fault, answer) {
        (Some(Fault::Refuse(status, code, message)), _) => refusal(status, code, message),
        (Some(Fault::RefuseWith(status, message, header)), _) => Answer { header, ..refusal(status, "", message) },
        (Some(Fault::Nonsense(body)), _) => Answer { status: 200, header: String::new(), body: body.to_owned() },
        (Some(Fault::Silence), _) => {
            // Until the other side gives up.
            let _ = stream.read(&mut [0]).await;
            return;
        }
        (None, Some(answer)) => answer,
        _ => return,
    };
    let head = format!(
        "HTTP/1.1 {} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n{}\r\n",
        answer.status,
        answer.body.len(),
        answer.header
    );
    let _ = stream.write_all((head + &answer.body).as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break end;
        }
        (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let header = |name: &str| {
        head.lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    };
    let length: usize = header("content-length").map_or(0, |value| value.parse().unwrap());
    while bytes.len() < end + 4 + length {
        (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
    }
    let mut words = head.lines().next()?.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Some(Request {
        method: method.to_owned(),
        path: path.strip_prefix("/api/v2").unwrap_or(path).to_owned(),
        query: query.to_owned(),
        key: header("authorization").unwrap_or_default().to_owned(),
        body: serde_json::from_slice(&bytes[end + 4..]).unwrap_or(Value::Null),
    })
}

impl State {
    fn fault(&mut self, request: &Request) -> Option<Fault> {
        let is_it = |(method, path, _): &(&str, &str, Fault)| *method == request.method && request.path.ends_with(path);
        let place = self.faults.iter().position(is_it)?;
        Some(self.faults.remove(place).2).filter(|fault| !matches!(fault, Fault::None))
    }

    fn answer(&mut self, request: &Request) -> Answer {
        if request.key != format!("Bearer {KEY}") {
            return refusal(401, "", &format!("the key in {} is not known", request.key));
        }
        let parts: Vec<&str> = request.path.trim_matches('/').split('/').collect();
        match (request.method.as_str(), parts.as_slice()) {
            ("GET", ["auth"]) => answer(200, &json!({ "account_id": "account", "auth_method": self.auth_method })),
            ("GET", ["users", "me"]) => {
                answer(200, &json!({ "id": "u", "plan": self.plan, "projects_limit": 100, "max_autoscaling_limit": 16.0 }))
            }
            ("GET", ["users", "me", "organizations"]) => answer(200, &json!({ "organizations": self.organizations })),
            ("GET", ["regions"]) => answer(200, &json!({ "regions": self.regions })),
            ("GET", ["projects"]) => self.list(&request.query),
            ("POST", ["projects"]) => {
                let project = self.new_project(&request.body["project"]);
                let operations = self.operations(project["id"].as_str().unwrap(), false);
                let uris = json!([{ "connection_uri": self.uri(&project), "connection_parameters": {} }]);
                self.projects.push(project.clone());
                answer(201, &json!({ "project": project, "connection_uris": uris, "operations": operations, "new_field": [1] }))
            }
            ("GET", ["projects", id, "operations"]) => {
                let operations = self.operations(id, false);
                answer(200, &json!({ "operations": operations }))
            }
            ("GET", ["projects", id, "operations", operation]) => self.operation(id, operation),
            ("GET", ["projects", id, "connection_uri"]) => match self.projects.iter().find(|project| project["id"] == **id) {
                Some(project) => answer(200, &json!({ "uri": self.uri(project) })),
                None => refusal(404, "", "project not found"),
            },
            _ => refusal(404, "", "this path is unknown"),
        }
    }

    /// One project in a page; as with the real one, the last page has a cursor, too, and what it leads to is empty.
    fn list(&mut self, query: &str) -> Answer {
        // The names that Neon's document has.
        let known = ["limit", "search", "org_id", "cursor"];
        if let Some(name) = query.split(['&', '=']).step_by(2).find(|name| !known.contains(name)) {
            return refusal(400, "", &format!("there is no parameter {name}"));
        }
        let cursor = query.split('&').find_map(|pair| pair.strip_prefix("cursor="));
        if cursor.is_none() {
            match self.late.take() {
                Some((0, project)) => self.projects.push(project),
                Some((listings, project)) => self.late = Some((listings - 1, project)),
                None => (),
            }
        }
        let place = cursor.map_or(0, |id| self.projects.iter().position(|project| project["id"] == id).unwrap() + 1);
        match self.projects.get(place) {
            Some(project) => answer(200, &json!({ "projects": [project], "pagination": { "cursor": project["id"] } })),
            None => answer(200, &json!({ "projects": [], "pagination": { "cursor": "" } })),
        }
    }

    fn new_project(&mut self, wanted: &Value) -> Value {
        self.made += 1;
        let number = self.made;
        json!({
            "id": format!("calm-lake-{number}"), "name": wanted["name"], "region_id": wanted["region_id"],
            "pg_version": wanted["pg_version"], "created_at": "2026-11-24T12:00:00Z", "branch": wanted["branch"],
        })
    }

    fn operations(&self, project: &str, ended: bool) -> Value {
        let status = if ended { self.ends_as } else { "scheduling" };
        let operation = |id: &str, action: &str| json!({ "id": id, "project_id": project, "action": action, "status": status, "failures_count": 0 });
        json!([operation("op-1", "create_timeline"), operation("op-2", "warm_up_the_sofa")])
    }

    fn operation(&mut self, project: &str, id: &str) -> Answer {
        let asked = self.asked.entry(id.to_owned()).or_default();
        *asked += 1;
        let ended = *asked >= self.polls;
        let mut all = self.operations(project, ended);
        let found = all.as_array_mut().unwrap().iter_mut().find(|operation| operation["id"] == id);
        let Some(operation) = found else { return refusal(404, "", "operation not found") };
        if !ended {
            operation["status"] = json!("running");
        } else if self.ends_as != "finished" {
            operation["error"] = json!("the sofa is too heavy");
        }
        answer(200, &json!({ "operation": operation }))
    }

    fn uri(&self, project: &Value) -> String {
        let (role, database) = (escaped(&project["branch"]["role_name"]), escaped(&project["branch"]["database_name"]));
        if let Some(compute) = &self.compute {
            return format!("postgresql://{role}:{PASSWORD}@{compute}/{database}?sslmode=disable");
        }
        let region = project["region_id"].as_str().unwrap().trim_start_matches("aws-");
        format!(
            "postgresql://{role}:{PASSWORD}@ep-{}.{region}.aws.neon.tech/{database}?sslmode=require&channel_binding=require",
            project["id"].as_str().unwrap()
        )
    }
}

fn escaped(value: &Value) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let bytes = value.as_str().unwrap().bytes();
    bytes.map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
